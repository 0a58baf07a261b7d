"""Capacity that learns: when it reads, what is in force, and what a restart finds."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from made_windows import CHAT, TRUE
from predictscale.control.learning import (
    ANSWERED_S,
    EVERY_S,
    SETTLE_S,
    YOUNG_EVERY_S,
    CapacityLearner,
    Lesson,
    Pupil,
    taught_by,
)
from predictscale.control.learnshelf import InForce, LearnShelf
from predictscale.control.podwindows import PodReader
from predictscale.core.capacity import Origin
from predictscale.core.demand import WorkloadId
from predictscale.core.law import LatencyTargets, Law, Mix, TtftLine
from predictscale.core.lawcapacity import CapacityLaw, Engine
from predictscale.core.lawfit import LawFit
from predictscale.core.lawguards import Learned, Seen
from predictscale.core.lawtaught import Taught
from predictscale.core.lawwindows import LeftOut
from predictscale.errors import FitFailed
from predictscale.meters import Meters
from predictscale.sources.history import History
from told_pods import ASKED, ToldPods

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
SLO = LatencyTargets(itl_s=0.05, ttft_p95_s=1.0)
SHOP = WorkloadId("prod", "shop")
TICK = timedelta(seconds=15)


def law(*, mix: Mix | None, learned: Learned | None, engine: Engine, peakedness: float) -> CapacityLaw:
    assert peakedness >= 1
    return CapacityLaw(slo=SLO, mix=mix, learned=learned if mix is not None else None, engine=engine)


async def at_once(lesson: Lesson) -> Taught:
    return taught_by(lesson)


def cache() -> History:
    return History(path=None, meters=Meters())


def learner(
    source: ToldPods | None,
    *,
    history: History | None = None,
    engine: Engine | None = None,
    teach: Callable[[Lesson], Awaitable[Taught]] = at_once,
) -> CapacityLearner:
    return CapacityLearner(
        Pupil(workload=SHOP, key="shop", law=law, slo=SLO, engine=engine or Engine()),
        reader=None if source is None else PodReader(source, ASKED),
        teach=teach,
        shelf=LearnShelf(history or cache()),
    )


async def live(one: CapacityLearner, start: datetime, *, for_s: float, every_s: float = 60.0) -> datetime:
    """Ticks from `start` on, each with what it begins in the background; the last tick."""
    at = start
    for place in range(round(for_s / every_s) + 1):
        at = start + timedelta(seconds=place * every_s)
        one.start_due(at)
        await one.settled()
    return at


def boundary(one: CapacityLearner, at: datetime) -> float:
    capacity = one.capacity_at(at, mix=CHAT)
    assert isinstance(capacity, CapacityLaw)
    assert capacity.learned is not None
    assert capacity.learned.fit is not None
    return capacity.learned.fit.law.boundary(SLO, CHAT).utilization


async def test_what_pods_did_becomes_the_capacity() -> None:
    one = learner(ToldPods())
    await one.wake()
    assert one.capacity_at(NOON, mix=CHAT) is None
    last = await live(one, NOON, for_s=900)
    capacity = one.capacity_at(last, mix=None)
    assert capacity is not None
    assert capacity.origin is Origin.LEARNED
    assert boundary(one, last) == pytest.approx(TRUE.boundary(SLO, CHAT).utilization, rel=0.1)
    assert isinstance(capacity, CapacityLaw)
    # Nobody gave a mean request, so that of the windows stands in.
    assert capacity.mix is not None
    assert capacity.mix.output_tokens == pytest.approx(CHAT.output_tokens, rel=0.01)
    assert capacity.engine.kv_tokens == 16_000


async def test_the_mean_request_that_the_tracker_follows_comes_first() -> None:
    one = learner(ToldPods())
    last = await live(one, NOON, for_s=900)
    other = Mix(input_tokens=100, output_tokens=50)
    capacity = one.capacity_at(last, mix=other)
    assert isinstance(capacity, CapacityLaw)
    assert capacity.mix == other


async def test_the_owners_word_on_an_engine_comes_first() -> None:
    one = learner(ToldPods(), engine=Engine(kv_tokens=5000, max_batched_tokens=2048))
    capacity = one.capacity_at(await live(one, NOON, for_s=900), mix=None)
    assert isinstance(capacity, CapacityLaw)
    assert capacity.engine == Engine(kv_tokens=5000, max_running=25_000, max_batched_tokens=2048)


async def test_it_holds_from_the_stated_time_after_its_boundary_and_not_before() -> None:
    one = learner(ToldPods())
    last = await live(one, NOON, for_s=2 * EVERY_S)
    newest = one.taught_at(last)
    assert newest is not None
    since = newest.at + timedelta(seconds=SETTLE_S + ANSWERED_S)
    before = one.taught_at(since - TICK)
    assert before is not None
    assert before.at < newest.at
    assert one.taught_at(since + timedelta(seconds=60)) is newest


async def test_what_took_long_to_learn_holds_from_when_it_was_due_as_it_does_elsewhere() -> None:
    may_end = asyncio.Event()

    async def slow(lesson: Lesson) -> Taught:
        await may_end.wait()
        return taught_by(lesson)

    one = learner(ToldPods(), teach=slow)
    for minute in range(30):
        one.start_due(NOON + timedelta(minutes=minute))
        await asyncio.sleep(0)
    may_end.set()
    await one.settled()
    late = NOON + timedelta(minutes=30)
    one.start_due(late)
    told = one.taught_at(late)
    assert told is not None
    assert told.at <= NOON
    due = told.at + timedelta(seconds=SETTLE_S + ANSWERED_S)
    assert one.taught_at(due) is told
    assert one.taught_at(due - TICK) is None
    await one.stop()


async def test_two_replicas_that_started_apart_obey_the_same_at_the_same_tick() -> None:
    first, second = learner(ToldPods()), learner(ToldPods())
    last = await live(first, NOON, for_s=3 * EVERY_S)
    assert await live(second, NOON + timedelta(seconds=EVERY_S / 2), for_s=2.5 * EVERY_S) == last
    one, other = first.taught_at(last), second.taught_at(last)
    assert one is not None
    assert other is not None
    assert (one.at, one.mix, one.peakedness) == (other.at, other.mix, other.peakedness)
    assert boundary(first, last) == pytest.approx(boundary(second, last), rel=1e-9)


async def test_a_restart_finds_what_was_in_force_at_every_tick_before() -> None:
    history = cache()
    one = learner(ToldPods(), history=history)
    last = await live(one, NOON, for_s=2 * EVERY_S)
    await one.stop()
    again = learner(ToldPods(down=True), history=history)
    await again.wake()
    ticks = [last - place * timedelta(seconds=300) for place in range(24)]
    assert [again.taught_at(at) for at in ticks] == [one.taught_at(at) for at in ticks]
    assert len({None if told is None else told.at for told in map(one.taught_at, ticks)}) > 1


async def test_after_the_first_time_only_what_is_new_is_asked_for() -> None:
    source = ToldPods()
    one = learner(source)
    last = await live(one, NOON, for_s=900)
    asked = len(source.asked)
    await live(one, last + timedelta(seconds=60), for_s=EVERY_S)
    new = [(start, end) for query, start, end, _ in source.asked[asked:] if query.startswith("running")]
    assert len(new) >= 1
    assert all(end - start <= timedelta(seconds=EVERY_S) for start, end in new)


async def test_while_there_is_no_law_it_is_tried_for_more_often() -> None:
    source = ToldPods(pods={"new": NOON - timedelta(minutes=5)})
    one = learner(source)
    last = await live(one, NOON, for_s=1800)
    told = one.taught_at(last)
    assert told is not None
    assert told.learned.fit is None
    assert "usable windows" in told.learned.why_not
    later = await live(one, last, for_s=5400)
    told = one.taught_at(later)
    assert told is not None
    assert told.learned.fit is not None
    # The youngest minutes of a pod say nothing of what it does when it is warm.
    assert told.learned.fit.left_out.cold == pytest.approx(9, abs=1)


async def test_a_source_that_is_down_leaves_the_last_law_in_force_and_is_asked_again_soon() -> None:
    source = ToldPods()
    one = learner(source)
    last = await live(one, NOON, for_s=900)
    assert one.notes_at(last) == ()
    source.down = True
    later = await live(one, last, for_s=2 * EVERY_S)
    assert one.notes_at(later) == ("capacity is not learned anew: switched off",)
    assert boundary(one, later) == boundary(one, last)
    source.down = False
    source.asked.clear()
    mended = await live(one, later, for_s=YOUNG_EVERY_S + 60)
    assert source.asked
    assert one.notes_at(mended) == ()


async def test_a_worker_that_dies_is_said_and_survived() -> None:
    async def dies(_: Lesson) -> Taught:
        raise FitFailed("its worker died")

    one = learner(ToldPods(), teach=dies)
    last = await live(one, NOON, for_s=900)
    assert one.capacity_at(last, mix=CHAT) is None
    assert one.notes_at(last) == ("capacity is not learned anew: its worker died",)


async def test_a_fleet_that_sleeps_is_no_fault_of_the_source() -> None:
    one = learner(ToldPods(pods={}))
    last = await live(one, NOON, for_s=900)
    assert one.capacity_at(last, mix=CHAT) is None
    assert "no pod told anything" in one.notes_at(last)[0]


async def test_where_pods_cannot_be_told_apart_the_settings_hold_and_a_note_says_so() -> None:
    one = learner(None)
    await one.wake()
    last = await live(one, NOON, for_s=900)
    assert one.capacity_at(last, mix=CHAT) is None
    assert "cannot be learned" in one.notes_at(last)[0]
    await one.stop()


async def test_before_anything_was_learned_a_note_says_what_holds() -> None:
    assert "no windows were learned from yet" in learner(ToldPods()).notes_at(NOON)[0]


numbers = st.floats(1e-9, 1e6)


@given(st.tuples(numbers, numbers, numbers, numbers), st.integers(0, 10**6), st.sets(st.sampled_from("ft")))
async def test_what_is_kept_comes_back_as_it_was(
    drawn: tuple[float, float, float, float], count: int, has: set[str]
) -> None:
    alpha, beta, seen, tokens = drawn
    has_fit, has_ttft = "f" in has, "t" in has
    fit = LawFit(
        law=Law(
            alpha_s=alpha,
            beta_s=beta,
            gamma_s=beta / 3,
            ttft=TtftLine(base_s=alpha, slope_s=beta) if has_ttft else None,
        ),
        errors_s=(alpha, beta, 0.0),
        slope_error=beta,
        mape=alpha,
        windows=count,
        highest_utilization=beta,
        span_s=3600.0,
        left_out=LeftOut(cold=count),
    )
    taught = Taught(
        at=NOON,
        learned=Learned(
            fit=fit if has_fit else None,
            why_not="" if has_fit else "too few",
            seen=Seen(output_cost=beta, input_cost=0.0, best=seen if has_ttft else None),
        ),
        mix=Mix(input_tokens=tokens, output_tokens=tokens, cached_share=0.3) if has_fit else None,
        engine=Engine(kv_tokens=tokens, max_running=7),
        peakedness=1.5,
        pods=3,
    )
    shelf = LearnShelf(cache())
    kept = (InForce(since=NOON, taught=taught), InForce(since=NOON + TICK, taught=replace(taught, pods=4)))
    await shelf.put("shop", kept)
    assert await shelf.get("shop") == kept
    assert await shelf.get("other") == ()


@pytest.mark.parametrize("blob", [b"", b"{}", b'{"schema": 99, "kept": []}', b'{"schema": 1, "kept": [{}]}'])
async def test_damage_on_disk_is_learned_anew(blob: bytes) -> None:
    history = cache()
    await history.blob_put("shop#capacity", blob)
    assert await LearnShelf(history).get("shop") == ()


async def test_after_a_long_outage_the_past_is_read_in_parts_again() -> None:
    source = ToldPods()
    one = learner(source)
    last = await live(one, NOON, for_s=900)
    source.down = True
    after = last + timedelta(days=5)
    one.start_due(after)
    await one.settled()
    source.down = False
    source.asked.clear()
    await live(one, after + timedelta(seconds=YOUNG_EVERY_S), for_s=900)
    spans = [end - start for query, start, end, _ in source.asked if query.startswith("running")]
    assert spans
    assert max(spans) <= timedelta(days=1)
    assert min(start for _, start, _, _ in source.asked) < last


async def test_what_was_learned_outlives_a_start_that_ends_before_it_was_looked_at() -> None:
    """A start in an outage, and the next one in its midst: neither knows more than what lies there."""
    history = cache()
    one = learner(ToldPods(), history=history)
    last = await live(one, NOON, for_s=2 * EVERY_S)
    await one.stop()
    await learner(ToldPods(down=True), history=history).stop()
    again = learner(ToldPods(down=True), history=history)
    await again.wake()
    assert again.taught_at(last) == one.taught_at(last) is not None


async def test_what_is_learned_before_the_shelf_was_looked_at_comes_after_what_lies_there() -> None:
    history = cache()
    one = learner(ToldPods(), history=history)
    last = await live(one, NOON, for_s=2 * EVERY_S)
    await one.stop()
    hasty = learner(ToldPods(), history=history)
    later = await live(hasty, last, for_s=2 * EVERY_S)
    await hasty.wake()
    ticks = [last - place * timedelta(seconds=300) for place in range(12)]
    assert [hasty.taught_at(at) for at in ticks] == [one.taught_at(at) for at in ticks]
    assert one.taught_at(ticks[-1]) is not None
    newest = hasty.taught_at(later)
    assert newest is not None
    assert newest.at > last - timedelta(seconds=EVERY_S)
