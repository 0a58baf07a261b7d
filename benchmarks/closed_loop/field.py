"""All settings of all families on one trace, run once; what hindsight and honest choices make of them.

From the hourly sums of one run over record and scored part come the frontiers in
hindsight, and the choices of honest operation, each from the hours before it. The plans so
composed are run once more, and that run is their score. Refuses to choose by anything that
lies ahead of the choice.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from benchmarks.closed_loop.traces import STEP_S, Case

from predictscale.core.series import Floats
from predictscale.simulate.actuation import Actuation
from predictscale.simulate.clairvoyant import cheapest, frontier, need
from predictscale.simulate.honest import Choices, Rule, compose, operate
from predictscale.simulate.landings import oracle_landings
from predictscale.simulate.plant import Boot
from predictscale.simulate.rivals import Ints
from predictscale.simulate.scoring import (
    SLOS,
    Score,
    area,
    cost_at,
    days,
    interval,
    resampled,
    scores,
    since,
    tail,
)
from predictscale.simulate.world import Run, Tally, World, replay, tally

WAIT_S = 5.0
HOUR_S = 3600.0
HOUR_STEPS = round(HOUR_S / STEP_S)
DRAWS = 200
SEED = 20_260
_MOST = 30_000
_PRICES = (*np.geomspace(0.5, 500.0, 16).tolist(), np.inf)
_CI_SLOS = (0.01, 0.005)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Family:
    """Settings of one idea.

    Args:
        name: As in tables.
        labels: One for each setting, for those who look closely.
        desired: Replicas, shape (settings, steps from the record's beginning on).
    """

    name: str
    labels: tuple[str, ...]
    desired: Ints


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Field:
    """One trace at one cold start, with every setting run.

    Args:
        case: The trace.
        world: Where they ran; it begins with the record.
        lead_steps: The cold start.
        rows: Where each family's settings are.
        labels: Of all settings.
        wanted: Replicas of all settings, shape (k, n).
        sums: What came of them by hours, the record included.
        needed: Replicas that serve the demand as it comes, shape (n,).
    """

    case: Case
    world: World
    lead_steps: int
    rows: Mapping[str, slice]
    labels: tuple[str, ...]
    wanted: Ints
    sums: Tally
    needed: Ints

    @property
    def record(self) -> int:
        """Steps of the record."""
        return self.case.scored - self.case.first

    @property
    def scored_hours(self) -> int:
        """Hours of the scored part, the last of them in part."""
        return self.sums.arrived.size - self.record // HOUR_STEPS

    @property
    def clairvoyant_h(self) -> float:
        """Replica-hours of the cheapest plan without lateness, over the scored part."""
        plan = cheapest(self.needed, self.lead_steps)[self.record :]
        return float(plan[self.world.scored[self.record :]].sum()) * STEP_S / HOUR_S

    @property
    def static_h(self) -> float:
        """Replica-hours of a fixed fleet for the highest demand of the scored part."""
        known = int(self.world.scored[self.record :].sum())
        return float(self.needed[self.record :].max()) * known * STEP_S / HOUR_S

    def scored(self, rows: slice, sums: Tally | None = None) -> Tally:
        """What came of some settings in the scored part, by hours."""
        sums = since(sums or self.sums, self.record // HOUR_STEPS)
        return Tally(
            start=sums.start,
            bin_s=sums.bin_s,
            arrived=sums.arrived,
            late=sums.late[rows],
            billed=sums.billed[rows],
        )

    def curve(self, name: str) -> tuple[Floats, Floats]:
        """A family's settings in the scored part: shares late, and costs relative to clairvoyant."""
        sums = self.scored(self.rows[name])
        return sums.violation, sums.replica_hours / self.clairvoyant_h


def world_of(case: Case, *, lead_time_s: float, actuation: Actuation) -> World:
    """The world of a case, from its record on."""
    part = case.demand.between(case.demand.start + case.record_begins, case.demand.end)
    before = float(case.demand.values[case.first - 1])
    return World(
        demand=part,
        per_replica=case.per_replica,
        boot=Boot.fixed(lead_time_s),
        wait_s=WAIT_S,
        max_replicas=_MOST,
        actuation=actuation,
        before=None if np.isnan(before) else before,
    )


def run_all(case: Case, families: Sequence[Family], *, lead_time_s: float, actuation: Actuation) -> Field:
    """Every setting of every family through one world."""
    world = world_of(case, lead_time_s=lead_time_s, actuation=actuation)
    wanted = np.concatenate([family.desired for family in families])
    ends = np.cumsum([len(family.labels) for family in families]).tolist()
    rows = {
        family.name: slice(end - len(family.labels), end) for family, end in zip(families, ends, strict=True)
    }
    return Field(
        case=case,
        world=world,
        lead_steps=case.scene(lead_time_s).lead_steps,
        rows=rows,
        labels=tuple(label for family in families for label in family.labels),
        wanted=wanted,
        sums=tally(world, wanted, bin_s=HOUR_S),
        needed=need(world.demand.values, case.per_replica),
    )


def other_days(field: Field) -> Floats:
    """Replica-hours of the clairvoyant, had other days come, shape (draws,)."""
    perfect = cheapest(field.needed, field.lead_steps)[np.newaxis]
    sums = tally(replace(field.world, actuation=Actuation.DIRECT), perfect, bin_s=HOUR_S)
    drawn: Floats = resampled(days(field.scored(slice(None), sums)), draws=DRAWS, seed=SEED)[1][:, 0]
    return drawn


def hindsight(field: Field, name: str, clairvoyant_draws: Floats) -> dict[str, Any]:
    """A family's cost at equal SLO with the knobs that turn out best, relative to clairvoyant.

    Args:
        field: All settings, run.
        name: Of the family.
        clairvoyant_draws: Of `other_days`; the family lives through the same ones.
    """
    late, cost = field.curve(name)
    lates, hours = resampled(days(field.scored(field.rows[name])), draws=DRAWS, seed=SEED)
    costs = hours / clairvoyant_draws[:, np.newaxis]
    return {
        "cost": {f"{slo:g}": cost_at(late, cost, slo=slo) for slo in SLOS},
        "area": area(late, cost),
        "draws": {
            f"{slo:g}": [cost_at(*draw, slo=slo) for draw in zip(lates, costs, strict=True)]
            for slo in _CI_SLOS
        },
    }


def spread(draws: Sequence[float | None]) -> list[float] | None:
    """The middle 95 % of resampled costs; None if the SLO was missed in more than one draw of twenty."""
    known = [cost for cost in draws if cost is not None]
    return list(interval(known)) if len(known) >= 0.95 * len(draws) and known else None


def honest(field: Field, members: Sequence[str], rule: Rule) -> tuple[Ints, Choices, list[int]]:
    """The plan of the hourly choices among the settings of some families.

    Returns:
        The plan (n,), who served in each hour, and which rows they were chosen from.
    """
    rows = [place for name in members for place in range(len(field.labels))[field.rows[name]]]
    chosen = operate(field.sums.late[rows], field.sums.arrived, field.sums.billed[rows], rule=rule)
    return compose(field.wanted[rows], chosen, period_steps=HOUR_STEPS), chosen, rows


def operated(field: Field, plans: Mapping[str, Ints]) -> tuple[dict[str, Score], Run]:
    """What comes of composed plans in the scored part."""
    run = tail(replay(field.world, np.stack(list(plans.values()))), field.record)
    found = scores(list(plans), run, needed=field.needed[field.record :], lead_steps=field.lead_steps)
    return {score.policy: score for score in found}, run


def bounds(field: Field) -> dict[str, Any]:
    """What perfect knowledge costs: its frontier, and the same plan through each way to the Deployment."""
    plans = frontier(
        field.world.demand.values, field.case.per_replica, lead_steps=field.lead_steps, prices=_PRICES
    )
    direct = replace(field.world, actuation=Actuation.DIRECT)
    sums = field.scored(slice(None), tally(direct, plans, bin_s=HOUR_S))
    late, cost = sums.violation, sums.replica_hours / field.clairvoyant_h
    part = field.world.demand.last((len(field.world) - field.record) * STEP_S)
    landings = oracle_landings(replace(field.world, demand=part, before=None))
    return {
        "frontier": {f"{slo:g}": cost_at(late, cost, slo=slo) for slo in SLOS},
        "ways": {each.way.name: [each.violation, each.to_direct] for each in landings},
    }
