"""The lead time as the service measures it: from scrapes of pods' lives to what is in force."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pod_lives import QUERIES, ClusterOfLives, Life, steady
from predictscale.clock import ManualClock
from predictscale.control.leads import (
    EVERY_S,
    HOLD_S,
    KEEP_S,
    LEAST_S,
    MOST_S,
    ROUND_S,
    LeadBook,
    LeadState,
    LeadTimes,
)
from predictscale.core.leadtime import Delays
from predictscale.core.podstarts import Node
from predictscale.errors import SourceUnavailable
from worlds import CHAT, NOON, at

NONE = Delays()
DAY_S = 86400.0
TICK_S = 15.0


class Service:
    """A `LeadTimes` and the ticks that drive it."""

    def __init__(
        self,
        pods: ClusterOfLives,
        *,
        now: datetime = NOON,
        delays: Delays = NONE,
        book: LeadBook | None = None,
    ) -> None:
        self.clock = ManualClock(now)
        self.book = book or LeadBook()
        self.leads = LeadTimes(
            CHAT,
            source=pods,
            queries=QUERIES,
            delays=delays,
            configured_s=240,
            clock=self.clock,
            book=self.book,
        )

    async def tick(self, seconds: float = TICK_S) -> float | None:
        """Let time pass in ticks; what is in force then."""
        for _ in range(round(seconds / TICK_S)):
            self.clock.advance(TICK_S)
            self.leads.start_due(self.clock.now())
            await self.leads.settled()
        return self.now

    @property
    def now(self) -> float | None:
        return self.leads.lead_time_at(self.clock.now())

    @property
    def state(self) -> LeadState:
        found = self.leads.state_at(self.clock.now())
        assert found is not None
        return found


async def awake(pods: ClusterOfLives, *, now: datetime = NOON, delays: Delays = NONE) -> Service:
    service = Service(pods, now=now, delays=delays)
    await service.leads.wake()
    return service


def past(count: int = 20, **changes: Any) -> list[Life]:
    return steady(count, last=at(-3600), **changes)


async def test_the_starts_of_the_last_days_are_measured_before_the_first_decision() -> None:
    service = await awake(ClusterOfLives(past()), delays=Delays(scrape_s=90, sync_s=15))
    assert service.now == 210
    assert service.state.lead.measured_s == 205
    (note,) = service.leads.notes_at(NOON)
    assert note == (
        "lead time: measured, 205 s: 90% of 20 starts took up to 100 s + 90 s scrape + 15 s HPA sync; "
        "configured are 240 s; 210 s are in force"
    )


async def test_without_enough_starts_the_owners_value_stands_and_both_are_shown() -> None:
    service = await awake(ClusterOfLives(past(7)))
    assert service.now is None
    assert service.state.lead.configured_s == 240
    assert service.leads.notes_at(NOON) == (
        "lead time: configured, 240 s: 7 of the 8 starts that a measurement needs were seen",
    )


async def test_before_pods_were_read_nothing_is_known() -> None:
    service = Service(ClusterOfLives(past()))
    assert service.now is None
    assert service.leads.state_at(NOON) is None
    assert service.leads.notes_at(NOON) == ("lead time: configured, 240 s, until pod starts are read",)


async def test_starts_are_read_back_only_as_far_as_they_count() -> None:
    busy = ClusterOfLives(steady(200, last=at(-60), every_s=300))
    await awake(busy)
    few = ClusterOfLives(past())
    await awake(few)
    assert NOON - min(start for _, start, _ in busy.asked) < timedelta(seconds=3 * DAY_S)
    assert NOON - min(start for _, start, _ in few.asked) >= timedelta(seconds=KEEP_S)
    assert all((end - start).total_seconds() <= 1.1 * DAY_S for _, start, end in few.asked)


async def test_a_start_older_than_a_week_does_not_count() -> None:
    old = past(8, every_s=1.0)
    week = timedelta(seconds=KEEP_S)
    assert (await awake(ClusterOfLives(old))).state.lead.starts.ready == 8
    aged = [replace(life, created=life.created - week) for life in old[1:]] + old[:1]
    assert (await awake(ClusterOfLives(aged))).state.lead.starts.ready == 1


async def test_a_slower_start_counts_within_minutes_and_a_quicker_one_after_an_hour() -> None:
    slow = [Life(uid=f"slow-{n}", created=at(60), ready_s=400.0) for n in range(5)]
    quick = [Life(uid=f"quick-{n}", created=at(900), ready_s=50.0) for n in range(50)]
    service = await awake(ClusterOfLives([*past(), *slow, *quick]))
    assert service.now == 105
    assert await service.tick(60 + 400 + EVERY_S + 180) == 405
    assert service.clock.now() < at(950)
    assert await service.tick(900) == 405
    measured_s = service.state.lead.measured_s
    assert measured_s == 50
    assert await service.tick(HOLD_S) == 60


async def test_what_is_in_force_changes_on_a_grid_only() -> None:
    rng = np.random.default_rng(5)
    lives = [
        Life(uid=f"p{n}", created=at(100.0 * n - 5000), ready_s=float(rng.uniform(30, 900)))
        for n in range(120)
    ]
    service = await awake(ClusterOfLives(lives))
    told = [(service.clock.now(), service.now)]
    for _ in range(240):
        await service.tick()
        told.append((service.clock.now(), service.now))
    changes = [when for (_, before), (when, after) in pairwise(told) if before != after]
    assert changes
    assert len({when.timestamp() % EVERY_S for when in changes}) == 1
    assert all(value is None or value % ROUND_S == 0 for _, value in told)


@pytest.mark.parametrize(("ready_s", "in_force_s"), [(2.0, LEAST_S), (3599.0, MOST_S)])
async def test_what_is_in_force_has_bounds(ready_s: float, in_force_s: float) -> None:
    pods = ClusterOfLives(steady(20, last=at(-7200), ready_s=ready_s))
    assert (await awake(pods, delays=Delays(poll_s=0))).now == in_force_s


async def test_a_restart_finds_at_every_past_tick_what_was_in_force_then() -> None:
    rng = np.random.default_rng(1)
    lives = [
        Life(
            uid=f"p{n}",
            created=at(float(rng.uniform(*((-2 * DAY_S, 0) if n < 30 else (-3600, 7200))))),
            ready_s=float(rng.lognormal(5, 0.7)) if rng.random() < 0.97 else None,
            deleted_s=float(rng.uniform(30, 5000)),
            grace_s=float(rng.choice([0, 300])),
            flaps=((900.0, 1500.0),),
        )
        for n in range(70)
    ]
    pods = ClusterOfLives(lives)
    service = await awake(pods)
    told = []
    for _ in range(480):
        await service.tick()
        told.append((service.clock.now(), service.now, service.state))
    again = await awake(pods, now=service.clock.now())
    assert len({value for _, value, _ in told}) > 1
    for when, value, state in told:
        assert again.leads.lead_time_at(when) == value
        assert again.leads.state_at(when) == state


async def test_a_restart_knows_the_starts_that_counted_hours_ago_however_many_came_since() -> None:
    lives = [
        *(Life(uid=f"new{n}", created=at(-60 * n), ready_s=50.0) for n in range(110)),
        *(Life(uid=f"old{n}", created=at(-110_000 - 60 * n), ready_s=400.0) for n in range(60)),
    ]
    pods, then = ClusterOfLives(lives), at(-4 * 3600)
    assert (await awake(pods, now=then)).now == 405
    assert (await awake(pods)).leads.lead_time_at(then) == 405
    aged = ClusterOfLives(steady(8, last=at(-KEEP_S - 3 * 3600), every_s=60))
    assert (await awake(aged, now=then)).now == (await awake(aged)).leads.lead_time_at(then) == 105


async def test_nothing_is_in_force_before_all_starts_that_count_were_read() -> None:
    pods = ClusterOfLives(
        [*past(), *(Life(uid=f"o{n}", created=at(-3 * DAY_S), ready_s=900.0) for n in range(9))]
    )
    pods.failure, pods.answers_left = SourceUnavailable("slow"), len(QUERIES) + 3
    service = await awake(pods)
    assert service.now is None
    pods.failure = None
    assert await service.tick(EVERY_S + 180) == 900


async def test_scrapes_that_arrive_late_are_read_once_more() -> None:
    pods = ClusterOfLives([*past(), *(Life(uid=f"n{n}", created=at(100), ready_s=300.0) for n in range(9))])
    service = await awake(pods)
    pods.visible_until = at(60)
    await service.tick(600)
    pods.visible_until = None
    assert await service.tick(600) == 300


async def test_a_pod_cancelled_where_two_readings_meet_is_no_start_that_hangs() -> None:
    cancelled = steady(
        60, last=at(-DAY_S + 100), every_s=15, scheduled_s=None, started_s=None, ready_s=None, deleted_s=70.0
    )
    lives = [*past(), *(replace(life, uid=f"cancelled-{life.uid}") for life in cancelled)]
    assert (await awake(ClusterOfLives(lives))).state.lead.failed == 0


async def test_after_a_long_outage_no_more_is_read_than_counts() -> None:
    pods = ClusterOfLives(past())
    service = await awake(pods)
    pods.asked.clear()
    service.clock.advance(30 * DAY_S)
    await service.tick()
    assert service.clock.now() - min(start for _, start, _ in pods.asked) < timedelta(seconds=KEEP_S + 3600)
    assert service.now is None


async def test_an_outage_during_starts_is_not_held_against_them() -> None:
    starting = [Life(uid=f"s{n}", created=at(-9000), ready_s=200.0) for n in range(20)]
    pods = ClusterOfLives([*steady(20, last=at(-20_000)), *starting], silent=[(at(-8950), at(-4800))])
    lead = (await awake(pods)).state.lead
    assert (lead.failed, lead.starts.pending, lead.measured_s) == (0, 20, 100)


async def test_readiness_that_flaps_between_two_readings_moves_nothing() -> None:
    flapping = past(flaps=((130.0, 160.0), (700.0, 900.0), (9000.0, 9100.0)))
    assert (await awake(ClusterOfLives(flapping))).state.lead == (
        await awake(ClusterOfLives(past()))
    ).state.lead


async def test_a_pod_cancelled_before_it_was_ready_is_no_start_that_hangs() -> None:
    # A scale-up that is taken back: pods without a node vanish at once, and tell no deletion.
    cancelled = steady(
        20, last=at(-4000), every_s=60, scheduled_s=None, started_s=None, ready_s=None, deleted_s=70.0
    )
    lives = [*past(), *(replace(life, uid=f"cancelled-{life.uid}") for life in cancelled)]
    state = (await awake(ClusterOfLives(lives))).state
    assert (state.lead.measured_s, state.lead.failed, state.lead.starts.pending) == (100, 0, 20)


async def test_a_pod_on_its_way_out_waits_no_longer_although_its_grace_lies_ahead() -> None:
    leaving = steady(20, last=at(-40), every_s=1, ready_s=None, deleted_s=20.0, grace_s=1800.0)
    lives = [*past(), *(replace(life, uid=f"leaving-{life.uid}") for life in leaving)]
    service = await awake(ClusterOfLives(lives), now=at(1500))
    assert service.state.lead.refused == 0
    assert service.state.lead.measured_s == 100


async def test_a_pod_that_hangs_counts_as_slow_even_long_after_it_was_last_told_of() -> None:
    hanging = steady(5, last=at(-9000), ready_s=None)
    lives = [*past(), *(replace(life, uid=f"hanging-{life.uid}") for life in hanging)]
    lead = (await awake(ClusterOfLives(lives))).state.lead
    assert (lead.failed, lead.starts.pending) == (5, 5)
    assert lead.measured_s == 3600


async def test_silence_of_the_cluster_is_not_the_end_of_its_pods() -> None:
    hanging = [Life(uid=f"h{n}", created=at(-1500), ready_s=None) for n in range(5)]
    silent = [(at(-1200), at(60))]
    pods = ClusterOfLives([*past(), *hanging], silent=silent)
    assert (await awake(pods)).state.lead.measured_s == pytest.approx(1500, abs=EVERY_S)


async def test_a_pod_first_seen_ready_long_after_its_creation_is_left_out() -> None:
    # Its readiness may have flapped while nobody looked; one that was not ready yet had not.
    unseen = [Life(uid=f"u{n}", created=at(-50_000), flaps=((300.0, 1200.0),)) for n in range(5)]
    late = Life(uid="late", created=at(-50_000), ready_s=2000.0)
    pods = ClusterOfLives([*past(), *unseen, late], silent=[(at(-50_000), at(-48_500))])
    lead = (await awake(pods)).state.lead
    assert (lead.starts.ready, lead.refused, lead.measured_s) == (21, 0, 100)


async def test_nodes_that_were_bought_are_told_apart() -> None:
    present = past(30)
    bought = [
        Life(
            uid=f"b{n}",
            created=at(-5000.0 - n),
            scheduled_s=200.0,
            started_s=220.0,
            ready_s=300.0,
            node_s=150.0,
        )
        for n in range(10)
    ]
    kinds = (await awake(ClusterOfLives([*present, *bought]))).state.lead.kinds
    assert (kinds[Node.PRESENT].start_s, kinds[Node.BOUGHT].start_s) == (100, 300)


async def test_a_source_that_fails_leaves_the_last_measurement_in_force() -> None:
    pods = ClusterOfLives([*past(), *(Life(uid=f"n{n}", created=at(600), ready_s=300.0) for n in range(9))])
    service = await awake(pods)
    pods.failure = SourceUnavailable("no answer within 10 s")
    pods.asked.clear()
    known = service.state.at
    assert await service.tick(1200) == 105
    assert service.state.at - known <= timedelta(seconds=EVERY_S)
    assert len(pods.asked) <= 5
    assert service.state.problem == "no answer within 10 s"
    assert service.leads.notes_at(service.clock.now())[-1] == (
        "pod starts could not be read: no answer within 10 s"
    )
    pods.failure = None
    assert await service.tick(EVERY_S) == 300
    assert service.state.problem == ""


async def test_a_start_while_the_source_is_down_leaves_the_owners_value_and_catches_up() -> None:
    pods = ClusterOfLives(past())
    pods.failure = SourceUnavailable("refused")
    service = await awake(pods)
    assert service.now is None
    pods.failure = None
    assert await service.tick(EVERY_S + 180) == 105


async def test_reading_on_costs_the_same_whatever_the_past_holds() -> None:
    pods = ClusterOfLives(past(100))
    service = await awake(pods)
    pods.asked.clear()
    await service.tick(3600)
    assert len(pods.asked) == 12 * len(QUERIES)
    assert all((end - start).total_seconds() <= 900 for _, start, end in pods.asked)


async def test_readers_find_the_state_until_the_workload_is_left() -> None:
    service = await awake(ClusterOfLives(past()))
    assert service.book.items() == [(CHAT, service.state)]
    await service.tick(600)
    assert service.book.get(CHAT) == service.state
    await service.leads.stop()
    assert service.book.get(CHAT) is None
    assert service.book.items() == []


async def test_who_is_relieved_takes_nothing_from_a_successor_that_told_before() -> None:
    book = LeadBook()
    first, second = (Service(ClusterOfLives(past()), book=book) for _ in range(2))
    for service in (first, second):
        await service.leads.wake()
    await first.leads.stop()
    assert book.get(CHAT) == second.state
    await second.leads.stop()
    assert book.get(CHAT) is None


LIVES = st.lists(
    st.tuples(st.floats(-2 * DAY_S, -5000), st.floats(5, 3000), st.floats(0, 2000)), min_size=8, max_size=20
)


@given(LIVES, st.sampled_from([15.0, 30.0, 60.0]))
@settings(max_examples=25)
async def test_whatever_the_scrape_and_the_flaps_the_truth_is_found(
    drawn: Sequence[tuple[float, float, float]], scrape_s: float
) -> None:
    lives = [
        Life(
            uid=f"p{n}",
            created=at(float(round(born_s))),
            scheduled_s=1.0,
            started_s=2.0,
            ready_s=float(round(ready_s)),
            # Up long enough for a scrape to have seen it.
            flaps=((round(ready_s) + scrape_s, round(ready_s) + scrape_s + round(flap_s) + 1),),
        )
        for n, (born_s, ready_s, flap_s) in enumerate(drawn)
    ]
    truth = float(np.quantile([life.ready_s or 0 for life in lives], 0.9, method="inverted_cdf"))
    service = await awake(ClusterOfLives(lives, scrape_s=scrape_s))
    assert service.state.lead.measured_s == pytest.approx(truth, abs=1e-3)
