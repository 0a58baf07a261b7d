"""A stretch of kept decisions as columns for a chart, on a regular grid.

A forecast stands at the instant that it was made for, beside the demand that came then. Refuses to bridge
what was not kept: a step without a decision is unknown in every column of decisions. Nor is a number told of
a step that ends with KEDA being told none.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from predictscale.core.plan import Health
from predictscale.core.series import MetricWindow
from predictscale.core.state import Mark
from predictscale.sources.archivefile import Line

LEAST_STEP_S = 60
"""The finest step: as often as decisions are kept [s]."""
BANDS = ("median", "p90", "p95", "p99", "high")
"""Columns of forecasts; the highest of a step is told."""
LAST = ("target", "published", "reactive", "plain", "replicas", "ready")
"""Columns of replicas; the last of a step is told, of `published` even if that was UNAVAILABLE."""

_WORST = tuple(Health)

Numbers = list[float | None]

_N = TypeVar("_N")


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """Columns of n steps, oldest first; None is unknown.

    Args:
        step_s: Between rows [s].
        at_s: Where each step begins, whole steps after the epoch [s].
        numbers: By name: demand, the mean of each step, and `BANDS`.
        counts: By name: `LAST`.
        health: The worst of each step.
        marks: What else held at any time of each step; None where that is not known.
    """

    step_s: int
    at_s: list[int]
    numbers: dict[str, Numbers]
    counts: dict[str, list[int | None]]
    health: list[Health | None]
    marks: list[list[Mark] | None]


def step_for(since_s: float, until_s: float, *, points: int) -> int:
    """The finest whole minutes in which [since, until] takes no more rows than `points` [s]."""
    step_s = LEAST_STEP_S * max(1, math.ceil((until_s - since_s) / LEAST_STEP_S / points))
    while _rows(since_s, until_s, step_s) > points:
        step_s += LEAST_STEP_S
    return step_s


def timeline(
    lines: Sequence[Line],
    *,
    since_s: float,
    until_s: float,
    points: int,
    bins: MetricWindow | None = None,
) -> Timeline:
    """Columns of [since, until].

    Args:
        lines: Kept decisions, oldest first; those from a lead time before `since` on tell what had
            been forecast for its beginning.
        since_s: Where it begins [s since the epoch].
        until_s: Where it ends [s since the epoch].
        points: As many rows at most.
        bins: The history of demand, where it is at hand: what forecasts are of is the mean of whole
            bins, and a decision sees but its newest sample.
    """
    step_s = step_for(since_s, until_s, points=points)
    within = [line for line in lines if since_s <= line.at_us / 1e6 <= until_s]
    if not within:
        return Timeline(
            step_s=step_s,
            at_s=[],
            numbers={name: [] for name in ("demand", *BANDS)},
            counts={name: [] for name in LAST},
            health=[],
            marks=[],
        )
    first, last = (int(line.at_us / 1e6 // step_s) for line in (within[0], within[-1]))
    columns = _Columns(first=first, rows=last - first + 1, step_s=step_s)
    made = [line.at_us / 1e6 for line in within]
    # What was forecast at `at_us` was for a lead time later.
    due = [line.at_us / 1e6 + line.lead_s for line in lines]
    sampled = columns.of(made, (line.demand for line in within), _mean)
    numbers = {"demand": sampled if bins is None else columns.measured(bins, sampled)}
    numbers |= {name: columns.of(due, (getattr(line, name) for line in lines), max) for name in BANDS}
    counts = {name: columns.of(made, (getattr(line, name) for line in within), _last) for name in LAST}
    # Of what was told, an answer that was none comes after a number as well.
    told = columns.of(made, ((line.published,) for line in within), _last)
    counts["published"] = [None if each is None else each[0] for each in told]
    worst = columns.of(made, (_WORST.index(Health(line.health)) for line in within), max)
    return Timeline(
        step_s=step_s,
        at_s=[(first + row) * step_s for row in range(columns.rows)],
        numbers=numbers,
        counts=counts,
        health=[None if place is None else _WORST[place] for place in worst],
        marks=columns.of(made, (_marks(line) for line in within), _together),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Columns:
    """Puts values into the rows of a grid."""

    first: int
    rows: int
    step_s: int

    def of(
        self, at_s: Iterable[float], values: Iterable[_N | None], told: Callable[[list[_N]], _N]
    ) -> list[_N | None]:
        """What is told of each row's known values; None where there are none."""
        found: list[list[_N]] = [[] for _ in range(self.rows)]
        for instant_s, value in zip(at_s, values, strict=True):
            row = int(instant_s // self.step_s) - self.first
            if value is not None and 0 <= row < self.rows:
                found[row].append(value)
        return [told(each) if each else None for each in found]

    def measured(self, bins: MetricWindow, sampled: Numbers) -> Numbers:
        """The mean of each row's bins where all of them are known; elsewhere what was sampled."""
        inside = bins.known & (bins.step_s <= self.step_s)
        stamps_s = bins.stamps_s[inside]
        places = (stamps_s // self.step_s).astype(np.int64) - self.first
        fits = (places >= 0) & (places < self.rows)
        counts = np.bincount(places[fits], minlength=self.rows)
        sums = np.bincount(places[fits], weights=bins.values[inside][fits], minlength=self.rows)
        whole = counts >= self.step_s / bins.step_s
        return [float(sums[row] / counts[row]) if whole[row] else value for row, value in enumerate(sampled)]


def _rows(since_s: float, until_s: float, step_s: int) -> int:
    return int(until_s // step_s) - int(since_s // step_s) + 1


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def _last(values: list[_N]) -> _N:
    return values[-1]


def _marks(line: Line) -> list[Mark] | None:
    """What held beside its health; of a line that an earlier version kept, no more than what it tells."""
    if line.marks is None:
        return None if line.published is not None else [Mark.UNAVAILABLE]
    words = line.marks.split(",")
    return [mark for mark in Mark if mark.value in words]


def _together(marks: list[list[Mark]]) -> list[Mark]:
    held = {mark for each in marks for mark in each}
    return [mark for mark in Mark if mark in held]
