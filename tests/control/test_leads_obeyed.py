"""A measured lead time in decisions: obeyed, told beside the owner's, and the same after a restart."""

from datetime import timedelta

import pytest

from chat_scene import CHAT, ChatScene
from pod_lives import QUERIES, ClusterOfLives, Life, steady
from predictscale.control.leads import LeadBook, LeadTimes
from predictscale.control.sizing import Sized
from predictscale.core.leadtime import Delays
from predictscale.core.plan import Decision
from predictscale.errors import SourceUnavailable
from scenes import MORNING


def measuring(scene: ChatScene, pods: ClusterOfLives) -> Sized:
    leads = LeadTimes(
        CHAT,
        source=pods,
        queries=QUERIES,
        delays=Delays(scrape_s=90, sync_s=15),
        configured_s=240,
        clock=scene.clock,
        book=LeadBook(),
    )
    return Sized(lead=leads)


def fleet() -> ClusterOfLives:
    """Starts of 600 s in the last days, and of 1,200 s from some minutes after the morning on."""
    slower = [
        Life(uid=f"slow-{n}", created=MORNING - timedelta(seconds=900 - n), ready_s=1200.0) for n in range(8)
    ]
    return ClusterOfLives(
        [*steady(20, last=MORNING - timedelta(seconds=7200), every_s=4000, ready_s=600.0), *slower]
    )


def lead_notes(decision: Decision) -> list[str]:
    return [note for note in decision.notes if note.startswith("lead time:")]


async def test_a_decision_plans_with_the_measured_lead_time_and_tells_the_owners() -> None:
    scene = ChatScene()
    decision = await scene.run(scene.chat(sizing=measuring(scene, fleet())), ticks=2)
    assert (decision.policy.lead_time_s, decision.policy.configured_lead_time_s) == (705, 240)
    assert "within 705 s" in decision.plan.steps[0].because
    (note,) = lead_notes(decision)
    assert "90% of 20 starts and 8 pending took up to 600 s" in note
    assert "configured are 240 s" in note


async def test_until_pods_can_be_read_the_owners_lead_time_is_obeyed() -> None:
    scene, pods = ChatScene(), fleet()
    pods.failure = SourceUnavailable("refused")
    decision = await scene.run(scene.chat(sizing=measuring(scene, pods)), ticks=2)
    assert (decision.policy.lead_time_s, decision.policy.configured_lead_time_s) == (240, None)
    assert "pod starts could not be read: refused" in decision.notes


async def test_a_restart_plans_with_what_the_service_that_ran_on_plans_with() -> None:
    scene, pods = ChatScene(), fleet()
    running = scene.chat(sizing=measuring(scene, pods))
    first = await scene.run(running, ticks=1)
    later = await scene.run(running, ticks=60)
    assert first.policy.lead_time_s == 705
    assert later.policy.lead_time_s == pytest.approx(1305, abs=15)
    scene.clock.advance(15)
    restarted = scene.chat(sizing=measuring(scene, pods))
    again = await restarted.tick(scene.clock.now())
    stayed = await running.tick(scene.clock.now())
    assert (again.policy, again.plan, lead_notes(again)) == (stayed.policy, stayed.plan, lead_notes(stayed))
    await restarted.stop()
    await running.stop()
