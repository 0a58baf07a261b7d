"""Where the books of workloads meet the cache, and whoever tells of the grid."""

import hashlib
import json
from typing import cast
from weakref import WeakValueDictionary

from predictscale.config.settings import WorkloadSettings
from predictscale.control.counterfactual import WAIT_S, CounterfactualMeter
from predictscale.control.gridwatch import GridWatch
from predictscale.control.ledger import Ledger
from predictscale.control.metershelf import MeterShelf
from predictscale.control.moneybook import MoneyBook
from predictscale.control.replicahours import ReplicaHours
from predictscale.core.demand import Signal
from predictscale.core.plan import Mode
from predictscale.sources.base import EachSource, Source
from predictscale.sources.history import History


class Treasury:
    """Makes ledgers, and holds what readers are told of them.

    Args:
        history: Where books lie between restarts.
        tick_s: Between decisions [s].
    """

    def __init__(self, history: History, *, tick_s: float) -> None:
        self.book = MoneyBook()
        self._shelf = MeterShelf(history)
        self._tick_s = tick_s
        # A workload whose settings change is followed anew while its old tracker still ends.
        self._meters: WeakValueDictionary[tuple[str, float], CounterfactualMeter] = WeakValueDictionary()

    def ledger(
        self,
        workload: WorkloadSettings,
        *,
        source: Source,
        replicas: Signal | None = None,
        archive: Source | None = None,
    ) -> Ledger:
        """Who keeps a workload's books.

        Args:
            workload: Whose; with `backend: auto`, after its backend was found.
            source: Where a query for the grid's intensity is asked, if it can tell series apart.
            replicas: What tells its replicas, if anything does.
            archive: The source through the cache, which is asked for their past.
        """
        asked = cast("EachSource", source) if hasattr(source, "read_each") else None
        key = f"{workload.workload}#{counted(workload)}"
        return Ledger(
            workload,
            meter=self._meter(key, wait_s=WAIT_S if workload.slo is None else workload.slo.wait_s),
            key=key,
            shelf=self._shelf,
            book=self.book,
            grid=None if workload.grid is None else GridWatch(workload.grid, source=asked),
            paid=_paid(workload, replicas, archive),
        )

    def _meter(self, key: str, *, wait_s: float) -> CounterfactualMeter:
        """The books under a key: those that somebody keeps at present, or new ones."""
        meter = self._meters.get((key, wait_s))
        if meter is None:
            meter = self._meters[key, wait_s] = CounterfactualMeter(tick_s=self._tick_s, wait_s=wait_s)
        return meter


def _paid(workload: WorkloadSettings, replicas: Signal | None, archive: Source | None) -> ReplicaHours | None:
    """Who tells what a budget's month has cost; None where the fleet is not ours, or no count has a price."""
    price = None if workload.price is None or workload.pools else workload.price.per_replica_h
    if workload.budget is None or price is None or replicas is None or archive is None:
        return None
    if workload.mode is Mode.SHADOW:
        return None
    return ReplicaHours(replicas, archive=archive, price_per_h=price)


def counted(workload: WorkloadSettings) -> str:
    """A hash of what the numbers on the books count: demand of which kind, money of which currency.

    What is learnt from, such as planned events, is not in it: a month's spending does not become
    unknown because a sale was added to the settings.
    """
    parts = (
        workload.backend,
        workload.asks,
        workload.selector,
        workload.query,
        workload.unit,
        None if workload.price is None else workload.price.currency,
    )
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]
