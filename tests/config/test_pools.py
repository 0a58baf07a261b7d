"""Pools as a workload's owner writes them: what is told wrong at once, and what decisions obey."""

from typing import Any

import pytest

from predictscale.config.load import load_service
from predictscale.config.poolfacts import PoolFact, pool_queries
from predictscale.config.presets import load_presets
from predictscale.config.promql import parse
from predictscale.config.settings import WorkloadSettings
from predictscale.core.pools import PoolKind
from predictscale.errors import SettingsError

PRESETS = load_presets()
ON_DEMAND = {"name": "steady", "kind": "on-demand", "target": "chat"}
SPOT = {"name": "spot", "kind": "spot", "target": "chat-spot"}


def workload(**more: Any) -> dict[str, Any]:
    plain = {
        "namespace": "llm",
        "name": "chat",
        "query": "demand",
        "capacity_per_replica": 10,
        "max_replicas": 20,
    }
    return {**plain, **more}


def resolved(**more: Any) -> WorkloadSettings:
    (settings,) = load_service(overrides={"workloads": [workload(**more)]}).named_workloads(PRESETS)
    return settings


def problems(**more: Any) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load_service(overrides={"workloads": [workload(**more)]})
    return [str(problem).removeprefix("workloads[0].") for problem in caught.value.problems]


def test_two_pools_and_nothing_else_are_enough() -> None:
    settings = resolved(pools=[ON_DEMAND, SPOT], lead_time_s=120)
    pools = settings.policy().pools
    assert pools is not None
    assert [(p.name, p.kind, p.max_replicas, p.zones) for p in pools.pools] == [
        ("steady", PoolKind.ON_DEMAND, 20, ()),
        ("spot", PoolKind.SPOT, 20, ("spot",)),
    ]
    assert (pools.rule.availability, pools.rule.base, pools.rule.hold_s) == (0.99, 0, 1800)
    assert settings.measured_target == "chat"


def test_a_workload_without_pools_and_spot_is_not_split() -> None:
    settings = resolved(target="chat")
    assert settings.policy().pools is None
    assert settings.measured_target == "chat"


def test_spot_without_pools_is_a_margin_on_the_targets_nodes() -> None:
    settings = resolved(target="chat", spot={"zones": ["a", "b"], "base": 2})
    pools = settings.policy().pools
    assert pools is not None
    assert pools.pools == ()
    assert pools.rule.base == 2
    assert settings.mixed is not None
    assert settings.mixed.zone_keys == ("nodes/a", "nodes/b")


def test_prices_of_both_pools_stand_above_the_share() -> None:
    def prices(**more: Any) -> tuple[float, float]:
        rule = resolved(pools=[ON_DEMAND, SPOT], spot={"price_share": 0.5}, **more).spot
        assert rule is not None
        return rule.on_demand_price, rule.spot_price

    assert prices() == (1.0, 0.5)
    assert prices(price={"pools": {"steady": 4, "spot": 1}}) == (4, 1)
    assert prices(price={"per_replica_hour": 4, "pools": {"spot": 1}}) == (1.0, 0.5)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"pools": [SPOT]}, "pools: has 0 on demand and 1 of spot; must have one on demand"),
        ({"pools": [ON_DEMAND]}, "pools: has 1 on demand and 0 of spot"),
        ({"pools": [ON_DEMAND, {**SPOT, "name": "steady"}]}, "pools[1].name: 'steady' is another pool's too"),
        ({"pools": [ON_DEMAND, {**SPOT, "target": "chat"}]}, "pools[0].target: 'chat' is another pool's too"),
        ({"pools": [ON_DEMAND, SPOT], "target": "chat"}, "target: 'chat' is given with pools; leave it out"),
        ({"pools": [{**ON_DEMAND, "zones": ["a"]}, SPOT]}, "pools[0].zones: is given on demand"),
        ({"pools": [ON_DEMAND, {**SPOT, "zones": ["a", "a"]}]}, "pools[1].zones: name one twice"),
        ({"pools": [ON_DEMAND, SPOT], "spot": {"base": 21}}, "spot.base: 21 is more than 20"),
        ({"pools": [ON_DEMAND, SPOT], "spot": {"zones": ["a"]}}, "spot.zones: is given with pools"),
        ({"spot": {}}, "spot: is given without a target; give target"),
    ],
)
def test_what_does_not_go_together_is_told_with_what_would(more: dict[str, Any], said: str) -> None:
    assert any(problem.startswith(said) for problem in problems(**more)), problems(**more)


def test_landings_that_need_replicas_find_them_in_the_pools() -> None:
    assert resolved(pools=[ON_DEMAND, SPOT], landing="hold").landing == "hold"


def test_pools_of_one_workload_are_asked_by_its_namespace_and_their_own_deployment() -> None:
    settings = resolved(
        pools=[ON_DEMAND, {**SPOT, "zones": ["a"], "instance_types": ["g5.xlarge"], "losses": "taints"}]
    )
    steady, spot = (dict(pool_queries("llm", pool, step_s=15)) for pool in settings.pools)
    assert steady.keys() == {PoolFact.HELD, PoolFact.SERVING}
    assert spot.keys() == set(PoolFact) - {PoolFact.WANTED}
    for query in (*steady.values(), *spot.values()):
        parse(query, where="here")
    assert 'deployment="chat-spot"' in spot[PoolFact.HELD]
    assert 'instance_type=~"g5\\\\.xlarge"' in spot[PoolFact.OFFERED]
