import asyncio

from predictscale.control.step import StepMemory, step
from predictscale.control.store import DecisionStore
from predictscale.core.demand import WorkloadId
from predictscale.core.plan import Decision
from worlds import CHAT, at, policy, seen


def decision(demand: float, *, second: float = 0, workload: WorkloadId = CHAT) -> Decision:
    observation = seen(demand, now=at(second))
    made, _ = step(workload, observation, None, policy(), StepMemory(), unit="requests/s")
    return made


def test_recent_decisions_come_newest_first_and_old_ones_are_forgotten() -> None:
    store = DecisionStore(kept=3)
    for second in range(5):
        store.put(decision(20, second=second))
    assert [d.seen.now for d in store.recent(CHAT)] == [at(4), at(3), at(2)]
    assert [d.seen.now for d in store.recent(CHAT, most=1)] == [at(4)]


def test_many_workloads_share_what_is_kept_and_each_keeps_its_latest() -> None:
    store = DecisionStore(kept=10, kept_in_all=12)
    workloads = [WorkloadId("prod", f"w{number}") for number in range(20)]
    for count, share in ((1, 10), (4, 3), (20, 1)):
        for second in range(10):
            for workload in workloads[:count]:
                store.put(decision(20, second=second, workload=workload))
        assert {len(store.recent(workload)) for workload in workloads[:count]} == {share}
        assert store.recent(workloads[0])[0].seen.now == at(9)


async def test_a_reader_of_changes_gets_the_state_at_once_and_then_what_is_new() -> None:
    store = DecisionStore()
    store.put(decision(20))
    changes = store.changes(CHAT)
    assert (await anext(changes)).seen.now == at(0)
    waiting = asyncio.ensure_future(anext(changes))
    await asyncio.sleep(0)
    assert not waiting.done()
    store.put(decision(30, second=15))
    assert (await waiting).seen.now == at(15)


async def test_two_readers_of_one_workload_are_both_told() -> None:
    store = DecisionStore()
    readers = [asyncio.ensure_future(anext(store.changes(CHAT))) for _ in range(2)]
    await asyncio.sleep(0)
    store.put(decision(20))
    assert [d.workload for d in await asyncio.gather(*readers)] == [CHAT, CHAT]


async def test_a_workload_that_is_forgotten_has_no_decision() -> None:
    store = DecisionStore()
    store.put(decision(20))
    store.forget(CHAT)
    assert store.latest(CHAT) is None
    assert list(store) == []
    assert store.recent(CHAT) == []


async def test_who_subscribes_is_called_with_each_decision_once_it_can_be_read() -> None:
    store, told = DecisionStore(), list[tuple[Decision, Decision | None]]()
    store.subscribe(lambda made: told.append((made, store.latest(made.workload))))
    first, second = decision(1), decision(2)
    before = store.generation
    store.put(first)
    store.put(second)
    store.forget(first.workload)
    assert told == [(first, first), (second, second)]
    assert store.generation == before + 3
