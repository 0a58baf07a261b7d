"""What the HorizontalPodAutoscaler makes of an external metric.

Two readers need the same arithmetic: landing, which must know what the HPA will
do with a number before it publishes it, and the simulator, which replays it. So
it stands here once, as pure functions: state in, state out, `now` an argument.

It is kept in float64 where the controller is, for the edge of the dead band is
decided by rounding. It refuses what predictscale never sends: resource, pod and
object metrics, an HPA whose minimum is 0, int32 overflow.

Source: the rules of Kubernetes' controller, `podautoscaler/replica_calculator.go`
and `podautoscaler/horizontal.go`, 1.33 to 1.36 where no other version is named.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

SYNC_S = 15.0
"""The controller's default time between two syncs of one HPA [s]."""

Stamped = tuple[datetime, int]


class BandForm(StrEnum):
    """How a release compares a ratio with the tolerance; they differ on the edge only."""

    PER_DIRECTION = "1.33"  # 1 - down <= ratio <= 1 + up
    SYMMETRIC = "1.32"  # |1 - ratio| <= tolerance, and one tolerance for both directions


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadBand:
    """The ratios of usage to target that the HPA answers by staying.

    Args:
        up: Tolerance above 1, as a share.
        down: Tolerance below 1, as a share.
        form: The comparison, by Kubernetes release.
    """

    up: float = 0.1
    down: float = 0.1
    form: BandForm = BandForm.PER_DIRECTION

    def __post_init__(self) -> None:
        if not all(math.isfinite(share) and share >= 0 for share in (self.up, self.down)):
            raise ValueError(f"tolerance: up {self.up}, down {self.down}; must be finite, 0 or more")
        if self.form is BandForm.SYMMETRIC and self.up != self.down:
            raise ValueError(f"tolerance: up {self.up}, down {self.down}; before 1.33 there is only one")

    def swallows(self, ratio: float) -> bool:
        """Whether the HPA stays where it is at this ratio of usage to target."""
        if self.form is BandForm.SYMMETRIC:
            return abs(1.0 - ratio) <= self.up
        return 1.0 - self.down <= ratio <= 1.0 + self.up


def metric_milli(value: float) -> int:
    """A metric as KEDA 2.20 hands it over, in thousandths: rounded to 3 decimals.

    Infinite and negative values become 0, as they do there.

    Raises:
        ValueError: `value` is NaN, which KEDA never reads from a float field.
    """
    if math.isnan(value):
        raise ValueError("value: NaN; KEDA reads the integer field instead")
    if value <= 0 or math.isinf(value):
        return 0
    return int(f"{value:.3f}".replace(".", ""))


def recommend_average(*, usage_milli: int, target_milli: int, status_replicas: int, band: DeadBand) -> int:
    """Replicas wanted for a metric of type AverageValue, KEDA's default.

    Readiness plays no part. The band is measured against `status.replicas`, so
    during a surge "stay" means the surged number.
    """
    if status_replicas and band.swallows(usage_milli / (target_milli * status_replicas)):
        return status_replicas
    return math.ceil(usage_milli / target_milli)


def recommend_value(
    *, usage_milli: int, target_milli: int, spec_replicas: int, ready: int, band: DeadBand
) -> int:
    """Replicas wanted for a metric of type Value: the ratio times the `ready` pods of that instant."""
    ratio = usage_milli / target_milli
    if not spec_replicas:
        return math.ceil(ratio)
    return spec_replicas if band.swallows(ratio) else math.ceil(ratio * ready)


class PolicyKind(StrEnum):
    """What the value of a scaling policy counts."""

    PODS = "Pods"
    PERCENT = "Percent"


class SelectPolicy(StrEnum):
    """Which of several policies rules; Max is the greatest change, in both directions."""

    MAX = "Max"
    MIN = "Min"
    DISABLED = "Disabled"


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalingPolicy:
    """At most `value` pods, or percent of pods, of change within `period_s`."""

    kind: PolicyKind
    value: int
    period_s: float = 15.0

    def __post_init__(self) -> None:
        if self.value <= 0 or not 0 < self.period_s <= 1800:
            raise ValueError(f"policy: {self.value} per {self.period_s:g} s; above 0, at most 1800 s")

    def highest(self, start: int) -> int:
        """The most replicas it allows a period that began with `start`."""
        if self.kind is PolicyKind.PODS:
            return start + self.value
        # Rounded up, so that a small share of a small fleet still grows.
        return math.ceil(start * (1 + self.value / 100))

    def lowest(self, start: int) -> int:
        """The fewest replicas it allows a period that began with `start`."""
        if self.kind is PolicyKind.PODS:
            return start - self.value
        return int(start * (1 - self.value / 100))


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalingRules:
    """One direction of `behavior`.

    Args:
        policies: At least one.
        select: Which of them rules.
        window_s: Stabilization: move only as far as every recommendation of this long agrees [s].
        tolerance: The dead band of this direction, as a share; None takes the cluster's.
    """

    policies: tuple[ScalingPolicy, ...]
    select: SelectPolicy = SelectPolicy.MAX
    window_s: float = 0.0
    tolerance: float | None = None

    def __post_init__(self) -> None:
        if not self.policies:
            raise ValueError("policies: is empty; rules have at least one")
        if not 0 <= self.window_s <= 3600:
            raise ValueError(f"window_s: {self.window_s:g}; must lie within 0 and 3600")

    @property
    def longest_s(self) -> float:
        """The longest period of its policies [s]."""
        return max(policy.period_s for policy in self.policies)


_DOUBLE = ScalingPolicy(kind=PolicyKind.PERCENT, value=100)
_FOUR = ScalingPolicy(kind=PolicyKind.PODS, value=4)


@dataclass(frozen=True, slots=True, kw_only=True)
class Behavior:
    """`spec.behavior`, with the fields that Kubernetes fills in once any of it is given."""

    up: ScalingRules = ScalingRules(policies=(_FOUR, _DOUBLE))
    down: ScalingRules = ScalingRules(policies=(_DOUBLE,), window_s=300.0)


def exact_behavior(*, max_replicas: int, down_window_s: float = 0.0) -> Behavior:
    """The behavior that lands on every published target in one sync, up and down.

    Tolerance 0 needs Kubernetes 1.35 and KEDA 2.18; older ones drop the field.
    With `down_window_s` 0 the hysteresis is the scaler's own.
    """
    jump = ScalingPolicy(kind=PolicyKind.PODS, value=max_replicas)
    return Behavior(
        up=ScalingRules(policies=(jump,), tolerance=0.0),
        down=ScalingRules(policies=(_DOUBLE,), window_s=down_window_s, tolerance=0.0),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class HpaSettings:
    """One HPA and the flags of the controller that serves it.

    Args:
        min_replicas: At least 1; KEDA sets max(1, minReplicaCount).
        max_replicas: At least min_replicas.
        behavior: None is an HPA without the field, which has rules of its own.
        tolerance: The cluster's, `--horizontal-pod-autoscaler-tolerance`.
        downscale_window_s: The cluster's, used without `behavior` [s].
        form: The comparison, by Kubernetes release; releases before 1.33 ignore a behavior's tolerance.
    """

    min_replicas: int = 1
    max_replicas: int
    behavior: Behavior | None = None
    tolerance: float = 0.1
    downscale_window_s: float = 300.0
    form: BandForm = BandForm.PER_DIRECTION

    def __post_init__(self) -> None:
        if not 1 <= self.min_replicas <= self.max_replicas:
            raise ValueError(f"replicas: min {self.min_replicas}, max {self.max_replicas}; 1 <= min <= max")

    @property
    def band(self) -> DeadBand:
        """The dead band in force."""
        up = down = self.tolerance
        if self.behavior is not None and self.form is BandForm.PER_DIRECTION:
            up = up if self.behavior.up.tolerance is None else self.behavior.up.tolerance
            down = down if self.behavior.down.tolerance is None else self.behavior.down.tolerance
        return DeadBand(up=up, down=down, form=self.form)


@dataclass(frozen=True, slots=True)
class HpaState:
    """What the controller remembers of one HPA; lost when it restarts.

    Args:
        wanted: (instant, replicas) recommended before stabilization.
        grown: (instant, replicas added) by the HPA itself; kept with `behavior` only.
        shrunk: (instant, replicas removed), likewise.
    """

    wanted: tuple[Stamped, ...] = ()
    grown: tuple[Stamped, ...] = ()
    shrunk: tuple[Stamped, ...] = ()


def sync(
    state: HpaState,
    *,
    settings: HpaSettings,
    now: datetime,
    spec_replicas: int,
    proposals: Sequence[int | None],
) -> tuple[int, HpaState]:
    """One sync of the controller.

    Args:
        state: What it remembers.
        settings: The HPA.
        now: The instant of the sync.
        spec_replicas: `scale.spec.replicas`; 0 switches the HPA off.
        proposals: What each metric recommends; None for one that could not be read.

    Returns:
        The new `scale.spec.replicas`, and what is remembered of it.
    """
    if not state.wanted:
        # The first sight of a fleet counts as a recommendation: a restart does not shrink it.
        state = replace(state, wanted=((now, spec_replicas),))
    if not spec_replicas:
        return 0, state
    clamped = min(max(spec_replicas, settings.min_replicas), settings.max_replicas)
    if clamped != spec_replicas:
        return clamped, _moved(state, settings.behavior, now, spec_replicas, clamped)
    wanted = _agreed(proposals, spec_replicas)
    if wanted is None:
        return spec_replicas, state
    if settings.behavior is None:
        steady, state = _steady_by_default(state, settings.downscale_window_s, now, wanted)
        ceiling = min(settings.max_replicas, max(2 * spec_replicas, 4))
        return min(max(steady, settings.min_replicas), ceiling), state
    steady, state = _steady(state, settings.behavior, now, spec_replicas, wanted)
    bounds = (settings.min_replicas, settings.max_replicas)
    reached = _limited(
        state, steady, behavior=settings.behavior, bounds=bounds, now=now, spec_replicas=spec_replicas
    )
    return reached, _moved(state, settings.behavior, now, spec_replicas, reached)


def _agreed(proposals: Sequence[int | None], spec_replicas: int) -> int | None:
    """The highest proposal; None if nothing is known, or if a gap speaks against shrinking."""
    known = [proposal for proposal in proposals if proposal is not None]
    if not known or (len(known) < len(proposals) and max(known) < spec_replicas):
        return None
    return max(known)


def _steady_by_default(state: HpaState, window_s: float, now: datetime, wanted: int) -> tuple[int, HpaState]:
    """The highest recommendation of the window, its first instant included."""
    since = now - timedelta(seconds=window_s)
    highest = max([wanted, *(replicas for at, replicas in state.wanted if at >= since)])
    return highest, replace(state, wanted=_remembered(state.wanted, (now, wanted), since))


def _steady(
    state: HpaState, behavior: Behavior, now: datetime, spec_replicas: int, wanted: int
) -> tuple[int, HpaState]:
    """As far up as the lowest, and as far down as the highest recommendation of the two windows."""
    up_since = now - timedelta(seconds=behavior.up.window_s)
    down_since = now - timedelta(seconds=behavior.down.window_s)
    lowest = min([wanted, *(replicas for at, replicas in state.wanted if at > up_since)])
    highest = max([wanted, *(replicas for at, replicas in state.wanted if at > down_since)])
    steady = min(max(spec_replicas, lowest), highest)
    kept = _remembered(state.wanted, (now, wanted), min(up_since, down_since))
    return steady, replace(state, wanted=kept)


def _limited(
    state: HpaState,
    steady: int,
    *,
    behavior: Behavior,
    bounds: tuple[int, int],
    now: datetime,
    spec_replicas: int,
) -> int:
    """As far towards `steady` as the policies and the bounds allow."""
    least, most = bounds
    if steady > spec_replicas:
        up = _limit(state, behavior.up, now, spec_replicas, growing=True)
        return min(steady, most, max(up, spec_replicas))
    if steady < spec_replicas:
        down = _limit(state, behavior.down, now, spec_replicas, growing=False)
        return max(steady, least, min(down, spec_replicas))
    return spec_replicas


def _limit(state: HpaState, rules: ScalingRules, now: datetime, spec_replicas: int, *, growing: bool) -> int:
    """How far the policies of one direction let the fleet go."""
    if rules.select is SelectPolicy.DISABLED:
        return spec_replicas
    limits = []
    for policy in rules.policies:
        since = now - timedelta(seconds=policy.period_s)
        # Both directions count: what was removed within the period may be added again.
        start = spec_replicas - _change(state.grown, since) + _change(state.shrunk, since)
        limits.append(policy.highest(start) if growing else policy.lowest(start))
    return max(limits) if growing == (rules.select is SelectPolicy.MAX) else min(limits)


def _change(events: Sequence[Stamped], since: datetime) -> int:
    return sum(replicas for at, replicas in events if at > since)


def _moved(state: HpaState, behavior: Behavior | None, now: datetime, before: int, after: int) -> HpaState:
    """The state with this change among its events; without `behavior` nobody asks for them."""
    if behavior is None or before == after:
        return state
    if after > before:
        since = now - timedelta(seconds=behavior.up.longest_s)
        return replace(state, grown=_remembered(state.grown, (now, after - before), since))
    since = now - timedelta(seconds=behavior.down.longest_s)
    return replace(state, shrunk=_remembered(state.shrunk, (now, before - after), since))


def _remembered(kept: tuple[Stamped, ...], new: Stamped, since: datetime) -> tuple[Stamped, ...]:
    """`kept` with `new` in the place of one entry from before `since`, or at its end.

    One entry and no more, as in the controller: with periods of unequal length in
    the two directions, entries that are outdated for one still count for the other.
    """
    outdated = [place for place, (at, _) in enumerate(kept) if at < since]
    if not outdated:
        return (*kept, new)
    return (*kept[: outdated[-1]], new, *kept[outdated[-1] + 1 :])
