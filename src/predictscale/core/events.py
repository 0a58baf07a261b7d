"""What the owner knows and no history tells: a campaign, a launch, a maintenance window.

A past event is taken out of what models learn from, so that a campaign does not
become a season; a coming one is laid over what they forecast. Both happen
around the models, once for all of them, so none knows of events. Refuses to
touch the present that is decided on: reactive need sees every request.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum

import numpy as np

from predictscale.core.calendar import DAY_S
from predictscale.core.forecast import Forecast
from predictscale.core.series import Floats, MetricWindow

_YEAR_S = 365 * DAY_S
_MOST_ABOVE = 1e9


class Repeat(StrEnum):
    """When an event comes again, by the clock on the wall."""

    NONE = "none"
    DAILY = "daily"
    WEEKLY = "weekly"
    YEARLY = "yearly"


PERIODS_S = {Repeat.DAILY: DAY_S, Repeat.WEEKLY: 7 * DAY_S, Repeat.YEARLY: _YEAR_S}
"""The shortest time from one occurrence to the next [s]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedEvent:
    """Demand that is known to be unusual, and when.

    Args:
        name: As its owner calls it.
        start: When it first begins, aware; repetitions follow the clock of this zone.
        end: When it first ends, in the same zone.
        multiplier: How many times the usual demand it brings [1], above 0; or None.
        demand: The least demand while it lasts, in the demand's unit per second; or None.
        repeat: Whether it comes again.

    Raises:
        ValueError: It ends before it begins, lasts longer than its period, or brings
            neither or both of a multiplier and a demand.
    """

    name: str
    start: datetime
    end: datetime
    multiplier: float | None = None
    demand: float | None = None
    repeat: Repeat = Repeat.NONE

    def __post_init__(self) -> None:
        if self.start.tzinfo is None or self.start.tzinfo != self.end.tzinfo:
            raise ValueError(f"{self.name}: start and end are aware and of one zone")
        if (self.multiplier is None) == (self.demand is None):
            raise ValueError(f"{self.name}: has either a multiplier or a demand")
        if (self.multiplier is not None and not self.multiplier > 0) or not (self.demand or 0.0) >= 0:
            raise ValueError(f"{self.name}: multiplier {self.multiplier}, demand {self.demand}")
        lasts_s = self.lasts.total_seconds()
        if not 0 < lasts_s <= PERIODS_S.get(self.repeat, np.inf):
            raise ValueError(f"{self.name}: lasts {lasts_s:g} s, and repeats {self.repeat}")

    @property
    def lasts(self) -> timedelta:
        """How long it lasts on the clock on the wall."""
        # Both ends carry one zone, so this is the difference of what the clock shows.
        return self.end - self.start

    def spans_s(self, since_s: float, until_s: float) -> list[tuple[float, float]]:
        """Its occurrences that touch [since_s, until_s): begin and end, seconds since the epoch."""
        spans = (self._span_s(start) for start in self._starts(since_s, until_s))
        return [(start_s, end_s) for start_s, end_s in spans if start_s < until_s and end_s > since_s]

    def _starts(self, since_s: float, until_s: float) -> Iterator[datetime]:
        """Where occurrences begin on the clock on the wall, a few around those asked for too."""
        if self.repeat is Repeat.NONE:
            yield self.start
            return
        first, last = (
            datetime.fromtimestamp(s, UTC).astimezone(self.start.tzinfo) for s in (since_s, until_s)
        )
        if self.repeat is Repeat.YEARLY:
            for year in range(max(first.year - 1, self.start.year), last.year + 2):
                # The 29th of February comes in leap years.
                if (self.start.month, self.start.day) != (2, 29) or _leap(year):
                    yield self.start.replace(year=year)
            return
        days = round(PERIODS_S[self.repeat] / DAY_S)
        turns = ((at.date() - self.start.date()).days // days for at in (first, last))
        # None lasts longer than its period, so that only the one before can reach in.
        for turn in range(max(0, next(turns) - 1), next(turns) + 1):
            yield self.start + timedelta(days=turn * days)

    def _span_s(self, start: datetime) -> tuple[float, float]:
        start_s, end_s = start.timestamp(), (start + self.lasts).timestamp()
        # Where the clock skips the hour in which it begins, it lasts as long as planned all the same.
        return (start_s, end_s) if end_s > start_s else (end_s - self.lasts.total_seconds(), end_s)


def usual(
    window: MetricWindow, events: Sequence[PlannedEvent], *, keep_present: bool = False
) -> MetricWindow:
    """The window as it would have been without its events, to learn from and to forecast from.

    What an event multiplied is divided by as much; what it set is a gap.

    Args:
        window: What was seen.
        events: Those that are planned, past ones among them.
        keep_present: Leave an event that sets demand and covers the last bin as it is, so
            that there is a present level to forecast from.
    """
    start_s, end_s = window.start.timestamp(), window.end.timestamp()
    touching = [(event, span) for event in events for span in event.spans_s(start_s, end_s)]
    if not touching:
        return window
    factors = np.ones(len(window))
    for event, span in touching:
        first, shares = _shares(start_s, window.step_s, len(window), span)
        part = factors[first : first + shares.size]
        if event.multiplier is not None:
            part *= 1 + (event.multiplier - 1) * shares
        elif not (keep_present and span[1] > end_s - window.step_s):
            part[:] = np.nan
    return MetricWindow(window.start, window.step_s, window.values / factors)


def planned(forecast: Forecast, events: Sequence[PlannedEvent]) -> Forecast:
    """The forecast with the events that lie ahead.

    A multiplied step is as many times as high at every level; one that a set event touches is
    no lower than what is set. The quantiles of the peak keep the distance that they had from
    the highest value. The author's name says which events were added.
    """
    start_s, shape = forecast.origin.timestamp(), forecast.values.shape
    factors, floors = np.ones(shape[1]), np.zeros(shape[1])
    touching = []
    for event in events:
        for span in event.spans_s(start_s, forecast.end.timestamp()):
            first, shares = _shares(start_s, forecast.step_s, shape[1], span)
            part = slice(first, first + shares.size)
            if event.multiplier is not None:
                factors[part] *= 1 + (event.multiplier - 1) * shares
            else:
                floors[part] = np.maximum(floors[part], event.demand or 0.0)
            touching.append(event.name)
    if not touching:
        return forecast
    scaled = forecast.values * factors
    names = ", ".join(dict.fromkeys(touching))
    model = f"{forecast.model} with planned event {names}"
    moved = replace(
        forecast, values=np.maximum(scaled, floors), peaks=_peaks(forecast, scaled, floors), model=model
    )
    if forecast.components is None:
        return moved
    events_only = moved.quantile(0.5) - forecast.quantile(0.5)
    return replace(moved, components=replace(forecast.components, events=events_only))


def _peaks(forecast: Forecast, scaled: Floats, floors: Floats) -> Floats | None:
    """Quantiles of the highest value, after events."""
    if forecast.peaks is None:
        return None
    before, after = (np.maximum.accumulate(table, axis=1) for table in (forecast.values, scaled))
    # Next to nothing has no ratio worth keeping.
    comparable = (forecast.peaks > before) & (before * _MOST_ABOVE > forecast.peaks)
    above = np.divide(forecast.peaks, before, out=np.ones_like(before), where=comparable)
    alone = np.where(comparable | (forecast.peaks <= before), 0.0, forecast.peaks)
    peaks = np.maximum(np.maximum(after * above, alone), floors)
    # An event that ends leaves the peak of the longer window no lower, and levels in their order.
    ordered: Floats = np.maximum.accumulate(np.maximum.accumulate(peaks, axis=1), axis=0)
    return ordered


def _shares(start_s: float, step_s: float, bins: int, span: tuple[float, float]) -> tuple[int, Floats]:
    """The first bin that an occurrence touches, and the share of each touched bin that it covers."""
    begin, end = ((at_s - start_s) / step_s for at_s in span)
    first, stop = max(0, int(np.floor(begin))), min(bins, int(np.ceil(end)))
    edges = np.arange(first, max(stop, first))
    return first, np.minimum(edges + 1, end) - np.maximum(edges, begin)


def _leap(year: int) -> bool:
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
