"""One decision split over pools: what always holds, whatever is seen of them."""

from dataclasses import replace
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from predictscale.core.decide import decide
from predictscale.core.plan import Memory, Policy, Stage
from predictscale.core.pools import Pool, PoolKind, PoolPolicy, Pools, PoolsSeen, SplitMemory, ZoneSeen
from predictscale.core.split import split
from worlds import NOON, policy, seen

RULE = PoolPolicy(availability=0.99, lead_time_s=240, hold_s=600, avoid_s=0)
STEADY = Pool(name="steady", kind=PoolKind.ON_DEMAND, max_replicas=100)
WIDE = Pool(name="spot", kind=PoolKind.SPOT, max_replicas=100, zones=("spot/a", "spot/b"))
MIXED = Pools(pools=(), rule=RULE)


def pooled(*, wide: Pool = WIDE, steady: Pool = STEADY, rule: PoolPolicy = RULE) -> Policy:
    return replace(policy(), pools=Pools(pools=(steady, wide), rule=rule))


def look(
    a: int, b: int, *, on_demand: int = 0, noticed: int = 0, lost: int | None = None, failed: int = 0
) -> PoolsSeen:
    zones = (
        ZoneSeen(zone="spot/a", ready=a, pending=0, noticed=noticed, lost=lost, failed=failed),
        ZoneSeen(zone="spot/b", ready=b, pending=0),
    )
    return PoolsSeen(on_demand_ready=on_demand, on_demand_pending=0, zones=zones)


LOOKS = st.builds(
    look,
    st.integers(0, 12),
    st.integers(0, 12),
    on_demand=st.integers(0, 12),
    noticed=st.integers(0, 4),
    lost=st.none() | st.integers(0, 4),
    failed=st.integers(0, 1),
)


@given(need=st.integers(0, 20), looks=st.lists(st.none() | LOOKS, min_size=1, max_size=12))
def test_steady_spot_and_what_is_told_on_demand_always_cover_the_need(
    need: int, looks: list[PoolsSeen | None]
) -> None:
    memory = SplitMemory()
    for place, told in enumerate(looks):
        now = NOON + timedelta(seconds=15 * place)
        found, memory = split(need, told, pooled(), memory, now, most=100)
        on_demand, spot = found.shares
        assert found.published == on_demand.published + spot.published
        if told is None:
            continue
        steady = sum(max(0, zone.ready - zone.noticed) for zone in told.zones)
        # What serves on spot counts only as far as it is wanted: the rest may go.
        assert on_demand.published + min(steady, spot.published) >= need


@given(need=st.integers(0, 20), more=st.integers(0, 10), told=LOOKS)
def test_unseen_pools_get_no_less_and_more_need_goes_on_demand(need: int, more: int, told: PoolsSeen) -> None:
    before, memory = split(need, told, pooled(), SplitMemory(), NOON, most=100)
    unseen, _ = split(need + more, None, pooled(), memory, NOON + timedelta(seconds=60), most=100)
    assert [
        after.published - was.published for was, after in zip(before.shares, unseen.shares, strict=True)
    ] == [
        more,
        0,
    ]


def test_a_pool_of_several_zones_is_not_wanted_twice_while_it_leaves_one_of_them() -> None:
    memory, now = SplitMemory(), NOON
    for _ in range(4):
        _, memory = split(6, look(3, 3), pooled(), memory, now, most=100)
        now += timedelta(seconds=15)
    found, memory = split(6, look(3, 3, noticed=3), pooled(), memory, now, most=100)
    on_demand, spot = found.shares
    assert spot.published <= 7
    assert on_demand.published == spot.published - 3


def test_a_ceiling_of_a_pool_cuts_what_it_is_told_and_says_so() -> None:
    found, _ = split(
        6, look(0, 0), pooled(steady=replace(STEADY, max_replicas=4)), SplitMemory(), NOON, most=100
    )
    assert found.shares[0].published == 4
    assert "CUT from 6: its max is 4" in found.landed


@given(need=st.integers(0, 40), ready=st.integers(0, 40), noticed=st.integers(0, 3), most=st.integers(40, 60))
def test_a_margin_on_mixed_nodes_lies_between_the_need_and_the_ceiling(
    need: int, ready: int, noticed: int, most: int
) -> None:
    told = PoolsSeen(
        on_demand_ready=0,
        on_demand_pending=0,
        zones=(ZoneSeen(zone="nodes", ready=ready, pending=0, noticed=noticed),),
    )
    mixed = replace(policy(), pools=MIXED)
    found, memory = split(need, told, mixed, SplitMemory(), NOON, most=most)
    assert need <= found.replicas <= most
    assert (found.replicas > 0) == (need > 0)
    if need and need + noticed <= most:
        assert found.replicas >= need + noticed
    again, _ = split(need, None, mixed, memory, NOON + timedelta(seconds=15), most=most)
    assert again.replicas == found.replicas


def test_more_hazard_and_availability_never_take_from_a_mixed_margin() -> None:
    told = PoolsSeen(
        on_demand_ready=0, on_demand_pending=0, zones=(ZoneSeen(zone="nodes", ready=20, pending=0),)
    )

    def total(per_node_hour: float, availability: float) -> int:
        prior = replace(RULE.prior, per_node_hour=per_node_hour)
        rule = replace(RULE, prior=prior, availability=availability)
        mixed = replace(policy(), pools=Pools(pools=(), rule=rule))
        return split(20, told, mixed, SplitMemory(), NOON, most=100)[0].replicas

    totals = [total(rate, level) for rate in (0.01, 0.5, 2.0) for level in (0.9, 0.999)]
    assert totals[0::2] == sorted(totals[0::2])
    assert totals[1::2] == sorted(totals[1::2])
    assert all(low <= high for low, high in zip(totals[0::2], totals[1::2], strict=True))
    assert 20 <= totals[0] < totals[-1] == 40


def test_a_decision_tells_its_split_in_a_step_of_its_own_and_remembers_the_need() -> None:
    watched = replace(seen(60), pools=look(3, 3))
    plan, memory = decide(watched, None, pooled(), Memory(), unit="requests/s")
    steps = {step.stage: step for step in plan.steps}
    assert steps[Stage.CEILING].value == 6
    assert steps[Stage.SPOT].value == sum(share.wanted for share in plan.shares)
    assert steps[Stage.LANDING].value == plan.published
    assert "6 needed" in steps[Stage.SPOT].because
    assert memory.last_good == 6
    assert plan.of_pool("spot").published == plan.shares[1].published


@given(st.integers(0, 300))
def test_without_pools_the_split_changes_nothing(demand: int) -> None:
    plan, memory = decide(seen(demand), None, policy(), Memory(), unit="requests/s")
    steps = {step.stage: step.value for step in plan.steps}
    assert steps[Stage.SPOT] == steps[Stage.CEILING]
    assert plan.shares == ()
    assert memory.split == SplitMemory()
