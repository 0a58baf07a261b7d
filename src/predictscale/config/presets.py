"""What each serving backend can tell about its load, so that users need no PromQL.

A preset is data with a source (`models/backends/*.yaml`), not code. It is
proved when it is loaded: every template must be PromQL once filled in, and every
selector in it must be bound to one namespace. It refuses a placeholder or a
signal that nothing here fills.
"""

from collections.abc import Mapping
from enum import StrEnum
from functools import cache
from pathlib import Path
from string import Template
from types import MappingProxyType
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, ValidationError

from predictscale.config import promql
from predictscale.config.durations import duration_text
from predictscale.config.fields import Frozen, Span
from predictscale.config.problems import problems_of, written
from predictscale.config.yamlfile import read_yaml
from predictscale.core.demand import Signal, SignalName
from predictscale.errors import FileUnusable, Problem, SettingsError

_PACKAGE = Path(__file__).resolve().parents[1]
_FOLDERS = (_PACKAGE / "_models" / "backends", _PACKAGE.parents[1] / "models" / "backends")

Text = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]


class Meaning(StrEnum):
    """What a signal counts; it decides what a saturated backend looks like."""

    ARRIVAL = "arrival"  # grows when work comes in: offered load
    COMPLETION = "completion"  # grows when work is done: capped by capacity, so the queue matters
    GAUGE = "gauge"  # a level, not a rate


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
    signals: Mapping[Literal[SignalName.DEMAND, SignalName.QUEUE], SignalTemplate] = Field(
        description="demand, and queue if the backend has one"
    )

    def signal(self, name: SignalName, *, selector: str, empty_is_zero: bool = False) -> Signal | None:
        """One signal for the series that `selector` chooses, or None if the backend has none such.

        Args:
            name: Demand or queue.
            selector: Label matchers, as `promql.parse_selector` writes them.
            empty_is_zero: Whether no series at all may be read as 0.
        """
        template = next((found for known, found in self.signals.items() if known == name), None)
        if template is None:
            return None
        query = Template(template.query).substitute(
            selector=selector, window=duration_text(self.window_s), window_s=f"{self.window_s:g}"
        )
        return Signal(
            name=name, query=" ".join(query.split()), unit=template.unit, empty_is_zero=empty_is_zero
        )


Presets = Mapping[str, Preset]
"""Presets by name."""


@cache
def load_presets(folder: Path | None = None) -> Presets:
    """Every preset of a folder, by name; by default those that come with predictscale.

    Raises:
        SettingsError: A file is no good preset; all problems of all files at once.
        FileUnusable: There is no folder, or no preset in it.
    """
    home = folder or next((found for found in _FOLDERS if found.is_dir()), _FOLDERS[0])
    presets: dict[str, Preset] = {}
    problems: list[Problem] = []
    for path in sorted(home.glob("*.yaml")):
        try:
            preset = _load(path)
        except SettingsError as wrong:
            problems += wrong.problems
        else:
            presets[preset.name] = preset
    if problems:
        raise SettingsError(problems)
    if not presets:
        raise FileUnusable(f"{home}: holds no presets; the installation is incomplete")
    return MappingProxyType(presets)


def fleet_signals(namespace: str, deployment: str) -> tuple[Signal, Signal]:
    """Replicas and ready replicas of a Deployment, from kube-state-metrics.

    The maximum, not the sum: two kube-state-metrics tell the same replicas twice.
    """
    matchers = f"namespace={promql.quote_label(namespace)},deployment={promql.quote_label(deployment)}"
    return (
        Signal(SignalName.REPLICAS, f"max(kube_deployment_status_replicas{{{matchers}}})", "replicas"),
        Signal(SignalName.READY, f"max(kube_deployment_status_replicas_ready{{{matchers}}})", "replicas"),
    )


def _load(path: Path) -> Preset:
    documents = read_yaml(path)
    try:
        preset = Preset.model_validate(documents[0] if len(documents) == 1 else None)
    except ValidationError as error:
        found = problems_of(error, Preset, where=lambda place: f"{path.name}: {written(place)}")
        raise SettingsError(found) from None
    problems = list(_problems(preset, path))
    if problems:
        raise SettingsError(problems)
    return preset


def _problems(preset: Preset, path: Path) -> list[Problem]:
    problems = []
    if preset.name != path.stem:
        problems.append(
            Problem(f"{path.name}: name", repr(preset.name), f"must be the file's: {path.stem!r}")
        )
    if SignalName.DEMAND not in preset.signals:
        problems.append(Problem(f"{path.name}: signals", "have no demand", "give signals.demand"))
    for name in preset.signals:
        problems += _problems_of_signal(preset, name, where=f"{path.name}: signals.{name}.query")
    return problems


def _problems_of_signal(preset: Preset, name: SignalName, *, where: str) -> list[Problem]:
    selector = promql.parse_selector("", "own", where=where, label=preset.confined_by)
    try:
        signal = preset.signal(name, selector=selector)
        assert signal is not None  # noqa: S101 - asked for one of its own
        promql.parse(signal.query, where=where)
    except SettingsError as wrong:
        return list(wrong.problems)
    except (KeyError, ValueError) as error:
        return [
            Problem(where, f"holds the placeholder {error}", "known are $selector, $window and $window_s")
        ]
    open_ = promql.unconfined(signal.query, "own", label=preset.confined_by)
    wants = "every selector must hold $selector"
    return [Problem(where, f"selects {selector} unbound", wants) for selector in open_]
