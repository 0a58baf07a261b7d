"""What the pictures of an audit are drawn from, thinned out to what an eye can see.

Means would hide what a fleet is sized for, so demand is told with its highest value as well.
Refuses to draw between what is known: a gap stays null.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from predictscale.core.calendar import Calendar
from predictscale.core.habits import by_clock
from predictscale.core.series import Floats, MetricWindow
from predictscale.simulate.audit import OURS, Outcome
from predictscale.simulate.backtest import STEP_S, Trial

_POINTS = 560
_CLOCK_DAYS = 28
_REPLAY_DAYS = 3
_DAY_S = 86_400.0
_REPLAYED = ("static", "stock-reactive", OURS)


def plots_of(
    demand: MetricWindow,
    calendar: Calendar,
    trial: Trial | None,
    came: Outcome | None,
    rows: Mapping[str, int],
) -> dict[str, Any]:
    """Series to draw: demand, demand by day and time, and fleets over the last days of the replay.

    Args:
        demand: The history.
        calendar: By whose clock its days are.
        trial: What was lived through; None if nothing was.
        came: What came of it.
        rows: Which row of the run is whose.
    """
    table, first_day = by_clock(demand, calendar)
    told: dict[str, Any] = {
        "demand": _thinned(demand.values, step_s=demand.step_s, start_s=float(demand.stamps_s[0])),
        "clock": {
            "first_day": first_day + max(0, len(table) - _CLOCK_DAYS),
            "rows": [_short(row) for row in table[-_CLOCK_DAYS:]],
        },
        "fleets": None,
    }
    if trial is not None and came is not None:
        told["fleets"] = _fleets(trial, came, rows)
    return told


def _fleets(trial: Trial, came: Outcome, rows: Mapping[str, int]) -> dict[str, Any]:
    steps = min(trial.steps, round(_REPLAY_DAYS * _DAY_S / STEP_S))
    start_s = float(trial.scored.stamps_s[-steps])
    load = trial.scored.values[-steps:] / trial.per_replica

    def thinned(values: Floats) -> dict[str, Any]:
        return _thinned(values, step_s=STEP_S, start_s=start_s)

    held = {name: came.run.held[rows[name], -steps:].astype(np.float64) for name in _REPLAYED if name in rows}
    return {
        "from_train_until_s": float(trial.scored.stamps_s[0]),
        "load": thinned(load),
        **{name: thinned(values) for name, values in held.items()},
    }


def _thinned(values: Floats, *, step_s: float, start_s: float) -> dict[str, Any]:
    """At most `_POINTS` bins, each with its mean and its highest value."""
    every = max(1, int(np.ceil(values.size / _POINTS)))
    padded = np.pad(values, (0, -values.size % every), constant_values=np.nan).reshape(-1, every)
    known = ~np.isnan(padded)
    counts = known.sum(axis=1)
    mean = np.full(len(padded), np.nan)
    np.divide(np.nansum(padded, axis=1), counts, out=mean, where=counts > 0)
    high = np.where(known, padded, -np.inf).max(axis=1)
    return {
        "start_s": start_s,
        "step_s": step_s * every,
        "mean": _short(mean),
        "high": _short(np.where(counts > 0, high, np.nan)),
    }


def _short(values: Floats) -> list[float | None]:
    """Five digits are more than a screen shows."""
    return [None if np.isnan(value) else float(f"{value:.5g}") for value in values.tolist()]
