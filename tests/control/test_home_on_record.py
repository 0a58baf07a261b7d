"""Whom its owner meant to forecast is on record in each decision, so that the past can tell of stand-ins."""

from datetime import timedelta

from predictscale.core.state import Mark, State, marks_of, state_then
from predictscale.sources.replay import Recorded, ReplaySource
from scenes import MORNING, Scene, WatchedSource, settings_of


async def test_a_decision_tells_who_serves_by_right() -> None:
    decision = await Scene().tracker().tick(MORNING)
    assert decision.home == ("seasonal-naive-day",)
    assert marks_of(decision) == ()
    assert state_then(decision, told=True).state is State.OK


async def test_whoever_is_alone_in_a_chain_is_at_home() -> None:
    decision = await Scene().tracker(settings_of(forecasters=("last-value",))).tick(MORNING)
    assert decision.home == ("last-value",)
    assert marks_of(decision) == ()


async def test_a_stand_in_is_told_as_one_by_the_decision_alone() -> None:
    scene, young = Scene(), Recorded()
    scene.source = WatchedSource(ReplaySource({"shop_demand": young}, clock=scene.clock))
    for second in range(20 * 60, -1, -15):
        young.record(MORNING - timedelta(seconds=second), 160.0)
    decision = await scene.run(scene.tracker(), ticks=2)
    assert decision.forecast is not None
    assert decision.forecast.model == "last-value"
    assert marks_of(decision) == (Mark.DEMOTED,)
    state, because = state_then(decision, told=True)
    assert state is State.DEMOTED
    assert because.startswith("last-value forecasts, not seasonal-naive-day")
