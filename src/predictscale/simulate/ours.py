"""Our own policy in the world: the step that runs live, and its stages over whole traces.

`PredictscalePolicy` is asked tick by tick and takes `control.step` itself: memory, queue,
landing and all. `fast_targets` takes the same stages for many settings over all ticks at
once, which is what replaying candidates needs; a test holds the two equal.

Refuses to know more than a tick did: what it is given per tick is what was seen by then.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from math import ceil

import numpy as np
from numpy.typing import NDArray

from predictscale.control.step import StepMemory, step
from predictscale.core.decide import LEAST_EXPECTED
from predictscale.core.demand import Observation, WorkloadId
from predictscale.core.forecast import Forecast
from predictscale.core.hpa import SYNC_S
from predictscale.core.plan import Decision, OnStale, Policy
from predictscale.core.series import Floats
from predictscale.simulate.plant import Counts, Ints
from predictscale.simulate.sliding import trailing_max

Bools = NDArray[np.bool_]

SIMULATED = WorkloadId("simulated", "workload")
"""A workload that nobody named."""

_A_HAIR = 1 - 1e-12
_MOST_REPLICAS = 1e9
"""The two numbers of `CapacityModel.replicas_for`, which a test compares with this module."""


class PredictscalePolicy:
    """The service as a closed loop of `simulate.world`.

    Args:
        forecasts: The forecast that serves at a tick, or None; see `simulate.foresight.Foresight`.
        policy_at: The settings in force at a tick; self-tuning gives others over time.
        workload: Whose.
        unit: The demand's unit, for the reasons.
        sees_queue: Whether the workload measures its queue.
        highest_at: The highest demand of the days before a tick, which a limit refers to.
        record: Called with each decision.
    """

    def __init__(
        self,
        forecasts: Callable[[datetime], Forecast | None],
        policy_at: Callable[[datetime], Policy],
        *,
        workload: WorkloadId = SIMULATED,
        unit: str = "requests/s",
        sees_queue: bool = True,
        highest_at: Callable[[datetime], float | None] | None = None,
        record: Callable[[Decision], None] | None = None,
    ) -> None:
        self._forecasts, self._policy_at = forecasts, policy_at
        self._workload, self._unit = workload, unit
        self._sees_queue, self._highest_at, self._record = sees_queue, highest_at, record
        self._memory = StepMemory()

    def desired(self, step_number: int, seen: Observation) -> int:
        """What KEDA is told; while the answer is UNAVAILABLE, the fleet as it is."""
        del step_number
        if not self._sees_queue:
            seen = replace(seen, queue=None)
        if self._highest_at is not None:
            seen = replace(seen, highest=self._highest_at(seen.now))
        decision, self._memory = step(
            self._workload,
            seen,
            self._forecasts(seen.now),
            self._policy_at(seen.now),
            self._memory,
            unit=self._unit,
        )
        if self._record is not None:
            self._record(decision)
        answer = decision.answer
        if not answer.available and seen.fleet.replicas is not None:
            return seen.fleet.replicas
        return answer.published


def fast_targets(
    here: Floats,
    peaks: Floats,
    *,
    policy: Policy,
    hold_s: Sequence[float],
    later: Floats | None = None,
    tick_s: float = SYNC_S,
) -> Counts:
    """Targets of c candidates at n ticks: what `core.decide` gives where no queue is known.

    The queue is left out, because it depends on the fleet that the targets lead to; so is
    landing. Of `policy`, what `Knobs` names is not read: `peaks` and `hold_s` stand for it.

    Args:
        here: Demand of the bin that ends at each tick, per second; NaN if it is a gap, shape (n,).
        peaks: What each candidate sizes for beside what is here: the forecast peak over the lead
            time at its level, as often as its margin and up to its limit; or what is here as
            often as its headroom. Shape (c, n); NaN where there is nothing of it.
        policy: All other settings.
        hold_s: Of each candidate [s], shape (c,).
        later: The forecast peak over `policy.lookahead_s`, shape (c, n); without it no
            candidate goes to zero.
        tick_s: Between two ticks [s].

    Returns:
        Targets after the ceiling, shape (c, n).

    Raises:
        ValueError: The shapes do not fit.
    """
    if peaks.shape != (len(hold_s), here.size) or (later is not None and later.shape != peaks.shape):
        raise ValueError(f"peaks: shape {peaks.shape}; must be ({len(hold_s)}, {here.size}), later as well")
    known = _Known.of(here, policy, tick_s)
    demand = np.where(known.sizable, np.fmax(known.demand, peaks), 0.0)
    want = np.maximum(_replicas_for(demand, policy.capacity.per_replica), policy.floor)
    widths = np.array([max(1, ceil(hold / tick_s - 1e-9)) for hold in hold_s])
    if policy.floor:
        return _settled(want, known, widths, policy)[0]
    if later is None:
        later = np.full(peaks.shape, np.nan)
    # A comparison with NaN is false: what is not told is no reason to sleep.
    asleep = known.fresh & (later * policy.lookahead_s < LEAST_EXPECTED)
    while True:
        targets, last_good = _settled(np.maximum(want, ~asleep), known, widths, policy)
        # In doubt a fleet stays at zero if it was there, which one gap after the other shows.
        still = known.doubted & (last_good == 0) & ~asleep & (want == 0)
        if not still.any():
            return targets
        asleep |= still


def _settled(want: Counts, known: "_Known", widths: Ints, policy: Policy) -> tuple[Counts, Counts]:
    """STABILIZE and CEILING of what is wanted after WARM: targets, and the last good ones, both (c, n)."""
    trail = np.empty_like(want)
    for width in np.unique(widths):
        trail[widths == width] = trailing_max(want[widths == width], int(width))
    targets = np.minimum(trail, policy.max_replicas)
    last_good = targets[:, known.last_fresh]
    if policy.on_stale is OnStale.FLOOR:
        holds = known.holding
        targets = np.where(known.stale, np.minimum(want, policy.max_replicas), targets)
    else:
        holds = known.holding | known.stale
    return np.where(holds & (last_good > want), last_good, targets), last_good


def _replicas_for(demand: Floats, per_replica: float) -> Counts:
    return np.ceil(np.minimum(demand / per_replica, _MOST_REPLICAS) * _A_HAIR).astype(np.int32)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Known:
    """What each tick knows of demand, n of them; the words are those of `Health`.

    Args:
        demand: The newest that was seen, NaN if none ever was.
        fresh: Whether it counts as the present.
        holding: Whether the last good target holds.
        stale: Whether it has been held for as long as was stated.
        last_fresh: The newest tick that was fresh, itself included; the first one if none was.
    """

    demand: Floats
    fresh: Bools
    holding: Bools
    stale: Bools
    last_fresh: Ints

    @classmethod
    def of(cls, here: Floats, policy: Policy, tick_s: float) -> "_Known":
        ticks = np.arange(here.size)
        last = np.maximum.accumulate(np.where(np.isnan(here), -1, ticks))
        seen = last >= 0
        age_s = (ticks - last) * tick_s
        fresh = seen & (age_s <= policy.fresh_s)
        holding = seen & ~fresh & (age_s <= policy.stale_after_s)
        return cls(
            demand=np.where(seen, here[last], np.nan),
            fresh=fresh,
            holding=holding,
            stale=seen & ~fresh & ~holding,
            last_fresh=np.maximum.accumulate(np.where(fresh, ticks, 0)),
        )

    @property
    def sizable(self) -> Bools:
        """Whether demand is known well enough to size by it."""
        return self.fresh | self.holding

    @property
    def doubted(self) -> Bools:
        """Whether a last good target stands in for knowledge."""
        return self.holding | self.stale
