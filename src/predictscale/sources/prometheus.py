"""History from whatever speaks Prometheus' HTTP API: Prometheus, Thanos, Mimir, VictoriaMetrics.

Turns "the bins of [start, end)" into range queries and their answers into one
window. Refuses to guess: several series where one is meant are an error, and a
bin that was not over when it was asked for is a gap.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from predictscale.clock import Clock
from predictscale.core.demand import Signal
from predictscale.core.series import Floats, MetricWindow, floor_to_grid
from predictscale.errors import AnswerUnusable, HoldTarget, SourceUnavailable
from predictscale.meters import Meters
from predictscale.sources.base import Answer
from predictscale.sources.credentials import Basic, Bearer, Tls
from predictscale.sources.prometheus_http import PrometheusApi, Reply

__all__ = ["Basic", "Bearer", "PrometheusSource", "Tls"]

MOST_POINTS = 10_000
"""Of one query. Prometheus refuses more than 11,000."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_Labels = tuple[tuple[str, str], ...]


class PrometheusSource:
    """A `Source` that asks Prometheus.

    A bin's value is the query's value at the bin's end. Bins that end after the
    present, by the clock or by the server's Date, are gaps: Prometheus would
    repeat its last sample there.

    Args:
        url: Where it is, with a path prefix if it has one.
        meters: Where queries, errors, warnings and dropped samples are counted.
        clock: Tells which bins are over.
        auth: How to prove who asks; secrets are read from files.
        tls: Whom to trust.
        headers: Sent with each question, such as a tenant's `X-Scope-OrgID`.
        timeout_s: For one attempt [s].
        deadline_s: For one read, with its waits and retries [s]; by default as if every attempt timed out.
        max_concurrent: Questions at once.
        retries: Attempts after the first one.
        backoff_s: Wait before the first retry [s].
        body_limit_bytes: The largest answer, decompressed.

    Raises:
        SettingsError: The URL or a header cannot be one.
        FileUnusable: A certificate cannot be loaded.
    """

    def __init__(
        self,
        *,
        url: str,
        meters: Meters,
        clock: Clock,
        auth: Bearer | Basic | None = None,
        tls: Tls | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = 10.0,
        deadline_s: float | None = None,
        max_concurrent: int = 8,
        retries: int = 2,
        backoff_s: float = 0.5,
        body_limit_bytes: int = 32 * 2**20,
    ) -> None:
        self._meters = meters
        self._clock = clock
        self._deadline_s = deadline_s if deadline_s is not None else timeout_s * (retries + 1)
        self._api = PrometheusApi(
            url=url,
            clock=clock,
            auth=auth,
            tls=tls,
            headers=headers or {},
            timeout_s=timeout_s,
            max_concurrent=max_concurrent,
            retries=retries,
            backoff_s=backoff_s,
            body_limit_bytes=body_limit_bytes,
        )

    @property
    def skew_s(self) -> float | None:
        """How far the server's clock is ahead of the system's [s]; None until an answer told."""
        return self._api.skew_s

    async def read(self, signal: Signal, *, start: datetime, end: datetime, step_s: float) -> Answer:
        """The bins of [start, end); see `Source.read`.

        Where the query gives no series at all, a bin is a gap, or 0 if
        `signal.empty_is_zero` and the answer came without warnings.

        Raises:
            SourceUnavailable: No answer in time.
            SourceRefused: Prometheus understands the question and says no.
            AnswerUnusable: The answer is not one series of numbers.
        """
        over = min(end, floor_to_grid(self._clock.now(), step_s))
        points = _Points()
        async with self._accounted():
            for first, last in _chunks(start, over, step_s):
                reply = await self._ask(
                    "range",
                    {
                        "query": signal.query,
                        "start": _stamp(first),
                        "end": _stamp(last),
                        "step": f"{step_s:.3f}",
                    },
                )
                points.add(reply, until=last)
            return self._answer(points, start=start, end=end, step_s=step_s, fill=signal.empty_is_zero)

    async def instant(self, query: str, *, at: datetime) -> list[tuple[dict[str, str], float]]:
        """Every series of `query` at one instant: its labels and its value.

        Series whose value is not a usable number are left out and counted; so are
        warnings, which do not make this fail.

        Raises:
            HoldTarget: As `read`.
        """
        async with self._accounted():
            reply = await self._ask("instant", {"query": query, "time": _stamp(at)})
            self._count_warnings(reply.warnings)
            return self._usable(_vector(reply.data))

    async def aclose(self) -> None:
        """Close the connections."""
        await self._api.aclose()

    @asynccontextmanager
    async def _accounted(self) -> AsyncGenerator[None]:
        try:
            async with asyncio.timeout(self._deadline_s):
                yield
        except TimeoutError:
            self._meters.query_errors.labels(error=SourceUnavailable.__name__).inc()
            raise SourceUnavailable(
                f"no answer within {self._deadline_s:g} s, waits and retries included"
            ) from None
        except HoldTarget as error:
            self._meters.query_errors.labels(error=type(error).__name__).inc()
            raise

    async def _ask(self, kind: str, form: Mapping[str, str]) -> Reply:
        began_s = self._clock.monotonic_s()
        try:
            return await self._api.ask("/api/v1/query_range" if kind == "range" else "/api/v1/query", form)
        finally:
            self._meters.query_seconds.labels(kind=kind).observe(self._clock.monotonic_s() - began_s)

    def _answer(
        self, points: "_Points", *, start: datetime, end: datetime, step_s: float, fill: bool
    ) -> Answer:
        self._count_warnings(points.warnings)
        # Evaluated at a bin's end; a window's stamps are where bins begin.
        window, dropped = MetricWindow.from_samples(
            points.stamps_s - step_s, points.values, start=start, end=end, step_s=step_s
        )
        for reason in ("nan", "infinite", "negative", "duplicate", "unordered", "outside"):
            if count := getattr(dropped, reason):
                self._meters.dropped_samples.labels(reason=reason).inc(count)
        partial = bool(points.warnings)
        if fill and not partial:
            window = _zeros_where_empty(window, points)
        return Answer(window, partial=partial)

    def _usable(self, found: list[tuple[dict[str, str], float]]) -> list[tuple[dict[str, str], float]]:
        kept = []
        for labels, value in found:
            if np.isfinite(value) and value >= 0:
                kept.append((labels, value))
                continue
            reason = "nan" if np.isnan(value) else "infinite" if np.isinf(value) else "negative"
            self._meters.dropped_samples.labels(reason=reason).inc()
        return kept

    def _count_warnings(self, warnings: Sequence[str]) -> None:
        if warnings:
            self._meters.query_warnings.inc()


class _Points:
    """The points of several chunks, which must be of one series."""

    def __init__(self) -> None:
        self.stamps_s: Floats = np.empty(0)
        self.values: Floats = np.empty(0)
        self.warnings: tuple[str, ...] = ()
        self.known_until_s = -np.inf  # the last instant that the source could know
        self._series: set[_Labels] = set()

    def add(self, reply: Reply, *, until: datetime) -> None:
        """Take over one chunk, whose last point was asked for `until`."""
        table, series = _matrix(reply.data)
        self._series |= series
        if len(self._series) > 1:
            raise AnswerUnusable(_too_many(self._series))
        # Date is cut to whole seconds, so the server may be up to one further.
        self.known_until_s = (until - _EPOCH).total_seconds()
        if reply.date is not None:
            self.known_until_s = min(self.known_until_s, (reply.date - _EPOCH).total_seconds() + 1.0)
        table = table[table[:, 0] <= self.known_until_s]
        self.stamps_s = np.concatenate([self.stamps_s, table[:, 0]])
        self.values = np.concatenate([self.values, table[:, 1]])
        self.warnings += reply.warnings


def _chunks(start: datetime, end: datetime, step_s: float) -> Iterator[tuple[datetime, datetime]]:
    """First and last evaluation of each query for the bins of [start, end)."""
    step = timedelta(seconds=step_s)
    bins = round((end - start) / step)
    for first in range(0, bins, MOST_POINTS):
        last = min(first + MOST_POINTS, bins)
        yield start + (first + 1) * step, start + last * step


def _zeros_where_empty(window: MetricWindow, points: _Points) -> MetricWindow:
    ends_s = window.stamps_s + window.step_s
    origin_s = ends_s[0] if len(window) else 0.0
    places = np.rint((points.stamps_s - origin_s) / window.step_s).astype(np.int64)
    # A bin with a NaN sample is not empty: something is there, and it cannot be told what.
    empty = np.ones(len(window), dtype=bool)
    empty[places[(places >= 0) & (places < len(window))]] = False
    values = np.where(empty & (ends_s <= points.known_until_s), 0.0, window.values)
    return MetricWindow(window.start, window.step_s, values)


def _matrix(data: Mapping[str, Any]) -> tuple[Floats, set[_Labels]]:
    """Stamps and values (k, 2) of the only series, and the labels of all there are."""
    series = _result(data, "matrix")
    labels = {_labels(one) for one in series}
    if len(series) > 1:
        raise AnswerUnusable(_too_many(labels))
    if not series:
        return np.empty((0, 2)), set()
    try:
        return np.array([_sample(pair) for pair in series[0]["values"]]).reshape(-1, 2), labels
    except (KeyError, TypeError, ValueError):
        raise AnswerUnusable("the series has something other than pairs of a time and a number") from None


def _vector(data: Mapping[str, Any]) -> list[tuple[dict[str, str], float]]:
    try:
        if data.get("resultType") == "scalar":
            return [({}, _sample(data["result"])[1])]
        return [(dict(_labels(one)), _sample(one["value"])[1]) for one in _result(data, "vector")]
    except (KeyError, TypeError, ValueError):
        raise AnswerUnusable("a series has something other than a time and a number") from None


def _result(data: Mapping[str, Any], kind: str) -> list[dict[str, Any]]:
    result = data.get("result")
    if (
        data.get("resultType") != kind
        or not isinstance(result, list)
        or not all(isinstance(one, dict) for one in result)
    ):
        raise AnswerUnusable(f"the answer's resultType is {str(data.get('resultType'))[:40]!r}, not {kind}")
    return result


def _labels(series: Mapping[str, Any]) -> _Labels:
    labels = series.get("metric")
    if not isinstance(labels, dict):
        raise AnswerUnusable("a series comes without its labels")
    return tuple(sorted((str(name), str(value)) for name, value in labels.items()))


def _sample(pair: Any) -> tuple[float, float]:
    stamp, value = pair
    return float(stamp), float(value)


def _too_many(series: set[_Labels]) -> str:
    names = sorted({name for labels in series for name, _ in labels})
    told = []
    for name in names:
        values = sorted({dict(labels).get(name, "") for labels in series})
        if len(values) > 1:
            told.append(f"{name} ({', '.join(values[:3])}{', ...' if len(values) > 3 else ''})")
    return (
        f"{len(series)} series where one is meant; they differ in {'; '.join(told[:5])}. "
        "Aggregate them, for example with sum(...)"
    )


def _stamp(at: datetime) -> str:
    return f"{(at - _EPOCH).total_seconds():.3f}"
