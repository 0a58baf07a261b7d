"""Grams by power, building and grid; averages and margins stay apart."""

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from predictscale.core.carbon import Accounting, Carbon, Intensity, Power, emitted, g_per_million_tokens
from predictscale.core.intensity import (
    GridIntensity,
    IntensityUnit,
    constant,
    electricity_maps,
    from_series,
    watttime,
)
from predictscale.core.series import MetricWindow
from predictscale.errors import AnswerUnusable
from worlds import NOON

H100 = Power(watts_per_gpu=600, gpus_per_replica=4)
MEAN = Intensity(300.0, Accounting.AVERAGE, "a constant")


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def test_grams_of_an_hour_by_hand() -> None:
    # 10 x 4 x 600 W = 24 kW, 27.6 with the host, 33.12 with the building, at 300 g.
    assert emitted(H100, MEAN, replicas=10).g == pytest.approx(33.12 * 300)
    assert emitted(H100, MEAN, replicas=10, span_s=60).g == pytest.approx(33.12 * 300 / 60)


def test_grams_for_a_million_tokens() -> None:
    hour = emitted(H100, MEAN, replicas=10)
    assert g_per_million_tokens(hour, tokens=3600 * 5000) == pytest.approx(hour.g / 18)
    assert g_per_million_tokens(hour, tokens=0) is None


def test_average_and_marginal_grams_are_never_added() -> None:
    mean, marginal = (Carbon(1.0, accounting) for accounting in Accounting)
    assert (mean + mean).g == 2.0
    with pytest.raises(ValueError, match="average and marginal grams"):
        mean + marginal


@pytest.mark.parametrize(
    "wrong", [{"pue": 0.9}, {"host_share": 0.5}, {"watts_per_gpu": 0.0}, {"pue": math.inf}]
)
def test_power_that_cannot_be_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="power"):
        Power(**{"watts_per_gpu": 600.0, "gpus_per_replica": 1.0, **wrong})


def test_a_constant_holds_always() -> None:
    told = constant(42.0).at(datetime(2050, 1, 1, tzinfo=UTC))
    assert told is not None
    assert (told.g_per_kwh, told.accounting) == (42.0, Accounting.AVERAGE)


ZONE_DE: dict[str, Any] = {
    "zone": "DE",
    "carbonIntensity": 302,
    "datetime": "2026-04-25T18:00:00.000Z",
    "updatedAt": "2026-04-25T18:07:01.000Z",
    "emissionFactorType": "lifecycle",
    "isEstimated": True,
}
COMING: dict[str, Any] = {
    "zone": "DE",
    "forecast": [
        {"carbonIntensity": 290, "datetime": "2026-04-25T19:00:00.000Z"},
        {"carbonIntensity": None, "datetime": "2026-04-25T20:00:00.000Z"},
        {"carbonIntensity": 250.5, "datetime": "2026-04-25T21:00:00.000Z"},
    ],
    "updatedAt": "2026-04-25T18:07:01.000Z",
}
MOER: dict[str, Any] = {
    "data": [
        {"point_time": "2026-05-03T10:00:00+00:00", "value": 870.0, "version": "2026-03-01"},
        {"point_time": "2026-05-03T10:05:00+00:00", "value": 1000, "version": "2026-03-01"},
    ],
    "meta": {
        "region": "CAISO_NORTH",
        "signal_type": "co2_moer",
        "units": "lbs_co2_per_mwh",
        "data_point_period_seconds": 300,
        "model": {"date": "2026-03-01"},
    },
}


def test_electricity_maps_tells_the_average_mix_for_an_hour() -> None:
    grid = electricity_maps(ZONE_DE)
    told = grid.at(instant("2026-04-25T18:59:59Z"))
    assert told == Intensity(302.0, Accounting.AVERAGE, "Electricity Maps, zone DE")
    assert grid.at(instant("2026-04-25T19:00:00Z")) is None
    assert grid.at(instant("2026-04-25T17:59:59Z")) is None


def test_hours_without_a_value_are_not_known() -> None:
    grid = electricity_maps(COMING)
    hours = [grid.at(instant(f"2026-04-25T{hour}:30:00Z")) for hour in (19, 20, 21)]
    assert [told and told.g_per_kwh for told in hours] == [290.0, None, 250.5]
    history = {"zone": "DE", "history": COMING["forecast"]}
    assert electricity_maps(history).points == grid.points


def test_watttimes_pounds_become_grams_of_the_margin() -> None:
    grid = watttime(MOER)
    told = grid.at(instant("2026-05-03T10:07:00Z"))
    assert told is not None
    assert told.g_per_kwh == pytest.approx(453.59237)
    assert told.accounting is Accounting.MARGINAL
    assert grid.at(instant("2026-05-03T10:10:00Z")) is None


@pytest.mark.parametrize(
    "wrong",
    [
        None,
        [],
        {},
        {**ZONE_DE, "carbonIntensity": "302"},
        {**ZONE_DE, "carbonIntensity": -1},
        {**ZONE_DE, "carbonIntensity": True},
        {**ZONE_DE, "datetime": "yesterday"},
        {**ZONE_DE, "datetime": "2026-04-25T18:00:00"},
        {**COMING, "forecast": "none"},
        {**COMING, "forecast": []},
    ],
)
def test_an_answer_of_electricity_maps_that_is_none_is_refused(wrong: object) -> None:
    with pytest.raises(AnswerUnusable, match="Electricity Maps"):
        electricity_maps(wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        {"data": MOER["data"]},
        {**MOER, "meta": {**MOER["meta"], "signal_type": "health_damage"}},
        {**MOER, "meta": {**MOER["meta"], "units": "kg_co2_per_mwh"}},
        {**MOER, "meta": {**MOER["meta"], "data_point_period_seconds": 0}},
        {**MOER, "data": None},
        {**MOER, "data": [1]},
    ],
)
def test_an_answer_of_watttime_that_is_none_or_of_another_unit_is_refused(wrong: object) -> None:
    with pytest.raises(AnswerUnusable, match="WattTime"):
        watttime(wrong)


def test_a_later_row_about_the_same_instant_is_a_correction() -> None:
    twice = {"zone": "DE", "forecast": [*COMING["forecast"], {**COMING["forecast"][0], "carbonIntensity": 7}]}
    assert electricity_maps(twice).points[0][1] == 7.0


def test_a_series_keeps_its_gaps_and_its_unit() -> None:
    window = MetricWindow(NOON, 300.0, np.array([1000.0, 900.0, np.nan, np.nan, np.nan, 800.0]))
    grid = from_series(window, unit=IntensityUnit.LBS_PER_MWH, accounting=Accounting.MARGINAL)
    told = [grid.at(NOON + timedelta(minutes=minutes)) for minutes in (0, 6, 14, 15, 25, 34, 35)]
    pounds = [None if each is None else round(each.g_per_kwh / 0.45359237) for each in told]
    assert pounds == [1000, 900, 900, None, 800, 800, None]
    same = from_series(window, unit=IntensityUnit.KG_PER_MWH, accounting=Accounting.AVERAGE).at(NOON)
    assert same is not None
    assert same.g_per_kwh == 1000.0


@pytest.mark.parametrize("points", [((NOON, 1.0), (NOON, 2.0)), ((NOON, -1.0),), ((NOON, math.nan),)])
def test_points_that_cannot_be_are_refused(points: tuple[tuple[datetime, float], ...]) -> None:
    with pytest.raises(ValueError, match="a test"):
        GridIntensity(Accounting.AVERAGE, "a test", points, 60.0)
