"""What the boosted forecaster is made of: exported trees, views of the past, parts, shares."""

from datetime import timedelta
from typing import ClassVar

import lightgbm
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from made_series import MONDAY, at, shop, with_gaps
from predictscale.core.calendar import Calendar
from predictscale.core.series import Floats, MetricWindow
from predictscale.errors import FitFailed
from predictscale.forecasters.boosted import duel, grow
from predictscale.forecasters.boosted.features import Views
from predictscale.forecasters.boosted.forest import Forest
from predictscale.forecasters.boosted.learn import LEAST_ROWS, NEWEST_DAYS, Foretold, learn, parts_of, seen_by
from predictscale.forecasters.boosted.sight import Past, Scale, along, together
from predictscale.forecasters.native import Native, NativeFitted, mixture

_QUICK = settings(max_examples=15, deadline=None)
_SIZE = grow.Size(trees=12, depth=4, least_rows=5)
_SCALE = Scale(offset=40.0, top=1e4, step_s=300.0)


def _end_s(series: MetricWindow) -> float:
    return series.end.timestamp()


def _table(seed: int, *, unknown: float) -> Floats:
    """Features of all kinds: noise, whole numbers, one that is always known, one that never changes."""
    draw = np.random.default_rng(seed)
    table: Floats = np.stack(
        (draw.normal(size=400), draw.integers(0, 5, 400), draw.normal(size=400), np.ones(400)), 1
    )
    table[:, :2][draw.random((400, 2)) < unknown] = np.nan
    return table


@_QUICK
@given(seed=st.integers(0, 1000), unknown=st.sampled_from([0.0, 0.1, 0.6]))
def test_an_exported_forest_says_what_the_library_says(seed: int, unknown: float) -> None:
    table = _table(seed, unknown=unknown)
    targets = np.where(np.isnan(table[:, 0]), 1.0, np.sin(3 * table[:, 0])) + table[:, 2]
    forest, said = grow.Rows(table).grow(targets, np.arange(400) % 3 > 0, _SIZE)
    assert said.std() > 0.1
    np.testing.assert_allclose(forest.say(table), said, rtol=1e-12, atol=1e-12)


@_QUICK
@given(seed=st.integers(0, 1000), unknown=st.sampled_from([0.0, 0.3]))
def test_what_was_always_known_and_is_unknown_now_goes_where_the_library_sends_it(
    seed: int, unknown: float
) -> None:
    table = _table(seed, unknown=unknown)
    parameters = {**grow._PARAMETERS, "num_leaves": 8, "max_depth": 3, "min_data_in_leaf": 5}
    data = lightgbm.Dataset(table, label=table[:, 2] + table[:, 1].clip(0, 1), params=parameters)
    booster = lightgbm.train(parameters, data, 10)
    forest = grow._exported(booster.dump_model()["tree_info"], 3)
    asked = table.copy()
    asked[::2, 2] = np.nan
    asked[::3, 1] = np.nan
    np.testing.assert_allclose(forest.say(asked), booster.predict(asked), rtol=1e-12, atol=1e-12)


def test_a_forest_says_the_same_of_a_row_whatever_rows_are_beside_it() -> None:
    table = _table(3, unknown=0.2)
    forest, _ = grow.Rows(table).grow(table[:, 2], np.ones(400, dtype=np.bool_), _SIZE)
    together_ = forest.say(table)
    alone = np.concatenate([forest.say(table[place : place + 1]) for place in range(400)])
    np.testing.assert_array_equal(together_, alone)


def test_where_nothing_can_be_told_apart_a_forest_says_the_mean() -> None:
    forest, said = grow.Rows(np.ones((60, 2))).grow(np.arange(60.0), np.ones(60, dtype=np.bool_), _SIZE)
    np.testing.assert_allclose(said, 29.5, rtol=1e-6)
    np.testing.assert_allclose(forest.say(np.ones((3, 2))), said[:3])


def test_the_mean_of_forests_says_the_mean_of_what_they_say() -> None:
    table = _table(5, unknown=0.1)
    rows = grow.Rows(table)
    parts = [rows.grow(table[:, 2], np.arange(400) % 3 != part, _SIZE) for part in range(3)]
    whole = Forest.mean([forest for forest, _ in parts])
    np.testing.assert_allclose(whole.say(table), np.mean([said for _, said in parts], axis=0), atol=1e-12)


def test_a_forest_of_unequal_layouts_is_refused() -> None:
    with pytest.raises(ValueError, match="shapes"):
        Forest(np.zeros((2, 7)), np.zeros((2, 7)), np.zeros((2, 7)))


@_QUICK
@given(
    ends=st.lists(st.integers(1, 15 * 288), min_size=1, max_size=4),
    back=st.integers(0, 40),
    zone=st.sampled_from(["UTC", "Asia/Kolkata"]),
)
def test_a_forecast_sees_what_a_fit_would_have_seen_from_there(ends: list[int], back: int, zone: str) -> None:
    """The same features from copied stretches, many histories beside each other, as from the whole row."""
    series, calendar = with_gaps(shop(days=15.5)), Calendar(zone=zone)
    leads = (1, 6)
    pasts = []
    for end in ends:
        now_s = _end_s(series) - (len(series) - end) * 300.0
        pasts.append(Past(series.values[:end], now_s, np.array([min(back, end - 1), 0])))
    seen = Views.at(together(pasts, _SCALE, reach=6, calendar=calendar))
    for column, past in enumerate(pasts):
        whole = Views.at(along(past.values, _SCALE, end_s=past.now_s, every=1, calendar=calendar))
        places = past.values.size - 1 - past.back
        for lead in leads:
            mine = seen.towards(lead).reshape(2, len(pasts), -1)[:, column]
            theirs = whole.towards(lead)[places]
            np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-6)
            np.testing.assert_allclose(seen.growth(lead)[:, column], whole.growth(lead)[places, 0], atol=1e-9)


def test_what_comes_after_an_origin_is_in_no_feature() -> None:
    series = shop(days=10)
    poisoned = series.values.copy()
    poisoned[9 * 288 :] = 1e4
    told = [
        Views.at(along(values, _SCALE, end_s=_end_s(series), every=1, calendar=Calendar())).towards(6)
        for values in (series.values, poisoned)
    ]
    np.testing.assert_array_equal(told[0][: 9 * 288], told[1][: 9 * 288])
    assert (told[0][9 * 288 :] != told[1][9 * 288 :]).any()


def test_the_same_time_a_day_ago_is_told_by_the_clock_on_the_wall() -> None:
    """New York, the morning after clocks were set forward: yesterday's nine o'clock was 23 hours ago."""
    sunday_noon = at(6) + timedelta(hours=17)
    series = shop(days=6 + 17 / 24)
    assert series.end == sunday_noon
    for zone, bins in (("UTC", 288), ("America/New_York", 276)):
        sight = along(series.values, _SCALE, end_s=_end_s(series), every=1, calendar=Calendar(zone=zone))
        assert sight.origins[-1, 0] - sight.places[0, -1, 0] == bins


def test_a_holiday_is_a_sunday() -> None:
    series = shop(days=7)
    calendar = Calendar(holidays=(MONDAY.date(),))
    sight = along(series.values, _SCALE, end_s=_end_s(series), every=1, calendar=calendar)
    assert sight.day[::288, 0].tolist() == [3.0, 5.0, 6.0, 0.0, 1.0, 2.0, 3.0]


@given(days=st.integers(3, 28))
def test_the_newest_days_are_a_part_of_their_own_and_every_part_has_days(days: int) -> None:
    parts = parts_of(np.arange(days), days)
    assert set(parts.tolist()) == {0, 1, 2}
    newest = np.flatnonzero(parts == 0)
    np.testing.assert_array_equal(newest, np.arange(newest.size))
    assert 1 <= newest.size <= min(NEWEST_DAYS, days // 3)


def _learned(series: MetricWindow) -> Foretold:
    views = Views.at(along(series.values, _SCALE, end_s=_end_s(series), every=1, calendar=Calendar()))
    ages = ((len(series) - views.sight.origins[:, 0]) // 288).astype(np.int64)
    parts = parts_of(ages, len(series) // 288)
    return learn(views, 6, parts)[1]


@given(days=st.integers(3, 12), lead=st.integers(1, 30), every=st.integers(1, 7))
def test_trees_learn_from_no_window_that_reaches_into_what_they_foretell(
    days: int, lead: int, every: int
) -> None:
    origins = np.arange(days * 144, 0, -every)[::-1]
    ages = (days * 144 - origins) // 144
    parts = parts_of(ages, days)
    for part, seen in enumerate(seen_by(parts, origins, lead)):
        assert seen.any()
        assert not (parts[seen] == part).any()
    newest = origins[parts == 0]
    assert (origins[seen_by(parts, origins, lead)[0]] + lead <= newest[0]).all()


def test_foretold_quantiles_cover_what_they_promise() -> None:
    told = _learned(shop(days=14, seed=9))
    known = ~np.isnan(told.came)
    for level in (0.5, 0.9, 0.95, 0.99):
        row = told.table[mixture.TABLE.index(level)]
        assert abs(np.mean(told.came[known] <= row[known]) - level) < 0.03


def test_too_few_known_windows_are_refused() -> None:
    series = shop(days=4)
    values = np.full(len(series), np.nan)
    values[: LEAST_ROWS + 3] = 7.0
    with pytest.raises(FitFailed, match="too few"):
        _learned(MetricWindow(series.start, 300.0, values))


def test_shares_follow_the_losses_and_never_reach_one() -> None:
    came = np.random.default_rng(1).normal(100.0, 1.0, 500)
    good = np.tile(np.quantile(came, duel._LEVELS)[:, None], 500)
    bad = good + 20.0
    np.testing.assert_allclose(duel._share(came, good, bad), duel.MOST)
    assert (duel._share(came, bad, good) < 0.05).all()
    np.testing.assert_allclose(duel._share(came, good, good), 0.5)
    assert (np.abs(duel._share(came[:3], good[:, :3], bad[:, :3]) - 0.5) < 0.31).all()


def test_without_evidence_both_have_an_equal_say() -> None:
    nothing = np.empty((3, 0))
    assert duel._verdict(_SCALE, np.empty(0), nothing, nothing) is duel.UNDECIDED


def test_errors_that_are_alike_are_told_from_those_that_are_not() -> None:
    draw = np.random.default_rng(2)
    came = draw.normal(0.0, 1.0, 2000)
    told = np.array([0.0, 1.3, 2.0])[:, None] + np.zeros(2000)
    assert duel._alike(came, told, told) == pytest.approx(1.0)
    one, other = (told + draw.normal(0.0, 2.0, 2000) for _ in range(2))
    assert duel._alike(came, one, other) < 0.5
    assert duel._alike(came[:5], one[:, :5], other[:, :5]) > 0.85


class _Watched(Native):
    """The engine, and until when it was shown the history."""

    shown: ClassVar[list[MetricWindow]] = []

    def fit(self, window: MetricWindow) -> NativeFitted:
        self.shown.append(window)
        return super().fit(window)


def test_the_engine_is_judged_on_days_that_it_did_not_see() -> None:
    series = shop(days=6)
    origins = np.arange(4 * 288, 6 * 288 - 6)
    told = Foretold(np.zeros(origins.size), np.zeros((len(mixture.TABLE), origins.size)))
    base = np.log1p(series.values[origins - 1] / _SCALE.offset)
    watched = _Watched()
    found = duel.duel(series, _SCALE, origins=origins, base=base, foretold=[told], leads=[6], engine=watched)
    assert [window.end for window in watched.shown] == [at(4)]
    assert found[0].share.shape == duel.EVEN.shape
    watched.shown.clear()


def test_where_the_engine_cannot_be_fitted_both_have_an_equal_say() -> None:
    series = shop(days=4)
    silent = MetricWindow(series.start, 300.0, np.full(len(series), np.nan))
    origins = np.arange(288, 576)
    told = Foretold(np.zeros(288), np.zeros((len(mixture.TABLE), 288)))
    found = duel.duel(
        silent, _SCALE, origins=origins, base=np.zeros(288), foretold=[told], leads=[6], engine=Native()
    )
    assert found == [duel.UNDECIDED]
