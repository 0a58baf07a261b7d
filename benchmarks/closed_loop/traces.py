"""The traces of the closed loop: where each is learnt from, recorded, and scored.

Capacity is such that the 99.5th percentile of the training part needs thirty replicas, so that
traces of any unit are fleets of like size. Traces coarser than a minute are drawn finer by
bridges, `simulate.bridge`, which do not tell what comes next; minutes are constant within. Refuses
to repeat a short trace: its scored part would be a copy of what was learnt.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from benchmarks.forecast import traces

from predictscale.core.series import MetricWindow
from predictscale.simulate.bridge import bridged
from predictscale.simulate.rivals import Scene
from predictscale.sources.files import load_csv

STEP_S = 15.0
MINUTE_S = 60.0
TRAINED = 0.65
REPLICAS = 30.0
QUANTILE = 0.995
HISTORY_DAYS = 56.0
"""Nobody looks further back than eight weeks before the scored part."""
RECORD_DAYS = 5.0
"""How much of the training part is replayed, so that choices have a record when scoring begins."""
SCORED_DAYS = 8.0

HEADLINE = (
    "crane_15_15s",
    "crane_02",
    "msft_ingress04",
    "msft_mongo03",
    "nasa_jul",
    "wc98_pre",
    "servegen_mlarge_req",
    "servegen_mlarge_outtok",
    "servegen_client_large56_req",
    "nab_twitter_volume_amzn",
    "nab_nyc_taxi",
)
QUICK = ("crane_15_15s", "msft_mongo03", "servegen_mlarge_req")

_MONDAY = datetime(2026, 3, 2, tzinfo=UTC)
_SEED = 0
_HOUR_STEPS = 240
_DAY_STEPS = 5760


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Case:
    """One trace as fleets live through it.

    Args:
        name: The file's name without its ending.
        minutes: The demand that forecasters are given, on minutes, from the beginning of the history.
        demand: The same on steps, to the end of the scored part.
        first: The step at which the record begins, a whole number of hours before `scored`.
        scored: The step at which scoring begins.
        per_replica: Load that one replica serves per second.
        bins_before: Minutes of the trace that lie before its history.
        drawn: Whether it was recorded coarser than a minute, so that its minutes are drawn.
        synthetic: Whether it was never anybody's demand.
    """

    name: str
    minutes: MetricWindow
    demand: MetricWindow
    first: int
    scored: int
    per_replica: float
    bins_before: int
    drawn: bool
    synthetic: bool

    def scene(self, lead_time_s: float) -> Scene:
        """What policies are asked about."""
        return Scene(
            demand=self.demand, first=self.first, per_replica=self.per_replica, lead_time_s=lead_time_s
        )

    @property
    def record_begins(self) -> timedelta:
        """From the beginning of the history to that of the record."""
        return timedelta(seconds=self.first * STEP_S)

    @property
    def scored_days(self) -> float:
        """Length of the scored part [d]."""
        return (len(self.demand) - self.scored) / _DAY_STEPS


def names(folder: Path | None, *, everything: bool, quick: bool) -> list[str]:
    """The traces of a run; synthetic ones without a folder."""
    if folder is None:
        return list(traces.SYNTHETIC)
    if everything:
        return traces.names(folder)
    there = set(traces.names(folder))
    return [name for name in (QUICK if quick else HEADLINE) if name in there]


def load(folder: Path | None, name: str, *, development: bool) -> Case | None:
    """One trace, or None if it is too short for a record and a scored part.

    Args:
        folder: Of the real traces; None for synthetic ones.
        name: Which one.
        development: End where the training part ends, so that rules can be fixed without sight of what
            is scored.
    """
    recorded = _read(folder, name)
    window = bridged(recorded, MINUTE_S, seed=_SEED)
    if development:
        window = _cut(window, 0, int(len(window) * TRAINED))
    trained = int(len(window) * TRAINED)
    if trained * window.step_s < 2 * 86_400 or (len(window) - trained) * window.step_s < 86_400:
        return None
    per_replica = float(np.nanquantile(window.values[:trained], QUANTILE)) / REPLICAS
    if not per_replica > 0:
        return None
    days = round(86_400 / window.step_s)
    history = max(0, trained - round(HISTORY_DAYS * days))
    while np.isnan(window.values[history]):
        history += 1
    stop = min(len(window), trained + round(SCORED_DAYS * days))
    part = _cut(window, history, stop)
    demand = _on(part, STEP_S)
    scored = round((trained - history) * window.step_s / STEP_S)
    record_hours = min(round(RECORD_DAYS * 24), (scored - _DAY_STEPS) // _HOUR_STEPS)
    return Case(
        name=name,
        minutes=_on(part, MINUTE_S),
        demand=demand,
        first=scored - record_hours * _HOUR_STEPS,
        scored=scored,
        per_replica=per_replica,
        bins_before=round(history * window.step_s / MINUTE_S),
        drawn=recorded.step_s > MINUTE_S,
        synthetic=folder is None,
    )


def _read(folder: Path | None, name: str) -> MetricWindow:
    if folder is not None:
        return load_csv(folder / f"{name}.csv")
    start = _MONDAY
    return traces.SYNTHETIC[name].values(start, start + timedelta(days=21), STEP_S)


def _cut(window: MetricWindow, first: int, stop: int) -> MetricWindow:
    at = window.start + timedelta(seconds=first * window.step_s)
    return MetricWindow(at, window.step_s, window.values[first:stop])


def _on(window: MetricWindow, step_s: float) -> MetricWindow:
    """The window on another step: means of finer bins, or constant within wider ones."""
    if step_s > window.step_s:
        parts = round(step_s / window.step_s)
        return _cut(window, 0, len(window) // parts * parts).resample(step_s)
    return MetricWindow(window.start, step_s, np.repeat(window.values, round(window.step_s / step_s)))


def listed(found: Sequence[str], chosen: str | None) -> list[str]:
    """Those of `found` that are named in `chosen`, or all.

    Raises:
        ValueError: One of the names is not among them.
    """
    if chosen is None:
        return list(found)
    wanted = chosen.split(",")
    if missing := set(wanted) - set(found):
        raise ValueError(f"{', '.join(sorted(missing))}; must be among {', '.join(found)}")
    return wanted
