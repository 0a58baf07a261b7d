"""The load that is offered, from what was counted: arrivals, and the tokens that they will take.

Token counters tell what was served, which a saturated fleet caps. Arrivals tell what was asked
for. Both together give the mean request, of hours in which it was served, and

    offered tokens/s = max(counted tokens/s, offered requests/s * mean tokens per request)

Where only completions are counted, the growth of the queue is added to them. The mean is over whole
hours of the clock and the one that runs, so that it does not depend on where a history begins.

Refuses to take a mean over few requests, and to call a gap no load.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Self

import numpy as np

from predictscale.core.demand import SignalName
from predictscale.core.law import Mix
from predictscale.core.needed import Demands
from predictscale.core.series import Floats, MetricWindow

HOUR_S = 3600.0
MEAN_HOURS = 4
"""Lengths are means over this many hours, the one that runs among them."""
LEAST_REQUESTS = 50.0
"""A mean over fewer requests is noise: lengths stray by about their mean."""
GROWTH_S = 120.0
"""Over this long the growth of a queue is taken, as long as counters' rates are [s]."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Rate(StrEnum):
    """A rate of the load, as reasons call it."""

    REQUESTS = "requests"
    INPUT = "input tokens"
    OUTPUT = "output tokens"


@dataclass(frozen=True, slots=True, kw_only=True)
class Telling:
    """Which signals of a workload tell its rates.

    Args:
        requests: What counts requests.
        arrivals: Whether it counts them as they come; else as they are served.
        input_tokens: What counts the input tokens that are computed, or all where no other is told.
        prompts: What counts all input tokens; None if nobody does.
        output_tokens: What counts output tokens; None where requests are all there is.
        waiting: What tells how many requests wait; None if nobody does.
    """

    requests: SignalName = SignalName.DEMAND
    arrivals: bool = True
    input_tokens: SignalName | None = None
    prompts: SignalName | None = None
    output_tokens: SignalName | None = None
    waiting: SignalName | None = None

    @property
    def counts_tokens(self) -> bool:
        """Whether a request is more than one unit of work."""
        return self.output_tokens is not None

    @property
    def rates(self) -> tuple[Rate, ...]:
        """The rates that are told."""
        return tuple(Rate) if self.counts_tokens else (Rate.REQUESTS,)

    def is_demand(self, rate: Rate) -> bool:
        """Whether a rate is the demand series itself, as it is counted."""
        as_counted = self.arrivals or self.waiting is None
        return rate is Rate.REQUESTS and self.requests is SignalName.DEMAND and as_counted


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Counted:
    """What was counted of one workload, in windows of one grid.

    Args:
        requests: Per second.
        arrivals: Whether that is as they come.
        waiting: Requests that wait, at each bin's end.
        input_tokens: Computed per second.
        prompts: All input tokens per second.
        output_tokens: Per second.
    """

    requests: MetricWindow
    arrivals: bool = True
    waiting: MetricWindow | None = None
    input_tokens: MetricWindow | None = None
    prompts: MetricWindow | None = None
    output_tokens: MetricWindow | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Offered:
    """What was offered, on the grid of what was counted.

    Args:
        rates: Per second, each of n bins.
        means: Input tokens computed, all input tokens, and output tokens of the mean request
            of the hours up to each bin's end, shape (3, n); NaN where too few were served.
    """

    rates: Mapping[Rate, MetricWindow]
    means: Floats

    @classmethod
    def of(cls, counted: Counted) -> Self:
        """The offered load behind what was counted."""
        requests, growth = counted.requests, _growth(counted)
        arrived, served = requests.values, requests.values
        if counted.arrivals:
            served = served - np.nan_to_num(growth)
        else:
            arrived = np.maximum(arrived + np.nan_to_num(growth), 0.0)
        tokens = [
            _like(requests, window)
            for window in (counted.input_tokens, counted.prompts, counted.output_tokens)
        ]
        means = np.stack([_mean(requests, each, served) for each in tokens])
        rates = {Rate.REQUESTS: _window(requests, arrived)}
        for rate, place in ((Rate.INPUT, 0), (Rate.OUTPUT, 2)):
            # A rate that is not counted at an instant is not known there, whatever requests say.
            least = tokens[place]
            rates[rate] = _window(
                requests, np.where(np.isnan(least), np.nan, np.fmax(least, arrived * means[place]))
            )
        return cls(rates=rates, means=means)

    def mix_at(self, at: datetime) -> Mix | None:
        """The mean request of the hours before the bin of `at`; None if it is not known."""
        grid = self.rates[Rate.REQUESTS]
        place = int(np.floor((at - grid.start).total_seconds() / grid.step_s + 1e-6)) - 1
        place = min(place, len(grid) - 1)
        if place < 0:
            return None
        computed, prompt, output = self.means[:, place].tolist()
        return Mix.of_tokens(computed=computed, prompt=prompt, output=output)


def offered_now(counted: Demands, mix: Mix | None) -> Demands:
    """The load that is offered at an instant, from rates counted there and requests that came."""
    requests = counted.requests_rps
    if mix is None or requests is None:
        return counted
    return together(
        {
            Rate.REQUESTS: requests,
            Rate.INPUT: _at_least(counted.input_tokens_per_s, requests * mix.uncached_tokens),
            Rate.OUTPUT: _at_least(counted.output_tokens_per_s, requests * mix.output_tokens),
        }
    )


def arrived_now(requests: float, *, arrivals: bool, growth: float | None) -> float:
    """Requests that came per second; `growth` is the queue's per second, None if unknown."""
    return requests if arrivals or growth is None else max(0.0, requests + growth)


def _at_least(counted: float | None, estimated: float) -> float | None:
    return None if counted is None else max(counted, estimated)


def _growth(counted: Counted) -> Floats:
    """Of the queue, per second, shape (n,); NaN where it is not known."""
    waiting = _like(counted.requests, counted.waiting)
    bins = max(1, round(GROWTH_S / counted.requests.step_s))
    growth = np.full(waiting.size, np.nan)
    growth[bins:] = (waiting[bins:] - waiting[:-bins]) / (bins * counted.requests.step_s)
    return growth


def _mean(grid: MetricWindow, tokens: Floats, served: Floats) -> Floats:
    """Tokens per request over the hours up to each bin's end, shape (n,); NaN where too few were served."""
    both = ~np.isnan(tokens) & ~np.isnan(served)
    requests = _over_hours(grid, np.where(both, served, 0.0))
    sums = _over_hours(grid, np.where(both, tokens, 0.0))
    mean = np.full(requests.size, np.nan)
    np.divide(sums, requests, out=mean, where=requests * grid.step_s >= LEAST_REQUESTS)
    return mean


def _over_hours(grid: MetricWindow, values: Floats) -> Floats:
    """Sums over the hour that runs at each bin and whole ones before it, shape (n,)."""
    per_hour = max(1, round(HOUR_S / grid.step_s))
    first = round((grid.start - _EPOCH).total_seconds() / grid.step_s) % per_hour
    rows = -(-(first + values.size) // per_hour)
    table = np.zeros(rows * per_hour)
    table[first : first + values.size] = values
    running = np.cumsum(table.reshape(rows, per_hour), axis=1)
    whole = np.concatenate((np.zeros(MEAN_HOURS - 1), running[:, -1]))
    before = np.lib.stride_tricks.sliding_window_view(whole, MEAN_HOURS)[:rows, :-1].sum(axis=1)
    sums: Floats = (running + before[:, np.newaxis]).ravel()[first : first + values.size]
    return sums


def _like(grid: MetricWindow, window: MetricWindow | None) -> Floats:
    """A window's values on another's bins, shape (n,); NaN where it has none."""
    values = np.full(len(grid), np.nan)
    if window is None:
        return values
    part = window.between(grid.start, grid.end)
    first = round((part.start - grid.start).total_seconds() / grid.step_s)
    values[first : first + len(part)] = part.values
    return values


def _window(grid: MetricWindow, values: Floats) -> MetricWindow:
    return MetricWindow(grid.start, grid.step_s, np.minimum(values, sys.float_info.max))


def part_of(demands: Demands, rate: Rate) -> float | None:
    """One rate of several."""
    return {
        Rate.REQUESTS: demands.requests_rps,
        Rate.INPUT: demands.input_tokens_per_s,
        Rate.OUTPUT: demands.output_tokens_per_s,
    }[rate]


def together(rates: Mapping[Rate, float | None]) -> Demands:
    """Several rates as one; those left out are unknown, and absurd ones are numbers for a ceiling to cut."""
    requests, computed, output = (
        None if rate is None else min(rate, sys.float_info.max) for rate in map(rates.get, Rate)
    )
    return Demands(requests_rps=requests, input_tokens_per_s=computed, output_tokens_per_s=output)
