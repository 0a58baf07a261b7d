"""What a cluster tells of its pods, nodes and accelerators, beside what serving backends tell.

A preset is data with a source (`models/cluster/*.yaml`), as those of backends are, and is proved
when it is loaded: every template must be PromQL once filled in, and every selector bound to
the workload's namespace, but for metrics that a signal declares to be of no namespace, such as those
of nodes. Refuses a placeholder that nothing here fills, and a declared metric that is not asked for.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from string import Template
from types import MappingProxyType
from typing import Annotated

from pydantic import Field, StringConstraints

from predictscale.config import promql
from predictscale.config.durations import duration_text
from predictscale.config.fields import Frozen
from predictscale.config.packaged import home, load_file, load_folder
from predictscale.core.leadtime import GIVE_UP_S
from predictscale.errors import Problem, SettingsError

Text = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]
SignalKey = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$")]
MetricName = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z_:][a-zA-Z0-9_:]*$")]
LabelName = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z_][a-zA-Z0-9_]*$")]

KUBERNETES = "kubernetes"
"""The preset of kube-state-metrics."""

_LONGEST_BASE = 58
"""Kubernetes cuts what it makes pods' names from at this length [characters]."""


class Tells(StrEnum):
    """What a signal's number is."""

    INSTANT = "instant"  # seconds since the epoch
    GAUGE = "gauge"  # a level
    EVENTS = "events"  # how many happened in the window
    EXPOSURE = "exposure"  # how much was spent in the window: time, energy


class PodFact(StrEnum):
    """The signals of `kubernetes.yaml`, by which starts are measured and capacity to come is counted."""

    CREATED = "created"
    SCHEDULED = "scheduled"
    STARTED = "started"
    READY = "ready"
    DELETED = "deleted"
    NODE_CREATED = "node_created"
    TOLD = "told"
    STARTING = "starting"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a workload's pods are.

    Args:
        namespace: Theirs.
        deployment: Whose they are.
        nodes: Matchers of nodes' series, without braces, such as `label_zone="a"`; the caller's to check.
    """

    namespace: str
    deployment: str
    nodes: str = ""

    def filled(self, *, window_s: float) -> dict[str, str]:
        """What the placeholders stand for."""
        within = f"namespace={promql.quote_label(self.namespace)}"
        # Narrow for the index's sake; whose a pod really is its owners tell.
        prefix = re.escape(f"{self.deployment}-"[:_LONGEST_BASE]).replace("\\-", "-")
        return {
            "namespace": within,
            "pods": f"{within},pod=~{promql.quote_label(f'{prefix}.*')}",
            "deployment": promql.quote_label(self.deployment),
            "nodes": self.nodes,
            "window": duration_text(window_s),
            "window_s": f"{window_s:g}",
            "young_s": f"{GIVE_UP_S + window_s:g}",
        }


_OWN = Place(namespace="own", deployment="app")
_KNOWN = tuple(_OWN.filled(window_s=60.0))


class ClusterSignal(Frozen):
    """One signal."""

    query: Text = Field(
        description="PromQL with $namespace, $pods or $nodes inside braces, $deployment as a label's value, "
        "$window as a range, $window_s as a number, $young_s as the age at which a start has failed"
    )
    unit: Text = Field(description="what it counts, such as pods; unix_s for an instant")
    meaning: Tells = Field(description="instant, gauge, events or exposure")
    by: tuple[LabelName, ...] = Field(default=(), description="labels that tell its series apart")
    cluster_wide: tuple[MetricName, ...] = Field(
        default=(), description="metrics in its query that belong to no namespace"
    )
    note: str = Field(default="", description="what a user should know of it")


class ClusterPreset(Frozen):
    """The signals of one program that watches a cluster."""

    name: Text = Field(description="the file's name")
    title: Text = Field(description="as people call it")
    source: Text = Field(description="where the metrics' names and meanings were read")
    needs: str = Field(default="", description="what the owner must switch on for its series to be there")
    signals: Mapping[SignalKey, ClusterSignal] = Field(min_length=1, description="what it tells")

    def query(self, name: str, place: Place, *, window_s: float) -> str:
        """PromQL of one signal on one line.

        Args:
            name: Which.
            place: Whose pods.
            window_s: How far back each evaluation looks [s].

        Raises:
            KeyError: There is no such signal.
        """
        text = Template(self.signals[name].query).substitute(place.filled(window_s=window_s))
        return " ".join(text.split())


Cluster = Mapping[str, ClusterPreset]
"""Presets by name."""


@cache
def load_cluster(folder: Path | None = None) -> Cluster:
    """Every preset of a folder, by name; by default those that come with predictscale.

    Raises:
        SettingsError: A file is no good preset; all problems of all files at once.
        FileUnusable: There is no folder, or no preset in it.
    """
    return MappingProxyType(load_folder(folder or home("cluster"), _load, plural="cluster presets"))


def starting_query(namespace: str, deployment: str) -> str:
    """PromQL of a Deployment's pods that are on their way to ready."""
    place = Place(namespace=namespace, deployment=deployment)
    return load_cluster()[KUBERNETES].query(PodFact.STARTING, place, window_s=60.0)


def _load(path: Path) -> ClusterPreset:
    return load_file(path, ClusterPreset, _problems)


def _problems(preset: ClusterPreset, path: Path) -> Iterator[Problem]:
    if preset.name != path.stem:
        yield Problem(f"{path.name}: name", repr(preset.name), f"must be the file's: {path.stem!r}")
    if preset.name == KUBERNETES and (missing := set(PodFact) - preset.signals.keys()):
        yield Problem(f"{path.name}: signals", f"lack {', '.join(sorted(missing))}", "must have all of them")
    for name, signal in preset.signals.items():
        yield from _problems_of_signal(preset, name, signal, where=f"{path.name}: signals.{name}")


def _problems_of_signal(
    preset: ClusterPreset, name: str, signal: ClusterSignal, *, where: str
) -> Iterator[Problem]:
    if (signal.unit == "unix_s") != (signal.meaning is Tells.INSTANT):
        wants = "unix_s belongs to an instant, and to nothing else"
        yield Problem(f"{where}.unit", f"{signal.unit!r} of a signal that is {signal.meaning}", wants)
    try:
        query = preset.query(name, _OWN, window_s=60.0)
        promql.parse(query, where=f"{where}.query")
    except SettingsError as wrong:
        yield from wrong.problems
        return
    except (KeyError, ValueError) as error:
        known = ", ".join(f"${placeholder}" for placeholder in _KNOWN)
        yield Problem(f"{where}.query", f"holds the placeholder {error}", f"known are {known}")
        return
    open_ = promql.unconfined(query, _OWN.namespace)
    of_none = {_metric(selector) for selector in open_}
    for selector in open_:
        if _metric(selector) not in signal.cluster_wide:
            wants = "must hold $namespace or $pods, or its metric be in cluster_wide"
            yield Problem(f"{where}.query", f"selects {selector} unbound", wants)
    for metric in signal.cluster_wide:
        if metric not in of_none:
            yield Problem(f"{where}.cluster_wide", repr(metric), "must be asked for without a namespace")


def _metric(selector: str) -> str:
    return selector.partition("{")[0].partition(" ")[0]
