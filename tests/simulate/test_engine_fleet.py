"""A fleet of engines loses nobody, obeys queueing laws, and lives as pods do."""

import asyncio
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine_fleets import QUIET, after, chat_fleet
from predictscale.clock import ManualClock
from predictscale.simulate.engine.exposition import exposition, kube_exposition
from predictscale.simulate.engine.fleet import ORIGIN, Fleet, keep_pace
from predictscale.simulate.engine.gateway import Retry, Router
from predictscale.simulate.engine.ledger import Truth
from predictscale.simulate.engine.pods import PodBoot
from predictscale.simulate.engine.spec import EngineSpec
from predictscale.simulate.engine.traffic import CHAT, Mix, RequestClass, Stream, constant
from predictscale.simulate.fleet import BootTime

FIXED = PodBoot(
    schedule=BootTime(median_s=2.0),
    node=BootTime(median_s=100.0),
    pull=BootTime(median_s=8.0),
    load=BootTime(median_s=30.0),
)
"""40 s with a node at hand, 140 s with one that is bought."""


def steady(rps: float, *, seconds: float = 600.0, **more: Any) -> Truth:
    fleet = chat_fleet(rps, bin_s=60.0, **more)
    fleet.run(after(300 + seconds))
    return fleet.truth(after(300), after(300 + seconds))


def accounted(fleet: Fleet, *, bin_s: float = 15.0) -> Truth:
    """All that happened up to the end of the bin that comes next; every attempt that arrived is somewhere."""
    end = after(bin_s * (fleet.now_s // bin_s + 1))
    fleet.run(end)
    truth = fleet.truth(ORIGIN, end)
    assert truth.arrived == truth.finished + truth.aborted + truth.lost + fleet.outstanding
    return truth


def test_what_arrived_is_finished_or_there() -> None:
    fleet = chat_fleet(24.0, pods=2, bin_s=60.0)
    fleet.run(after(599))
    truth = accounted(fleet, bin_s=60.0)
    assert truth.finished > 13_000
    assert truth.lost == truth.aborted == 0


@settings(max_examples=15)
@given(
    st.lists(st.tuples(st.sampled_from(["scale", "kill", "flap", "roll"]), st.integers(0, 4)), max_size=8),
    st.sampled_from(list(Router)),
    st.sampled_from([None, Retry(attempts=2)]),
)
def test_nobody_is_lost_unseen_whatever_befalls_the_pods(
    deeds: list[tuple[str, int]], router: Router, retry: Retry | None
) -> None:
    kind = RequestClass(input_tokens=500, output_tokens=200, timeout_s=8.0)
    fleet = chat_fleet(5.0, mix=Mix.only(kind), boot=FIXED, pods=2, router=router, retry=retry, grace_s=5.0)
    for deed, number in deeds:
        now = fleet.now + timedelta(seconds=7.5 * (1 + number))
        fleet.run(now)
        befall(fleet, deed, number, now)
        accounted(fleet)
    # Long enough for four pods, one after the other.
    fleet.run(fleet.now + timedelta(seconds=200))
    truth = accounted(fleet)
    assert len(fleet.kept) == fleet.spec
    assert all(pod.revision == fleet.revision for pod in fleet.pods)
    assert truth.retried == 0 or retry


def befall(fleet: Fleet, deed: str, number: int, now: datetime) -> None:
    """Do something to a fleet, or to one of its pods."""
    pods = [pod.name for pod in fleet.pods if deed == "kill" or pod.booted(fleet.now_s)]
    if deed == "scale":
        fleet.scale(number, now)
    elif deed == "roll":
        fleet.roll(now)
    elif deed == "kill" and pods:
        fleet.kill(pods[number % len(pods)], now)
    elif deed == "flap" and pods:
        fleet.flap(pods[number % len(pods)], now, for_s=10.0)


def test_littles_law_holds() -> None:
    """What is seen inside, now and then, is the rate times the time that requests spend there."""
    fleet = chat_fleet(12.0, bin_s=60.0)
    fleet.run(after(300))
    seen = []
    for place in range(1800):
        fleet.run(after(300 + place + 0.5))
        seen.append(fleet.outstanding)
    fleet.run(after(2100))
    truth = fleet.truth(after(300), after(2100))
    assert np.mean(seen) == pytest.approx(truth.per_second(truth.finished) * truth.mean_e2e_s, rel=0.02)


def test_tokens_come_slower_with_more_load() -> None:
    gaps = [steady(rps).mean_itl_s for rps in (1, 8, 12, 14)]
    assert gaps == sorted(gaps)
    assert gaps[-1] > 3 * gaps[0]
    assert gaps[0] > QUIET.iteration_s


def test_first_tokens_take_for_ever_beyond_saturation() -> None:
    kept_up, beyond = steady(13.0), steady(20.0)
    assert kept_up.ttft_quantile_s(0.95) < 0.5
    assert beyond.ttft_quantile_s(0.5) > 20
    assert beyond.finished < 0.95 * beyond.arrived


def test_two_pods_carry_twice_as_much() -> None:
    one, two = steady(12.0), steady(24.0, pods=2)
    assert two.mean_itl_s == pytest.approx(one.mean_itl_s, rel=0.1)
    assert two.per_second(two.generated_tokens) == pytest.approx(
        2 * one.per_second(one.generated_tokens), rel=0.05
    )


def test_equal_seeds_are_equal_fleets_however_often_one_looks() -> None:
    def told(cuts: list[float], seed: int) -> str:
        kind = RequestClass(input_tokens=500, output_tokens=200, timeout_s=8.0)
        fleet = chat_fleet(40.0, pods=2, mix=Mix.only(kind), retry=Retry(), boot=FIXED, seed=seed)
        fleet.scale(3, after(30))
        for cut in cuts:
            fleet.run(after(cut))
        fleet.kill(fleet.pods[0].name, after(60))
        fleet.run(after(150))
        assert fleet.truth(ORIGIN, after(150)).retried > 0
        return exposition(fleet) + exposition(fleet, engine="sglang") + kube_exposition(fleet)

    assert told([], 1) == told([0.3, 31.0, 31.01, 59.99], 1)
    assert told([], 1) != told([], 2)


def test_a_second_attempt_comes_when_it_is_due_although_nobody_looked() -> None:
    def retried(cuts: list[float]) -> list[int]:
        kind = RequestClass(input_tokens=10, output_tokens=30_000, output_cv=0.0, timeout_s=5.0)
        stream = Stream(kind=kind, rate_rps=lambda at_s: 20.0 if at_s < 1 else 0.0)
        fleet = Fleet(spec=QUIET, streams=[stream], retry=Retry(backoff_s=1.5), bin_s=1.0)
        for cut in (*cuts, 20.0):
            fleet.run(after(cut))
        return [fleet.truth(after(second), after(second + 1)).retried for second in range(20)]

    assert retried([]) == retried([0.1 * step for step in range(200)])
    first = sum(retried([])[6:8])
    assert first > 5
    assert sum(retried([])) == 2 * first


def test_a_new_pod_serves_after_it_was_scheduled_pulled_and_loaded() -> None:
    fleet = chat_fleet(4.0, boot=FIXED)
    fleet.scale(2, after(10))
    birth = fleet.pods[1].birth
    assert (birth.created_s, birth.scheduled_s, birth.started_s, birth.ready_s) == (10, 12, 20, 50)
    assert fleet.ready(after(49.9)) == 1
    assert fleet.pods[1].engines[0].meters.received == 0
    assert fleet.ready(after(50)) == 2
    fleet.run(after(60))
    assert fleet.pods[1].engines[0].meters.received > 0


def test_a_node_is_bought_for_some_pods_and_only_their_scheduling_waits_for_it() -> None:
    boot = PodBoot(schedule=FIXED.schedule, node=FIXED.node, pull=FIXED.pull, load=FIXED.load, node_share=0.5)
    fleet = Fleet(spec=QUIET, streams=(), pods=0, boot=boot, seed=3)
    fleet.scale(40, after(1))
    boots = {pod.birth.boot_s for pod in fleet.pods}
    assert boots == {40.0, 140.0}
    assert all((pod.birth.boot_s > 100) == pod.birth.bought for pod in fleet.pods)
    assert {pod.birth.ready_s - pod.birth.scheduled_s for pod in fleet.pods} == {38.0}


def test_the_pending_go_first_and_then_the_newest() -> None:
    fleet = Fleet(spec=QUIET, streams=(), pods=2, boot=FIXED)
    fleet.scale(3, after(0))
    fleet.scale(5, after(20))
    first = [pod.name for pod in fleet.pods]
    fleet.scale(3, after(45))
    assert [pod.name for pod in fleet.pods] == first[:3]
    fleet.scale(2, after(46))
    assert [pod.name for pod in fleet.pods] == first[:2]


def test_an_older_pending_pod_goes_before_a_newer_one_that_serves() -> None:
    boot = PodBoot(load=BootTime(median_s=60.0, spread=0.5))
    fleets = (Fleet(spec=QUIET, streams=(), pods=0, boot=boot, seed=seed) for seed in range(50))
    for fleet in fleets:
        fleet.scale(2, after(0))
        older, newer = fleet.pods
        if newer.birth.ready_s + 1 < older.birth.ready_s:
            break
    else:
        pytest.fail("no second pod overtook the first")
    fleet.scale(1, after(newer.birth.ready_s + 0.5))
    assert fleet.pods == (newer,)


def test_a_deleted_pod_gets_nobody_new_and_finishes_those_it_has() -> None:
    fleet = chat_fleet(20.0, pods=2, grace_s=300.0)
    fleet.scale(1, after(60))
    leaving = next(pod for pod in fleet.pods if pod not in fleet.kept)
    assert leaving.outstanding > 0
    received = leaving.engines[0].meters.received
    fleet.run(after(179))
    assert leaving in fleet.past_pods
    assert leaving.engines[0].meters.received == received
    assert accounted(fleet).lost == 0


def test_what_a_deleted_pod_has_not_finished_in_time_is_lost_and_asked_again() -> None:
    fleet = chat_fleet(20.0, pods=2, grace_s=1.0, retry=Retry())
    fleet.scale(1, after(60))
    truth = accounted(fleet)
    assert truth.lost == truth.retried > 0


def test_a_killed_pod_is_replaced_and_its_requests_are_lost() -> None:
    fleet = chat_fleet(20.0, pods=2, boot=FIXED)
    fleet.run(after(60))
    held = fleet.pods[0].outstanding
    killed = fleet.pods[0].name
    fleet.kill(killed, after(60))
    assert (fleet.state(after(60)).replicas, fleet.state(after(60)).ready) == (2, 1)
    assert killed not in [pod.name for pod in fleet.pods]
    assert fleet.ready(after(100)) == 2
    assert accounted(fleet).lost == held > 0


def test_requests_wait_at_the_router_until_a_pod_serves() -> None:
    fleet = chat_fleet(2.0, pods=0, boot=FIXED)
    fleet.scale(1, after(15))
    fleet.run(after(45))
    assert fleet.held == fleet.truth(ORIGIN, after(45)).arrived > 0
    truth = accounted(fleet)
    assert fleet.held == 0
    # The first of them came in the first seconds, and was answered after 55.
    assert truth.ttft_s.max() > 50


def test_a_client_gives_up_at_the_router_too() -> None:
    kind = RequestClass(input_tokens=100, output_tokens=10, timeout_s=5.0)
    fleet = chat_fleet(2.0, pods=0, mix=Mix.only(kind), retry=Retry(attempts=2, backoff_s=2.0))
    fleet.run(after(59))
    truth = accounted(fleet)
    assert truth.aborted > 60
    assert 0 < truth.retried < truth.arrived / 2
    assert fleet.held < 2 * 2 * 5 * 2


def test_a_pod_that_flaps_works_on_and_gets_nobody_new() -> None:
    fleet = chat_fleet(20.0, pods=2)
    fleet.run(after(30))
    pod = fleet.pods[0]
    fleet.flap(pod.name, after(30), for_s=20.0)
    received, generated = pod.engines[0].meters.received, pod.engines[0].meters.generation_tokens
    assert fleet.ready(after(49)) == 1
    assert pod.engines[0].meters.received == received
    assert pod.engines[0].meters.generation_tokens > generated
    assert fleet.ready(after(50)) == 2
    fleet.run(after(60))
    assert pod.engines[0].meters.received > received
    assert pod.ready_since_s == 50.0


def test_a_rollout_replaces_every_pod_and_never_serves_with_fewer() -> None:
    fleet = chat_fleet(10.0, pods=3, boot=FIXED)
    fleet.roll(after(30))
    ready = [fleet.ready(after(30 + second)) for second in range(180)]
    assert min(ready) == 3
    assert [pod.revision for pod in fleet.pods] == [2, 2, 2]
    assert len({pod.replica_set for pod in (*fleet.pods, *fleet.past_pods)}) == 2
    assert accounted(fleet).lost == 0


def test_a_rollout_can_be_scaled_while_it_lasts() -> None:
    fleet = Fleet(spec=QUIET, streams=(), pods=3, boot=FIXED)
    fleet.roll(after(10))
    fleet.scale(1, after(20))
    fleet.scale(4, after(70))
    fleet.run(after(400))
    assert [pod.revision for pod in fleet.pods] == [2, 2, 2, 2]
    fleet.scale(0, after(410))
    assert fleet.pods == ()


def test_a_rollout_that_overtakes_another_ends_with_the_last_revision() -> None:
    fleet = Fleet(spec=QUIET, streams=(), pods=3, boot=FIXED)
    fleet.roll(after(10))
    fleet.roll(after(20))
    ready = [fleet.ready(after(20 + second)) for second in range(200)]
    assert min(ready) == 3
    assert [pod.revision for pod in fleet.pods] == [3, 3, 3]


def test_names_and_uids_of_pods_are_never_used_twice() -> None:
    fleet = Fleet(spec=QUIET, streams=(), pods=500, boot=FIXED)
    fleet.scale(0, after(1))
    fleet.scale(500, after(2))
    pods = (*fleet.pods, *fleet.past_pods)
    assert len(pods) == len({pod.name for pod in pods}) == len({pod.uid for pod in pods}) == 1000


def test_round_robin_gives_everybody_the_same_and_least_outstanding_spares_the_slow() -> None:
    turns = chat_fleet(10.0, pods=3, router=Router.ROUND_ROBIN)
    turns.run(after(100))
    received = [pod.engines[0].meters.received for pod in turns.pods]
    assert max(received) - min(received) <= 1

    def idle_after_flap(router: Router) -> int:
        fleet = chat_fleet(20.0, pods=2, router=router)
        fleet.flap(fleet.pods[0].name, after(0), for_s=60.0)
        fleet.run(after(60))
        crowded = fleet.pods[1].engines[0].meters.received
        fleet.run(after(62))
        return fleet.pods[1].engines[0].meters.received - crowded

    assert idle_after_flap(Router.LEAST_OUTSTANDING) == 0 < idle_after_flap(Router.ROUND_ROBIN)


async def test_a_fleet_keeps_pace_with_a_clock() -> None:
    fleet, clock = chat_fleet(5.0), ManualClock(ORIGIN)
    pace = asyncio.create_task(keep_pace(fleet, clock, every_s=10.0))
    for _ in range(3):
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        clock.advance(10.0)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    pace.cancel()
    assert fleet.now == after(30)


def test_the_past_is_not_lived_twice() -> None:
    fleet = chat_fleet(5.0)
    fleet.run(after(60))
    arrived = fleet.truth(ORIGIN, after(60)).arrived
    fleet.run(after(30))
    fleet.run(after(60))
    assert fleet.truth(ORIGIN, after(60)).arrived == arrived
    assert fleet.now == after(60)


def test_the_truth_is_told_of_whole_bins_that_are_over() -> None:
    fleet = chat_fleet(5.0, bin_s=15.0)
    fleet.run(after(59))
    for since, until in ((0, 60), (0, 10), (7, 15), (15, 15), (30, 15)):
        with pytest.raises(ValueError, match=r"bins|come to"):
            fleet.truth(after(since), after(until))
    parts = [fleet.truth(after(at), after(at + 15)).arrived for at in (0, 15, 30)]
    assert sum(parts) == fleet.truth(after(0), after(45)).arrived


@pytest.mark.parametrize("wrong", [{"pods": -1}, {"engines_per_pod": 0}, {"grace_s": -1.0}, {"bin_s": 0.0}])
def test_a_fleet_that_cannot_be_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Fleet(**{"spec": EngineSpec(), "streams": (), **wrong})


def test_what_cannot_be_done_is_refused() -> None:
    fleet = Fleet(spec=QUIET, streams=(Stream(kind=CHAT, rate_rps=constant(1.0)),), boot=FIXED)
    with pytest.raises(ValueError, match="counted"):
        fleet.scale(-1, after(1))
    with pytest.raises(ValueError, match="there are chat-"):
        fleet.kill("nobody", after(1))
    fleet.scale(2, after(1))
    with pytest.raises(ValueError, match="first ready at"):
        fleet.flap(fleet.pods[1].name, after(2), for_s=5.0)
    with pytest.raises(ValueError, match="backoff"):
        Retry(backoff_s=0.1)
    with pytest.raises(ValueError, match="node_share"):
        PodBoot(node_share=1.5)
