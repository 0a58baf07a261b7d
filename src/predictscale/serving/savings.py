"""What people are shown of savings: what we held, beside what others would have held.

The meter's accounts for REST and for Prometheus. Refuses to show a number that is not known: money
without a price, a share of no work; and to show savings without the time they are of.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from pydantic import BaseModel, Field

from predictscale.core.counterfactual import Savings, Way
from predictscale.core.demand import WorkloadId

RIVALS = (Way.REACTIVE, Way.STATIC)
"""Those that savings are told against."""

_LABELS = ("namespace", "workload")


class Told(NamedTuple):
    """The savings of a workload, and the currency of its money."""

    workload: WorkloadId
    savings: Savings
    currency: str | None


class WayView(BaseModel):
    """What one way of scaling did."""

    way: Way = Field(
        description="ours, reactive (a plain HPA on the same metric), static (sized for the peak)."
    )
    replica_hours: float
    money: float | None = Field(description="Over the time that had a price; null if none had.")
    late_share: float | None = Field(description="Share of work that waited too long; null if none came.")


class SavedView(BaseModel):
    """Ours beside another way; negative where ours held, cost or delayed more."""

    versus: Way
    replica_hours: float
    money: float | None
    avoided_shortage: float | None = Field(
        description="Share of work that would have waited too long and did not; null if none came."
    )


class SavingsView(BaseModel):
    """The books of one workload's counterfactual meter."""

    namespace: str
    workload: str
    since: datetime
    until: datetime
    known_s: float = Field(description="How much of that time is accounted for.")
    unknown_s: float = Field(description="How much is not: demand was not known, or nobody looked.")
    utilisation: float = Field(description="What the plain HPA aims at.")
    wait_s: float = Field(description="Work that waits longer counts as late.")
    currency: str | None = Field(description="Of all money; null without a price.")
    ways: list[WayView]
    saved: list[SavedView]


def savings_view(told: Told) -> SavingsView:
    """The accounts as REST gives them."""
    (namespace, workload), savings = told.workload, told.savings
    priced = savings.priced_s > 0
    return SavingsView(
        namespace=namespace,
        workload=workload,
        since=savings.since,
        until=savings.until,
        known_s=savings.known_s,
        unknown_s=savings.unknown_s,
        utilisation=savings.utilisation,
        wait_s=savings.wait_s,
        currency=told.currency if priced else None,
        ways=[
            WayView(
                way=way,
                replica_hours=savings.of(way).replica_h,
                money=savings.of(way).money if priced else None,
                late_share=savings.late_share(way),
            )
            for way in Way
        ],
        saved=[
            SavedView(
                versus=way,
                replica_hours=savings.saved_h(way),
                money=savings.saved_money(way),
                avoided_shortage=savings.avoided_shortage(way),
            )
            for way in RIVALS
        ],
    )


class SavingsCollector(Collector):
    """Gauges of every workload's accounts, over as long as they are kept.

    They are gauges although they mostly grow: the oldest hours leave the books, and ours may
    hold more than another way.

    Args:
        told: Gives the accounts of all workloads that have some.
    """

    def __init__(self, told: Callable[[], Iterable[Told]]) -> None:
        self._told = told

    def describe(self) -> Iterable[Metric]:
        """Nothing in advance: what is exposed depends on the workloads."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """One family after another, over one reading of the books."""
        rows = list(self._told())
        yield from _saved(rows)
        yield from _ways(rows)


def _saved(rows: Sequence[Told]) -> Iterator[Metric]:
    hours = _gauge("predictscale_saved_replica_hours", "Replica-hours that another way held more.", "versus")
    money = _gauge("predictscale_saved_money", "The same in money.", "versus", "currency")
    shortage = _gauge(
        "predictscale_saved_shortage_ratio",
        "Share of work that would have waited too long another way, and did not.",
        "versus",
    )
    known = _gauge("predictscale_saved_known_seconds", "Time that is accounted for.")
    unknown = _gauge("predictscale_saved_unknown_seconds", "Time on the books that is not known.")
    for workload, savings, currency in rows:
        known.add_metric(workload, savings.known_s)
        unknown.add_metric(workload, savings.unknown_s)
        for way in RIVALS:
            hours.add_metric([*workload, way.value], savings.saved_h(way))
            saved, avoided = savings.saved_money(way), savings.avoided_shortage(way)
            if saved is not None and currency is not None:
                money.add_metric([*workload, way.value, currency], saved)
            if avoided is not None:
                shortage.add_metric([*workload, way.value], avoided)
    yield from (hours, money, shortage, known, unknown)


def _ways(rows: Sequence[Told]) -> Iterator[Metric]:
    held = _gauge("predictscale_held_replica_hours", "Replica-hours held, or as computed.", "way")
    late = _gauge("predictscale_late_ratio", "Share of work that waited too long, as computed.", "way")
    for workload, savings, _ in rows:
        for way in Way:
            held.add_metric([*workload, way.value], savings.of(way).replica_h)
            share = savings.late_share(way)
            if share is not None:
                late.add_metric([*workload, way.value], share)
    yield from (held, late)


def _gauge(name: str, documentation: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, documentation, labels=(*_LABELS, *labels))
