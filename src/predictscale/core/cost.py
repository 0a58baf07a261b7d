"""What replicas cost, and what that is per request and per token.

Money is counted beside what was served for it, so that shares add up: over workloads, over
teams, over any label. Refuses to call unknown zero: what was not counted takes no part in a ratio,
and a pool without a price is an error.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Self

_HOUR_S = 3600.0
NO_LABEL = ""
"""Stands for workloads that do not carry the label asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What a replica costs by the hour.

    Args:
        per_replica_h: For a pool that is not named in `pools`; None if every pool is.
        pools: Pools with prices of their own.
        currency: As its owner calls it; amounts of different ones are never added.
        gpus_per_replica: GPUs that a replica holds, may be a part of one; None if that is not known.

    Raises:
        ValueError: A price is not finite or negative, or there is none.
    """

    per_replica_h: float | None
    pools: tuple[tuple[str, float], ...] = ()
    currency: str = "USD"
    gpus_per_replica: float | None = None

    def __post_init__(self) -> None:
        given = [price for _, price in self.pools]
        given += [n for n in (self.per_replica_h, self.gpus_per_replica) if n is not None]
        if not all(math.isfinite(n) and n >= 0 for n in given):
            raise ValueError(f"price: {self.per_replica_h}, {self.pools}; finite, 0 or more")
        if self.per_replica_h is None and not self.pools:
            raise ValueError("price: none is given")

    def of(self, pool: str) -> float:
        """One replica-hour of a pool.

        Raises:
            ValueError: It has no price.
        """
        price = dict(self.pools).get(pool, self.per_replica_h)
        if price is None:
            known = ", ".join(name for name, _ in self.pools)
            raise ValueError(f"pool: {pool!r} has no price; {known} have one")
        return price

    def per_h(self, held: Mapping[str, float]) -> float:
        """All replicas of an hour, by pool.

        Raises:
            ValueError: A pool that holds replicas has no price.
        """
        return sum(self.of(pool) * replicas for pool, replicas in held.items() if replicas)


@dataclass(frozen=True, slots=True)
class Per:
    """Money, and what was counted for it; both 0 where nothing is counted.

    Args:
        money: Spent while it was counted.
        count: How much of it there was.
    """

    money: float = 0.0
    count: float = 0.0

    def __add__(self, other: "Per") -> "Per":
        return Per(self.money + other.money, self.count + other.count)

    def each(self, many: float) -> float | None:
        """Money for so many of it; None if there was none, for then no number is right."""
        return self.money / self.count * many if self.count > 0 else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """What was served per second, as far as it is measured.

    Args:
        requests: Requests per second; None if they are not counted.
        input_tokens: Tokens per second that were computed for prompts, likewise.
        output_tokens: Tokens per second that were generated, likewise.
        input_weight: What an input token takes of a replica, beside an output token: gamma over beta
            of the capacity law; None if it is not fitted.
    """

    requests: float | None = None
    input_tokens: float | None = None
    output_tokens: float | None = None
    input_weight: float | None = None

    @property
    def blended_tokens(self) -> float | None:
        """Output tokens, and input tokens by their weight, per second; None if a part is not known."""
        if self.input_tokens is None or self.output_tokens is None or self.input_weight is None:
            return None
        return self.output_tokens + self.input_weight * self.input_tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Spend:
    """What some time of one or more workloads cost. Spends of one currency can be added.

    Args:
        currency: Of all amounts.
        money: Spent.
        replica_h: Replica-hours held.
        gpu_h: GPU-hours held; None if the GPUs of some replica are not known.
        requests: Per request.
        output_tokens: Per generated token.
        blended_tokens: Per token, input by its weight.
    """

    currency: str
    money: float
    replica_h: float
    gpu_h: float | None
    requests: Per = Per()
    output_tokens: Per = Per()
    blended_tokens: Per = Per()

    def __add__(self, other: Self) -> Self:
        if self.currency != other.currency:
            raise ValueError(f"currency: {self.currency} and {other.currency} cannot be added")
        gpu_h = None if self.gpu_h is None or other.gpu_h is None else self.gpu_h + other.gpu_h
        return type(self)(
            currency=self.currency,
            money=self.money + other.money,
            replica_h=self.replica_h + other.replica_h,
            gpu_h=gpu_h,
            requests=self.requests + other.requests,
            output_tokens=self.output_tokens + other.output_tokens,
            blended_tokens=self.blended_tokens + other.blended_tokens,
        )

    @property
    def per_1000_requests(self) -> float | None:
        """Money for a thousand requests; None if none were counted."""
        return self.requests.each(1e3)

    @property
    def per_million_output_tokens(self) -> float | None:
        """Money for a million generated tokens, all of it laid on them; None if none were counted."""
        return self.output_tokens.each(1e6)

    @property
    def per_million_tokens(self) -> float | None:
        """Money for a million tokens, input by its weight; None if the weight is not known."""
        return self.blended_tokens.each(1e6)


def spent(price: Price, held: Mapping[str, float], served: Served, *, span_s: float) -> Spend:
    """What a stretch of one workload cost.

    Args:
        price: Its prices.
        held: Mean replicas held, by pool, pending ones too.
        served: What they served.
        span_s: Length of the stretch [s].

    Raises:
        ValueError: A pool that holds replicas has no price.
    """
    hours = span_s / _HOUR_S
    money = price.per_h(held) * hours
    replica_h = sum(held.values()) * hours

    def over(rate: float | None) -> Per:
        return Per() if rate is None else Per(money, rate * span_s)

    return Spend(
        currency=price.currency,
        money=money,
        replica_h=replica_h,
        gpu_h=None if price.gpus_per_replica is None else replica_h * price.gpus_per_replica,
        requests=over(served.requests),
        output_tokens=over(served.output_tokens),
        blended_tokens=over(served.blended_tokens),
    )


def by_label(rows: Iterable[tuple[Mapping[str, str], Spend]], label: str) -> dict[tuple[str, str], Spend]:
    """Spends summed by a label's value and currency, such as by team.

    Args:
        rows: The labels of a workload, and what it cost.
        label: The label's name; workloads without it are summed under `NO_LABEL`.
    """
    sums: dict[tuple[str, str], Spend] = {}
    for labels, spend in rows:
        key = (labels.get(label, NO_LABEL), spend.currency)
        sums[key] = sums[key] + spend if key in sums else spend
    return sums
