"""Policies side by side over a recorded stretch: what each would have asked for, and what came of it.

All run in one world that begins with the scored part. Rivals operate honestly: every hour a family
takes the setting that its own past recommends, `simulate.honest`. The clairvoyant is no policy
but the bound that costs are relative to, and a fixed fleet for the highest demand is the other.

Refuses to choose anything by what comes after the choice; both references are told apart for that.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np

from predictscale.core.plan import Landing
from predictscale.core.series import MetricWindow
from predictscale.simulate.actuation import Actuation
from predictscale.simulate.clairvoyant import cheapest, need
from predictscale.simulate.honest import Rule, compose, operate
from predictscale.simulate.plant import Boot, Counts
from predictscale.simulate.rivals import Ints, Rival, Scene
from predictscale.simulate.scoring import Score, scores
from predictscale.simulate.world import World, replay, tally

STEP_S = 15.0
"""Every step is a sync of the HPA [s]."""

_HOUR_S = 3600.0
_HOUR_STEPS = round(_HOUR_S / STEP_S)
_DAY_STEPS = 24 * _HOUR_STEPS
_RECORD_HOURS = 120
"""Rivals choose from as much of their past as our own tuning does."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trial:
    """What every policy lives through.

    Args:
        demand: The load, on steps of 15 s; begins with a known step.
        first: The step at which scoring begins.
        per_replica: Load that a ready replica serves per second.
        lead_time_s: From a request to service [s].
        wait_s: Work that waits longer is late [s].
        min_replicas: Never fewer.
        max_replicas: Never more.
        actuation: The way to the Deployment.
        landing: How what is asked for is published to a stock HPA.
        cooldown_s: KEDA's wait before the last replicas go [s].
        available: Nodes to be had in each scored step, shape (n,); None for no limit.

    Raises:
        ValueError: There is no step before `first`, or no known demand after it.
    """

    demand: MetricWindow
    first: int
    per_replica: float
    lead_time_s: float
    wait_s: float
    min_replicas: int
    max_replicas: int
    actuation: Actuation = Actuation.HPA_EXACT
    landing: Landing = Landing.EXACT
    cooldown_s: float = 300.0
    available: Counts | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.first < len(self.demand):
            raise ValueError(f"first: {self.first} of {len(self.demand)} steps; needs a past and a step")
        if not self.demand.known[self.first :].any():
            since = self.demand.start + timedelta(seconds=self.first * self.demand.step_s)
            raise ValueError(f"no demand is known from {since:%Y-%m-%dT%H:%MZ} on, so nothing to score")

    @property
    def start(self) -> datetime:
        """When scoring begins."""
        return self.scored.start

    @property
    def steps(self) -> int:
        """How many steps are scored, n."""
        return len(self.demand) - self.first

    @property
    def scored(self) -> MetricWindow:
        """The demand of the scored part."""
        return self.demand.last(self.steps * STEP_S)

    @property
    def lead_steps(self) -> int:
        """The cold start in steps, rounded up."""
        return int(np.ceil(self.lead_time_s / STEP_S - 1e-9))

    @property
    def world(self) -> World:
        """Where policies are scored."""
        return replace(self._world(self.first), available=self.available)

    @property
    def needed(self) -> Ints:
        """Replicas that serve each scored step as it comes, within the bounds, shape (n,)."""
        wanted = need(self.scored.values, self.per_replica)
        needed: Ints = np.clip(wanted, max(1, self.min_replicas), self.max_replicas)
        return needed

    def _world(self, first: int) -> World:
        return World(
            demand=self.demand.last((len(self.demand) - first) * STEP_S),
            per_replica=self.per_replica,
            boot=Boot.fixed(self.lead_time_s),
            wait_s=self.wait_s,
            min_replicas=self.min_replicas,
            max_replicas=self.max_replicas,
            actuation=self.actuation,
            landing=self.landing,
            cooldown_s=self.cooldown_s,
        )

    def clairvoyant(self) -> Ints:
        """The cheapest plan under which nothing is late, shape (n,)."""
        return cheapest(self.needed, self.lead_steps)

    def rival(self, rival: Rival, rule: Rule) -> Ints:
        """What a family asks for whose settings are chosen hourly from its own past, shape (n,).

        The choice does not know of nodes that cannot be had.
        """
        # A day is left before the record, if there is one, for those who look back.
        free = max(self.first - _DAY_STEPS, 0) or self.first - 1
        record = min(_RECORD_HOURS, free // _HOUR_STEPS) * _HOUR_STEPS
        begin = self.first - record
        scene = Scene(
            demand=self.demand, first=begin, per_replica=self.per_replica, lead_time_s=self.lead_time_s
        )
        wanted = rival.sweep(scene)
        sums = tally(self._world(begin), wanted, bin_s=_HOUR_S)
        chosen = operate(sums.late, sums.arrived, sums.billed, rule=rule)
        plan: Ints = compose(wanted, chosen, period_steps=_HOUR_STEPS)[record:]
        return plan

    def scores(self, plans: Mapping[str, Counts]) -> list[Score]:
        """What comes of the plans, each of shape (n,), in their order."""
        run = replay(self.world, np.stack(list(plans.values())))
        return scores(list(plans), run, needed=self.needed, lead_steps=self.lead_steps)
