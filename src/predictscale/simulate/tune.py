"""Which settings would have met the objective most cheaply, by replay of the last days.

Demand does not depend on the fleet, so what other settings would have cost is known exactly:
what was forecast is on record, and the stages of a decision are taken again for every candidate
at once. Ticks that share a bin share its demand and its forecast. The rule that picks is
`simulate.honest`'s, which sees the past alone.

What the replay leaves out: a queue that a workload measures, since it depends on the fleet;
zero replicas, because what would be expected within KEDA's cooldown is not on record; and the
HPA's dead band, which the recommended HorizontalPodAutoscaler does not have. All candidates are
treated alike in these.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from itertools import product

import numpy as np

from predictscale.control.asks import HIGHEST_S, Ask
from predictscale.core.knobs import ALONE, LEVEL_LADDER, LONGEST_HOLD_S, MARGIN_LADDER, Bounds, Kind, Knobs
from predictscale.core.plan import Policy
from predictscale.core.series import Floats, MetricWindow
from predictscale.core.slo import HOUR_S
from predictscale.core.track import Track
from predictscale.core.tuned import Choice, Score
from predictscale.simulate.actuation import Actuation
from predictscale.simulate.honest import Rule, choose
from predictscale.simulate.ours import fast_targets
from predictscale.simulate.plant import Boot, Counts
from predictscale.simulate.sliding import trailing_max
from predictscale.simulate.world import Tally, World, tally

RULE = Rule(asked=0.005, record=120, least=48)
"""How candidates are compared: over five days of hours, and not before there are two."""

_HOLDS_S = (60.0, 300.0, 600.0)
_REACTIVE_HOLDS_S = (*_HOLDS_S, LONGEST_HOLD_S)
_UTILISATIONS = tuple(round(0.35 + 0.05 * place, 2) for place in range(14))
_LIMITS = (None, 1.0, 1.1)
_STATIC_LIMITS = (0.8, 0.9, 1.0, 1.1)
_SHOWN = 12
_FINEST_S = 15.0
"""Ticks that are closer are replayed as if they were not [s]."""
_AT_ONCE = 32
"""Candidates whose targets are computed together."""


def candidates(policy: Policy, bounds: Bounds) -> tuple[Knobs, ...]:
    """The settings that are compared: the owner's own first, then quantiles, reactive ones, static ones.

    Plain reactive, with nothing to spare, is always among them.
    """
    own = policy.knobs
    levels = [q for q in LEVEL_LADDER if bounds.lowest_level <= q <= bounds.highest_level]
    holds = sorted({*_HOLDS_S, own.hold_s})
    found = [
        own,
        *(Knobs(level=q, limit=limit, hold_s=hold) for q, limit, hold in product(levels, _LIMITS, holds)),
        *(
            Knobs(level=own.level, margin=0.0, headroom=1 / used, hold_s=hold)
            for used, hold in product(_UTILISATIONS, _REACTIVE_HOLDS_S)
        ),
        *(Knobs(level=LEVEL_LADDER[-1], margin=ALONE, limit=limit) for limit in _STATIC_LIMITS),
    ]
    if bounds.highest_level >= LEVEL_LADDER[-1]:
        beyond = product(MARGIN_LADDER, holds)
        found += [Knobs(level=LEVEL_LADDER[-1], margin=margin, hold_s=hold) for margin, hold in beyond]
    return tuple(dict.fromkeys(found))


def plans(track: Track, knobs: Sequence[Knobs], policy: Policy) -> Counts:
    """What each candidate would have wanted at the beginning of each bin, shape (c, n).

    The arithmetic of `core.decide` from DEMAND to CEILING where no queue is known, tick for tick.
    """
    here = track.here
    last = _last_known(here)
    rows = np.full((len(knobs), here.size), np.nan)
    for place, each in enumerate(knobs):
        if each.margin:
            rows[place] = _counted(track, each)
        if each.headroom > 1:
            rows[place] = np.fmax(rows[place], last * each.headroom)
    return fast_targets(
        here, rows, policy=policy, hold_s=[each.hold_s for each in knobs], tick_s=track.step_s
    )


def replay(track: Track, knobs: Sequence[Knobs], policy: Policy, *, wait_s: float) -> Tally:
    """What each candidate would have come to in each hour of the track.

    Every boot takes the policy's lead time. A bin of which it is not known what was forecast is not
    scored: candidates could not be told apart there.
    """
    world = World(
        demand=MetricWindow(track.start, track.step_s, np.where(track.told, track.demand, np.nan)),
        per_replica=policy.capacity.per_replica,
        boot=Boot.fixed(policy.lead_time_s),
        wait_s=wait_s,
        min_replicas=policy.floor,
        max_replicas=policy.max_replicas,
        actuation=Actuation.DIRECT,
    )
    parts = [
        tally(world, plans(track, knobs[first : first + _AT_ONCE], policy), bin_s=HOUR_S)
        for first in range(0, len(knobs), _AT_ONCE)
    ]
    return replace(
        parts[0],
        late=np.concatenate([part.late for part in parts]),
        billed=np.concatenate([part.billed for part in parts]),
    )


def tune(ask: Ask, rule: Rule = RULE) -> Choice:
    """The settings that serve next.

    Args:
        ask: What is known of the workload.
        rule: How candidates are compared; its `asked` is not read.
    """
    rule = replace(rule, asked=ask.asked)
    track = _whole_hours(track_of(ask).last(rule.record * HOUR_S))
    hours = track.told_s / HOUR_S
    if hours < rule.least:
        return Choice(
            knobs=ask.policy.knobs,
            at=ask.demand.end,
            because=f"the owner's settings: {hours:.0f} h of forecasts are on record, a choice takes "
            f"{rule.least} h",
            asked=ask.asked,
            replayed_s=track.told_s,
            compared=0,
        )
    knobs, outcome, rule = compared(ask, rule)
    return pick(outcome, knobs, rule=rule, serving=ask.serving)


def compared(ask: Ask, rule: Rule = RULE) -> tuple[tuple[Knobs, ...], Tally, Rule]:
    """The candidates, what each would have come to over the record, and the rule with what is asked."""
    rule = replace(rule, asked=ask.asked)
    track = _whole_hours(track_of(ask).last(rule.record * HOUR_S))
    knobs = candidates(ask.policy, ask.bounds)
    parts = max(1, round(track.step_s / max(ask.tick_s, _FINEST_S)))
    return knobs, replay(track.finer(parts), knobs, ask.policy, wait_s=ask.slo.wait_s), rule


def track_of(ask: Ask) -> Track:
    """What is on record, at the bins of which it is known what was said."""
    demand, step_s, n = ask.demand.values, ask.demand.step_s, ask.peaks.shape[0]
    known = np.where(np.isnan(demand), -np.inf, demand)
    until = np.concatenate(([-np.inf], trailing_max(known, round(HIGHEST_S / step_s))[:-1]))
    return Track(
        start=ask.demand.end - timedelta(seconds=n * step_s),
        step_s=step_s,
        demand=demand[demand.size - n :],
        peaks=ask.peaks,
        highest=np.where(np.isinf(until), np.nan, until)[demand.size - n :],
        before=float(demand[-n - 1]) if n < demand.size else float("nan"),
    )


def _whole_hours(track: Track) -> Track:
    """The end of a track without the hour that it begins within."""
    return track.last(len(track) * track.step_s // HOUR_S * HOUR_S)


def pick(outcome: Tally, knobs: Sequence[Knobs], *, rule: Rule, serving: Knobs | None = None) -> Choice:
    """The choice from what candidates came to.

    Args:
        outcome: Of each candidate, by hours.
        knobs: Whose, in the order of its rows.
        rule: How they are compared.
        serving: The settings chosen last; kept unless others are clearly cheaper.
    """
    late, billed = outcome.late.sum(axis=1), outcome.billed.sum(axis=1)
    arrived = float(outcome.arrived.sum())
    now = knobs.index(serving) if serving in knobs else None
    chosen = choose(late, arrived, billed, rule=rule, serving=now)
    scores = [
        Score(knobs=each, violation=float(violation), replica_hours=float(hours))
        for each, violation, hours in zip(knobs, outcome.violation, outcome.replica_hours, strict=True)
    ]
    replayed_s = outcome.arrived.size * outcome.bin_s
    return Choice(
        knobs=knobs[chosen],
        at=outcome.start + timedelta(seconds=replayed_s),
        because=_because(scores, chosen, rule, kept=chosen == now),
        asked=rule.asked,
        replayed_s=replayed_s,
        compared=len(knobs),
        scores=_shown(scores, chosen, rule),
    )


def _because(scores: Sequence[Score], chosen: int, rule: Rule, *, kept: bool) -> str:
    best, allowed = scores[chosen], f"{rule.allowed:.3%}"
    came = f"{best.violation:.3%} late at {best.replica_hours:,.0f} replica-hours"
    if best.violation > rule.allowed:
        return f"none of {len(scores)} would have kept lateness to {allowed}; the least late: {came}"
    why = f"no other is cheaper by {rule.keep:.0%}" if kept else "the cheapest"
    return f"{why} of {len(scores)} that would have kept lateness to {allowed} of demand: {came}"


def _shown(scores: Sequence[Score], chosen: int, rule: Rule) -> tuple[Score, ...]:
    """The cheapest that met the aim, the chosen one, plain reactive and the best static one."""
    good = sorted((s for s in scores if s.violation <= rule.allowed), key=lambda s: s.replica_hours)
    plain = [s for s in scores if s.knobs.kind is Kind.REACTIVE and s.knobs.headroom == 1]
    static = sorted(
        (s for s in scores if s.knobs.kind is Kind.STATIC),
        key=lambda s: (max(s.violation, rule.allowed), s.replica_hours),
    )
    shown = dict.fromkeys((*good[:_SHOWN], scores[chosen], *plain[:1], *static[:1]))
    return tuple(sorted(shown, key=lambda s: s.replica_hours))


def _counted(track: Track, knobs: Knobs) -> Floats:
    """What of each peak is sized for, shape (n,); NaN where nothing was forecast."""
    counted = track.peak(knobs.level) * knobs.margin
    if knobs.limit is None:
        return counted
    most = knobs.limit * track.highest
    # A comparison with NaN is false: without a highest there is no limit.
    cut: Floats = np.where(counted > most, most, counted)
    return cut


def _last_known(values: Floats) -> Floats:
    places = np.maximum.accumulate(np.where(np.isnan(values), -1, np.arange(values.size)))
    return np.where(places >= 0, values[places], np.nan)
