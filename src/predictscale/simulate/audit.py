"""One workload's past under several policies, and what each would have saved.

What `backtest` and `audit` do alike stands here, so that their replica-hours are one number: policies are
lived through in a `Trial`, ours by `relive`. To it the audit adds what came in which day, and how far the
savings could have been others had other days come.

Refuses an interval where there are too few whole days to draw from.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from predictscale.core.series import Floats, MetricWindow
from predictscale.simulate.backtest import STEP_S, Trial
from predictscale.simulate.honest import Rule
from predictscale.simulate.plant import Counts
from predictscale.simulate.relive import Past, Relived, relive
from predictscale.simulate.rivals import DAY_S, Scene
from predictscale.simulate.roster import RIVALS
from predictscale.simulate.scoring import Score, cost_at, hull, interval, resampled, scores, widened
from predictscale.simulate.world import Run, Tally, demand_grid, replay, tally

OURS: Final = "predictscale"
CLAIRVOYANT: Final = "clairvoyant"
AS_IT_WAS: Final = "as it was"
"""The fleet that the cluster recorded; what was late under it is on no record."""
KNOWN: Final = (OURS, *RIVALS, CLAIRVOYANT)
"""Every policy by name, ours first."""

LEAST_DAYS: Final = 5
"""An interval is drawn from at least so many whole days."""
SHARE: Final = 0.8
"""Of the savings of other days, what an interval is to hold: from the 10th to the 90th percentile."""

_DRAWS = 2000
_SEED = 7
_LEAST_KNOWN = 0.8

Tell = Callable[[int], None]
Track = Callable[[str, int], Tell]
"""Called with a policy and how many steps it takes; what it returns, with each step that is done."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Lived:
    """What policies asked for in the scored part.

    Args:
        plans: By policy, each of shape (n,).
        ours: How our policy came to its plan, if it is among them.
    """

    plans: Mapping[str, Counts]
    ours: Relived | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Saving:
    """Replica-hours that ours would have saved against another policy, over the scored part.

    Args:
        versus: The other.
        replica_hours: Saved; below 0 if ours costs more [h].
        share: Of the other's replica-hours [1].
        low: The 10th percentile of the same, had other days come [h]; None with too few of them.
        high: The 90th percentile [h].
        days: Whole days that were drawn from.
    """

    versus: str
    replica_hours: float
    share: float
    low: float | None
    high: float | None
    days: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Outcome:
    """What came of the plans.

    Args:
        run: One row for each policy, in the order of the plans.
        scores: The same as numbers, as `backtest` tells them.
        recorded_hours: Replica-hours of the recorded fleet [h]; None if it is not known well enough.
        savings: Of ours against every other but the clairvoyant; empty if ours is not among them.
    """

    run: Run
    scores: tuple[Score, ...]
    recorded_hours: float | None
    savings: tuple[Saving, ...]


def violation_of(past: Past) -> float:
    """The share of demand that may be late, by which rivals choose: as asked, or what the level leaves."""
    return past.goal.slo.max_violation if past.goal is not None else round(1 - past.policy.level, 12)


async def lived(trial: Trial, past: Past, chosen: Sequence[str], *, track: Track | None = None) -> Lived:
    """What each of the policies asks for in the scored part.

    Args:
        trial: What all live through.
        past: Our workload.
        chosen: Names of `KNOWN`.
        track: For those who show progress.

    Raises:
        SettingsError: A forecaster is unknown.
    """
    rule, ours = Rule(asked=violation_of(past)), None
    plans: dict[str, Counts] = {}
    tick_s = past.grid.tick_s
    ticks = math.ceil(trial.steps * STEP_S / tick_s)
    for name in chosen:
        told = _untold if track is None else track(name, ticks if name == OURS else 1)
        if name == OURS:
            ours = await relive(past, start=trial.start, ticks=ticks, told=told)
            plans[name] = ours.desired[(np.arange(trial.steps) * STEP_S // tick_s).astype(np.int64)]
        else:
            plans[name] = trial.clairvoyant() if name == CLAIRVOYANT else trial.rival(RIVALS[name], rule)
            told(0)
    return Lived(plans=plans, ours=ours)


def outcome(trial: Trial, plans: Mapping[str, Counts], *, replicas: MetricWindow | None = None) -> Outcome:
    """What comes of the plans, and what ours saves.

    Args:
        trial: What all lived through.
        plans: By policy, each of shape (n,).
        replicas: The fleet that was recorded, on any grid that fits steps of 15 s; None if none was.
    """
    names = list(plans)
    run = replay(trial.world, np.stack(list(plans.values())))
    found = scores(names, run, needed=trial.needed, lead_steps=trial.lead_steps)
    by_day, held = run.tally(DAY_S), _recorded(trial, replicas)
    recorded_hours = None
    if held is not None:
        names, by_day = [*names, AS_IT_WAS], _beside(by_day, held * run.scored * STEP_S)
        recorded_hours = float((held * run.scored).sum()) * STEP_S / 3600
    return Outcome(
        run=run,
        scores=tuple(found),
        recorded_hours=recorded_hours,
        savings=_savings(names, by_day, span_days=trial.steps * STEP_S / DAY_S),
    )


def frontier(trial: Trial, family: str) -> tuple[Floats, Floats]:
    """The best that a family's settings could have done in the scored part, chosen in hindsight.

    Returns:
        Shares late, ascending, and replica-hours, descending, each of shape (h,).
    """
    scene = Scene(
        demand=trial.demand, first=trial.first, per_replica=trial.per_replica, lead_time_s=trial.lead_time_s
    )
    sums = tally(trial.world, RIVALS[family].sweep(scene), bin_s=DAY_S)
    return hull(sums.violation, sums.replica_hours)


def at_equal_lateness(curve: tuple[Floats, Floats], *, violation: float) -> float | None:
    """Replica-hours at which a family, at its best in hindsight, is as rarely late; None if it never is."""
    return cost_at(*curve, slo=violation)


def _savings(names: Sequence[str], by_day: Tally, *, span_days: float) -> tuple[Saving, ...]:
    if OURS not in names:
        return ()
    mine, hours, whole_days = names.index(OURS), by_day.replica_hours, int(span_days)
    drawn = None
    if whole_days >= LEAST_DAYS:
        whole = Tally(
            start=by_day.start,
            bin_s=by_day.bin_s,
            arrived=by_day.arrived[:whole_days],
            late=by_day.late[:, :whole_days],
            billed=by_day.billed[:, :whole_days],
        )
        # One draw of days for all policies: what differs between them is what is compared. What the part
        # of a day at the end saved stands; its doubt is as that of the others, which adds as variances do.
        # A handful of days says less of others than draws from it pretend.
        spread = resampled(whole, draws=_DRAWS, seed=_SEED)[1] - whole.replica_hours
        scale = math.sqrt(span_days / whole_days) * widened(whole_days, share=SHARE)
        drawn = hours + spread * scale
    savings = []
    for place, name in enumerate(names):
        if place == mine or name == CLAIRVOYANT:
            continue
        low = high = None
        if drawn is not None:
            low, high = interval((drawn[:, place] - drawn[:, mine]).tolist(), share=SHARE)
        saved = float(hours[place] - hours[mine])
        savings.append(
            Saving(
                versus=name,
                replica_hours=saved,
                share=saved / float(hours[place]) if hours[place] > 0 else 0.0,
                low=low,
                high=high,
                days=whole_days,
            )
        )
    return tuple(savings)


def _recorded(trial: Trial, replicas: MetricWindow | None) -> Floats | None:
    """The recorded fleet in each scored step, gaps as what was known last; None if it is hardly known."""
    if replicas is None:
        return None
    fine = demand_grid(replicas, STEP_S).between(trial.start, trial.demand.end)
    if not len(fine) or fine.known_s < _LEAST_KNOWN * trial.steps * STEP_S:
        return None
    at = np.clip(
        np.rint((trial.scored.stamps_s - fine.stamps_s[0]) / STEP_S).astype(np.int64), 0, len(fine) - 1
    )
    known = np.flatnonzero(fine.known)
    last = known[np.maximum(np.searchsorted(known, at, side="right") - 1, 0)]
    held: Floats = fine.values[last]
    return held


def _beside(by_day: Tally, billed: Floats) -> Tally:
    """The sums with one more policy, of whose lateness nothing is known."""
    every = round(DAY_S / STEP_S)
    row = np.add.reduceat(billed, np.arange(0, billed.size, every))
    return Tally(
        start=by_day.start,
        bin_s=by_day.bin_s,
        arrived=by_day.arrived,
        late=np.vstack((by_day.late, np.full(row.size, np.nan))),
        billed=np.vstack((by_day.billed, row)),
    )


def _untold(_: int) -> None:
    """Nobody looks."""
