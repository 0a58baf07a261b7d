"""Which backends a Prometheus holds, and the triggers that would read them.

Reads what was counted of characteristic metrics, and whose pods they came from,
and proposes one trigger for each Deployment, or for each model or service that a
gateway tells of. Says what it saw, and what only the owner can know. Refuses to
guess a capacity, and asks nobody: the questions are text here, somebody else's to ask.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from types import MappingProxyType

from predictscale.config import promql
from predictscale.config.durations import duration_text
from predictscale.config.presets import Discovery, Preset, Presets, Teller
from predictscale.core.demand import SignalName
from predictscale.errors import SettingsError

FILL_IN = "FILL_IN"
"""Stands in a proposed trigger for a value that only the owner knows; the service refuses it."""

Seen = Sequence[tuple[Mapping[str, str], float]]
"""What a query of counts gave: labels, and how many series have them."""

_NAMESPACE = re.compile(r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?")
_NAME = re.compile(r"[a-z0-9](?:[-.a-z0-9]{0,251}[a-z0-9])?")
# Kubernetes draws the ends of names from these, without vowels.
_DRAWN = "[bcdfghjklmnpqrstvwxz2456789]"
_POD_OF_DEPLOYMENT = re.compile(rf"(.+)-{_DRAWN}{{6,10}}-{_DRAWN}{{5}}")
# LeaderWorkerSet calls the leader of a group chat-0 and its workers chat-0-1, chat-0-2.
_WORKER = re.compile(r"(.+-[0-9]+)-[0-9]+")
_TELLERS = tuple(Teller)


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A trigger that would read what was found.

    Args:
        namespace: Where its ScaledObject has to live.
        preset: The backend.
        selector: Label matchers, as a trigger writes them; "" for all its series in the namespace.
        deployment: The Deployment whose pods tell the series; None if there is none, or it is not known.
        because: What was seen, one sentence each.
        besides: Other backends that would do, and when.
        pods: Those that tell its series, as far as the series say.
        leaves_out: Matchers without which another program's copies of the series would count too.
    """

    namespace: str
    preset: Preset
    selector: str
    deployment: str | None
    because: tuple[str, ...]
    besides: tuple[str, ...] = ()
    pods: tuple[str, ...] = ()
    leaves_out: str = ""

    @property
    def fill_in(self) -> Mapping[str, str]:
        """Keys that only the owner can fill in, and what each of them means."""
        unit = self.preset.signals[SignalName.DEMAND].unit
        target = {} if self.deployment is not None else {"target": "the Deployment that is scaled"}
        return {
            **target,
            "capacityPerReplica": f"{unit} that one replica serves within its SLO",
            "leadTime": "from the decision to a replica that serves, such as 4m",
            "maxReplicas": "never more, the same as maxReplicaCount of the ScaledObject",
        }

    @property
    def metadata(self) -> dict[str, str]:
        """The trigger's metadata, with `FILL_IN` where the owner has to say something."""
        known = {"backend": self.preset.name}
        if self.selector:
            known["selector"] = self.selector
        if self.deployment is not None:
            known["target"] = self.deployment
        return {**known, **dict.fromkeys(self.fill_in, FILL_IN)}

    @property
    def demand_query(self) -> str:
        """PromQL of the demand that the trigger would read."""
        label = self.preset.confined_by
        selector = promql.parse_selector(self.selector, self.namespace, where="selector", label=label)
        query = self.preset.query(SignalName.DEMAND, selector=selector)
        assert query is not None  # noqa: S101 - a preset without a demand is not loaded
        return query


@dataclass(frozen=True, slots=True)
class Detected:
    """What was found.

    Args:
        proposals: Engines first within each namespace.
        left_out: What was seen and cannot be read by a trigger, one sentence each.
    """

    proposals: tuple[Proposal, ...]
    left_out: tuple[str, ...] = ()


@dataclass(slots=True)
class _Group:
    """Series of one backend that one trigger would read."""

    namespace: str
    preset: Preset
    discovery: Discovery
    deployment: str | None
    counted: dict[tuple[str, tuple[tuple[str, str], ...]], float] = field(default_factory=dict)
    pods: set[str] = field(default_factory=set)
    copies: float = 0.0
    guessed: bool = False
    shared: bool = False

    @property
    def labels(self) -> set[tuple[tuple[str, str], ...]]:
        return {labels for _, labels in self.counted}


def pods_matcher(deployment: str) -> str:
    """The matcher of a Deployment's pods. Two drawn parts and no more: chat's pods are not chat-large's."""
    pods = f"{re.escape(deployment).replace(chr(92) + '-', '-')}-[0-9a-z]+-[0-9a-z]+"
    return f"pod=~{promql.quote_label(pods)}"


def count_query(preset: Preset, namespaces: Sequence[str] = ()) -> str | None:
    """PromQL that counts a backend's characteristic series; None if it has none.

    Args:
        preset: The backend.
        namespaces: Look only there; all if empty. Names of namespaces, checked by the caller.
    """
    found = preset.discovery
    if found is None:
        return None
    own = preset.confined_by
    within = f"{own}=~{promql.quote_label('|'.join(namespaces))}" if namespaces else f'{own}!=""'
    copies = [] if found.copies_carry is None else [found.copies_carry]
    by = ", ".join(dict.fromkeys(["__name__", own, "pod", *found.labels, *copies]))
    names = promql.quote_label("|".join(found.metrics))
    return f"count by ({by}) ({{__name__=~{names},{within}}})"


def owner_queries(namespaces: Sequence[str], *, back_s: float = 0.0) -> tuple[str, str]:
    """PromQL of kube-state-metrics: whose the pods of namespaces are, and whose their ReplicaSets.

    Args:
        namespaces: Which; names, checked by the caller.
        back_s: Tell of what was there within this time, and not only of what is there now [s].
    """
    within = f"namespace=~{promql.quote_label('|'.join(namespaces))}"
    pods = f'kube_pod_owner{{{within},owner_kind="ReplicaSet"}}'
    replica_sets = f'kube_replicaset_owner{{{within},owner_kind="Deployment"}}'
    if back_s:
        window = duration_text(back_s)
        pods, replica_sets = (f"last_over_time({each}[{window}])" for each in (pods, replica_sets))
    return (
        f"count by (namespace, pod, owner_name) ({pods})",
        f"count by (namespace, replicaset, owner_name) ({replica_sets})",
    )


def deployments_of(pods: Seen, replica_sets: Seen) -> Mapping[tuple[str, str], str]:
    """The Deployment of each pod, by namespace and pod, from the answers to `owner_queries`."""
    owners = {_place(of, "replicaset"): of.get("owner_name", "") for of, _ in replica_sets}
    found = {
        _place(of, "pod"): owners.get((of.get("namespace", ""), of.get("owner_name", ""))) for of, _ in pods
    }
    # What is no name may be anybody's text, and would end up in a manifest.
    return MappingProxyType({pod: name for pod, name in found.items() if name and _NAME.fullmatch(name)})


def detect(
    presets: Presets, seen: Mapping[str, Seen], deployments: Mapping[tuple[str, str], str]
) -> Detected:
    """What to propose for the series that were seen.

    Args:
        presets: The backends there are.
        seen: The answer to each preset's `count_query`, by the preset's name.
        deployments: The Deployment of each pod, as far as kube-state-metrics knows.
            Of pods that it does not know, the name tells.
    """
    groups: list[_Group] = []
    left_out: list[str] = []
    for name, answer in seen.items():
        preset = presets[name]
        if preset.discovery is not None:
            groups += _groups(preset, preset.discovery, answer, deployments, left_out)
    proposals = []
    for group in groups:
        beside = [each for each in groups if _alike(each, group) and each is not group]
        group.shared = any(group.labels & each.labels for each in beside)
        try:
            proposals.append(_proposal(group, beside, presets))
        except (SettingsError, ValueError) as wrong:
            left_out.append(f"{name_of(group.preset)} in namespace {group.namespace}: {_line(str(wrong))}")
    return Detected(tuple(_best(proposals)), tuple(dict.fromkeys(left_out)))


def name_of(preset: Preset) -> str:
    """A backend as sentences call it."""
    return f"{preset.name} ({preset.title})"


def _groups(
    preset: Preset,
    discovery: Discovery,
    answer: Seen,
    deployments: Mapping[tuple[str, str], str],
    left_out: list[str],
) -> list[_Group]:
    groups: dict[tuple[object, ...], _Group] = {}
    copies: dict[str, float] = {}
    for series, count in answer:
        namespace, pod = series.get(preset.confined_by, ""), series.get("pod", "")
        if not _NAMESPACE.fullmatch(namespace):
            left_out.append(f"{name_of(preset)}: {_line(namespace)!r} is no namespace of Kubernetes")
            continue
        if discovery.copies_carry is not None and series.get(discovery.copies_carry):
            copies[namespace] = copies.get(namespace, 0.0) + count
            continue
        known = deployment = None
        if discovery.told_by is not Teller.GATEWAY:
            known = deployments.get((namespace, pod))
            deployment = known or _by_name(pod)
        labels = tuple((label, series[label]) for label in discovery.labels if series.get(label))
        # A Deployment scales as a whole, whatever it serves; where there is none, each label has its own.
        key = (namespace, deployment, () if deployment is not None else labels)
        group = groups.setdefault(key, _Group(namespace, preset, discovery, deployment))
        place = (series.get("__name__", "a metric without a name"), labels)
        group.counted[place] = group.counted.get(place, 0.0) + count
        group.guessed = group.guessed or known is None
        group.pods |= {pod} - {""}
    for group in groups.values():
        group.copies = copies.get(group.namespace, 0.0)
    return list(groups.values())


def _by_name(pod: str) -> str | None:
    """The Deployment that a pod's name speaks of."""
    match = _POD_OF_DEPLOYMENT.fullmatch(pod)
    return match[1] if match is not None and _NAME.fullmatch(match[1]) else None


def _place(labels: Mapping[str, str], name: str) -> tuple[str, str]:
    return labels.get("namespace", ""), labels.get(name, "")


def _alike(one: _Group, other: _Group) -> bool:
    return one.namespace == other.namespace and one.preset.name == other.preset.name


def _proposal(group: _Group, beside: Sequence[_Group], presets: Presets) -> Proposal:
    selector = _selector(group, beside)
    promql.parse_selector(selector, group.namespace, where="selector", label=group.preset.confined_by)
    return Proposal(
        namespace=group.namespace,
        preset=group.preset,
        selector=selector,
        deployment=group.deployment,
        because=tuple(_because(group)),
        besides=tuple(
            f"backend {other.name}, with capacityPerReplica in {other.signals[SignalName.DEMAND].unit}"
            for other in presets.values()
            if other.further_of == group.preset.name
        ),
        pods=tuple(sorted(group.pods)),
        leaves_out=",".join(_leaves_out(group)),
    )


def _selector(group: _Group, beside: Sequence[_Group]) -> str:
    """Matchers that choose this group's series and no others of the namespace."""
    matchers = []
    labels, *more = sorted(group.labels)
    if labels and not more and not (group.shared and group.deployment is not None):
        matchers = [f"{name}={promql.quote_label(value)}" for name, value in labels]
    elif beside and group.deployment is not None:
        matchers = [pods_matcher(group.deployment)]
    return ",".join([*matchers, *_leaves_out(group)])


def _leaves_out(group: _Group) -> tuple[str, ...]:
    return (f'{group.discovery.copies_carry}=""',) if group.copies else ()


def _because(group: _Group) -> Iterator[str]:
    for (metric, labels), count in sorted(group.counted.items()):
        told = "".join(f", {name} {_line(value)}" for name, value in labels)
        yield f"{metric} has {count:g} series in namespace {group.namespace}{told}"
    if group.copies:
        label = group.discovery.copies_carry
        yield f"{group.copies:g} series with the label {label} are another program's copies, and left out"
    if group.discovery.told_by is Teller.GATEWAY:
        yield "a gateway tells them, so they do not say which Deployment serves"
    elif group.deployment is not None:
        how = ", by their names" if group.guessed else ""
        yield f"pods of Deployment {group.deployment} tell them: {len(group.pods)}{how}"
    elif group.pods:
        some = ", ".join(sorted(group.pods)[:3])
        yield f"pods tell them that are not known to be a Deployment's: {len(group.pods)}, as {_line(some)}"
        yield from _groups_of_pods(group.pods)
    else:
        yield "the series have no label pod, so they do not say which Deployment serves"
    if len(group.labels) > 1 and group.deployment is not None:
        yield f"{len(group.labels)} models or services in one Deployment scale together"
    if group.shared and group.deployment is None:
        yield "other pods of the namespace have the same labels: narrow the selector"


def _groups_of_pods(pods: Iterable[str]) -> Iterator[str]:
    """What is said of pods that are named as the leaders and workers of a LeaderWorkerSet."""
    known = set(pods)
    leaders = {match[1] for pod in known if (match := _WORKER.fullmatch(pod)) and match[1] in known}
    for name in sorted({leader.rpartition("-")[0] for leader in leaders}):
        yield (
            f"pods of {name} are named as those of a LeaderWorkerSet, and workers tell series too: right "
            f"where each tells its own ranks; where they repeat what leaders tell, select "
            f"pod=~{promql.quote_label(f'{name}-[0-9]+')}"
        )


def _best(proposals: Iterable[Proposal]) -> Iterator[Proposal]:
    """In a steady order, and of a Deployment's own tellers only the first: an engine before a sidecar."""

    def order(each: Proposal) -> tuple[object, ...]:
        return each.namespace, _rank(each), each.deployment or "", each.preset.name, each.selector

    def whose(each: Proposal) -> tuple[str, str]:
        return each.namespace, each.deployment or ""

    taken: set[tuple[str, str]] = set()
    for _, one_rank in groupby(sorted(proposals, key=order), key=lambda each: (each.namespace, _rank(each))):
        rank = list(one_rank)
        yield from (each for each in rank if each.deployment is None or whose(each) not in taken)
        taken |= {whose(each) for each in rank}


def _rank(proposal: Proposal) -> int:
    assert proposal.preset.discovery is not None  # noqa: S101 - it was found by it
    return _TELLERS.index(proposal.preset.discovery.told_by)


def _line(text: str) -> str:
    """Somebody else's text, short and on one line."""
    plain = "".join(character if character.isprintable() else " " for character in text)
    return plain if len(plain) <= 120 else plain[:119] + "…"
