"""A source that tells pods apart, whose windows obey a stated law: what learning reads, without PromQL."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np

from made_windows import CHAT, TRUE
from predictscale.config.windows import Column, Counts, Limit, PodQuery, PodWindows
from predictscale.control.podwindows import Asked
from predictscale.core.law import Law, Mix
from predictscale.core.series import Floats, MetricWindow
from predictscale.errors import SourceUnavailable
from predictscale.sources.base import Labelled

WINDOWS = PodWindows(
    counts=Counts.TOKENS,
    columns={column: PodQuery(query=f"{column}{{$selector}}[$window]") for column in Column},
    ttft_buckets=PodQuery(query="buckets{$selector}[$window]"),
    limits={
        Limit.KV_TOKENS: PodQuery(query="kv_tokens{$selector}", times=("blocks", "size")),
        Limit.MAX_RUNNING: PodQuery(query="max_running{$selector}"),
    },
)
ASKED = Asked(windows=WINDOWS, selector='namespace="prod"', namespace='namespace="prod"')


@dataclass
class ToldPods:
    """Pods under loads drawn from their minute: the same minute is told alike whenever it is asked for.

    Args:
        law: What they obey, with a line of the time to first token.
        mix: The mean request.
        pods: When each was first there; None is always.
        top: The highest utilisation.
        untold: Columns that nobody tells.
        narrowest_s: Windows narrower than this hold too few scrapes.
        label: By which replicas are told apart.
    """

    law: Law = TRUE
    mix: Mix = CHAT
    pods: Mapping[str, datetime | None] = field(default_factory=lambda: {"chat-1": None, "chat-2": None})
    top: float = 0.35
    untold: frozenset[Column] = frozenset()
    narrowest_s: float = 60.0
    label: str = "pod"
    down: bool = False
    asked: list[tuple[str, datetime, datetime, float]] = field(default_factory=list)

    async def read_each(
        self, query: str, *, start: datetime, end: datetime, step_s: float
    ) -> tuple[Labelled, ...]:
        """See `EachSource.read_each`."""
        self.asked.append((query, start, end, step_s))
        if self.down:
            raise SourceUnavailable("switched off")
        name, _, rest = query.partition("{")
        bins = round((end - start).total_seconds() / step_s)
        ends_s = start.timestamp() + step_s * np.arange(1, bins + 1, dtype=np.float64)
        if name in tuple(Limit):
            told = 25_000.0 if name == Limit.MAX_RUNNING else 1.0
            sizes = {"blocks": "1000", "size": "16"}
            values = np.full(bins, told)
            return tuple(
                Labelled({self.label: pod, **sizes}, MetricWindow(start, step_s, values)) for pod in self.pods
            )
        if name == "buckets":
            return self._buckets(start, bins, step_s)
        width_s = {"1m": 60.0, "2m": 120.0, "5m": 300.0}[rest.rpartition("[")[2].rstrip("]")]
        if Column(name) in self.untold or width_s < self.narrowest_s:
            return ()
        found = []
        for place, (pod, since) in enumerate(self.pods.items()):
            values = self._column(Column(name), ends_s, place)
            if since is not None:
                values = np.where(ends_s > since.timestamp() + width_s, values, np.nan)
            found.append(Labelled({self.label: pod}, MetricWindow(start, step_s, values)))
        return tuple(found)

    def _column(self, column: Column, ends_s: Floats, place: int) -> Floats:
        draws = np.column_stack([_scattered(ends_s, 3 * place + part) for part in range(3)])
        loads = 0.03 + (self.top - 0.03) * draws[:, 0]
        ratio = self.mix.uncached_tokens / self.mix.output_tokens * (0.8 + 0.4 * draws[:, 1])
        output = loads / (self.law.beta_s + self.law.gamma_s * ratio)
        itl_s = self.law.alpha_s / (1 - loads) * (0.97 + 0.06 * draws[:, 2])
        assert self.law.ttft is not None
        stretch = loads / (1 - loads)
        ttft_s = self.mix.uncached_tokens * (self.law.ttft.base_s + self.law.ttft.slope_s * stretch)
        columns = {
            Column.LATENCY_TIME: output * itl_s,
            Column.LATENCY_COUNT: output,
            Column.OUTPUT_TOKENS: output,
            Column.INPUT_TOKENS: output * ratio,
            Column.PROMPT_TOKENS: output * ratio / (1 - self.mix.cached_share),
            Column.REQUESTS: output * 60 / self.mix.output_tokens,
            Column.RUNNING: output * itl_s,
            Column.TTFT_P95: ttft_s,
            Column.TTFT_MEAN: ttft_s / 2,
            Column.WAITING_SHARE: np.zeros(ends_s.size),
            Column.PREEMPTIONS: np.zeros(ends_s.size),
            Column.POD_AGE: np.full(ends_s.size, 7200.0),
            Column.KV_USAGE: np.full(ends_s.size, 0.3),
        }
        return columns[column]

    def _buckets(self, start: datetime, bins: int, step_s: float) -> tuple[Labelled, ...]:
        """Exponential about the mean that the columns tell, roughly."""
        assert self.law.ttft is not None
        mean_s = self.mix.uncached_tokens * self.law.ttft.base_s / 2
        bounds = ("0.025", "0.05", "0.1", "0.25", "0.5", "1.0", "+Inf")
        return tuple(
            Labelled(
                {"le": bound},
                MetricWindow(start, step_s, np.full(bins, 100 * (1 - np.exp(-float(bound) / mean_s)))),
            )
            for bound in bounds
        )


def _scattered(ends_s: Floats, salt: int) -> Floats:
    """A number in [0, 1) for each instant, in no order; the same whenever it is asked for."""
    mixed = (ends_s.astype(np.uint64) + np.uint64(salt * 1_000_003)) * np.uint64(0x9E3779B97F4A7C15)
    mixed ^= mixed >> np.uint64(29)
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    scattered: Floats = (mixed >> np.uint64(11)).astype(np.float64) / 2.0**53
    return scattered
