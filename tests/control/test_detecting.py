"""A workload whose backend is looked for: what it decides before, and for how long a find stands."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import pytest

from predictscale.config.auto import Choice, Undecided
from predictscale.config.presets import load_presets
from predictscale.config.settings import WorkloadSettings
from predictscale.control.detecting import LOOK_AGAIN_S, LOOK_S, DetectingTracker
from predictscale.control.loop import Loop
from predictscale.control.store import DecisionStore
from predictscale.core.plan import Decision, Health
from predictscale.errors import SourceUnavailable
from predictscale.meters import Meters
from scenes import MORNING, Scene, minutes_later, settings_of, soon

PRESETS = load_presets()
NOTHING = Undecided(because="there is nothing", seen=False)
SEVERAL = Undecided(because="two fit: vllm, sglang", seen=True)


def choice(backend: str = "vllm", deployment: str | None = "shop") -> Choice:
    return Choice(
        preset=PRESETS[backend],
        deployment=deployment,
        selector='namespace="prod"',
        because=f"{backend} is seen",
    )


class Looks:
    """What is found, as a test says it; remembers when it was asked."""

    def __init__(self, found: Choice | Undecided) -> None:
        self.found = found
        self.down = False
        self.asked: list[datetime] = []

    async def __call__(self, settings: WorkloadSettings, *, at: datetime) -> Choice | Undecided:
        assert settings.backend == "auto"
        self.asked.append(at)
        if self.down:
            raise SourceUnavailable("switched off")
        return self.found


@dataclass
class Stub:
    """Who follows the workload once its backend is known."""

    settings: WorkloadSettings
    decide: Callable[[datetime], Decision]
    stopped: bool = False

    async def tick(self, at: datetime) -> Decision:
        await soon()
        assert not self.stopped, "a tick under way may still start a fit"
        return self.decide(at)

    async def stop(self) -> None:
        self.stopped = True


class Followed:
    """A detecting tracker, and what it made of what it found."""

    def __init__(self, found: Choice | Undecided) -> None:
        self.looks = Looks(found)
        self.inner: list[Stub] = []
        auto = replace(settings_of(), backend="auto", query=None, selector='namespace="prod"')
        self.tracker = DetectingTracker(auto, find=self.looks, follow=self._follow)
        self.at = MORNING

    def _follow(self, settings: WorkloadSettings) -> Stub:
        base = self.first

        def decide(at: datetime) -> Decision:
            return replace(base, seen=replace(base.seen, now=at), notes=("the inner note",))

        self.inner.append(Stub(settings, decide))
        return self.inner[-1]

    async def start(self) -> Decision:
        self.first = await Scene().tracker().tick(MORNING)
        return await self.tracker.tick(self.at)

    async def later(self, minutes: float) -> Decision:
        self.at += timedelta(minutes=minutes)
        return await self.tracker.tick(self.at)


@pytest.mark.parametrize("found", [NOTHING, SEVERAL])
async def test_until_one_backend_fits_nothing_is_known_and_why_is_said(found: Undecided) -> None:
    followed = Followed(found)
    decision = await followed.start()
    assert decision.plan.health is Health.UNKNOWN
    assert not decision.plan.available
    assert decision.seen.demand is None
    assert decision.notes == (f"no backend is chosen: {found.because}",)
    assert followed.tracker.inner is None


async def test_a_find_is_followed_in_its_own_name_and_says_why() -> None:
    followed = Followed(choice())
    decision = await followed.start()
    (inner,) = followed.inner
    assert (inner.settings.backend, inner.settings.selector) == ("vllm", 'namespace="prod"')
    assert inner.settings.asks == PRESETS["vllm"].digest()
    as_written = replace(inner.settings, backend="auto", asks="", selector='namespace="prod"')
    assert as_written == followed.tracker.settings
    assert decision.notes == ("backend vllm was detected: vllm is seen", "the inner note")


async def test_it_looks_slowly_while_nothing_is_found_and_more_slowly_afterwards() -> None:
    followed = Followed(NOTHING)
    await followed.start()
    for _ in range(11):
        await followed.later(0.25)
    assert [at.second for at in followed.looks.asked] == [0, 0, 0]
    followed.looks.found = choice()
    await followed.later(1)
    assert len(followed.inner) == 1
    before = len(followed.looks.asked)
    for _ in range(4 * 30):
        await followed.later(0.25)
    gaps = {
        (b - a).total_seconds()
        for a, b in zip(followed.looks.asked[before:], followed.looks.asked[before + 1 :], strict=False)
    }
    assert gaps == {LOOK_AGAIN_S}
    assert LOOK_S < LOOK_AGAIN_S


async def test_all_replicas_of_the_service_look_at_the_same_instants_whenever_they_started() -> None:
    early, late = Followed(choice()), Followed(choice())
    late.at += timedelta(minutes=3.25)
    await early.start()
    await late.start()
    for _ in range(4 * 25):
        await early.later(0.25)
        await late.later(0.25)
    assert set(late.looks.asked[1:]) <= {*early.looks.asked, late.looks.asked[-1]}


@pytest.mark.parametrize(
    "seen",
    [
        NOTHING,
        SEVERAL,
        choice("production-stack", deployment=None),
        choice("sglang", deployment="other"),
    ],
)
async def test_a_find_stays_while_nothing_stands_for_it(seen: Choice | Undecided) -> None:
    followed = Followed(choice())
    await followed.start()
    followed.looks.found = seen
    decision = await followed.later(10)
    decision = await followed.later(0.25)
    assert len(followed.inner) == 1
    assert decision.notes[0].startswith("backend vllm stays, which was detected before: ")
    assert seen.because in decision.notes[0]


async def test_another_backend_of_the_same_pods_takes_over_when_the_first_is_gone() -> None:
    followed = Followed(choice())
    await followed.start()
    followed.looks.found = choice("sglang")
    await followed.later(10)
    decision = await followed.later(0.25)
    before, after = followed.inner
    assert after.settings.backend == "sglang"
    assert before.stopped
    assert not after.stopped
    assert decision.notes[0] == "backend sglang was detected: sglang is seen"


async def test_a_source_that_cannot_tell_is_a_doubt_at_first_and_changes_nothing_later() -> None:
    followed = Followed(choice())
    followed.looks.down = True
    assert (await followed.start()).notes == ("the backend could not be looked for: switched off",)
    followed.looks.down = False
    await followed.later(1)
    followed.looks.down = True
    await followed.later(10)
    decision = await followed.later(0.25)
    assert len(followed.inner) == 1
    assert "stays" in decision.notes[0]
    assert "switched off" in decision.notes[0]


async def test_whoever_follows_is_stopped_with_it() -> None:
    followed = Followed(choice())
    await followed.tracker.stop()
    await followed.start()
    await followed.tracker.stop()
    assert followed.inner[0].stopped


async def test_the_loop_follows_it_as_any_other_and_keeps_it_while_its_settings_stay() -> None:
    scene, followed = Scene(), Followed(NOTHING)
    store, made = DecisionStore(), []

    def follow(_: WorkloadSettings) -> DetectingTracker:
        made.append(followed.tracker)
        return followed.tracker

    loop = Loop(follow=follow, store=store, clock=scene.clock, tick_s=15, meters=Meters())
    running = asyncio.create_task(loop.run())
    loop.track(followed.tracker.settings)
    loop.track(followed.tracker.settings)
    await soon()
    assert made == [followed.tracker]
    decision = store.latest(followed.tracker.workload)
    assert decision is not None
    assert decision.seen.now == minutes_later(0)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
