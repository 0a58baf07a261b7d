"""What pods tell, laid out as rows."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
import pytest

from predictscale.config.windows import Column, Counts
from predictscale.control import podwindows
from predictscale.control.podwindows import Asked, PodReader, joined, newest
from predictscale.core.lawtaught import PodRows
from predictscale.errors import AnswerUnusable, SourceUnavailable
from predictscale.sources.base import Labelled
from told_pods import ASKED, WINDOWS, ToldPods

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


async def hour(source: ToldPods, asked: Asked = ASKED) -> PodRows:
    return await PodReader(source, asked).between(NOON - HOUR, NOON, width_s=60.0)


async def test_a_row_is_one_pod_in_one_minute() -> None:
    rows = await hour(ToldPods())
    assert len(rows) == 120
    assert np.bincount(rows.pods).tolist() == [60, 60]
    windows = rows.windows
    assert windows.ends_s.max() == NOON.timestamp()
    assert windows.ends_s.min() == (NOON - HOUR).timestamp() + 60
    assert windows.work == pytest.approx(windows.output_tokens_per_s * 60)
    assert windows.running == pytest.approx(windows.output_tokens_per_s * windows.itl_s)
    assert np.isfinite(windows.ttft_mean_s).all()


async def test_what_nobody_tells_is_unknown_and_not_nothing() -> None:
    untold = frozenset({Column.WAITING_SHARE, Column.PREEMPTIONS, Column.KV_USAGE, Column.TTFT_P95})
    windows = (await hour(ToldPods(untold=untold))).windows
    for column in (windows.waiting_share, windows.preemptions, windows.kv_usage, windows.ttft_p95_s):
        assert np.isnan(column).all()
    assert len(windows) == 120


async def test_a_pod_has_rows_only_while_it_is_there() -> None:
    late = NOON - timedelta(minutes=20)
    rows = await hour(ToldPods(pods={"old": None, "young": late}))
    young = rows.windows.ends_s[rows.pods == 1]
    assert young.size == 19
    # The minute in which it came is not whole.
    assert young.min() == late.timestamp() + 120


async def test_without_any_pod_one_question_is_enough() -> None:
    source = ToldPods(pods={})
    assert len(await hour(source)) == 0
    assert len(source.asked) == 1


async def test_where_requests_are_counted_each_is_a_token() -> None:
    asked = Asked(
        windows=WINDOWS.model_copy(update={"counts": Counts.REQUESTS}),
        selector=ASKED.selector,
        namespace=ASKED.namespace,
    )
    windows = (await hour(ToldPods(untold=frozenset({Column.REQUESTS})), asked)).windows
    assert (windows.input_tokens_per_s == 0).all()
    assert windows.requests == pytest.approx(windows.work)
    assert windows.output_tokens_per_s == pytest.approx(windows.work / 60)


async def test_series_without_a_pod_are_refused() -> None:
    with pytest.raises(AnswerUnusable, match="carry no label pod"):
        await hour(ToldPods(label="instance"))


@pytest.mark.parametrize("narrowest_s", [60.0, 120.0, 300.0])
async def test_windows_are_as_wide_as_scrapes_ask_for(narrowest_s: float) -> None:
    assert await PodReader(ToldPods(narrowest_s=narrowest_s), ASKED).width_s(NOON) == narrowest_s


async def test_without_pods_there_is_no_width() -> None:
    assert await PodReader(ToldPods(pods={}), ASKED).width_s(NOON) is None


async def test_the_past_is_read_from_the_newest_on_and_no_further_than_a_week() -> None:
    source = ToldPods(pods={"only": NOON - timedelta(days=2)})
    rows = await PodReader(source, ASKED).past(NOON, width_s=60.0)
    assert len(rows) == 2 * 1440 - 1
    counts = [(start, end) for query, start, end, _ in source.asked if query.startswith("latency_count")]
    assert counts[0] == (NOON - HOUR, NOON)
    assert all(earlier[1] == later[0] for later, earlier in pairwise(counts))
    assert counts[-1][0] == NOON - timedelta(days=7)
    assert max(end - start for start, end in counts) <= timedelta(days=1)


async def test_a_large_fleet_is_learned_from_hours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(podwindows, "MOST_ROWS", 500)
    source = ToldPods(pods={str(place): None for place in range(4)})
    rows = await PodReader(source, ASKED).past(NOON, width_s=60.0)
    assert len(rows) == 500
    assert rows.windows.ends_s.min() == NOON.timestamp() - 124 * 60
    assert min(start for _, start, _, _ in source.asked) >= NOON - timedelta(days=2)


async def test_rows_of_two_readings_know_a_pod_by_one_number() -> None:
    reader = PodReader(ToldPods(), ASKED)
    first = await reader.between(NOON - HOUR, NOON, width_s=60.0)
    second = await reader.between(NOON, NOON + HOUR, width_s=60.0)
    both = joined([first, second])
    assert np.bincount(both.pods).tolist() == [120, 120]
    assert newest(both).windows.ends_s.size == 240


async def test_a_replica_says_how_large_it_is() -> None:
    engine = await PodReader(ToldPods(), ASKED).engine(NOON)
    assert engine.kv_tokens == 16_000
    assert engine.max_running == 25_000


async def test_the_histogram_counts_a_day() -> None:
    first = await PodReader(ToldPods(), ASKED).first_tokens(NOON)
    assert first is not None
    assert np.isinf(first.bounds_s[-1])
    assert first.counts[-1] == pytest.approx(100 * 144)
    assert (np.diff(first.counts) >= 0).all()


async def test_a_source_that_is_down_says_so() -> None:
    with pytest.raises(SourceUnavailable):
        await hour(ToldPods(down=True))


class TwoSpellings(ToldPods):
    """As after an upgrade of Prometheus or of a part of the pods: `le="1"` until then, `le="1.0"` since."""

    async def read_each(
        self, query: str, *, start: datetime, end: datetime, step_s: float
    ) -> tuple[Labelled, ...]:
        """See `EachSource.read_each`."""
        found = await super().read_each(query, start=start, end=end, step_s=step_s)
        if not query.startswith("buckets"):
            return found
        again = [Labelled({"le": f"{one.labels['le']}00"}, one.window) for one in found[:-1]]
        return (*found, *again, found[-1])


async def test_a_bound_of_two_spellings_is_one_bucket() -> None:
    once = await PodReader(ToldPods(), ASKED).first_tokens(NOON)
    twice = await PodReader(TwoSpellings(), ASKED).first_tokens(NOON)
    assert once is not None
    assert twice is not None
    assert twice.bounds_s.tolist() == once.bounds_s.tolist()
    assert twice.counts == pytest.approx(2 * once.counts)
