"""History from whatever speaks Prometheus' HTTP API: Prometheus, Thanos, Mimir, VictoriaMetrics.

Turns "the bins of [start, end)" into range queries and their answers into one
window, or into one for each series. Refuses to guess: several series where one
is meant are an error, and a bin that was not over when it was asked for is a gap.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

import numpy as np

from predictscale.clock import Clock
from predictscale.core.demand import Signal
from predictscale.core.series import Dropped, Floats, MetricWindow, floor_to_grid
from predictscale.errors import AnswerUnusable, HoldTarget, PartialAnswer, SourceUnavailable
from predictscale.meters import Meters
from predictscale.sources.base import Answer, Labelled
from predictscale.sources.credentials import Basic, Bearer, Tls
from predictscale.sources.points import EPOCH, Points, vector
from predictscale.sources.prometheus_http import PrometheusApi, Reply

__all__ = ["Basic", "Bearer", "PrometheusSource", "Tls"]

MOST_POINTS = 10_000
"""Of one query. Prometheus refuses more than 11,000."""

MOST_SERIES = 2_000
"""Of one query that tells series apart."""

MOST_BINS = 4_000_000
"""Of all windows of one such answer: 32 MB of numbers."""

_AT_ONCE = 25_000
"""Points of one such query, as far as can be told before: half a megabyte of JSON, 10 ms of reading it."""

_FIRST_BINS = 250
_GROWTH = 4


class PrometheusSource:
    """A `Source` and an `EachSource` that asks Prometheus.

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
        points = Points(most=1)
        async with self._accounted():
            for first, last in _chunks(start, over, step_s):
                points.add(await self._range(signal.query, first, last, step_s), until=last)
            return self._answer(points, start=start, end=end, step_s=step_s, fill=signal.empty_is_zero)

    async def read_each(
        self, query: str, *, start: datetime, end: datetime, step_s: float
    ) -> tuple[Labelled, ...]:
        """The bins of [start, end) of every series, by label; see `EachSource.read_each`.

        How much is asked for at once follows from how many series came before, so
        that no answer keeps the process busy for long or fills its memory.

        Raises:
            SourceUnavailable: No answer in time.
            SourceRefused: Prometheus understands the question and says no.
            PartialAnswer: Prometheus warns that data is missing.
            AnswerUnusable: The answer is not series of numbers, or is more than
                `MOST_SERIES` series or `MOST_BINS` bins.
        """
        over = min(end, floor_to_grid(self._clock.now(), step_s))
        bins = max(0, round((end - start).total_seconds() / step_s))
        points = Points(most=MOST_SERIES)
        async with self._accounted():
            first, size = start, _FIRST_BINS
            while first < over:
                last = min(first + timedelta(seconds=size * step_s), over)
                reply = await self._range(query, first + timedelta(seconds=step_s), last, step_s)
                told = points.add(reply, until=last)
                self._refuse_partial(points)
                if len(points) * bins > MOST_BINS:
                    raise AnswerUnusable(
                        f"{len(points)} series of {bins} bins, more than {MOST_BINS} bins together; "
                        "narrow the query, or ask for less time"
                    )
                first, size = last, min(max(1, _AT_ONCE // max(told, 1)), _GROWTH * size, MOST_POINTS)
            return tuple(
                Labelled(dict(labels), self._window(stamps_s, values, start=start, end=end, step_s=step_s))
                for labels, stamps_s, values in points.each()
            )

    async def instant(
        self, query: str, *, at: datetime, whole: bool = False
    ) -> list[tuple[dict[str, str], float]]:
        """Every series of `query` at one instant: its labels and its value.

        Series whose value is not a usable number are left out and counted; so are
        warnings, which do not make this fail unless the answer has to be `whole`.

        Raises:
            PartialAnswer: It has to be whole, and Prometheus warns that data is missing.
            HoldTarget: As `read`.
        """
        async with self._accounted():
            reply = await self._ask("instant", {"query": query, "time": _stamp(at)})
            self._count_warnings(reply.warnings)
            if whole and reply.warnings:
                raise PartialAnswer(f"the source warns: {reply.warnings[0]}")
            return self._usable(vector(reply.data))

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

    async def _range(self, query: str, first: datetime, last: datetime, step_s: float) -> Reply:
        """The query at every step from its first evaluation to its last."""
        form = {"query": query, "start": _stamp(first), "end": _stamp(last), "step": f"{step_s:.3f}"}
        return await self._ask("range", form)

    async def _ask(self, kind: str, form: Mapping[str, str]) -> Reply:
        began_s = self._clock.monotonic_s()
        try:
            return await self._api.ask("/api/v1/query_range" if kind == "range" else "/api/v1/query", form)
        finally:
            self._meters.query_seconds.labels(kind=kind).observe(self._clock.monotonic_s() - began_s)

    def _answer(self, points: Points, *, start: datetime, end: datetime, step_s: float, fill: bool) -> Answer:
        self._count_warnings(points.warnings)
        stamps_s, values = points.only()
        window = self._window(stamps_s, values, start=start, end=end, step_s=step_s)
        partial = bool(points.warnings)
        if fill and not partial:
            window = _zeros_where_empty(window, stamps_s, points.known_until_s)
        return Answer(window, partial=partial)

    def _window(
        self, stamps_s: Floats, values: Floats, *, start: datetime, end: datetime, step_s: float
    ) -> MetricWindow:
        # Evaluated at a bin's end; a window's stamps are where bins begin.
        window, dropped = MetricWindow.from_samples(
            stamps_s - step_s, values, start=start, end=end, step_s=step_s
        )
        self._count_dropped(dropped)
        return window

    def _count_dropped(self, dropped: Dropped) -> None:
        for reason in ("nan", "infinite", "negative", "duplicate", "unordered", "outside"):
            if count := getattr(dropped, reason):
                self._meters.dropped_samples.labels(reason=reason).inc(count)

    def _refuse_partial(self, points: Points) -> None:
        if points.warnings:
            self._count_warnings(points.warnings)
            raise PartialAnswer(f"the source warns: {points.warnings[0]}")

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


def _chunks(start: datetime, end: datetime, step_s: float) -> Iterator[tuple[datetime, datetime]]:
    """First and last evaluation of each query for the bins of [start, end)."""
    step = timedelta(seconds=step_s)
    bins = round((end - start) / step)
    for first in range(0, bins, MOST_POINTS):
        last = min(first + MOST_POINTS, bins)
        yield start + (first + 1) * step, start + last * step


def _zeros_where_empty(window: MetricWindow, stamps_s: Floats, known_until_s: float) -> MetricWindow:
    ends_s = window.stamps_s + window.step_s
    origin_s = ends_s[0] if len(window) else 0.0
    places = np.rint((stamps_s - origin_s) / window.step_s).astype(np.int64)
    # A bin with a NaN sample is not empty: something is there, and it cannot be told what.
    empty = np.ones(len(window), dtype=bool)
    empty[places[(places >= 0) & (places < len(window))]] = False
    values = np.where(empty & (ends_s <= known_until_s), 0.0, window.values)
    return MetricWindow(window.start, window.step_s, values)


def _stamp(at: datetime) -> str:
    return f"{(at - EPOCH).total_seconds():.3f}"
