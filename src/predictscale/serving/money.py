"""What people are shown of money and grams: what a workload costs now, what is left of its budget.

By the hour at the present fleet and load; sums over time are Prometheus' to make. What every
workload costs can be asked by any label that its owner names. Refuses to show a number
that is not known, and to add amounts of different currencies.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from pydantic import BaseModel, Field

from predictscale.control.moneybook import Money, MoneyBook, Purse
from predictscale.core.carbon import Accounting, g_per_million_tokens
from predictscale.core.cost import Spend, by_label
from predictscale.core.demand import WorkloadId
from predictscale.core.plan import Decision
from predictscale.serving.savings import Told

_LABELS = ("namespace", "workload")
_Row = tuple[WorkloadId, Money]


class SpendView(BaseModel):
    """What an hour with the present fleet and load costs."""

    currency: str
    per_hour: float
    replicas: float
    gpus: float | None = Field(description="Null if the price does not say what a replica holds.")
    per_1000_requests: float | None = Field(description="Null if requests are not counted, or none came.")
    per_million_output_tokens: float | None = Field(description="The same, all of it laid on them.")
    per_million_tokens: float | None = Field(
        description="Input tokens by what they take of a replica; null unless capacity is learned."
    )


class CarbonView(BaseModel):
    """What such an hour emits, of power and PUE as configured."""

    g_per_hour: float
    g_per_million_output_tokens: float | None
    g_per_kwh: float
    accounting: Accounting
    source: str = Field(description="Who tells of the grid.")


class BudgetView(BaseModel):
    """The month's budget."""

    per_month: float
    currency: str
    since: datetime
    until: datetime
    spent: float | None = Field(description="Null while it is not known; then nothing is cut.")
    allowed_replicas: int | None
    limited: bool = Field(description="Whether the newest decision gave way to it.")
    because: str


class CostView(BaseModel):
    """What one workload costs."""

    namespace: str
    workload: str
    at: datetime
    labels: dict[str, str]
    cost: SpendView | None = Field(description="Null without a price, or while the fleet is not known.")
    carbon: CarbonView | None = Field(description="Null without watts, a grid or a known fleet.")
    budget: BudgetView | None


class LabelCostView(BaseModel):
    """What all workloads of one value of a label cost, in one currency."""

    value: str = Field(description="Empty for workloads without the label.")
    cost: SpendView


class CostsView(BaseModel):
    """Costs by a label."""

    by: str
    costs: list[LabelCostView]


def cost_view(workload: WorkloadId, money: Money, decision: Decision | None) -> CostView:
    """What a workload costs.

    Args:
        workload: Which.
        money: Its state.
        decision: Its newest, which tells what its budget allowed.
    """
    return CostView(
        namespace=workload.namespace,
        workload=workload.name,
        at=money.at,
        labels=dict(money.labels),
        cost=None if money.hourly is None else spend_view(money.hourly),
        carbon=_carbon(money),
        budget=None if money.purse is None else _budget(money.purse, decision),
    )


def costs_view(rows: Iterable[_Row], label: str) -> CostsView:
    """Costs by the values of a label; `namespace` and `workload` are labels too; no cost, no row."""
    told = [
        ({**money.labels, "namespace": workload.namespace, "workload": workload.name}, money.hourly)
        for workload, money in rows
        if money.hourly is not None
    ]
    sums = sorted(by_label(told, label).items())
    return CostsView(
        by=label, costs=[LabelCostView(value=value, cost=spend_view(spend)) for (value, _), spend in sums]
    )


def spend_view(spend: Spend) -> SpendView:
    """An hour's spend."""
    return SpendView(
        currency=spend.currency,
        per_hour=spend.money,
        replicas=spend.replica_h,
        gpus=spend.gpu_h,
        per_1000_requests=spend.per_1000_requests,
        per_million_output_tokens=spend.per_million_output_tokens,
        per_million_tokens=spend.per_million_tokens,
    )


def told_savings(book: MoneyBook) -> list[Told]:
    """The accounts of every workload that has some."""
    return [
        Told(workload, money.savings, money.currency)
        for workload, money in book.items()
        if money.savings is not None
    ]


class MoneyCollector(Collector):
    """Gauges of what every workload costs, emits and may spend.

    Args:
        book: Where the states are read.
    """

    def __init__(self, book: MoneyBook) -> None:
        self._book = book

    def describe(self) -> Iterable[Metric]:
        """Nothing in advance: what is exposed depends on the workloads."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """One family after another; a number that is not known has no series."""
        rows = self._book.items()
        yield from _costs(rows)
        yield from _grams(rows)
        yield from _budgets(rows)
        labels = _gauge(
            "predictscale_cost_label_info", "1 for a label that costs are summed by.", "label", "value"
        )
        for workload, money in rows:
            for name, value in money.labels.items():
                labels.add_metric([*workload, name, value], 1)
        yield labels


def _costs(rows: Sequence[_Row]) -> Iterator[Metric]:
    hour = _gauge("predictscale_cost_per_hour", "What the present fleet costs by the hour.", "currency")
    gpus = _gauge("predictscale_gpus", "GPUs that the present fleet holds.")
    requests = _gauge("predictscale_cost_per_1000_requests", "Money for a thousand requests.", "currency")
    output = _gauge(
        "predictscale_cost_per_million_output_tokens", "Money for a million generated tokens.", "currency"
    )
    tokens = _gauge(
        "predictscale_cost_per_million_tokens", "Money for a million tokens, input by its weight.", "currency"
    )
    for workload, money in rows:
        spend = money.hourly
        if spend is None:
            continue
        labels = [*workload, spend.currency]
        hour.add_metric(labels, spend.money)
        _add_known(gpus, list(workload), spend.gpu_h)
        _add_known(requests, labels, spend.per_1000_requests)
        _add_known(output, labels, spend.per_million_output_tokens)
        _add_known(tokens, labels, spend.per_million_tokens)
    yield from (hour, gpus, requests, output, tokens)


def _grams(rows: Sequence[_Row]) -> Iterator[Metric]:
    hour = _gauge("predictscale_carbon_grams_per_hour", "CO2 of the present fleet.", "accounting")
    tokens = _gauge(
        "predictscale_carbon_grams_per_million_output_tokens", "CO2 for a million tokens.", "accounting"
    )
    grid = _gauge("predictscale_grid_grams_per_kwh", "CO2 that the grid emits.", "accounting")
    for workload, money in rows:
        if money.intensity is not None:
            grid.add_metric([*workload, money.intensity.accounting.value], money.intensity.g_per_kwh)
        if money.carbon is not None:
            labels = [*workload, money.carbon.accounting.value]
            hour.add_metric(labels, money.carbon.g)
            _add_known(tokens, labels, _per_million(money))
    yield from (hour, tokens, grid)


def _budgets(rows: Sequence[_Row]) -> Iterator[Metric]:
    month = _gauge("predictscale_budget_per_month", "What may be spent in a calendar month.", "currency")
    gone = _gauge("predictscale_budget_spent", "What this month has cost so far, if known.", "currency")
    for workload, money in rows:
        if money.purse is None:
            continue
        labels = [*workload, money.purse.budget.currency]
        month.add_metric(labels, money.purse.budget.per_month)
        _add_known(gone, labels, money.purse.spent)
    yield from (month, gone)


def _carbon(money: Money) -> CarbonView | None:
    if money.carbon is None or money.intensity is None:
        return None
    return CarbonView(
        g_per_hour=money.carbon.g,
        g_per_million_output_tokens=_per_million(money),
        g_per_kwh=money.intensity.g_per_kwh,
        accounting=money.carbon.accounting,
        source=money.intensity.source,
    )


def _per_million(money: Money) -> float | None:
    if money.carbon is None or money.tokens is None:
        return None
    return g_per_million_tokens(money.carbon, tokens=money.tokens)


def _budget(purse: Purse, decision: Decision | None) -> BudgetView:
    allowed = None if decision is None else decision.seen.allowance
    granted = None if decision is None else decision.answer.granted
    return BudgetView(
        per_month=purse.budget.per_month,
        currency=purse.budget.currency,
        since=purse.since,
        until=purse.until,
        spent=purse.spent,
        allowed_replicas=None if allowed is None else allowed.most,
        limited=granted is not None and granted.limited,
        because="no decision was made under it yet" if granted is None else granted.because,
    )


def _gauge(name: str, documentation: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, documentation, labels=(*_LABELS, *labels))


def _add_known(gauge: GaugeMetricFamily, labels: list[str], value: float | None) -> None:
    if value is not None:
        gauge.add_metric(labels, value)
