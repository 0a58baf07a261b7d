"""One decision for all pools: at once up, later down, never to and fro."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from predictscale.core.fallback import plan_pools
from predictscale.core.pools import PoolMemory, PoolPlan, PoolPolicy, PoolsSeen, PoolStage, ZoneSeen
from worlds import at

POLICY = PoolPolicy(availability=0.99, lead_time_s=300, hold_s=1800, avoid_s=600)
NEED = 6
NAMES = ("a", "b", "c")


def calm(zone: str, ready: int = 0, pending: int = 0) -> ZoneSeen:
    return ZoneSeen(zone=zone, ready=ready, pending=pending, lost=0)


def pools(*zones: ZoneSeen, on_demand: int = 0) -> PoolsSeen:
    return PoolsSeen(on_demand_ready=on_demand, on_demand_pending=0, zones=zones)


def obedient(plan: PoolPlan) -> PoolsSeen:
    """All that was wanted serves."""
    return pools(*(calm(name, ready) for name, ready in plan.spot.items()), on_demand=plan.on_demand)


def settled(
    policy: PoolPolicy = POLICY, *, need: int = NEED, hours: float = 3.0
) -> tuple[PoolPlan, PoolMemory, float]:
    """A workload on spot after hours of calm: the plan, the memory, and the time [s]."""
    plan, memory = plan_pools(need, pools(*(calm(name) for name in NAMES)), policy, PoolMemory(), at(0))
    seconds = 0.0
    while seconds < hours * 3600:
        seconds += 60
        plan, memory = plan_pools(need, obedient(plan), policy, memory, at(seconds))
    return plan, memory, seconds


def hit(seen: PoolsSeen, zone: str, **changes: int | bool | None) -> PoolsSeen:
    """The same look with one zone changed."""
    return replace(
        seen,
        zones=tuple(replace(one, **changes) if one.zone == zone else one for one in seen.zones),  # type: ignore[arg-type]
    )


def test_at_first_on_demand_covers_the_need_until_spot_serves() -> None:
    plan, _ = plan_pools(NEED, pools(*(calm(name) for name in NAMES)), POLICY, PoolMemory(), at(0))
    assert plan.on_demand == NEED
    assert sum(plan.spot.values()) >= NEED


def test_after_calm_it_is_all_on_spot() -> None:
    plan, _, _ = settled()
    assert plan.on_demand == plan.base == 0
    assert sum(plan.spot.values()) >= NEED


def test_a_notice_raises_on_demand_in_the_same_look() -> None:
    plan, memory, now_s = settled()
    zone = max(plan.spot, key=lambda name: plan.spot[name])
    seen = hit(obedient(plan), zone, noticed=2)
    after, _ = plan_pools(NEED, seen, POLICY, memory, at(now_s + 15))
    assert after.on_demand >= plan.on_demand + 2
    assert "2 nodes are announced" in after.steps[2].because


@pytest.mark.parametrize(
    "change",
    [{"rebalanced": 1}, {"ready": 1, "lost": 1}, {"ready": 1, "lost": None}],
    ids=["rebalance recommendation", "counted loss", "replicas that vanished"],
)
def test_whatever_takes_a_node_raises_on_demand_at_once(change: dict[str, int | None]) -> None:
    plan, memory, now_s = settled()
    seen = hit(obedient(plan), max(plan.spot, key=lambda name: plan.spot[name]), **change)
    after, _ = plan_pools(NEED, seen, POLICY, memory, at(now_s + 15))
    assert after.on_demand > plan.on_demand


@pytest.mark.parametrize("change", [{"failed": 2}, {"available": False}])
def test_a_pool_that_gives_nothing_is_stood_in_for_at_once(change: dict[str, int]) -> None:
    memory = PoolMemory()
    seen = pools(calm("a", ready=2, pending=5))
    plan, memory = plan_pools(NEED, hit(seen, "a", **change), POLICY, memory, at(0))
    assert plan.on_demand >= NEED - 2
    assert "no more from a" in plan.steps[2].because


def test_on_demand_falls_a_hold_after_it_was_last_needed_and_no_sooner() -> None:
    plan, memory, now_s = settled()
    zone = max(plan.spot, key=lambda name: plan.spot[name])
    lost, memory = plan_pools(
        NEED, hit(obedient(plan), zone, ready=0, lost=plan.spot[zone]), POLICY, memory, at(now_s)
    )
    assert lost.on_demand > 0
    plan, last_needed = lost, now_s
    for step in range(1, 600):
        second = now_s + 60 * step
        plan, memory = plan_pools(NEED, obedient(plan), POLICY, memory, at(second))
        if plan.steps[2].value > 0:
            last_needed = second
        if plan.on_demand < lost.on_demand:
            assert second - last_needed >= POLICY.hold_s or plan.on_demand >= plan.steps[2].value
    assert plan.on_demand == 0


def test_a_pool_that_flaps_moves_on_demand_once_a_hold_at_most() -> None:
    plan, memory, now_s = settled()
    moves, hours = 0, 12
    for step in range(hours * 60):
        seen = obedient(plan)
        # All zones come for five minutes and go for five.
        if step % 10 < 5:
            seen = replace(
                seen,
                zones=tuple(
                    replace(zone, ready=0, pending=plan.spot[zone.zone], lost=zone.ready)
                    for zone in seen.zones
                ),
            )
        after, memory = plan_pools(NEED, seen, POLICY, memory, at(now_s + 60 * step))
        moves += after.on_demand != plan.on_demand
        plan = after
    assert moves <= 2 * hours * 3600 / POLICY.hold_s
    assert plan.on_demand == NEED


@given(
    flaps=st.lists(st.tuples(st.sampled_from(NAMES), st.integers(0, 8), st.booleans()), max_size=60),
    step_s=st.sampled_from([15.0, 60.0, 400.0]),
)
def test_whatever_happens_every_fall_comes_a_hold_after_the_last_time_it_was_needed(
    flaps: list[tuple[str, int, bool]], step_s: float
) -> None:
    plan, memory, now_s = settled(hours=0.1)
    needed: list[tuple[float, int]] = []
    for place, (name, ready, refuses) in enumerate(flaps):
        second = now_s + step_s * (place + 1)
        seen = hit(obedient(plan), name, ready=ready, lost=None, failed=int(refuses))
        after, memory = plan_pools(NEED, seen, POLICY, memory, at(second))
        needed.append((second, int(after.steps[2].value)))
        window = [count for when, count in needed if when > second - POLICY.hold_s]
        assert max(window) <= after.on_demand <= NEED
        assert after.on_demand >= after.base
        plan = after


def test_spot_is_given_up_only_when_what_replaces_it_serves() -> None:
    plan, memory, now_s = settled()
    here = pools(*(calm(name, ready) for name, ready in plan.spot.items()))
    dear = replace(POLICY, spot_price=1.0, hold_s=0)
    waiting, memory = plan_pools(NEED, here, dear, memory, at(now_s + 60))
    assert waiting.on_demand == NEED
    assert dict(waiting.spot) == dict(plan.spot)
    gone, _ = plan_pools(NEED, replace(here, on_demand_ready=NEED), dear, memory, at(now_s + 120))
    assert sum(gone.spot.values()) == 0


def test_a_zone_that_lost_a_node_gets_no_new_ones_for_a_while() -> None:
    plan, memory, now_s = settled()
    zone = max(plan.spot, key=lambda name: plan.spot[name])
    lost = hit(obedient(plan), zone, ready=0, lost=plan.spot[zone])
    short = replace(POLICY, hold_s=0)
    after, memory = plan_pools(NEED, lost, short, memory, at(now_s + 60))
    assert after.spot[zone] == 0
    assert sum(after.spot.values()) >= NEED


def test_if_every_zone_lost_nodes_none_is_avoided() -> None:
    plan, memory, now_s = settled()
    seen = pools(*(replace(calm(name), lost=1) for name in NAMES), on_demand=NEED)
    patient = replace(POLICY, hold_s=0, availability=0.5)
    after, _ = plan_pools(NEED, seen, patient, memory, at(now_s + 60))
    assert sum(after.spot.values()) >= NEED
    assert after.on_demand == NEED
    assert plan.on_demand == 0


def test_the_base_stays_whatever_spot_does() -> None:
    plan, _, _ = settled(replace(POLICY, base=2))
    assert plan.base == plan.on_demand == 2


def test_probes_ask_a_refusing_zone_for_one_more_than_it_gave() -> None:
    curious = replace(POLICY, probes=1, hold_s=0)
    seen = pools(replace(calm("a", ready=2), failed=1), calm("b", ready=9), on_demand=NEED)
    plan, _ = plan_pools(NEED, seen, curious, PoolMemory(), at(0))
    assert plan.spot["a"] >= 3


@given(need=st.integers(0, 40), more=st.integers(0, 40))
def test_more_need_never_means_fewer_replicas_at_first(need: int, more: int) -> None:
    looks = pools(*(calm(name) for name in NAMES))
    small, _ = plan_pools(need, looks, POLICY, PoolMemory(), at(0))
    large, _ = plan_pools(need + more, looks, POLICY, PoolMemory(), at(0))
    assert small.replicas <= large.replicas
    assert small.on_demand <= large.on_demand


def test_without_spot_pools_all_is_on_demand() -> None:
    plan, _ = plan_pools(NEED, pools(), POLICY, PoolMemory(), at(0))
    assert plan.on_demand == plan.base == NEED
    assert plan.replicas == NEED


def test_every_stage_says_why() -> None:
    plan, _, _ = settled()
    assert [step.stage for step in plan.steps] == list(PoolStage)
    assert all(step.because for step in plan.steps)
    assert "correlation" in plan.steps[0].because
    assert f"{NEED} needed" in plan.steps[1].because


def test_equal_inputs_lead_to_equal_plans() -> None:
    assert settled(hours=0.5) == settled(hours=0.5)


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="need"):
        plan_pools(-1, pools(), POLICY, PoolMemory(), at(0))
    with pytest.raises(ValueError, match="twice"):
        pools(calm("a"), calm("a"))
    with pytest.raises(ValueError, match="counted"):
        calm("a", ready=-1)
    for wrong in ({"availability": 1.0}, {"lead_time_s": 0.0}, {"hold_s": -1.0}, {"base": -1}):
        with pytest.raises(ValueError, match=r"availability|duration|base"):
            replace(POLICY, **wrong)
