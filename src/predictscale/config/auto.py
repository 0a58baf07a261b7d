"""Which backend `backend: auto` means, from what a Prometheus holds of a namespace.

The same detection as `predictscale discover`, narrowed by what the workload says: its selector,
its target, the unit that its capacity counts. One backend that fits is chosen. Of none or of
several nothing is chosen, and what was seen is said: a guess would size somebody else's load.
A gateway is chosen only for a selector, for its series do not say whose load they are.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from predictscale.config import promql
from predictscale.config.detect import (
    Proposal,
    Seen,
    deployments_of,
    detect,
    name_of,
    owner_queries,
    pods_matcher,
)
from predictscale.config.durations import duration_text
from predictscale.config.presets import Preset, Presets, Teller
from predictscale.core.demand import SignalName

BACK_S = 7 * 86400.0
"""How far back is looked where nothing is seen now: what sleeps over a weekend is still known [s]."""

_MOST_TOLD = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a workload says of its backend.

    Args:
        namespace: Where it lives; nothing else is looked at.
        selector: Its label matchers, bound to the namespace, as `config.resolve` leaves them.
        target: The Deployment that is scaled, if it is known.
        unit: What its capacity counts per second.
    """

    namespace: str
    selector: str
    target: str | None
    unit: str

    @property
    def matchers(self) -> str:
        """The selector without what binds it to the namespace."""
        own = f"namespace={promql.quote_label(self.namespace)}"
        return self.selector.removeprefix(own).removeprefix(",")


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The backend that fits.

    Args:
        preset: Which.
        deployment: Whose pods tell its series; None if they are not known to be a Deployment's.
        selector: Matchers for the preset, bound to the namespace and ready to be put inside braces.
        because: What was seen, in words.
    """

    preset: Preset
    deployment: str | None
    selector: str
    because: str

    def agrees(self, other: "Choice") -> bool:
        """Whether both would read the same series."""
        return (self.preset.name, self.selector) == (other.preset.name, other.selector)

    def succeeds(self, other: "Choice") -> bool:
        """Whether it can stand for another whose series are gone: the same pods, told by the same kind.

        A gateway goes on telling when its engines sleep; that is no reason to leave them.
        """
        return (self.deployment, _teller(self.preset)) == (other.deployment, _teller(other.preset))


@dataclass(frozen=True, slots=True, kw_only=True)
class Undecided:
    """No one backend fits.

    Args:
        because: What was seen and what would help, in words.
        seen: Whether there was anything that would do, if the workload said more.
    """

    because: str
    seen: bool


def look_queries(presets: Presets, wanted: Wanted, *, back_s: float = 0.0) -> Mapping[str, str]:
    """PromQL that counts the characteristic series of all backends, by the label that confines them.

    Args:
        presets: The backends there are.
        wanted: Whose.
        back_s: Count what was there within this time, and not only what is there now [s].
    """
    found: dict[str, list[Preset]] = {}
    for preset in presets.values():
        if preset.discovery is not None:
            found.setdefault(preset.confined_by, []).append(preset)
    return {label: _look(some, label, wanted, back_s) for label, some in found.items()}


def _look(presets: Sequence[Preset], label: str, wanted: Wanted, back_s: float) -> str:
    discoveries = [preset.discovery for preset in presets if preset.discovery is not None]
    names = dict.fromkeys(metric for each in discoveries for metric in each.metrics)
    by = ["__name__", label, "pod", *(name for each in discoveries for name in each.labels)]
    by += [each.copies_carry for each in discoveries if each.copies_carry is not None]
    within = promql.parse_selector(wanted.matchers, wanted.namespace, where="selector", label=label)
    series = f"{{__name__=~{promql.quote_label('|'.join(names))},{within}}}"
    told = f"last_over_time({series}[{duration_text(back_s)}])" if back_s else series
    return f"count by ({', '.join(dict.fromkeys(by))}) ({told})"


def pod_queries(wanted: Wanted, *, back_s: float = 0.0) -> tuple[str, str]:
    """PromQL that tells whose the pods of the workload's namespace are, or were within `back_s`."""
    return owner_queries([wanted.namespace], back_s=back_s)


def choose(
    presets: Presets, wanted: Wanted, *, seen: Mapping[str, Seen], owners: Sequence[Seen]
) -> Choice | Undecided:
    """The one backend that fits, or why there is none.

    Args:
        presets: The backends there are.
        wanted: Whose.
        seen: The answers to `look_queries`, by the same labels.
        owners: The answers to `pod_queries`.
    """
    pods, replica_sets = owners
    told = {name: _of(preset, seen) for name, preset in presets.items() if preset.discovery is not None}
    found = detect(presets, told, deployments_of(pods, replica_sets))
    if not found.proposals:
        left_out = "".join(f"; left out: {line}" for line in found.left_out[:_MOST_TOLD])
        narrowed = f" that match {wanted.matchers}" if wanted.matchers else ""
        return Undecided(
            because=f"namespace {wanted.namespace} has no series of a known backend{narrowed}{left_out}",
            seen=False,
        )
    mine = _mine(found.proposals, wanted)
    fitting = [(each, preset) for each in mine for preset in _counting(each, presets, wanted.unit)]
    if len(fitting) == 1:
        return _chosen(*fitting[0], wanted)
    return _undecided(found.proposals, mine, fitting, wanted)


def _of(preset: Preset, seen: Mapping[str, Seen]) -> Seen:
    """The series of one backend among those of all."""
    metrics = preset.discovery.metrics if preset.discovery is not None else ()
    return [one for one in seen.get(preset.confined_by, ()) if one[0].get("__name__") in metrics]


def _mine(proposals: Sequence[Proposal], wanted: Wanted) -> list[Proposal]:
    """Those whose series may be this workload's own, by what it says."""
    if wanted.target is not None:
        own = [each for each in proposals if each.deployment == wanted.target]
        if own:
            return own
        # Series that name no Deployment may be anybody's, unless the selector speaks for them.
        return [each for each in proposals if each.deployment is None] if wanted.matchers else []
    return [each for each in proposals if wanted.matchers or _teller(each.preset) is not Teller.GATEWAY]


def _counting(proposal: Proposal, presets: Presets, unit: str) -> list[Preset]:
    """The backend, or those that lean on it, as far as their demand counts `unit`."""
    family = [
        proposal.preset,
        *(each for each in presets.values() if each.further_of == proposal.preset.name),
    ]
    return [each for each in family if each.signals[SignalName.DEMAND].unit == unit]


def _chosen(proposal: Proposal, preset: Preset, wanted: Wanted) -> Choice:
    matchers = [wanted.matchers, *_own_matchers(proposal)]
    text = ",".join(dict.fromkeys(part for part in matchers if part))
    label = preset.confined_by
    return Choice(
        preset=preset,
        deployment=proposal.deployment,
        selector=promql.parse_selector(text, wanted.namespace, where="selector", label=label),
        because="; ".join(proposal.because),
    )


def _own_matchers(proposal: Proposal) -> tuple[str, ...]:
    """What chooses its series, also beside a new model or a new neighbour: its pods, if that can be said."""
    if proposal.deployment is None:
        return (proposal.selector,)
    pods = re.compile(f"{re.escape(proposal.deployment)}-[0-9a-z]+-[0-9a-z]+")
    if not proposal.pods or not all(pods.fullmatch(pod) for pod in proposal.pods):
        return (proposal.selector,)
    return pods_matcher(proposal.deployment), proposal.leaves_out


def _undecided(
    proposals: Sequence[Proposal],
    mine: Sequence[Proposal],
    fitting: Sequence[tuple[Proposal, Preset]],
    wanted: Wanted,
) -> Undecided:
    if len(fitting) > 1:
        several = _listed([_told(proposal, preset) for proposal, preset in fitting])
        wants = "name the backend, or narrow by target or selector"
        return Undecided(because=f"{len(fitting)} backends fit, {several}; {wants}", seen=True)
    if mine:
        units = _listed([f"{name_of(each.preset)} in {_unit(each.preset)}" for each in mine])
        return Undecided(because=f"nothing counts {wanted.unit}, only {units}", seen=True)
    if wanted.target is None:
        what, wants = (
            "only gateways tell of this namespace",
            "a selector says which of their load is this one's",
        )
    else:
        what, wants = (
            f"no series come from pods of Deployment {wanted.target}",
            "give a selector, or the backend",
        )
    seen = _listed([_told(each, each.preset) for each in proposals])
    return Undecided(because=f"{what}; seen: {seen}; {wants}", seen=True)


def _told(proposal: Proposal, preset: Preset) -> str:
    whose = f" of Deployment {proposal.deployment}" if proposal.deployment is not None else ""
    narrowed = f" with {proposal.selector}" if proposal.selector else ""
    return f"{name_of(preset)}{whose}{narrowed}"


def _listed(parts: Sequence[str]) -> str:
    more = [f"{len(parts) - _MOST_TOLD} more"] if len(parts) > _MOST_TOLD else []
    return ", ".join([*parts[:_MOST_TOLD], *more])


def _unit(preset: Preset) -> str:
    return preset.signals[SignalName.DEMAND].unit


def _teller(preset: Preset) -> Teller | None:
    return preset.discovery.told_by if preset.discovery is not None else None
