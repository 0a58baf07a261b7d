"""Savings as people and Prometheus are shown them."""

from dataclasses import replace

import pytest
from prometheus_client import CollectorRegistry

from predictscale.core.counterfactual import Account, Savings, Way
from predictscale.core.demand import WorkloadId
from predictscale.serving.savings import SavingsCollector, Told, savings_view
from worlds import CHAT, NOON, at

SAVINGS = Savings(
    since=NOON,
    until=at(7200),
    known_s=7000.0,
    unknown_s=200.0,
    priced_s=7000.0,
    came=1000.0,
    utilisation=0.7,
    wait_s=5.0,
    ours=Account(replica_h=20.0, late=5.0, money=80.0),
    reactive=Account(replica_h=26.0, late=45.0, money=104.0),
    static=Account(replica_h=60.0, late=0.0, money=240.0),
)
UNPRICED = replace(SAVINGS, priced_s=0.0)
SHOP = WorkloadId("prod", "shop")


def exposed(*told: Told) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(SavingsCollector(lambda: told))
    return registry


def value(registry: CollectorRegistry, name: str, workload: WorkloadId = CHAT, **labels: str) -> float | None:
    of = {"namespace": workload.namespace, "workload": workload.name}
    return registry.get_sample_value(f"predictscale_{name}", {**of, **labels})


def test_the_view_tells_all_ways_and_what_was_saved() -> None:
    view = savings_view(Told(CHAT, SAVINGS, "EUR"))
    assert (view.namespace, view.workload, view.currency) == ("prod", "chat", "EUR")
    assert [(each.way, each.replica_hours, each.late_share) for each in view.ways] == [
        (Way.OURS, 20.0, 0.005),
        (Way.REACTIVE, 26.0, 0.045),
        (Way.STATIC, 60.0, 0.0),
    ]
    reactive, static = view.saved
    assert (reactive.versus, reactive.replica_hours, reactive.money) == (Way.REACTIVE, 6.0, 24.0)
    assert reactive.avoided_shortage == pytest.approx(0.04)
    # The static fleet was never late: there ours avoided less than nothing.
    assert static.avoided_shortage == pytest.approx(-0.005)


def test_without_a_price_there_is_no_money_and_without_work_no_share() -> None:
    view = savings_view(Told(CHAT, replace(UNPRICED, came=0.0), None))
    assert view.currency is None
    assert {each.money for each in view.ways} == {each.money for each in view.saved} == {None}
    assert {each.avoided_shortage for each in view.saved} == {None}
    assert [each.replica_hours for each in view.saved] == [6.0, 40.0]


def test_prometheus_is_told_by_workload_and_rival() -> None:
    found = exposed(Told(CHAT, SAVINGS, "EUR"), Told(SHOP, UNPRICED, None))
    assert value(found, "saved_replica_hours", versus="reactive") == 6.0
    assert value(found, "saved_replica_hours", SHOP, versus="static") == 40.0
    assert value(found, "saved_money", versus="static", currency="EUR") == 160.0
    assert value(found, "saved_shortage_ratio", versus="reactive") == pytest.approx(0.04)
    assert value(found, "saved_known_seconds") == 7000.0
    assert value(found, "saved_unknown_seconds") == 200.0
    assert value(found, "held_replica_hours", way="static") == 60.0
    assert value(found, "late_ratio", way="reactive") == pytest.approx(0.045)


def test_what_is_not_known_has_no_series() -> None:
    found = exposed(Told(SHOP, replace(UNPRICED, came=0.0), None))
    names = {sample.name for family in found.collect() for sample in family.samples}
    assert names == {
        "predictscale_saved_replica_hours",
        "predictscale_saved_known_seconds",
        "predictscale_saved_unknown_seconds",
        "predictscale_held_replica_hours",
    }
    assert not any(family.samples for family in exposed().collect())
