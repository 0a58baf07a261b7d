"""What a grid emits, by time, from the forms in which others tell it.

A constant, a Prometheus series, the answers of Electricity Maps and of WattTime as their
services give them. All become grams per kilowatt-hour with the accounting that the source has:
Electricity Maps tells the average mix, WattTime's co2_moer the marginal plant. Refuses to fetch
anything, to read a unit it does not know, and to let an old number stand for the present.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

import numpy as np

from predictscale.core.carbon import Accounting, Intensity
from predictscale.core.series import MetricWindow
from predictscale.errors import AnswerUnusable

_ALWAYS = datetime(1970, 1, 1, tzinfo=UTC)
_ELECTRICITY_MAPS_S = 3600.0
_WATTTIME_S = 300.0


class IntensityUnit(StrEnum):
    """Units in which intensities are told."""

    G_PER_KWH = "g/kWh"
    KG_PER_MWH = "kg/MWh"
    LBS_PER_MWH = "lbs/MWh"

    @property
    def g_per_kwh(self) -> float:
        """One of it in grams per kilowatt-hour; a pound is 453.59237 g."""
        return 0.45359237 if self is IntensityUnit.LBS_PER_MWH else 1.0


@dataclass(frozen=True, slots=True)
class GridIntensity:
    """Intensities of one grid by time.

    Args:
        accounting: On which plants they are laid.
        source: Who says so.
        points: Since when, and how much [g/kWh]; ascending in time.
        holds_s: How long each holds, unless the next one comes first [s].

    Raises:
        ValueError: The points are out of order, or one cannot be.
    """

    accounting: Accounting
    source: str
    points: tuple[tuple[datetime, float], ...]
    holds_s: float

    def __post_init__(self) -> None:
        stamps = [at for at, _ in self.points]
        if sorted(set(stamps)) != stamps or not self.holds_s > 0:
            raise ValueError(f"{self.source}: points ascend in time, and hold for {self.holds_s} s")
        if not all(math.isfinite(g) and g >= 0 for _, g in self.points):
            raise ValueError(f"{self.source}: an intensity is negative or not finite")

    def at(self, now: datetime) -> Intensity | None:
        """The intensity at an instant, past or forecast; None if it is not known."""
        told = [point for point in self.points if point[0] <= now]
        if not told or (now - told[-1][0]).total_seconds() >= self.holds_s:
            return None
        return Intensity(told[-1][1], self.accounting, self.source)


def constant(g_per_kwh: float, accounting: Accounting = Accounting.AVERAGE) -> GridIntensity:
    """The same at any time since 1970."""
    return GridIntensity(accounting, "a constant", ((_ALWAYS, g_per_kwh),), math.inf)


def from_series(window: MetricWindow, *, unit: IntensityUnit, accounting: Accounting) -> GridIntensity:
    """What a metric tells: each bin from its beginning until a bin's width after its end.

    Args:
        window: The series; gaps stay gaps.
        unit: What its values are.
        accounting: On which plants they are laid; a series does not say.
    """
    known = np.flatnonzero(window.known)
    stamps_s = window.stamps_s
    points = tuple(
        (datetime.fromtimestamp(float(stamps_s[i]), UTC), float(window.values[i]) * unit.g_per_kwh)
        for i in known
    )
    return GridIntensity(accounting, "a series", points, 2 * window.step_s)


def electricity_maps(answer: object) -> GridIntensity:
    """The answer of Electricity Maps' carbon-intensity/latest, /history or /forecast.

    gCO2eq/kWh of the average mix; a point holds for an hour. Hours without a value are left out.

    Raises:
        AnswerUnusable: It is none, or holds no value.
    """
    body = _mapping(answer, "Electricity Maps")
    rows = next((body[name] for name in ("forecast", "history") if name in body), [body])
    zone = body.get("zone")
    source = f"Electricity Maps, zone {zone}" if isinstance(zone, str) else "Electricity Maps"
    points = _points(_rows(rows, source), source, stamp="datetime", value="carbonIntensity")
    return _grid(Accounting.AVERAGE, source, points, _ELECTRICITY_MAPS_S)


def watttime(answer: object) -> GridIntensity:
    """The answer of WattTime's v3/forecast or v3/historical for the signal co2_moer.

    Pounds of CO2 per megawatt-hour of the marginal plant, which become grams per kilowatt-hour.

    Raises:
        AnswerUnusable: It is none, holds no value, or tells another signal or unit.
    """
    body = _mapping(answer, "WattTime")
    meta = _mapping(body.get("meta"), "WattTime's meta")
    told = (meta.get("signal_type"), meta.get("units"))
    if told != ("co2_moer", "lbs_co2_per_mwh"):
        raise AnswerUnusable(f"WattTime tells {told[0]} in {told[1]}; read is co2_moer in lbs_co2_per_mwh")
    region = meta.get("region")
    source = f"WattTime, region {region}" if isinstance(region, str) else "WattTime"
    period_s = meta.get("data_point_period_seconds", _WATTTIME_S)
    if isinstance(period_s, bool) or not isinstance(period_s, int | float) or not period_s > 0:
        raise AnswerUnusable(f"{source}: data_point_period_seconds is {period_s!r}; seconds above 0")
    points = _points(_rows(body.get("data"), source), source, stamp="point_time", value="value")
    pounds = IntensityUnit.LBS_PER_MWH.g_per_kwh
    return _grid(Accounting.MARGINAL, source, [(at, v * pounds) for at, v in points], float(period_s))


def _grid(
    accounting: Accounting, source: str, points: Iterable[tuple[datetime, float]], holds_s: float
) -> GridIntensity:
    # A later row about the same instant is a correction.
    ordered = tuple(sorted(dict(points).items()))
    if not ordered:
        raise AnswerUnusable(f"{source}: holds no value")
    return GridIntensity(accounting, source, ordered, holds_s)


def _points(
    rows: Iterable[Mapping[str, object]], source: str, *, stamp: str, value: str
) -> list[tuple[datetime, float]]:
    points = []
    for row in rows:
        told, at = row.get(value), row.get(stamp)
        if told is None:
            continue
        if isinstance(told, bool) or not isinstance(told, int | float) or not (0 <= told < math.inf):
            raise AnswerUnusable(f"{source}: {value} is {told!r}; a number, 0 or more")
        points.append((_instant(at, source, stamp), float(told)))
    return points


def _instant(text: object, source: str, name: str) -> datetime:
    try:
        at = datetime.fromisoformat(str(text))
    except ValueError:
        raise AnswerUnusable(f"{source}: {name} is {text!r}; an instant by ISO 8601") from None
    if at.utcoffset() is None:
        raise AnswerUnusable(f"{source}: {name} is {text!r}, without an offset from UTC")
    return at.astimezone(UTC)


def _mapping(answer: object, source: str) -> Mapping[str, object]:
    if not isinstance(answer, Mapping):
        raise AnswerUnusable(f"{source}: is {type(answer).__name__}; a mapping is read")
    return answer


def _rows(answer: object, source: str) -> list[Mapping[str, object]]:
    if not isinstance(answer, Sequence) or isinstance(answer, str):
        raise AnswerUnusable(f"{source}: holds {type(answer).__name__}; a list of points is read")
    return [_mapping(row, source) for row in answer]
