"""What each pod of a backend tells of its minutes, from which a capacity is learned.

Beside a preset's signals, which are sums over pods, stand templates that keep the pods
apart: a law says what one replica does. One series for each pod, however many engines it holds
and whatever its release calls them. A template that reads a counter as a difference gives
whole counts, which rate() would stretch over the edges of its range.

It refuses, when a preset is loaded, a section that lacks what a fit cannot do without, and
every template that is no PromQL or could read another namespace.
"""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from string import Template
from types import MappingProxyType
from typing import Annotated

from pydantic import Field, StringConstraints

from predictscale.config import promql
from predictscale.config.durations import duration_text
from predictscale.config.fields import Frozen
from predictscale.errors import Problem, SettingsError

_Text = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]
_LabelName = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z_][a-zA-Z0-9_]*$")]

KNOWN = "known are $selector, $namespace, $window and $window_s"


class Counts(StrEnum):
    """What a backend's work is counted in."""

    TOKENS = "tokens"  # latency is the time between tokens
    REQUESTS = "requests"  # latency is a request's, and a request takes the place of a token


class Column(StrEnum):
    """One number of a pod and a window; the unit is that of the comment."""

    LATENCY_TIME = "latency_time"  # s of latency that were counted, per second
    LATENCY_COUNT = "latency_count"  # what they were counted over, per second
    OUTPUT_TOKENS = "output_tokens"  # tokens/s, decoded
    INPUT_TOKENS = "input_tokens"  # tokens/s, prefilled without those a cache had
    PROMPT_TOKENS = "prompt_tokens"  # tokens/s, cached ones included
    REQUESTS = "requests"  # that got their first token in the window, a count
    RUNNING = "running"  # requests, mean
    TTFT_P95 = "ttft_p95"  # s
    TTFT_MEAN = "ttft_mean"  # s
    WAITING_SHARE = "waiting_share"  # share of the window in which requests waited
    PREEMPTIONS = "preemptions"  # in the window
    POD_AGE = "pod_age"  # s, at the window's end
    KV_USAGE = "kv_usage"  # share, 0 to 1


class Limit(StrEnum):
    """What a replica says of its own size."""

    KV_TOKENS = "kv_tokens"  # that its cache holds
    MAX_RUNNING = "max_running"  # requests at once


NEEDED: Mapping[Counts, tuple[Column, ...]] = MappingProxyType(
    {
        Counts.TOKENS: (
            Column.LATENCY_TIME,
            Column.LATENCY_COUNT,
            Column.OUTPUT_TOKENS,
            Column.INPUT_TOKENS,
        ),
        Counts.REQUESTS: (Column.LATENCY_TIME, Column.LATENCY_COUNT),
    }
)
"""What no fit can do without."""


class PodQuery(Frozen):
    """One template that gives a series for each pod."""

    query: _Text = Field(
        description="PromQL with $selector or $namespace inside braces, $window as a range, $window_s"
    )
    times: tuple[_LabelName, ...] = Field(
        default=(), description="labels whose numbers the value is multiplied with"
    )
    note: str = Field(default="", description="what a user should know of it")


class PodWindows(Frozen):
    """What a capacity is learned from."""

    counts: Counts = Field(description="tokens or requests")
    pod: _LabelName = Field(default="pod", description="the label that tells replicas apart")
    columns: Mapping[Column, PodQuery] = Field(description="by pod, over one window")
    ttft_buckets: PodQuery | None = Field(
        default=None, description="time to first token of all pods together, counts by le over one window"
    )
    limits: Mapping[Limit, PodQuery] = Field(default_factory=dict, description="a replica's own size")

    def queries(self, *, selector: str, namespace: str, window_s: float) -> dict[Column, str]:
        """PromQL of every column, on one line each.

        Args:
            selector: Label matchers, as `promql.parse_selector` writes them.
            namespace: The matcher of the namespace alone, for series without the selector's labels.
            window_s: Width of a window [s].
        """
        return {
            column: _filled(template, selector=selector, namespace=namespace, window_s=window_s)
            for column, template in self.columns.items()
        }

    def buckets_query(self, *, selector: str, namespace: str, window_s: float) -> str | None:
        """PromQL of the histogram of the time to first token; None if there is none."""
        if self.ttft_buckets is None:
            return None
        return _filled(self.ttft_buckets, selector=selector, namespace=namespace, window_s=window_s)

    def limit_queries(self, *, selector: str, namespace: str) -> dict[Limit, tuple[str, tuple[str, ...]]]:
        """PromQL of every limit, and the labels that its value is multiplied with."""
        return {
            limit: (_filled(each, selector=selector, namespace=namespace, window_s=60.0), each.times)
            for limit, each in self.limits.items()
        }

    def templates(self) -> Iterator[tuple[str, PodQuery]]:
        """All of them, with where they stand in the section."""
        for column, template in self.columns.items():
            yield f"columns.{column}", template
        if self.ttft_buckets is not None:
            yield "ttft_buckets", self.ttft_buckets
        for limit, template in self.limits.items():
            yield f"limits.{limit}", template


def problems_of_windows(windows: PodWindows, *, confined_by: str, under: str) -> list[Problem]:
    """What would fail later of a section whose shape is right.

    Args:
        windows: The section.
        confined_by: The label that holds the workload's namespace.
        under: What stands before a setting's name, such as `vllm.yaml: windows.`.
    """
    missing = [column for column in NEEDED[windows.counts] if column not in windows.columns]
    wants = "must be given: nothing is learned without"
    problems = [Problem(f"{under}columns.{each}", "is missing", wants) for each in missing]
    selector = promql.parse_selector("", "own", where=f"{under}columns", label=confined_by)
    for place, template in windows.templates():
        where = f"{under}{place}.query"
        try:
            query = _filled(template, selector=selector, namespace=selector, window_s=60.0)
            promql.parse(query, where=where)
        except SettingsError as wrong:
            problems += wrong.problems
        except (KeyError, ValueError) as error:
            problems.append(Problem(where, f"holds the placeholder {error}", KNOWN))
        else:
            wants = "every selector must hold $selector or $namespace"
            problems += [
                Problem(where, f"selects {open_} unbound", wants)
                for open_ in promql.unconfined(query, "own", label=confined_by)
            ]
    return problems


def _filled(template: PodQuery, *, selector: str, namespace: str, window_s: float) -> str:
    query = Template(template.query).substitute(
        selector=selector, namespace=namespace, window=duration_text(window_s), window_s=f"{window_s:g}"
    )
    return " ".join(query.split())
