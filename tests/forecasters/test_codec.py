"""Models as bytes, and bytes that are none."""

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from made_series import shop
from predictscale.core.calendar import Calendar
from predictscale.core.forecast import Forecast
from predictscale.core.series import Floats, MetricWindow
from predictscale.errors import RebuildCache
from predictscale.forecasters import codec
from predictscale.forecasters.base import LEVELS, Fitted
from predictscale.forecasters.chain import FittedChain, fit_chain
from predictscale.forecasters.codec import SCHEMA, decode, encode
from predictscale.forecasters.naive import LastValue, SeasonalNaiveDay, SeasonalNaiveWeek
from stub_forecasters import Says

_WINDOW = shop(days=10, seed=8)


@cache
def _chain() -> FittedChain:
    return fit_chain((SeasonalNaiveWeek(), SeasonalNaiveDay(), LastValue()), _WINDOW).fitted


@cache
def _bytes() -> bytes:
    return encode(_chain())


def _same(one: Fitted, other: Fitted) -> None:
    assert one.model == other.model
    for steps in (1, 50):
        np.testing.assert_array_equal(
            one.predict(_WINDOW, steps=steps).values, other.predict(_WINDOW, steps=steps).values
        )


def test_a_chain_comes_back_as_it_was() -> None:
    back = decode(_bytes())
    assert isinstance(back, FittedChain)
    assert back.high == _chain().high
    assert [m.model for m in back.members] == [m.model for m in _chain().members]
    for member, original in zip(back.members, _chain().members, strict=True):
        _same(member, original)
    _same(back, _chain())


def test_the_same_model_gives_the_same_bytes() -> None:
    assert encode(decode(_bytes())) == _bytes()


def test_a_model_is_small_enough_to_keep_by_the_thousand() -> None:
    assert len(_bytes()) < 64_000


@given(st.integers(0), st.integers(1, 255))
def test_a_flipped_bit_is_noticed_or_harmless(place: int, flip: int) -> None:
    damaged = bytearray(_bytes())
    damaged[place % len(damaged)] ^= flip
    try:
        back = decode(bytes(damaged))
    except RebuildCache:
        return
    _same(back, _chain())


@given(st.integers(0))
def test_a_cut_file_is_noticed(length: int) -> None:
    with pytest.raises(RebuildCache):
        decode(_bytes()[: length % len(_bytes())])


@given(st.binary(max_size=200))
def test_bytes_of_others_are_refused(data: bytes) -> None:
    with pytest.raises(RebuildCache):
        decode(data)


def _archive(header: object) -> bytes:
    out = io.BytesIO()
    np.savez(out, header=np.frombuffer(json.dumps(header).encode(), np.uint8), a0=np.ones(3))
    return out.getvalue()


@pytest.mark.parametrize(
    "header",
    [
        {"schema": SCHEMA + 1, "fitted": None},
        {"schema": SCHEMA, "fitted": None},
        {"schema": SCHEMA, "fitted": {"class": "Popen", "fields": {"args": "true"}}},
        {"schema": SCHEMA, "fitted": {"class": "Curve", "fields": {}}},
        {"schema": SCHEMA, "fitted": {"class": "FittedChain", "fields": {"members": [], "high": 1.0}}},
        {
            "schema": SCHEMA,
            "fitted": {"class": "Curve", "fields": {"start_s": 0, "step_s": 1, "values": {"array": "a0"}}},
        },
        {"schema": SCHEMA, "fitted": {"array": "missing"}},
        {"schema": SCHEMA, "fitted": {"no": "shape"}},
        {},
        [],
    ],
)
def test_a_header_that_is_not_ours_is_refused(header: object) -> None:
    with pytest.raises(RebuildCache):
        decode(_archive(header))


@dataclass(frozen=True, slots=True, eq=False)
class _Zoned:
    """A fit that carries its calendar, and one array twice."""

    model: str
    calendar: Calendar
    first: Floats
    second: Floats

    def predict(self, recent: MetricWindow, *, steps: int, levels: Sequence[float] = LEVELS) -> Forecast:
        return Says(self.model).predict(recent, steps=steps, levels=levels)


def test_a_calendar_survives_with_its_holidays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(codec._CLASSES, "_Zoned", _Zoned)
    calendar = Calendar("Europe/Berlin", (date(2026, 1, 1), date(2026, 12, 25)))
    shared = np.arange(5000.0)
    data = encode(FittedChain((_Zoned("zoned", calendar, shared, shared),), high=1.0))
    back = decode(data)
    assert isinstance(back, FittedChain)
    (zoned,) = back.members
    assert isinstance(zoned, _Zoned)
    assert zoned.calendar == calendar
    np.testing.assert_array_equal(zoned.second, shared)
    assert encode(back) == data
    assert len(data) < 1.2 * shared.nbytes, "an array that is held twice is kept once"


def test_a_zone_that_is_no_longer_known_costs_the_model_and_nothing_else() -> None:
    header = {
        "schema": SCHEMA,
        "fitted": {"class": "Calendar", "fields": {"zone": "Europe/Atlantis", "holidays": []}},
    }
    with pytest.raises(RebuildCache, match="Atlantis"):
        decode(_archive(header))


def test_a_pickle_is_never_opened() -> None:
    out = io.BytesIO()
    np.savez(out, allow_pickle=True, header=np.array([{"schema": SCHEMA}], dtype=object))
    with pytest.raises(RebuildCache, match="pickle"):
        decode(out.getvalue())


def test_a_class_that_nobody_registered_is_our_own_mistake() -> None:
    with pytest.raises(TypeError, match="Says is not registered"):
        encode(Says("stranger"))
