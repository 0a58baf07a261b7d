"""A source whose past is at hand: windows, files, the synthetic generator, a running simulation.

The embedded default, and the ground truth of backtests. Refuses to tell what
is not over: a bin that ends after the clock's present is a gap.
"""

from array import array
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Protocol

import numpy as np

from predictscale.clock import Clock
from predictscale.core.demand import Signal
from predictscale.core.series import MetricWindow, floor_to_grid
from predictscale.errors import SourceRefused
from predictscale.sources.base import Answer
from predictscale.sources.regrid import regrid

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NOT_FOUND = 404


class Series(Protocol):
    """Something with a value at any time; `SyntheticDemand` is one."""

    def values(self, start: datetime, end: datetime, step_s: float) -> MetricWindow:
        """The bins of [start, end) on the grid of `step_s`."""
        ...


class Stored:
    """A window, read on any grid; see `regrid`."""

    def __init__(self, window: MetricWindow) -> None:
        self._window = window

    def values(self, start: datetime, end: datetime, step_s: float) -> MetricWindow:
        """The bins of [start, end)."""
        return regrid(self._window, start=start, end=end, step_s=step_s)


class Recorded:
    """A gauge that somebody writes while others read, such as a simulated fleet's size.

    A bin's value is the last one recorded at or before its end, unless that is older
    than `lookback_s`: then it is a gap.

    Args:
        lookback_s: How long a value stands without a newer one [s], as in Prometheus.
        most: How many values are kept at least; older ones are forgotten.
    """

    def __init__(self, *, lookback_s: float = 300.0, most: int = 200_000) -> None:
        self._lookback_s = lookback_s
        self._most = most
        self._stamps_s = array("d")
        self._values = array("d")

    def record(self, at: datetime, value: float) -> None:
        """Append a value; a second one at the same instant replaces the first.

        Raises:
            ValueError: It is negative or not a number, or lies before the last one.
        """
        stamp_s = (at - _EPOCH).total_seconds()
        if not (np.isfinite(value) and value >= 0):
            raise ValueError(f"value: {value}; must be a number that is not negative")
        if self._stamps_s and stamp_s < self._stamps_s[-1]:
            raise ValueError(f"at: {at} lies {self._stamps_s[-1] - stamp_s:g} s before the last record")
        if self._stamps_s and stamp_s == self._stamps_s[-1]:
            self._values[-1] = value
            return
        self._stamps_s.append(stamp_s)
        self._values.append(value)
        if len(self._stamps_s) > 2 * self._most:
            del self._stamps_s[: -self._most], self._values[: -self._most]

    def values(self, start: datetime, end: datetime, step_s: float) -> MetricWindow:
        """The bins of [start, end)."""
        stamps_s, values = np.array(self._stamps_s), np.array(self._values)
        bins = max(0, round((end - start).total_seconds() / step_s))
        # Microseconds of tolerance: instants are kept to the microsecond.
        ends_s = (start - _EPOCH).total_seconds() + (np.arange(bins) + 1) * step_s + 1e-6
        place = np.searchsorted(stamps_s, ends_s, side="right") - 1
        told = np.full(bins, np.nan)
        seen = place >= 0
        fresh = ends_s[seen] - stamps_s[place[seen]] < self._lookback_s + 2e-6
        told[seen] = np.where(fresh, values[place[seen]], np.nan)
        return MetricWindow(start, step_s, told)


class ReplaySource:
    """A `Source` over named series; a signal's query is the series' name.

    Args:
        series: By name; more may be added with `add`.
        clock: Tells the present, beyond which nothing is revealed.
    """

    def __init__(self, series: Mapping[str, Series | MetricWindow], *, clock: Clock) -> None:
        self._clock = clock
        self._series: dict[str, Series] = {}
        for name, one in series.items():
            self.add(name, one)

    def add(self, name: str, series: Series | MetricWindow) -> None:
        """Make a series known under a name, in place of an earlier one."""
        self._series[name] = Stored(series) if isinstance(series, MetricWindow) else series

    async def read(self, signal: Signal, *, start: datetime, end: datetime, step_s: float) -> Answer:
        """The bins of [start, end); see `Source.read`.

        Raises:
            SourceRefused: No series has that name.
        """
        series = self._series.get(signal.query)
        if series is None:
            names = ", ".join(sorted(self._series)) or "none"
            raise SourceRefused(
                f"no series is called {signal.query!r}; there are: {names}", status=_NOT_FOUND
            )
        over = max(start, min(end, floor_to_grid(self._clock.now(), step_s)))
        told = series.values(start, over, step_s)
        bins = max(0, round((end - start).total_seconds() / step_s))
        values = np.full(bins, np.nan)
        values[: len(told)] = told.values
        return Answer(MetricWindow(start, step_s, values))

    async def aclose(self) -> None:
        """Nothing to give back."""
