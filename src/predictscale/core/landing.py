"""The number to publish so that the HPA lands where the decision wants it.

The HPA stays where it is while usage lies within 10 % of the target. No encoding
gets around it: with S replicas, no published value lands between S and 1.1 S, nor
between 0.9 S and S. So the choice is made here, knowingly, with the HPA's own
arithmetic, and its reason is recorded. What lands differently on Kubernetes 1.32
and 1.33 counts as inside the band, so a published value means the same on both.

Refuses to guess `status.replicas`: without it the target is published as it is.
"""

import math
from dataclasses import dataclass

from predictscale.core.hpa import BandForm, DeadBand, recommend_average
from predictscale.core.plan import Landing

# KEDA is told a target of 1 per replica, so that a published value counts replicas.
_TARGET_MILLI = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Landed:
    """A value to publish, and what comes of it.

    Args:
        published: What KEDA is told; 0 only for a target of 0.
        because: Why this and not the target, for a person.
        lands_on: Where the fleet comes to rest if nothing else changes, rate limits and
            windows left aside; None if it cannot be known.
    """

    published: int
    because: str
    lands_on: int | None


def land(
    target: int,
    *,
    landing: Landing,
    status_replicas: int | None,
    min_replicas: int,
    max_replicas: int,
    tolerance: float = 0.1,
) -> Landed:
    """Choose what to publish for `target` replicas.

    Args:
        target: Replicas wanted, within the bounds.
        landing: `exact` trusts that the HPA's tolerance is 0; `hold` and `overshoot` know the band.
        status_replicas: `status.replicas` of the scale target; None if unknown.
        min_replicas: The workload's minimum; the HPA's own is at least 1.
        max_replicas: The workload's maximum.
        tolerance: The HPA's dead band, as a share; not used by `exact`.

    Raises:
        ValueError: `target` is negative, or the bounds or the tolerance cannot be.
    """
    if target < 0:
        raise ValueError(f"target: {target}; replicas are counted")
    hpa = _Hpa.of(min_replicas=min_replicas, max_replicas=max_replicas, tolerance=tolerance)
    if target == 0:
        rest = f"keeps the minimum, {min_replicas}" if min_replicas else "goes to 0 after KEDA's cooldown"
        text = f"zero is published as zero; the fleet {rest}"
        return Landed(published=0, because=text, lands_on=min_replicas)
    wanted = hpa.clamp(target)
    if landing is Landing.EXACT:
        text = f"published as it is; an HPA with tolerance 0 lands on {wanted}"
        return Landed(published=target, because=text, lands_on=wanted)
    if not status_replicas:
        return _without_a_band(target, status_replicas=status_replicas, hpa=hpa)
    if hpa.swallows(target, status_replicas) and hpa.clamp(status_replicas) != wanted:
        return _inside(target, landing=landing, status_replicas=status_replicas, hpa=hpa)
    text = f"published as it is; with {status_replicas} replicas now, the HPA lands on {wanted}"
    return Landed(published=target, because=text, lands_on=wanted)


def _without_a_band(target: int, *, status_replicas: int | None, hpa: "_Hpa") -> Landed:
    """A target for a fleet that is unknown, or at 0."""
    if status_replicas is None:
        text = "status.replicas is unknown, so the target is published as it is and may be swallowed"
        return Landed(published=target, because=text, lands_on=None)
    text = f"the fleet is at 0; KEDA starts {hpa.least}, from there the HPA takes over"
    return Landed(published=target, because=text, lands_on=hpa.lands(target, hpa.least))


def _inside(target: int, *, landing: Landing, status_replicas: int, hpa: "_Hpa") -> Landed:
    """A target that the HPA would swallow if it were published as it is."""
    band = f"{target} lies inside the HPA's dead band around {status_replicas} replicas"
    above = hpa.first_above(status_replicas)
    below = hpa.first_below(status_replicas)
    if hpa.clamp(target) == hpa.most:
        text = f"{band}; {above} lies beyond it, and the HPA caps that at its maximum, {hpa.most}"
        return Landed(published=above, because=text, lands_on=hpa.most)
    if hpa.clamp(target) == hpa.least and below >= 1:
        text = f"{band}; {below} lies beyond it, and the HPA lifts that to its minimum, {hpa.least}"
        return Landed(published=below, because=text, lands_on=hpa.least)
    if landing is Landing.OVERSHOOT and target > status_replicas:
        lands_on = hpa.clamp(above)
        text = f"{band}; {above} is the first value beyond it, {lands_on - target} more than needed"
        return Landed(published=above, because=text, lands_on=lands_on)
    stay = hpa.clamp(status_replicas)
    short = target - stay
    text = f"{band}; staying at {stay}, {abs(short)} {'short of' if short > 0 else 'more than'} the target"
    return Landed(published=stay, because=text, lands_on=stay)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Hpa:
    """What the HPA at the other end does with a published value."""

    least: int
    most: int
    bands: tuple[DeadBand, ...]

    @classmethod
    def of(cls, *, min_replicas: int, max_replicas: int, tolerance: float) -> "_Hpa":
        if not 0 <= min_replicas <= max_replicas or max_replicas < 1:
            raise ValueError(f"replicas: min {min_replicas}, max {max_replicas}; 0 <= min <= max, max >= 1")
        bands = tuple(DeadBand(up=tolerance, down=tolerance, form=form) for form in BandForm)
        return cls(least=max(1, min_replicas), most=max_replicas, bands=bands)

    def clamp(self, replicas: int) -> int:
        return min(max(replicas, self.least), self.most)

    def swallows(self, published: int, status_replicas: int) -> bool:
        """Whether the HPA of some release stays at `status_replicas` when told `published`."""
        ratio = published / status_replicas
        return any(band.swallows(ratio) for band in self.bands)

    def lands(self, published: int, status_replicas: int) -> int:
        return self.clamp(
            recommend_average(
                usage_milli=published * _TARGET_MILLI,
                target_milli=_TARGET_MILLI,
                status_replicas=status_replicas,
                band=self.bands[0],
            )
        )

    def first_above(self, status_replicas: int) -> int:
        """The smallest value above the band of every release."""
        # The band's own arithmetic has the last word; the first guess only shortens the way.
        value = max(status_replicas, math.floor(status_replicas * (1 + self.bands[0].up)) - 1)
        while self.swallows(value, status_replicas):
            value += 1
        return value

    def first_below(self, status_replicas: int) -> int:
        """The largest value below the band of every release; below 1 if there is none to publish."""
        value = min(status_replicas, math.ceil(status_replicas * (1 - self.bands[0].down)) + 1)
        while value >= 1 and self.swallows(value, status_replicas):
            value -= 1
        return value
