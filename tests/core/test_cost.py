"""Money beside what it paid for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from predictscale.core.cost import NO_LABEL, Per, Price, Served, Spend, by_label, spent

PRICE = Price(per_replica_h=4.0, pools=(("spot", 1.4),), currency="EUR", gpus_per_replica=2)
AMOUNTS = st.floats(0, 1e6)


def an_hour(*, replicas: float = 3, price: Price = PRICE, **served: float) -> Spend:
    return spent(price, {"on-demand": replicas}, Served(**served), span_s=3600)


def test_pools_cost_by_their_own_price_and_others_by_the_common_one() -> None:
    assert PRICE.per_h({"on-demand": 2, "spot": 10}) == pytest.approx(2 * 4.0 + 10 * 1.4)


def test_a_pool_without_a_price_is_not_free() -> None:
    price = Price(per_replica_h=None, pools=(("spot", 1.4), ("od", 4.0)))
    with pytest.raises(ValueError, match="'reserved' has no price; spot, od have one"):
        price.per_h({"reserved": 1})
    assert price.per_h({"reserved": 0, "od": 1}) == 4.0


def test_an_hour_of_an_endpoint() -> None:
    spend = an_hour(requests=5.0, input_tokens=2000.0, output_tokens=1000.0, input_weight=0.35)
    assert spend.money == 12.0
    assert (spend.replica_h, spend.gpu_h) == (3.0, 6.0)
    assert spend.per_1000_requests == pytest.approx(12 / (5 * 3600) * 1000)
    # cost per hour / (3600 x) * 1e6
    assert spend.per_million_output_tokens == pytest.approx(12 / (3600 * 1000) * 1e6)
    assert spend.per_million_tokens == pytest.approx(12 / (3600 * 1700) * 1e6)


def test_what_is_not_counted_has_no_price_and_what_is_unknown_is_not_zero() -> None:
    spend = an_hour(requests=5.0, output_tokens=10.0)
    assert spend.per_million_tokens is None
    assert an_hour().per_1000_requests is None
    assert an_hour(requests=0.0).per_1000_requests is None
    unknown = an_hour(price=Price(per_replica_h=1.0, currency="EUR"))
    assert unknown.gpu_h is None
    assert (unknown + an_hour()).gpu_h is None


def test_idle_hours_are_paid_by_the_requests_of_the_others() -> None:
    busy, idle = an_hour(requests=10.0), an_hour(requests=0.0)
    assert (busy + idle).per_1000_requests == pytest.approx(24 / 36_000 * 1000)


def test_hours_in_which_nobody_counted_are_paid_by_nobodys_requests() -> None:
    counted, blind = an_hour(requests=10.0), an_hour()
    both = counted + blind
    assert both.money == 24.0
    assert both.per_1000_requests == counted.per_1000_requests


def test_spends_are_summed_by_any_label() -> None:
    rows = [
        ({"team": "search", "model": "small"}, an_hour(replicas=1)),
        ({"team": "search", "model": "large"}, an_hour(replicas=5)),
        ({"model": "large"}, an_hour(replicas=2)),
    ]
    teams = {key: spend.money for key, spend in by_label(rows, "team").items()}
    assert teams == {("search", "EUR"): 24.0, (NO_LABEL, "EUR"): 8.0}
    models = {key[0]: spend.replica_h for key, spend in by_label(rows, "model").items()}
    assert models == {"small": 1.0, "large": 7.0}


def test_two_currencies_are_two_sums() -> None:
    dollars = an_hour(price=Price(per_replica_h=4.0, currency="USD"))
    assert set(by_label([({}, dollars), ({}, an_hour())], "team")) == {("", "USD"), ("", "EUR")}
    with pytest.raises(ValueError, match="USD and EUR"):
        dollars + an_hour()


@given(parts=st.lists(st.tuples(AMOUNTS, st.floats(0.1, 1e6)), min_size=1))
def test_a_ratio_of_sums_lies_between_the_ratios(parts: list[tuple[float, float]]) -> None:
    every = [Per(money, count) for money, count in parts]
    ratios = [each for part in every if (each := part.each(1.0)) is not None]
    whole = sum(every, Per()).each(1.0)
    assert whole is not None
    assert min(ratios) * (1 - 1e-9) <= whole <= max(ratios) * (1 + 1e-9)


@given(replicas=st.floats(0, 100), cut=st.floats(0, 1))
def test_an_hour_costs_as_much_as_its_parts(replicas: float, cut: float) -> None:
    served = Served(requests=3.0)
    parts = [spent(PRICE, {"spot": replicas}, served, span_s=3600 * part) for part in (cut, 1 - cut)]
    whole, both = spent(PRICE, {"spot": replicas}, served, span_s=3600), parts[0] + parts[1]
    assert both.money == pytest.approx(whole.money)
    assert both.requests.count == pytest.approx(whole.requests.count)


@pytest.mark.parametrize(
    "wrong", [{"per_replica_h": -1.0}, {"per_replica_h": None}, {"per_replica_h": float("nan")}]
)
def test_a_price_that_cannot_be_is_refused(wrong: dict[str, float | None]) -> None:
    with pytest.raises(ValueError, match="price"):
        Price(**wrong)  # type: ignore[arg-type]  # wrong on purpose
