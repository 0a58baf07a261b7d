"""From what a policy asks for to what the Deployment is told, for many fleets at once.

Three ways: `direct` obeys at once; `hpa` is a stock HorizontalPodAutoscaler under KEDA, with
its dead band, its five minutes of stabilization and its rate limit; `hpa-exact` is one with
tolerance 0 and free steps, `core.hpa.exact_behavior`. With the last two KEDA alone leads to
and from zero, at its polls.

The arithmetic is that of `core.hpa`, which has the last word: a test holds the two equal, sync
by sync. It is written here once more for arrays, because a sweep over hundreds of settings
takes the same sync for all of them.

Refuses another rhythm: a step is a sync. The polls lie on every second step, and the value
that is published at a step is what the HPA reads at that step.
"""

from enum import StrEnum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from predictscale.core.hpa import SYNC_S, DeadBand
from predictscale.core.landing import land
from predictscale.core.plan import Landing
from predictscale.simulate.plant import Counts, Ints

_POLL_STEPS = 2
"""KEDA's pollingInterval of 30 s, in syncs."""
_DOWN_WINDOW_S = 300.0
_TOLERANCE = 0.1
_NEVER = -(2**40)
"""The step of something that never was."""


class Actuation(StrEnum):
    """The way from a policy to the Deployment."""

    DIRECT = "direct"
    HPA = "hpa"
    HPA_EXACT = "hpa-exact"


class Actuator(Protocol):
    """What moves the spec of k fleets, and remembers what it must between steps."""

    spec: Ints
    """`spec.replicas` after the last step, shape (k,)."""

    def advance(self, desired: Counts) -> Ints:
        """The spec in each of n steps, for what was asked for at its beginning; both (k, n)."""
        ...


def actuator(
    actuation: Actuation,
    *,
    replicas: Ints,
    min_replicas: int,
    max_replicas: int,
    step_s: float = SYNC_S,
    cooldown_s: float = 300.0,
    landing: Landing = Landing.EXACT,
) -> Actuator:
    """The actuator of k fleets.

    Args:
        actuation: Which.
        replicas: `spec.replicas` at the beginning, within the bounds or 0, shape (k,).
        min_replicas: minReplicaCount.
        max_replicas: maxReplicaCount.
        step_s: Width of a step [s].
        cooldown_s: KEDA's wait before the last replicas go [s].
        landing: How what is asked for is published to a stock HPA, knowing `status.replicas`.

    Raises:
        ValueError: The bounds cannot be, or an HPA is asked for with steps other than its syncs.
    """
    if not 0 <= min_replicas <= max_replicas or max_replicas < 1:
        raise ValueError(f"replicas: min {min_replicas}, max {max_replicas}; 0 <= min <= max, max >= 1")
    replicas = np.array(replicas, dtype=np.int64)
    if actuation is Actuation.DIRECT:
        return _Direct(replicas, least=min_replicas, most=max_replicas)
    if step_s != SYNC_S:
        raise ValueError(f"step_s: {step_s:g}; with an HPA a step is one of its syncs, {SYNC_S:g} s")
    keda = _Keda(replicas, min_replicas=min_replicas, cooldown_steps=cooldown_s / step_s)
    if actuation is Actuation.HPA_EXACT:
        return _Exact(replicas, keda, most=max_replicas)
    return _Stock(replicas, keda, most=max_replicas, landing=landing)


class _Direct:
    def __init__(self, replicas: Ints, *, least: int, most: int) -> None:
        self.spec = replicas
        self._least, self._most = least, most

    def advance(self, desired: Counts) -> Ints:
        spec: Ints = np.clip(desired, self._least, self._most).astype(np.int64)
        self.spec = spec[:, -1]
        return spec


class _Keda:
    """Which fleets KEDA keeps at zero. A fleet that has replicas counts as active until the beginning."""

    def __init__(self, replicas: Ints, *, min_replicas: int, cooldown_steps: float) -> None:
        self.min_replicas = min_replicas
        self._cooldown_steps = cooldown_steps
        self._now = 0
        self._active_at = np.where(replicas > 0, 0, _NEVER)
        self._off = replicas == 0

    @property
    def least(self) -> int:
        """The HPA's minimum, and what a fleet wakes up with."""
        return max(1, self.min_replicas)

    def off(self, desired: Counts) -> NDArray[np.bool_]:
        """Whether each fleet is at zero in each step, shape (k, n)."""
        fleets, n = desired.shape
        now = self._now + np.arange(n)
        self._now += n
        if self.min_replicas:
            return np.zeros((fleets, n), dtype=bool)
        polls = now % _POLL_STEPS == 0
        active = np.where((desired > 0) & polls, now, _NEVER)
        active[:, 0] = np.maximum(active[:, 0], self._active_at)
        active_at = np.maximum.accumulate(active, axis=1)
        # Between two polls everything stays as the last of them left it.
        off = polls & (now - active_at > self._cooldown_steps)
        if not polls[0]:
            off[:, 0] = self._off
        last_poll = np.maximum.accumulate(np.where(polls, np.arange(n), 0))
        kept: NDArray[np.bool_] = off[:, last_poll]
        self._active_at, self._off = active_at[:, -1], kept[:, -1]
        return kept


class _Exact:
    """Tolerance 0, no windows, no limits: the spec is what is asked for, zero aside."""

    def __init__(self, replicas: Ints, keda: _Keda, *, most: int) -> None:
        self.spec = replicas
        self._keda, self._most = keda, most

    def advance(self, desired: Counts) -> Ints:
        spec = np.where(self._keda.off(desired), 0, np.clip(desired, self._keda.least, self._most))
        spec = spec.astype(np.int64, copy=False)
        self.spec = spec[:, -1]
        return spec


class _Stock:
    """An HPA without `behavior`, at the cluster's default tolerance."""

    def __init__(self, replicas: Ints, keda: _Keda, *, most: int, landing: Landing) -> None:
        self.spec = replicas
        self._keda, self._most, self._landing = keda, most, landing
        self._band = DeadBand(up=_TOLERANCE, down=_TOLERANCE)
        # What was recommended at the last syncs; the window is closed at both ends.
        self._wanted = np.zeros((round(_DOWN_WINDOW_S / SYNC_S) + 1, replicas.size), dtype=np.int64)
        # The first sight of a fleet counts as a recommendation.
        self._wanted[0] = replicas
        self._now = 0

    def advance(self, desired: Counts) -> Ints:
        off = self._keda.off(desired)
        specs = np.empty(desired.shape, dtype=np.int64)
        for step in range(desired.shape[1]):
            self.spec = self._sync(desired[:, step], off[:, step])
            specs[:, step] = self.spec
        return specs

    def _sync(self, desired: Counts, off: NDArray[np.bool_]) -> Ints:
        """KEDA's poll if there is one, then the HPA's sync; a fleet at zero has none."""
        least, most = self._keda.least, self._most
        before = np.maximum(self.spec, least)
        if self._landing is not Landing.EXACT:
            desired = self._landed(desired, before)
        ratio = desired / before
        stays = (ratio >= 1.0 - self._band.down) & (ratio <= 1.0 + self._band.up)
        wanted = np.where(off, 0, np.where(stays, before, desired))
        slot = self._now % len(self._wanted)
        self._wanted[slot] = np.maximum(wanted, self._wanted[0]) if not self._now else wanted
        self._now += 1
        reached = np.maximum(self._wanted.max(axis=0), least)
        # Without `behavior` a sync at most doubles the fleet, and may always reach four.
        reached = np.minimum(reached, np.minimum(most, np.maximum(2 * before, 4)))
        spec: Ints = np.where(off, 0, reached)
        return spec

    def _landed(self, desired: Counts, status: Counts) -> Ints:
        """What is published for each fleet."""
        published = [
            land(
                want,
                landing=self._landing,
                status_replicas=have,
                min_replicas=self._keda.min_replicas,
                max_replicas=self._most,
                tolerance=_TOLERANCE,
            ).published
            for want, have in zip(desired.tolist(), status.tolist(), strict=True)
        ]
        return np.array(published, dtype=np.int64)
