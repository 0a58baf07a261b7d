"""The books of a workload, kept beside its tracker."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from made_windows import CHAT as CHAT_MIX
from made_windows import TRUE
from predictscale.clock import ManualClock
from predictscale.config.costs import GridSettings
from predictscale.config.settings import WorkloadSettings
from predictscale.control.counterfactual import CounterfactualMeter
from predictscale.control.gridwatch import GridWatch
from predictscale.control.ledger import Ledger
from predictscale.control.metershelf import MeterShelf
from predictscale.control.moneybook import Money, MoneyBook
from predictscale.control.step import StepMemory, step
from predictscale.control.tracker import Tracker
from predictscale.core.breakeven import ColdStart
from predictscale.core.budget import MonthlyBudget
from predictscale.core.carbon import Accounting, Power
from predictscale.core.cost import Price
from predictscale.core.counterfactual import Way
from predictscale.core.fleet import FleetState
from predictscale.core.law import LatencyTargets
from predictscale.core.lawcapacity import CapacityLaw
from predictscale.core.lawfit import LawFit
from predictscale.core.lawguards import Learned, Seen
from predictscale.core.lawwindows import LeftOut
from predictscale.core.needed import Demands
from predictscale.core.plan import Decision, Mode, Stage
from predictscale.core.pools import Pool, PoolKind, PoolPolicy, Pools, PoolsSeen, ZoneSeen
from predictscale.meters import Meters
from predictscale.sources.history import History
from predictscale.sources.replay import Recorded, ReplaySource
from scenes import SHOP, Scene, WatchedSource, settings_of
from worlds import policy, seen

MIDNIGHT = datetime(2026, 3, 1, tzinfo=UTC)
"""A month begins."""
EUROS = Price(per_replica_h=4.0, currency="EUR", gpus_per_replica=2)
SETTINGS = replace(settings_of(), price=EUROS, labels=(("team", "search"),))


class Desk:
    """A shelf, a reader's book, and ledgers on both."""

    def __init__(self) -> None:
        self.history = History(path=None, meters=Meters())
        self.book = MoneyBook()

    def ledger(self, settings: WorkloadSettings = SETTINGS) -> Ledger:
        return Ledger(
            settings,
            meter=CounterfactualMeter(),
            key="prod/shop#1",
            shelf=MeterShelf(self.history),
            book=self.book,
            grid=None if settings.grid is None else GridWatch(settings.grid),
        )

    async def noted(self, settings: WorkloadSettings = SETTINGS, *decisions: Decision) -> Money:
        """What a reader is told after some decisions."""
        ledger = self.ledger(settings)
        await ledger.wake()
        for each in decisions:
            ledger.note(each)
        money = self.book.get(SHOP)
        assert money is not None
        return money


def decided(
    place: int = 0, demand: float | None = 800, *, replicas: int | None = 10, **more: Any
) -> Decision:
    looked = seen(demand, now=MIDNIGHT + timedelta(seconds=15 * place))
    looked = replace(looked, fleet=FleetState(replicas=replicas, ready=replicas), **more)
    rules = policy(per_replica=80, min_replicas=1)
    return step(SHOP, looked, None, rules, StepMemory(), unit="requests/s")[0]


@pytest.fixture
def desk() -> Desk:
    return Desk()


async def test_an_hour_is_priced_at_the_fleet_and_the_load_that_are_here(desk: Desk) -> None:
    money = await desk.noted(SETTINGS, decided())
    assert money.hourly is not None
    assert (money.currency, money.hourly.money, money.hourly.gpu_h) == ("EUR", 40.0, 20.0)
    assert money.hourly.per_1000_requests == pytest.approx(40 / (800 * 3.6))
    assert money.hourly.per_million_output_tokens is None
    assert money.labels == {"team": "search"}


async def test_tokens_are_priced_where_they_are_counted(desk: Desk) -> None:
    rates = Demands(requests_rps=2.0, input_tokens_per_s=900.0, output_tokens_per_s=500.0)
    learned = await desk.noted(replace(SETTINGS, unit="tokens of all kinds/s"), decided(rates=rates))
    assert learned.hourly is not None
    assert learned.hourly.per_million_output_tokens == pytest.approx(40 / (500 * 3600) * 1e6)
    assert learned.hourly.per_1000_requests == pytest.approx(40 / 7.2)
    backend = replace(SETTINGS, unit="tokens/s", backend="vllm-tokens", query=None)
    for settings in (backend, replace(SETTINGS, unit="output tokens/s")):
        told = await desk.noted(settings, decided())
        assert told.hourly is not None
        assert told.hourly.per_million_output_tokens == pytest.approx(40 / (800 * 3600) * 1e6)
        assert told.hourly.per_1000_requests is None
    own = await desk.noted(replace(SETTINGS, unit="tokens/s"), decided())
    assert own.hourly is not None
    assert own.hourly.per_million_output_tokens is None


async def test_input_tokens_weigh_what_the_fitted_law_says(desk: Desk) -> None:
    fit = LawFit(
        law=TRUE, errors_s=(0, 0, 0), slope_error=0.01, mape=0.03, windows=500, highest_utilization=0.3,
        span_s=86400, left_out=LeftOut(),
    )  # fmt: skip
    law = CapacityLaw(
        slo=LatencyTargets(itl_s=0.05),
        mix=CHAT_MIX,
        learned=Learned(fit=fit, why_not="", seen=Seen(output_cost=TRUE.beta_s, input_cost=TRUE.gamma_s)),
    )
    rates = Demands(requests_rps=2.0, input_tokens_per_s=900.0, output_tokens_per_s=500.0)
    decision = decided(rates=rates)
    taught = replace(decision, policy=replace(decision.policy, capacity=law))
    money = await desk.noted(SETTINGS, taught)
    assert money.hourly is not None
    blended = 500 + 900 * TRUE.gamma_s / TRUE.beta_s
    assert money.hourly.per_million_tokens == pytest.approx(40 / (blended * 3600) * 1e6)
    untaught = await desk.noted(SETTINGS, decision)
    assert untaught.hourly is not None
    assert untaught.hourly.per_million_tokens is None


@pytest.mark.parametrize("doubt", [{"partial": True}, {"demand_at": MIDNIGHT - timedelta(minutes=5)}])
async def test_an_old_or_doubtful_load_is_not_priced_and_the_fleet_is(
    desk: Desk, doubt: dict[str, Any]
) -> None:
    money = await desk.noted(SETTINGS, decided(**doubt))
    assert money.hourly is not None
    assert (money.hourly.money, money.hourly.per_1000_requests) == (40.0, None)


async def test_without_a_price_or_a_known_fleet_there_is_no_cost(desk: Desk) -> None:
    assert (await desk.noted(settings_of(), decided())).hourly is None
    assert (await desk.noted(SETTINGS, decided(replicas=None))).hourly is None
    spot_only = replace(SETTINGS, price=Price(per_replica_h=None, pools=(("spot", 1.0),)))
    assert (await desk.noted(spot_only, decided())).hourly is None


async def test_grams_are_told_where_power_and_grid_are(desk: Desk) -> None:
    grid = GridSettings(constant_g_per_kwh=400, accounting=Accounting.MARGINAL)
    power = Power(watts_per_gpu=500, gpus_per_replica=2, host_share=1.0, pue=1.0)
    green = replace(SETTINGS, grid=grid, power=power, unit="output tokens/s")
    money = await desk.noted(green, decided())
    assert money.carbon is not None
    assert (money.carbon.g, money.carbon.accounting) == (4000.0, Accounting.MARGINAL)  # 10 kWh
    assert money.tokens == 800 * 3600
    assert (await desk.noted(replace(green, grid=None), decided())).carbon is None
    assert (await desk.noted(replace(green, power=None), decided())).carbon is None
    assert (await desk.noted(green, decided(replicas=None))).carbon is None


async def test_savings_are_told_by_the_minute(desk: Desk) -> None:
    ledger = desk.ledger()
    await ledger.wake()
    told = []
    for place in range(10):
        ledger.note(decided(place))
        money = desk.book.get(SHOP)
        assert money is not None
        told.append(None if money.savings is None else money.savings.known_s)
    assert told == [None] * 4 + [60] * 4 + [120] * 2


async def test_books_outlive_a_restart_and_a_kill_loses_an_hour_at_most(desk: Desk) -> None:
    steady, stopped = desk.ledger(), desk.ledger()
    for ledger in (steady, stopped):
        await ledger.wake()
    for place in range(250):
        for ledger in (steady, stopped):
            ledger.note(decided(place))
        stopped.start_due(MIDNIGHT + timedelta(seconds=15 * place))
        await stopped.settled()
    killed = await desk.noted(SETTINGS, decided(250))
    assert killed.savings is not None
    # They lie there since some minute of the hour, which is the workload's own.
    assert 0 < killed.savings.known_s < 250 * 15
    assert killed.savings.known_s + killed.savings.unknown_s == 250 * 15
    await stopped.stop()
    again = await desk.noted(SETTINGS, decided(250))
    steady.note(decided(250))
    steady.note(decided(252))  # another minute
    assert again.savings is not None
    assert again.savings.known_s == 250 * 15
    assert again.savings.unknown_s == 0


async def test_nothing_is_noted_or_kept_before_the_books_were_looked_for(desk: Desk) -> None:
    full = desk.ledger()
    await full.wake()
    for place in range(8):
        full.note(decided(place))
    await full.stop()
    early = desk.ledger()
    early.note(decided(8))
    assert desk.book.get(SHOP) is None
    early.start_due(MIDNIGHT + timedelta(hours=3))
    early.start_due(MIDNIGHT + timedelta(hours=5))
    await early.stop()
    money = await desk.noted(SETTINGS, decided(8))
    assert money.savings is not None
    assert money.savings.known_s == 8 * 15


async def test_readers_are_told_no_more_of_a_workload_that_is_not_followed(desk: Desk) -> None:
    ledger = desk.ledger()
    await ledger.wake()
    ledger.note(decided())
    assert [workload for workload, _ in desk.book.items()] == [SHOP]
    await ledger.stop()
    assert desk.book.items() == []


POOR = MonthlyBudget(per_month=744.0, currency="EUR", slack=1.0)
"""Of March's 744 hours: a euro for each, which is a quarter of a replica."""


async def test_a_budget_allows_by_what_the_books_say_of_the_month(desk: Desk) -> None:
    ledger = desk.ledger(replace(SETTINGS, budget=replace(POOR, per_month=744 * 40.0)))
    before = ledger.allowance_at(MIDNIGHT)
    assert before is not None
    assert before.most is None  # nobody knows what lies on the shelf
    await ledger.wake()
    for place in range(9):
        ledger.note(decided(place, replicas=20))
    now = MIDNIGHT + timedelta(hours=24)
    after = ledger.allowance_at(MIDNIGHT)
    assert after is not None
    assert after.most == 9  # ten at the even pace, and two minutes had twenty
    assert desk.ledger().allowance_at(now) is None


async def run(settings: WorkloadSettings, *, ticks: int, begin: datetime) -> tuple[Decision, Tracker, Desk]:
    """A tracker with books, some ticks after a beginning."""
    desk, scene = Desk(), Scene(clock=ManualClock(begin))
    tracker = scene.tracker(settings, ledger=desk.ledger(settings))
    return await scene.run(tracker, ticks=ticks), tracker, desk


async def test_a_binding_budget_shows_in_the_steps_of_a_live_workload() -> None:
    free, _, _ = await run(SETTINGS, ticks=6, begin=MIDNIGHT)
    assert free.plan.target > 1
    assert free.plan.granted is None
    decision, _, _ = await run(replace(SETTINGS, budget=POOR), ticks=6, begin=MIDNIGHT)
    assert decision.plan.target == 1
    ceiling = next(each for each in decision.plan.steps if each.stage is Stage.CEILING)
    assert f"CUT from {free.plan.target} to 1 by the budget" in ceiling.because
    assert "of 744.00 EUR are left" in ceiling.because


async def test_a_budget_of_which_nothing_is_known_cuts_nothing_and_says_so() -> None:
    """The service was installed in the middle of a month."""
    decision, _, _ = await run(
        replace(SETTINGS, budget=POOR), ticks=6, begin=MIDNIGHT + timedelta(days=9, hours=6)
    )
    assert decision.plan.target > 1
    ceiling = next(each for each in decision.plan.steps if each.stage is Stage.CEILING)
    assert ceiling.because.endswith("the budget is not applied: what was spent this month is not known")


async def test_books_change_no_decision() -> None:
    """Property of the wiring: with prices, labels and a meter, targets are those of a tracker without."""
    plain_scene, booked_scene = Scene(clock=ManualClock(MIDNIGHT)), Scene(clock=ManualClock(MIDNIGHT))
    plain = plain_scene.tracker(settings_of())
    booked = booked_scene.tracker(SETTINGS, ledger=Desk().ledger())
    for _ in range(20):
        one = await plain_scene.run(plain, ticks=1)
        other = await booked_scene.run(booked, ticks=1)
        assert (one.plan, one.reactive, one.seen) == (other.plan, other.reactive, other.seen)


async def test_in_shadow_mode_ours_is_what_we_would_have_held() -> None:
    decision, tracker, desk = await run(replace(SETTINGS, mode=Mode.SHADOW), ticks=30, begin=MIDNIGHT)
    money = desk.book.get(SHOP)
    assert money is not None
    assert money.savings is not None
    held = money.savings.of(Way.OURS).replica_h / (money.savings.known_s / 3600)
    assert held == pytest.approx(decision.plan.published, abs=1.5)
    await tracker.stop()


async def test_the_last_replica_of_a_live_workload_waits_for_break_even() -> None:
    """Somebody came at midnight, for a minute, after days and before minutes of nothing."""
    asleep = replace(settings_of(min_replicas=0), forecasters=("seasonal-naive-day",))
    cold = ColdStart(lost_value=0, idle_per_h=4, lead_s=240)  # as dear as 240 s of idling
    wanted: dict[str, list[float]] = {}
    for name, settings in {
        "plain": asleep,
        "cold": replace(asleep, cold=cold),
        "blind": replace(asleep, sighted=False),
    }.items():
        scene = Scene(clock=ManualClock(MIDNIGHT + timedelta(minutes=1)))
        visit = Recorded()
        for second in range(-4 * 86400, 600, 15):
            visit.record(MIDNIGHT + timedelta(seconds=second), 80.0 if 0 < second <= 60 else 0.0)
        scene.source = WatchedSource(ReplaySource({"shop_demand": visit}, clock=scene.clock))
        tracker = scene.tracker(settings)
        wanted[name] = [
            next(each.value for each in decision.plan.steps if each.stage is Stage.WARM)
            for decision in [await scene.run(tracker, ticks=4) for _ in range(7)]
        ]
    assert wanted == {"plain": [0] * 7, "cold": [1, 1, 1, 0, 0, 0, 0], "blind": [1] * 7}


def pooled(price: Price, *, looked: bool = True) -> tuple[WorkloadSettings, Decision]:
    """Three replicas on demand, seven on spot in two zones; all are there, some not ready."""
    pools = Pools(
        pools=(
            Pool(name="steady", kind=PoolKind.ON_DEMAND, max_replicas=50),
            Pool(name="spot", kind=PoolKind.SPOT, max_replicas=50, zones=("a", "b")),
        ),
        rule=PoolPolicy(availability=0.95, lead_time_s=240),
    )
    zones = (ZoneSeen(zone="a", ready=4, pending=1), ZoneSeen(zone="b", ready=2, pending=0))
    seen_pools = PoolsSeen(on_demand_ready=2, on_demand_pending=1, zones=zones)
    decision = decided()
    told = replace(
        decision,
        policy=replace(decision.policy, pools=pools),
        seen=replace(decision.seen, pools=seen_pools if looked else None),
    )
    return replace(SETTINGS, price=price), told


async def test_each_pool_is_paid_at_its_own_price(desk: Desk) -> None:
    both = Price(per_replica_h=4.0, pools=(("spot", 1.5),), currency="EUR")
    money = await desk.noted(*pooled(both))
    assert money.hourly is not None
    assert (money.hourly.money, money.hourly.replica_h) == (3 * 4.0 + 7 * 1.5, 10)
    # One whose pool is not named, and one whose pools were not seen.
    spot_only = Price(per_replica_h=None, pools=(("spot", 1.5),), currency="EUR")
    assert (await desk.noted(*pooled(spot_only))).hourly is None
    assert (await desk.noted(*pooled(both, looked=False))).hourly is None


async def test_a_budget_counts_at_what_the_present_pools_cost(desk: Desk) -> None:
    settings, decision = pooled(Price(per_replica_h=4.0, pools=(("spot", 1.5),), currency="EUR"))
    ledger = desk.ledger(replace(settings, budget=replace(POOR, per_month=744 * 45.0)))
    await ledger.wake()
    before = ledger.allowance_at(MIDNIGHT)
    ledger.note(decision)
    after = ledger.allowance_at(MIDNIGHT)
    assert before is not None
    assert after is not None
    assert (before.most, after.most) == (11, 20)  # 45 an hour: at 4, and at 2.25 on the mean
