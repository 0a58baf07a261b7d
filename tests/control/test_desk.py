import asyncio
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from predictscale.clock import ManualClock
from predictscale.config.load import load_service
from predictscale.config.metadata import parse_trigger
from predictscale.config.presets import load_presets
from predictscale.config.settings import ServiceSettings, WorkloadSettings
from predictscale.control.desk import MOST_TRIGGERS, ROUND_S, Desk, Following, Ref
from predictscale.control.step import StepMemory, step
from predictscale.control.store import DecisionStore
from predictscale.core.demand import WorkloadId
from predictscale.core.plan import Decision
from predictscale.errors import AnswerUnavailable, SettingsError, TooManyWorkloads
from worlds import CHAT, NOON, policy, seen

PRESETS = load_presets()
INLINE = {"query": "shop_demand", "capacityPerReplica": "80", "maxReplicas": "40"}
BAD = {"query": "shop_demand", "capacityPerReplica": "none", "maxReplcas": "40"}
NAMED = {"workload": "chat"}
SHOP = WorkloadId("prod", "shop")
HOUR_S = 3600.0


def service() -> ServiceSettings:
    named = [
        {
            "name": name,
            "namespace": "prod",
            "query": f"{name}_demand",
            "capacity_per_replica": 10,
            "max_replicas": 100,
        }
        for name in ("chat", "code")
    ]
    return load_service(overrides={"limits": {"allow_inline_queries": True}, "workloads": named})


@dataclass
class Office:
    """A desk with the real parser, and what it asked of parser and loop."""

    limit: int = 100
    clock: ManualClock = field(default_factory=lambda: ManualClock(NOON))
    store: DecisionStore = field(default_factory=DecisionStore)
    settings: ServiceSettings = field(default_factory=service)
    parsed: int = 0
    tracked: list[WorkloadSettings] = field(default_factory=list)
    untracked: list[WorkloadId] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.desk = Desk(
            parse=self._parse,
            store=self.store,
            following=Following(self.tracked.append, self._untrack),
            clock=self.clock,
            max_registrations=self.limit,
            expire_after_s=HOUR_S,
            named=self.settings.named_workloads(PRESETS),
        )
        self.tracked.clear()

    def _parse(self, ref: Ref) -> WorkloadSettings:
        self.parsed += 1
        return parse_trigger(ref.namespace, ref.name, ref.metadata, self.settings, PRESETS)

    def _untrack(self, workload: WorkloadId) -> None:
        self.untracked.append(workload)
        self.store.forget(workload)

    def put(self, workload: WorkloadId = SHOP, *, demand: float = 20) -> Decision:
        observation = seen(demand, now=self.clock.now())
        made, _ = step(workload, observation, None, policy(), StepMemory(), unit="requests/s")
        self.store.put(made)
        return made

    def later(self, seconds: float) -> None:
        """Let time pass and the loop tick once."""
        self.clock.advance(seconds)
        self.desk.expire()

    async def asked_only(self, ref: Ref, *, for_s: float) -> list[int]:
        """Let KEDA ask for one trigger alone, and tell the problems of all that are known then."""
        for _ in range(round(for_s / 15)):
            await accepts(self.desk, ref)
            self.later(15)
        return self.problems()

    def known(self) -> list[tuple[str, str]]:
        return [(namespace, name) for namespace, name, _ in self.desk.registrations()]

    def problems(self) -> list[int]:
        return [len(r.error.problems) if r.error else 0 for _, _, r in self.desk.registrations()]


def ref(metadata: Mapping[str, str] = INLINE, *, name: str = "shop", namespace: str = "prod") -> Ref:
    return Ref(namespace, name, dict(metadata))


def edited(**changed: str) -> Ref:
    return ref({**INLINE, **changed})


async def accepts(desk: Desk, asked: Ref) -> bool:
    try:
        await desk.spec(asked)
    except SettingsError:
        return False
    return True


@pytest.mark.parametrize("question", ["spec", "decision", "changes"])
async def test_any_question_registers_the_scaled_object_and_follows_its_workload(question: str) -> None:
    office = Office()
    if question == "changes":
        office.put()
        changes = cast("AsyncGenerator[Decision]", office.desk.changes(ref()))
        await anext(changes)
        await changes.aclose()
    elif question == "decision":
        with pytest.raises(AnswerUnavailable):
            await office.desk.decision(ref())
    else:
        await office.desk.spec(ref())
    assert office.known() == [("prod", "shop")]
    assert [settings.workload for settings in office.tracked] == [SHOP]
    assert SHOP in office.desk.workloads()


async def test_the_same_metadata_is_parsed_and_followed_once() -> None:
    office = Office()
    for _ in range(5):
        await office.desk.spec(ref())
        office.clock.advance(15)
    assert (office.parsed, len(office.tracked)) == (1, 1)


async def test_a_question_is_answered_with_the_newest_decision() -> None:
    office = Office()
    office.put(demand=20)
    newest = office.put(demand=30)
    assert await office.desk.decision(ref()) is newest


async def test_before_the_first_decision_the_answer_is_unavailable() -> None:
    with pytest.raises(AnswerUnavailable, match="prod/shop: its history is being read"):
        await Office().desk.decision(ref())


async def test_a_decision_is_served_until_the_end_of_its_validity_and_no_longer() -> None:
    office = Office()
    made = office.put()
    office.clock.advance(policy().stale_after_s)
    assert await office.desk.decision(ref()) is made
    office.clock.advance(0.001)
    with pytest.raises(AnswerUnavailable, match="of 12:00:00 UTC and was valid until 12:10:00"):
        await office.desk.decision(ref())


async def test_a_stream_does_not_begin_with_a_decision_that_is_no_longer_valid() -> None:
    office = Office()
    office.put()
    office.clock.advance(policy().stale_after_s + 1)
    changes = cast("AsyncGenerator[Decision]", office.desk.changes(ref()))
    first = asyncio.ensure_future(anext(changes))
    await asyncio.sleep(0)
    assert not first.done()
    newest = office.put()
    assert await first is newest
    await changes.aclose()


async def test_bad_metadata_is_refused_every_time_but_read_once() -> None:
    office = Office()
    refusals = set()
    for _ in range(4):
        with pytest.raises(SettingsError) as caught:
            await office.desk.decision(ref(BAD))
        refusals.add(caught.value.problems)
    assert office.parsed == 1
    assert [len(problems) for problems in refusals] == [3]
    assert office.known() == [("prod", "shop")]
    assert office.problems() == [3]
    assert SHOP not in office.desk.workloads()
    assert office.tracked == []


async def test_a_refusal_that_is_repeated_does_not_keep_the_frames_of_earlier_calls() -> None:
    office = Office()

    async def depth() -> int:
        with pytest.raises(SettingsError) as caught:
            await office.desk.spec(ref(BAD))
        return len(caught.traceback)

    depths = [await depth() for _ in range(5)]
    assert depths[1] == depths[-1]


async def test_edited_metadata_is_followed_at_once() -> None:
    office = Office()
    await office.desk.spec(ref())
    await office.desk.spec(edited(maxReplicas="50"))
    assert [settings.max_replicas for settings in office.tracked] == [40, 50]
    assert office.untracked == []  # the loop replaces it; there is no moment without


async def test_metadata_that_was_edited_away_is_forgotten_while_the_new_one_is_asked_for() -> None:
    office = Office()
    assert not await accepts(office.desk, ref(BAD))
    assert await office.asked_only(ref(), for_s=ROUND_S) == [3, 0]
    assert await office.asked_only(ref(), for_s=2 * ROUND_S) == [0]


async def test_a_workload_that_was_edited_away_is_followed_no_more() -> None:
    office = Office()
    await office.desk.spec(ref())
    await office.asked_only(ref(NAMED), for_s=3 * ROUND_S)
    assert office.untracked == [SHOP]
    assert office.desk.workloads() == {CHAT, WorkloadId("prod", "code")}


async def test_two_triggers_that_describe_one_workload_differently_do_not_take_turns() -> None:
    office = Office()
    first, second = ref(), edited(maxReplicas="50")
    accepted = []
    for _ in range(20):
        accepted.append((await accepts(office.desk, first), await accepts(office.desk, second)))
        office.later(15)
    assert accepted == [(True, True)] + [(False, True)] * 19
    assert (office.parsed, len(office.tracked), office.untracked) == (2, 2, [])
    assert office.problems() == [1, 0]
    with pytest.raises(
        SettingsError, match="another trigger of prod/shop describes its workload differently"
    ):
        await office.desk.decision(first)


@pytest.mark.parametrize("polling_s", [30, 300, 3000])
async def test_they_do_not_take_turns_however_seldom_keda_polls(polling_s: float) -> None:
    office = Office()
    for _ in range(6):
        for trigger in (ref(), edited(maxReplicas="50")):
            await accepts(office.desk, trigger)
            office.later(0.5)
        office.later(polling_s)
    assert len(office.tracked) <= 3
    assert office.untracked == []
    assert sorted(office.problems()) == [0, 1]


async def test_an_edit_that_is_taken_back_counts_once_the_edit_is_silent() -> None:
    office = Office()
    before, edit = ref(), edited(maxReplicas="50")
    for trigger in (before, edit):
        await office.desk.spec(trigger)
    assert not await accepts(office.desk, before)
    office.later(ROUND_S)
    assert not await accepts(office.desk, before)
    office.later(1)
    assert await accepts(office.desk, before)
    assert [settings.max_replicas for settings in office.tracked] == [40, 50, 40]
    assert office.problems() == [0, 0]
    assert await office.asked_only(before, for_s=3 * ROUND_S) == [0]
    assert office.untracked == []


async def test_a_sibling_takes_over_when_the_trigger_that_was_followed_is_deleted() -> None:
    office = Office()
    deleted, stays = edited(maxReplicas="50"), ref()
    for trigger in (stays, deleted):
        await office.desk.spec(trigger)
    await office.asked_only(stays, for_s=3 * ROUND_S)
    assert await accepts(office.desk, stays)
    assert office.tracked[-1].max_replicas == 40
    assert office.known() == [("prod", "shop")]
    assert office.untracked == []


async def test_triggers_that_mean_the_same_are_both_served() -> None:
    office = Office()
    twins = edited(leadTime="90s"), edited(leadTime="90", scalerAddress="predictscale:6000")
    for _ in range(5):
        assert [await accepts(office.desk, twin) for twin in twins] == [True, True]
        office.later(15)
    assert office.problems() == [0, 0]
    assert len({settings.lead_time_s for settings in office.tracked}) == 1
    assert await office.asked_only(twins[0], for_s=3 * ROUND_S) == [0]
    assert office.untracked == []


async def test_triggers_of_one_scaled_object_may_name_different_workloads() -> None:
    office = Office()
    triggers = ref(NAMED), ref({"workload": "code"}), ref()
    for _ in range(10):
        assert [await accepts(office.desk, trigger) for trigger in triggers] == [True] * 3
        office.later(15)
    assert office.problems() == [0, 0, 0]
    assert (office.parsed, len(office.tracked), office.untracked) == (3, 1, [])


async def test_a_scaled_object_cannot_describe_anew_what_the_services_file_describes() -> None:
    office = Office()
    with pytest.raises(SettingsError, match="describes prod/chat, which the service's file describes"):
        await office.desk.spec(ref(name="chat"))
    assert office.tracked == []
    assert office.problems() == [1]


async def test_two_scaled_objects_may_name_one_workload_and_either_may_go() -> None:
    office = Office()
    await office.desk.spec(ref(NAMED, name="chat-blue"))
    office.later(HOUR_S / 2)
    await office.desk.spec(ref(NAMED, name="chat-green"))
    made = office.put(CHAT)
    assert await office.desk.decision(ref(NAMED, name="chat-green")) is made
    assert await office.desk.decision(ref(NAMED, name="chat-blue")) is made
    office.later(HOUR_S + 1)
    assert office.known() == []
    assert office.untracked == []


async def test_named_workloads_are_followed_unasked_and_never_expire() -> None:
    office = Office()
    office.later(100 * HOUR_S)
    assert office.desk.workloads() == {CHAT, WorkloadId("prod", "code")}
    assert office.untracked == []


async def test_silence_expires_and_any_question_puts_it_off() -> None:
    office = Office()
    await office.desk.spec(ref())
    office.later(HOUR_S)
    assert office.known() == [("prod", "shop")]
    await office.desk.spec(ref())
    office.later(HOUR_S)
    assert office.untracked == []
    office.later(1)
    assert office.known() == []
    assert office.untracked == [SHOP]
    await office.desk.spec(ref())
    assert office.parsed == 2


async def test_bad_metadata_expires_too() -> None:
    office = Office()
    assert not await accepts(office.desk, ref(BAD))
    office.later(HOUR_S + 1)
    assert office.known() == []


async def test_an_open_stream_keeps_its_scaled_object_and_its_end_begins_the_silence() -> None:
    office = Office()
    office.put()
    changes = cast("AsyncGenerator[Decision]", office.desk.changes(ref()))
    await anext(changes)
    office.later(3 * HOUR_S)
    assert office.known() == [("prod", "shop")]
    await changes.aclose()
    office.later(HOUR_S)
    assert office.known() == [("prod", "shop")]
    office.later(1)
    assert office.known() == []
    assert office.untracked == [SHOP]


async def test_beyond_the_limit_newcomers_are_refused_and_nobody_else() -> None:
    office = Office(limit=2)
    office.put()
    await office.desk.spec(ref())
    await office.desk.spec(ref(NAMED, name="chat-blue"))
    with pytest.raises(TooManyWorkloads, match="2 workloads are registered"):
        await office.desk.spec(ref(NAMED, name="chat-green"))
    assert office.parsed == 2
    await office.desk.decision(ref())
    await office.desk.spec(edited(maxReplicas="50"))
    office.later(HOUR_S + 1)
    await office.desk.spec(ref(NAMED, name="chat-green"))


async def test_one_scaled_object_cannot_fill_the_memory_with_edits() -> None:
    office = Office()
    for most in range(41, 41 + 3 * MOST_TRIGGERS):
        await office.desk.spec(edited(maxReplicas=str(most)))
    assert len(office.known()) == MOST_TRIGGERS
    assert office.tracked[-1].max_replicas == 40 + 3 * MOST_TRIGGERS
    assert office.untracked == []


async def test_a_workload_that_cannot_be_followed_is_no_registration() -> None:
    office = Office()

    def broken(settings: WorkloadSettings) -> None:
        raise RuntimeError(f"{settings.workload} cannot be followed")

    desk = Desk(
        parse=office._parse,
        store=office.store,
        following=Following(broken, office._untrack),
        clock=office.clock,
        max_registrations=10,
        expire_after_s=HOUR_S,
    )
    for _ in range(2):
        with pytest.raises(RuntimeError, match="prod/shop cannot be followed"):
            await desk.spec(ref())
    assert list(desk.registrations()) == []


_TRIGGERS = (ref(), edited(maxReplicas="50"), ref(NAMED), ref(BAD), ref(name="other"), ref(name="chat"))


@given(
    st.lists(
        st.tuples(st.sampled_from(_TRIGGERS), st.sampled_from([0.0, 15.0, 61.0, HOUR_S + 1])), max_size=30
    )
)
async def test_whatever_is_asked_what_is_followed_is_what_somebody_describes(
    asked: list[tuple[Ref, float]],
) -> None:
    office = Office()
    alive: dict[WorkloadId, WorkloadSettings] = {}
    for trigger, wait_s in asked:
        await accepts(office.desk, trigger)
        office.later(wait_s)
        for settings in office.tracked:
            alive[settings.workload] = settings
        for workload in office.untracked:
            alive.pop(workload, None)
        office.tracked.clear()
        office.untracked.clear()
        good = [r.settings for _, _, r in office.desk.registrations() if r.error is None]
        named = {settings.workload for settings in office.settings.named_workloads(PRESETS)}
        described = {settings.workload for settings in good if settings is not None} - named
        assert set(alive) == described == office.desk.workloads() - named
        assert all(settings in good for settings in alive.values())


def test_what_is_kept_of_recent_decisions_shrinks_as_workloads_come() -> None:
    store = DecisionStore(kept=10, kept_in_all=12)
    office = Office(store=store)
    for number in range(4):
        workload = WorkloadId("prod", f"w{number}")
        for _ in range(20):
            office.clock.advance(15)
            office.put(workload)
    office.put(WorkloadId("prod", "w0"))
    kept = [len(store.recent(WorkloadId("prod", f"w{number}"))) for number in range(4)]
    assert kept == [3, 6, 4, 3]
    assert all(store.latest(WorkloadId("prod", f"w{number}")) for number in range(4))


async def test_readers_of_a_workload_that_is_forgotten_wait_for_its_return() -> None:
    office = Office()
    waiting = asyncio.ensure_future(anext(office.store.changes(SHOP)))
    await asyncio.sleep(0)
    office.store.forget(SHOP)
    for _ in range(3):
        await asyncio.sleep(0)
    assert not waiting.done()
    made = office.put()
    assert await waiting is made
