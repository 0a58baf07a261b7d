"""Reads what each pod did, window by window, and lays it out as rows that a law is learned from.

A query for each column, a day or less at a time, the newest first: a week of one pod is ten
thousand windows, and Prometheus answers for one column of them in less than a second. No more
than `MOST_ROWS` are kept, so a large fleet is learned from hours and a small one from days.

Refuses series that do not say which pod they are of: their sum would pass for one replica.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from itertools import chain

import numpy as np

from predictscale.config.windows import Column, Counts, Limit, PodWindows
from predictscale.core.lawcapacity import Engine
from predictscale.core.lawtaught import FirstTokens, PodRows
from predictscale.core.lawwindows import KEEP_S, Windows
from predictscale.core.series import Floats, floor_to_grid
from predictscale.errors import AnswerUnusable
from predictscale.sources.base import EachSource, Labelled

WIDTHS_S = (60.0, 120.0, 300.0)
"""Widths of a window, the first that scrapes are frequent enough for [s]."""

MOST_ROWS = 40_000
"""Windows that are kept and learned from: five megabytes."""

_HOUR_S, _DAY_S = 3600.0, 86_400.0
_AT_ONCE = 20_000
_PROBED_EVERY_S = 900.0
_NEARLY = 0.8
_SIZED_S = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Whose windows, and by which templates.

    Args:
        windows: The backend's section.
        selector: Label matchers of the workload, as `promql.parse_selector` writes them.
        namespace: The matcher of its namespace alone.
    """

    windows: PodWindows
    selector: str
    namespace: str


class PodReader:
    """Reads one workload's windows.

    Args:
        source: Where they are told.
        asked: Which.
    """

    def __init__(self, source: EachSource, asked: Asked) -> None:
        self._source, self._asked = source, asked
        self._numbers: dict[str, int] = {}

    async def width_s(self, end: datetime) -> float | None:
        """The narrowest width whose windows hold enough scrapes; None if no pod told anything for a day.

        Raises:
            HoldTarget: The source does not answer.
        """
        grid = floor_to_grid(end, _PROBED_EVERY_S)
        told = []
        for width_s in WIDTHS_S:
            query = self._queries(width_s)[Column.LATENCY_COUNT]
            found = await self._source.read_each(
                query, start=grid - timedelta(seconds=_DAY_S), end=grid, step_s=_PROBED_EVERY_S
            )
            told.append(sum(int(one.window.known.sum()) for one in found))
        if not told[-1]:
            return None
        return next(w for w, count in zip(WIDTHS_S, told, strict=True) if count >= _NEARLY * told[-1])

    async def past(self, end: datetime, *, width_s: float) -> PodRows:
        """All rows of the last days before `end`, the newest `MOST_ROWS` of them.

        Raises:
            HoldTarget: The source does not answer.
        """
        parts: list[PodRows] = []
        rows, span_s, before = 0, _HOUR_S, end
        oldest = end - timedelta(seconds=KEEP_S)
        while before > oldest and rows < MOST_ROWS:
            start = max(before - timedelta(seconds=span_s), oldest)
            part = await self.between(start, before, width_s=width_s)
            parts.append(part)
            rows += len(part)
            before = start
            pods = max(1, np.unique(part.pods).size)
            span_s = min(max(_AT_ONCE / pods * width_s // _HOUR_S * _HOUR_S, _HOUR_S), _DAY_S)
        return newest(joined(parts))

    async def between(self, start: datetime, end: datetime, *, width_s: float) -> PodRows:
        """The rows of the windows in [start, end), which lie on the grid of `width_s`.

        Raises:
            HoldTarget: The source does not answer, or tells no pods apart.
        """
        queries = self._queries(width_s)
        first = await self._table(queries.pop(Column.LATENCY_COUNT), start, end, width_s)
        table = {Column.LATENCY_COUNT: first}
        if first:
            for column, query in queries.items():
                table[column] = await self._table(query, start, end, width_s)
        for pod in first:
            self._numbers.setdefault(pod, len(self._numbers))
        return _rows(table, self._asked.windows.counts, self._numbers, start=start, end=end, width_s=width_s)

    async def engine(self, end: datetime) -> Engine:
        """What replicas say of their own size; the median of the pods.

        Raises:
            HoldTarget: The source does not answer.
        """
        told: dict[Limit, float] = {}
        grid = floor_to_grid(end, _SIZED_S)
        queries = self._asked.windows.limit_queries(
            selector=self._asked.selector, namespace=self._asked.namespace
        )
        for limit, (query, times) in queries.items():
            start = grid - timedelta(seconds=_SIZED_S)
            found = await self._source.read_each(query, start=start, end=grid, step_s=_SIZED_S)
            if sizes := self._sizes(found, times):
                told[limit] = float(np.median(sizes))
        running = told.get(Limit.MAX_RUNNING)
        return Engine(
            kv_tokens=told.get(Limit.KV_TOKENS), max_running=None if running is None else round(running)
        )

    async def first_tokens(self, end: datetime) -> FirstTokens | None:
        """The histogram of the time to first token of the last day; None if it is not told.

        Raises:
            HoldTarget: The source does not answer.
        """
        query = self._asked.windows.buckets_query(
            selector=self._asked.selector, namespace=self._asked.namespace, window_s=_SIZED_S
        )
        if query is None:
            return None
        grid = floor_to_grid(end, _SIZED_S)
        found = await self._source.read_each(
            query, start=grid - timedelta(seconds=_DAY_S), end=grid, step_s=_SIZED_S
        )
        by_bound: dict[float, float] = {}
        for one in found:
            if "le" in one.labels:
                # Of one bound there may be two spellings, `1` and `1.0`, each with requests of its own.
                bound_s = float(one.labels["le"])
                by_bound[bound_s] = by_bound.get(bound_s, 0.0) + float(np.nansum(one.window.values))
        if not by_bound:
            return None
        bounds_s = np.array(sorted(by_bound))
        counts = np.array([by_bound[bound_s] for bound_s in bounds_s.tolist()])
        return FirstTokens(bounds_s=bounds_s, counts=np.maximum.accumulate(counts))

    def _queries(self, width_s: float) -> dict[Column, str]:
        asked = self._asked
        return asked.windows.queries(selector=asked.selector, namespace=asked.namespace, window_s=width_s)

    async def _table(self, query: str, start: datetime, end: datetime, width_s: float) -> dict[str, Floats]:
        """A column's values by pod, shape (bins,)."""
        found = await self._source.read_each(query, start=start, end=end, step_s=width_s)
        return {self._pod(one): one.window.values for one in found if one.window.known.any()}

    def _pod(self, one: Labelled) -> str:
        label = self._asked.windows.pod
        if not one.labels.get(label):
            raise AnswerUnusable(f"its series carry no label {label}, so replicas cannot be told apart")
        return one.labels[label]

    def _sizes(self, found: Sequence[Labelled], times: Sequence[str]) -> list[float]:
        """A limit of each pod, its engines added up; what is no number is left out."""
        sizes: dict[str, float] = {}
        for one in found:
            newest_value = one.window.newest
            if newest_value is None:
                continue
            try:
                size = newest_value[1] * float(np.prod([float(one.labels[label]) for label in times]))
            except (KeyError, ValueError):
                continue
            pod = self._pod(one)
            sizes[pod] = sizes.get(pod, 0.0) + size
        return [size for size in sizes.values() if np.isfinite(size) and size > 0]


def joined(parts: Sequence[PodRows]) -> PodRows:
    """The rows of several readings of one reader, with windows of one width."""
    assert parts  # noqa: S101 - our own bug
    names = [column.name for column in fields(Windows) if column.name != "window_s"]
    columns = {name: np.concatenate([getattr(part.windows, name) for part in parts]) for name in names}
    return PodRows(
        windows=Windows(window_s=parts[0].windows.window_s, **columns),
        pods=np.concatenate([part.pods for part in parts]),
        prompt_tokens_per_s=np.concatenate([part.prompt_tokens_per_s for part in parts]),
        since_s=min(part.since_s for part in parts),
    )


def newest(rows: PodRows) -> PodRows:
    """The newest `MOST_ROWS` of them, in an order that does not depend on when which was read."""
    windows = rows.windows
    order = np.lexsort((windows.itl_s, windows.work, windows.ends_s))
    kept = rows.where(order[-MOST_ROWS:])
    if len(kept) < len(rows):
        kept = replace(kept, since_s=max(kept.since_s, float(kept.windows.ends_s.min())))
    return kept


def _rows(
    table: Mapping[Column, Mapping[str, Floats]],
    counts: Counts,
    numbers: Mapping[str, int],
    *,
    start: datetime,
    end: datetime,
    width_s: float,
) -> PodRows:
    """One row for each pod and bin in which it told its latencies' count."""
    pods = sorted(table[Column.LATENCY_COUNT])
    bins = round((end - start).total_seconds() / width_s)
    ends_s = start.timestamp() + width_s * np.arange(1, bins + 1)
    unknown = np.full(bins, np.nan)

    def column(name: Column) -> Floats:
        by_pod = table.get(name, {})
        told = chain.from_iterable(by_pod.get(pod, unknown) for pod in pods)
        return np.fromiter(told, dtype=np.float64, count=len(pods) * bins)

    count = column(Column.LATENCY_COUNT)
    there = ~np.isnan(count)
    time_s = column(Column.LATENCY_TIME)
    itl_s = np.full(count.size, np.nan)
    np.divide(time_s, count, out=itl_s, where=count > 0)
    tokens = counts is Counts.TOKENS
    requests = column(Column.REQUESTS)
    windows = Windows(
        ends_s=np.tile(ends_s, len(pods)),
        itl_s=itl_s,
        output_tokens_per_s=column(Column.OUTPUT_TOKENS) if tokens else count,
        input_tokens_per_s=column(Column.INPUT_TOKENS) if tokens else np.where(there, 0.0, np.nan),
        work=count * width_s,
        requests=requests if tokens else np.where(np.isnan(requests), count * width_s, requests),
        running=column(Column.RUNNING),
        ttft_p95_s=column(Column.TTFT_P95),
        ttft_mean_s=column(Column.TTFT_MEAN),
        waiting_share=column(Column.WAITING_SHARE),
        preemptions=column(Column.PREEMPTIONS),
        pod_age_s=column(Column.POD_AGE),
        kv_usage=column(Column.KV_USAGE),
        window_s=width_s,
    )
    rows = PodRows(
        windows=windows,
        pods=np.repeat(np.array([numbers[pod] for pod in pods], dtype=np.int64), bins),
        prompt_tokens_per_s=column(Column.PROMPT_TOKENS),
        since_s=start.timestamp(),
    )
    return rows.where(there)
