"""What each serving backend can tell about its load, so that users need no PromQL.

A preset is data with a source (`models/backends/*.yaml`), not code. It is
proved when it is loaded: every template must be PromQL once filled in, and every
selector in it must be bound to one namespace. It refuses a placeholder or a
signal that nothing here fills, and a further signal in a unit of its own.
"""

import hashlib
import re
from collections.abc import Callable, Mapping
from enum import StrEnum
from functools import cache
from pathlib import Path
from string import Template
from types import MappingProxyType
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from predictscale.config import promql
from predictscale.config.cluster import starting_query
from predictscale.config.durations import duration_text
from predictscale.config.fields import Frozen, Span
from predictscale.config.packaged import home, load_file, load_folder
from predictscale.config.windows import PodWindows, problems_of_windows
from predictscale.core.demand import Signal, SignalName
from predictscale.errors import Problem, SettingsError

Text = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]
MetricName = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z_:][a-zA-Z0-9_:]*$")]
LabelName = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z_][a-zA-Z0-9_]*$")]


AUTO = "auto"
"""What a workload says instead of a backend's name to have it looked for; no preset is called so."""


class Meaning(StrEnum):
    """What a signal counts; it decides what a saturated backend looks like."""

    ARRIVAL = "arrival"  # grows when work comes in: offered load
    COMPLETION = "completion"  # grows when work is done: capped by capacity, so the queue matters
    GAUGE = "gauge"  # a level, not a rate


class Extra(StrEnum):
    """What a backend can tell beyond demand and queue; decisions do not ask for it."""

    INPUT_TOKENS = "input_tokens"  # of prompts, cached ones included
    UNCACHED_TOKENS = "uncached_tokens"  # of prompts, as far as they had to be computed
    OUTPUT_TOKENS = "output_tokens"  # generated
    CACHED_SHARE = "cached_share"  # of input tokens that a cache had
    RUNNING = "running"  # requests that are being served
    WAITING = "waiting"  # requests that wait, where that is not the queue in the demand's unit
    TTFT_P95 = "ttft_p95"  # time to first token, 95th percentile
    ITL_P95 = "itl_p95"  # time between tokens, 95th percentile
    ITL_MEAN = "itl_mean"  # time between tokens, mean
    LATENCY_P95 = "latency_p95"  # of whole requests, 95th percentile
    LATENCY_MEAN = "latency_mean"  # of whole requests, mean
    KV_USAGE = "kv_usage"  # of the cache of keys and values, mean of the replicas
    KV_USAGE_MAX = "kv_usage_max"  # the same, of the one that has least left
    KV_TOKENS = "kv_tokens"  # that the cache of one engine holds
    COMPLETED = "completed"  # requests that ended
    REJECTED = "rejected"  # requests that were turned away: offered load that nothing else counts
    PREEMPTED = "preempted"  # times that a running request lost its memory to others
    INPUT_LENGTH = "input_length"  # of a request's prompt, mean
    OUTPUT_LENGTH = "output_length"  # of its answer, mean
    QUEUE_TIME_P95 = "queue_time_p95"  # that requests waited, 95th percentile
    QUEUE_TIME_MEAN = "queue_time_mean"  # that requests waited, mean
    ASLEEP = "asleep"  # engines that were put to sleep
    LOAD_TIME = "load_time"  # of a start, as the server itself tells it


EXTRA_UNITS: Mapping[Extra, str] = MappingProxyType(
    {
        Extra.INPUT_TOKENS: "tokens/s",
        Extra.UNCACHED_TOKENS: "tokens/s",
        Extra.OUTPUT_TOKENS: "tokens/s",
        Extra.CACHED_SHARE: "share",
        Extra.RUNNING: "requests",
        Extra.WAITING: "requests",
        Extra.TTFT_P95: "s",
        Extra.ITL_P95: "s",
        Extra.ITL_MEAN: "s",
        Extra.LATENCY_P95: "s",
        Extra.LATENCY_MEAN: "s",
        Extra.KV_USAGE: "share",
        Extra.KV_USAGE_MAX: "share",
        Extra.KV_TOKENS: "tokens",
        Extra.COMPLETED: "requests/s",
        Extra.REJECTED: "requests/s",
        Extra.PREEMPTED: "requests/s",
        Extra.INPUT_LENGTH: "tokens/request",
        Extra.OUTPUT_LENGTH: "tokens/request",
        Extra.QUEUE_TIME_P95: "s",
        Extra.QUEUE_TIME_MEAN: "s",
        Extra.ASLEEP: "engines",
        Extra.LOAD_TIME: "s",
    }
)
"""The one unit of each further signal, so that backends can be compared; a share is 0 to 1."""


class Teller(StrEnum):
    """Whose pods carry a backend's series."""

    ENGINE = "engine"  # the server that is scaled
    SIDECAR = "sidecar"  # the pods that are scaled, but any program in them
    GATEWAY = "gateway"  # something before them: its pods are not what is scaled

    @property
    def outlives_them(self) -> bool:
        """Whether it counts on while there is none of the pods that are scaled."""
        return self is Teller.GATEWAY


class Discovery(Frozen):
    """By what a backend is found among the series of a Prometheus."""

    metrics: tuple[MetricName, ...] = Field(
        min_length=1, description="any of these shows it; each occurs in one of its queries"
    )
    labels: tuple[LabelName, ...] = Field(
        default=(), description="labels that tell its models or services apart, on demand and queue"
    )
    told_by: Teller = Field(description="engine, sidecar or gateway")
    copies_carry: LabelName | None = Field(
        default=None, description="a label that only another program's copies of the series have"
    )


class SignalTemplate(Frozen):
    """One signal of a backend."""

    query: Text = Field(
        description="PromQL with $selector inside braces, $window as a range, $window_s as a number"
    )
    unit: Text = Field(description="what it counts, such as requests/s")
    meaning: Meaning = Field(description="arrival, completion, or gauge")
    note: str = Field(default="", description="what a user should know of it")


class Preset(Frozen):
    """The signals of one serving backend."""

    name: Text = Field(description="as settings call it; the file's name")
    title: Text = Field(description="as people call it")
    source: Text = Field(description="where the metrics' names and meanings were read")
    confined_by: Text = Field(
        default="namespace", description="the label that holds the workload's namespace"
    )
    window_s: Span = Field(default=120.0, description="range of rates; at least four scrapes")
    further_of: Text | None = Field(
        default=None, description="the preset of the same server whose further signals are this one's too"
    )
    discovery: Discovery | None = Field(
        default=None, description="how it is found; without it, it is only offered beside `further_of`"
    )
    signals: Mapping[Literal[SignalName.DEMAND, SignalName.QUEUE] | Extra, SignalTemplate] = Field(
        description="demand, queue if the backend has one, and what else it tells"
    )
    windows: PodWindows | None = Field(
        default=None, description="what each pod tells, from which a capacity is learned"
    )

    @property
    def extras(self) -> tuple[Extra, ...]:
        """The further signals that it has."""
        return tuple(name for name in self.signals if isinstance(name, Extra))

    def digest(self) -> str:
        """A hash of what its demand and queue ask, so that another preset of the same name is another one."""
        asked = [self.query(name, selector="") or "" for name in (SignalName.DEMAND, SignalName.QUEUE)]
        return hashlib.sha256("\n".join(asked).encode()).hexdigest()[:16]

    def query(self, name: SignalName | Extra, *, selector: str) -> str | None:
        """PromQL of one signal on one line, or None if the backend has none such.

        Args:
            name: Demand, queue, or a further signal, whose unit `EXTRA_UNITS` tells.
            selector: Label matchers, as `promql.parse_selector` writes them.
        """
        template = self._template(name)
        if template is None:
            return None
        query = Template(template.query).substitute(
            selector=selector, window=duration_text(self.window_s), window_s=f"{self.window_s:g}"
        )
        return " ".join(query.split())

    def signal(self, name: SignalName, *, selector: str, empty_is_zero: bool = False) -> Signal | None:
        """One signal for the series that `selector` chooses, or None if the backend has none such.

        Args:
            name: Demand or queue.
            selector: Label matchers, as `promql.parse_selector` writes them.
            empty_is_zero: Whether no series at all may be read as 0.
        """
        template, query = self._template(name), self.query(name, selector=selector)
        if template is None or query is None:
            return None
        return Signal(name=name, query=query, unit=template.unit, empty_is_zero=empty_is_zero)

    def _template(self, name: SignalName | Extra) -> SignalTemplate | None:
        return next((found for known, found in self.signals.items() if known == name), None)


Presets = Mapping[str, Preset]
"""Presets by name."""


def load_presets(folder: Path | None = None) -> Presets:
    """Every preset of a folder, by name; by default those that come with predictscale.

    Raises:
        SettingsError: A file is no good preset; all problems of all files at once.
        FileUnusable: There is no folder, or no preset in it.
    """
    return _loaded(folder)[1]


def written_presets(folder: Path | None = None) -> Presets:
    """As `load_presets`, each as its file says it: without the signals of the one that it leans on.

    Raises:
        SettingsError: As `load_presets`.
        FileUnusable: As `load_presets`.
    """
    return _loaded(folder)[0]


def joined(presets: Presets) -> Presets:
    """Presets as they were written, each with the further signals of the one that it leans on."""
    return MappingProxyType({name: _whole(preset, presets) for name, preset in presets.items()})


def fleet_signals(namespace: str, deployment: str) -> tuple[Signal, Signal, Signal]:
    """Replicas, ready replicas and starting pods of a Deployment, from kube-state-metrics.

    The maximum, not the sum: two kube-state-metrics tell the same replicas twice.
    """
    matchers = f"namespace={promql.quote_label(namespace)},deployment={promql.quote_label(deployment)}"
    return (
        Signal(SignalName.REPLICAS, f"max(kube_deployment_status_replicas{{{matchers}}})", "replicas"),
        Signal(SignalName.READY, f"max(kube_deployment_status_replicas_ready{{{matchers}}})", "replicas"),
        Signal(SignalName.STARTING, starting_query(namespace, deployment), "replicas"),
    )


@cache
def _loaded(folder: Path | None) -> tuple[Presets, Presets]:
    """The presets of a folder as they were written, and joined."""
    written = load_folder(folder or home("backends"), _load, plural="presets", between=_problems_between)
    return MappingProxyType(written), joined(written)


def _load(path: Path) -> Preset:
    return load_file(path, Preset, _problems)


def _problems_between(presets: Presets) -> list[Problem]:
    return problems_between(presets, under=lambda name: f"{name}.yaml: ")


def problems_between(presets: Presets, *, under: Callable[[str], str]) -> list[Problem]:
    """Presets that lean on one that is not there, or that itself leans on another.

    Args:
        presets: As they were written.
        under: What stands before a setting of the preset of a name.
    """
    problems = []
    for preset in presets.values():
        other = None if preset.further_of is None else presets.get(preset.further_of)
        if preset.further_of is not None and (other is None or other.further_of is not None):
            wants = "must be a preset of its own"
            problems.append(Problem(f"{under(preset.name)}further_of", repr(preset.further_of), wants))
    return problems


def _whole(preset: Preset, presets: Presets) -> Preset:
    """The preset with the further signals of the one that it leans on."""
    if preset.further_of is None:
        return preset
    other = presets[preset.further_of]
    theirs = {name: other.signals[name] for name in other.extras}
    windows = preset.windows if preset.windows is not None else other.windows
    return preset.model_copy(update={"signals": {**theirs, **preset.signals}, "windows": windows})


def _problems(preset: Preset, path: Path) -> list[Problem]:
    problems = []
    if preset.name != path.stem:
        problems.append(
            Problem(f"{path.name}: name", repr(preset.name), f"must be the file's: {path.stem!r}")
        )
    return problems + problems_within(preset, under=f"{path.name}: ")


def problems_within(preset: Preset, *, under: str) -> list[Problem]:
    """What would fail later of a preset whose shape is right.

    Args:
        preset: As it was written.
        under: What stands before its settings' names, such as `vllm.yaml: ` or `backends[0].`.
    """
    problems = []
    if SignalName.DEMAND not in preset.signals:
        problems.append(Problem(f"{under}signals", "have no demand", "give signals.demand"))
    problems += _problems_of_units(preset, under=under)
    for name, template in preset.signals.items():
        problems += _problems_of_signal(preset, name, where=f"{under}signals.{name}.query")
        wants = EXTRA_UNITS[name] if isinstance(name, Extra) else template.unit
        if template.unit != wants:
            problems.append(Problem(f"{under}signals.{name}.unit", repr(template.unit), f"must be {wants!r}"))
    for metric in preset.discovery.metrics if preset.discovery is not None else ():
        if not any(_holds(template.query, metric) for template in preset.signals.values()):
            wants = "must occur in one of its queries"
            problems.append(Problem(f"{under}discovery.metrics", repr(metric), wants))
    if preset.windows is not None:
        where = f"{under}windows."
        problems += problems_of_windows(preset.windows, confined_by=preset.confined_by, under=where)
    return problems


def _problems_of_units(preset: Preset, *, under: str) -> list[Problem]:
    """A demand is a rate, and its queue counts the same."""
    units = {name: template.unit for name, template in preset.signals.items()}
    demand, queue = units.get(SignalName.DEMAND), units.get(SignalName.QUEUE)
    if demand is None:
        return []
    if not demand.endswith("/s"):
        return [Problem(f"{under}signals.demand.unit", repr(demand), "must end in /s: demand is a rate")]
    if queue is not None and queue != demand.removesuffix("/s"):
        wants = f"must be {demand.removesuffix('/s')!r}, as demand is in {demand}"
        return [Problem(f"{under}signals.queue.unit", repr(queue), wants)]
    return []


def _holds(query: str, metric: str) -> bool:
    return re.search(rf"(?<![\w:]){re.escape(metric)}\{{", query) is not None


def _problems_of_signal(preset: Preset, name: SignalName | Extra, *, where: str) -> list[Problem]:
    selector = promql.parse_selector("", "own", where=where, label=preset.confined_by)
    try:
        query = preset.query(name, selector=selector)
        assert query is not None  # noqa: S101 - asked for one of its own
        promql.parse(query, where=where)
    except SettingsError as wrong:
        return list(wrong.problems)
    except (KeyError, ValueError) as error:
        return [
            Problem(where, f"holds the placeholder {error}", "known are $selector, $window and $window_s")
        ]
    open_ = promql.unconfined(query, "own", label=preset.confined_by)
    wants = "every selector must hold $selector"
    return [Problem(where, f"selects {selector} unbound", wants) for selector in open_]
