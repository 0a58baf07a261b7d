"""The margin against worked tables, exact sums, and what must hold for all numbers."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from predictscale.core.losses import covered, lost, survivors
from predictscale.core.spot import Margin, Zone, cheapest, margin

LOSSES = st.floats(0.0005, 0.2)
RHOS = st.sampled_from([0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0])
WANTED = st.sampled_from([0.5, 0.9, 0.95, 0.99, 0.999, 0.9999])
NEEDS = st.integers(1, 12)
COUNTS = st.integers(1, 4)
NEVER = 10_000
"""Stands for no number of spot nodes being enough."""


def zones(count: int, loss: float) -> list[Zone]:
    return [Zone(name=f"zone-{place}", loss=loss) for place in range(count)]


def enough(need: int, loss: float, count: int, rho: float, availability: float) -> Margin:
    found = margin(need, zones(count, loss), correlation=rho, availability=availability)
    assert found is not None
    return found


def spot(need: int, where: list[Zone], rho: float, availability: float) -> int:
    found = margin(need, where, correlation=rho, availability=availability)
    return NEVER if found is None else found.spot


# models.md section 4: extra spot replicas for needs of 4, 8 and 16; zones and correlation of each column.
LAYOUTS = [(3, 0.0), (3, 0.3), (3, 0.7), (1, 0.3)]
EXTRA = {
    0.001: ["1/1/1", "1/2/4", "2/4/7", "2/3/7"],
    0.005: ["1/1/2", "2/3/6", "2/4/8", "6/12/23"],
    0.01: ["1/2/2", "2/4/7", "2/4/8", "10/18/35"],
    0.02: ["2/2/3", "3/4/8", "4/7/14", "14/27/52"],
    0.05: ["3/4/5", "4/7/13", "7/14/29", "26/48/93"],
}


@pytest.mark.parametrize("loss", EXTRA)
@pytest.mark.parametrize("column", range(4))
def test_the_table_of_margins_is_reproduced(loss: float, column: int) -> None:
    count, rho = LAYOUTS[column]
    found = "/".join(str(enough(need, loss, count, rho, 0.999).extra) for need in (4, 8, 16))
    assert found == EXTRA[loss][column]


@pytest.mark.parametrize(
    ("loss", "extra"), [(0.005, "1/1/3"), (0.01, "1/2/4"), (0.02, "2/3/5"), (0.05, "2/4/8")]
)
def test_the_table_at_99_percent_is_reproduced(loss: float, extra: str) -> None:
    assert "/".join(str(enough(need, loss, 3, 0.3, 0.99).extra) for need in (4, 8, 16)) == extra


SPLIT_LAYOUTS = [(1, 0.3), (2, 0.5), (3, 0.3), (3, 0.7)]
SPLITS = {
    0.001: ["0+11 48%", "0+12 52%", "0+10 44%", "0+12 52%"],
    0.005: ["1+17 87%", "0+15 66%", "0+11 48%", "0+12 52%"],
    0.01: ["8+0 100%", "0+16 70%", "0+12 52%", "0+12 52%"],
    0.03: ["8+0 100%", "0+18 79%", "0+14 61%", "1+16 82%"],
    0.06: ["8+0 100%", "8+0 100%", "0+16 70%", "2+17 99%"],
}


@pytest.mark.parametrize("loss", SPLITS)
@pytest.mark.parametrize("column", range(4))
def test_the_table_of_splits_is_reproduced(loss: float, column: int) -> None:
    count, rho = SPLIT_LAYOUTS[column]
    found = cheapest(
        8, zones(count, loss), correlation=rho, availability=0.999, on_demand_price=1.0, spot_price=0.35
    )
    cost = (found.base + 0.35 * found.spot) / 8
    # Half a percent goes up: 0.35 * 10 / 8 is 43.75 %, 0.35 * 18 / 8 is 78.75 %.
    assert f"{found.base}+{found.spot} {cost:.0%}" == SPLITS[loss][column]


def test_spot_at_sixty_percent_of_the_price_is_not_worth_three_percent_of_losses() -> None:
    for count, rho in SPLIT_LAYOUTS:
        found = cheapest(
            8, zones(count, 0.03), correlation=rho, availability=0.999, on_demand_price=1.0, spot_price=0.6
        )
        assert (found.base, found.spot) == (8, 0)


@given(nodes=st.integers(0, 60), loss=LOSSES, rho=RHOS)
def test_losses_are_a_distribution_with_the_mean_of_the_loss(nodes: int, loss: float, rho: float) -> None:
    chances = lost(nodes, loss, rho)
    assert chances.min() >= 0
    assert chances.sum() == pytest.approx(1, abs=1e-9)
    assert chances @ np.arange(nodes + 1) == pytest.approx(nodes * loss, rel=1e-6, abs=1e-9)


@given(nodes=st.integers(2, 60), loss=LOSSES, rho=RHOS)
def test_their_variance_is_what_the_correlation_says(nodes: int, loss: float, rho: float) -> None:
    counts = np.arange(nodes + 1)
    variance = float(lost(nodes, loss, rho) @ (counts - nodes * loss) ** 2)
    assert variance == pytest.approx(nodes * loss * (1 - loss) * (1 + (nodes - 1) * rho), rel=1e-6)


@given(nodes=st.integers(1, 40), loss=LOSSES)
def test_no_correlation_is_the_binomial(nodes: int, loss: float) -> None:
    binomial = [math.comb(nodes, k) * loss**k * (1 - loss) ** (nodes - k) for k in range(nodes + 1)]
    assert lost(nodes, loss, 0.0) == pytest.approx(binomial, abs=1e-12)


@given(
    nodes=st.lists(st.integers(0, 4), min_size=1, max_size=3), loss=LOSSES, rho=RHOS, need=st.integers(0, 9)
)
def test_zones_are_independent(nodes: list[int], loss: float, rho: float, need: int) -> None:
    cases = itertools.product(*(range(count + 1) for count in nodes))
    by_hand = sum(
        math.prod(lost(count, loss, rho)[gone] for count, gone in zip(nodes, case, strict=True))
        for case in cases
        if sum(nodes) - sum(case) >= need
    )
    assert covered(nodes, [loss] * len(nodes), rho, need) == pytest.approx(by_hand, abs=1e-12)
    if need <= sum(nodes):
        assert survivors(nodes, [loss] * len(nodes), rho)[need] == pytest.approx(by_hand, abs=1e-12)


@given(need=NEEDS, count=COUNTS, loss=LOSSES, rho=RHOS, availability=WANTED)
def test_it_covers_and_says_how_well(
    *, need: int, count: int, loss: float, rho: float, availability: float
) -> None:
    found = margin(need, zones(count, loss), correlation=rho, availability=availability)
    if found is None:
        return
    assert found.covered >= availability - 1e-9
    assert found.covered == covered(found.nodes, [loss] * count, rho, need)
    assert max(found.nodes) - min(n for n in found.nodes if n) <= 1


@given(need=NEEDS, count=COUNTS, loss=LOSSES, rho=st.just(0.0), availability=WANTED)
def test_without_correlation_no_even_spread_of_one_less_is_enough(
    *, need: int, count: int, loss: float, rho: float, availability: float
) -> None:
    found = margin(need, zones(count, loss), correlation=rho, availability=availability)
    assert found is not None
    less = sum(found.nodes) - 1
    for used in range(1, count + 1):
        even = [less // used + (place < less % used) for place in range(used)]
        assert covered(even, [loss] * used, 0.0, need) < availability


@given(need=NEEDS, count=COUNTS, losses=st.tuples(LOSSES, LOSSES), rho=RHOS, availability=WANTED)
def test_more_hazard_never_means_fewer(
    *, need: int, count: int, losses: tuple[float, float], rho: float, availability: float
) -> None:
    low, high = (spot(need, zones(count, loss), rho, availability) for loss in sorted(losses))
    assert low <= high


@given(need=NEEDS, count=COUNTS, loss=LOSSES, rhos=st.tuples(RHOS, RHOS), availability=WANTED)
def test_more_correlation_never_means_fewer(
    *, need: int, count: int, loss: float, rhos: tuple[float, float], availability: float
) -> None:
    low, high = (spot(need, zones(count, loss), rho, availability) for rho in sorted(rhos))
    assert low <= high


@given(need=NEEDS, count=COUNTS, loss=LOSSES, rho=RHOS, wanted=st.tuples(WANTED, WANTED))
def test_more_availability_never_means_fewer(
    *, need: int, count: int, loss: float, rho: float, wanted: tuple[float, float]
) -> None:
    low, high = (spot(need, zones(count, loss), rho, availability) for availability in sorted(wanted))
    assert low <= high


@given(need=NEEDS, more=NEEDS, count=COUNTS, loss=LOSSES, rho=RHOS, availability=WANTED)
def test_more_need_never_means_fewer(
    *, need: int, more: int, count: int, loss: float, rho: float, availability: float
) -> None:
    where = zones(count, loss)
    assert spot(need, where, rho, availability) <= spot(need + more, where, rho, availability)


@given(
    need=NEEDS,
    losses=st.lists(LOSSES, min_size=1, max_size=3),
    another=LOSSES,
    rho=RHOS,
    availability=WANTED,
)
def test_one_zone_more_never_means_more(
    *, need: int, losses: list[float], another: float, rho: float, availability: float
) -> None:
    there = [Zone(name=f"zone-{place}", loss=loss) for place, loss in enumerate(losses)]
    wider = [*there, Zone(name="another", loss=another)]
    assert spot(need, wider, rho, availability) <= spot(need, there, rho, availability)


def test_the_bare_minimum_falls_with_correlation_and_so_is_not_the_answer() -> None:
    # Half of all cases: one independent loss among eight is too likely, perfectly correlated ones are not.
    assert covered([8], [0.1], 0.0, 8) < 0.5 < covered([8], [0.1], 1.0, 8)
    assert enough(8, 0.1, 1, 1.0, 0.5).extra >= enough(8, 0.1, 1, 0.0, 0.5).extra == 1


def test_the_bare_minimum_over_all_zones_rises_with_zones_and_so_fewer_may_be_used() -> None:
    # Two zones lose one more often than one does.
    assert covered([1, 1], [0.015, 0.015], 1.0, 2) < 0.98 < covered([2], [0.015], 1.0, 2)
    assert enough(2, 0.015, 2, 0.0, 0.96).extra == 0


def test_a_zone_that_nobody_should_use_is_not_used() -> None:
    where = [Zone(name="calm", loss=0.001), Zone(name="wild", loss=0.9)]
    found = margin(4, where, correlation=0.0, availability=0.99)
    assert found is not None
    assert found.nodes == (4, 0)


def test_of_equally_many_nodes_the_spread_that_covers_best_is_taken() -> None:
    where = [Zone(name="wild", loss=0.05), Zone(name="calm", loss=0.01)]
    found = margin(4, where, correlation=1.0, availability=0.8)
    assert found is not None
    assert found.nodes == (0, 4)


def test_a_full_zone_gets_no_more_than_its_room() -> None:
    where = [Zone(name="full", loss=0.001, room=1), Zone(name="open", loss=0.002)]
    found = margin(6, where, correlation=0.0, availability=0.999)
    assert found is not None
    assert found.nodes[0] <= 1
    assert sum(found.nodes) == 7


def test_where_no_number_of_nodes_is_enough_there_is_no_margin() -> None:
    assert margin(4, zones(1, 0.05), correlation=1.0, availability=0.99) is None
    assert margin(4, [], correlation=0.0, availability=0.99) is None
    assert margin(4, [Zone(name="full", loss=0.0, room=3)], correlation=0.0, availability=0.9) is None


def test_the_node_is_the_unit_of_loss() -> None:
    whole = margin(16, zones(3, 0.01), correlation=0.3, availability=0.999)
    fours = margin(16, zones(3, 0.01), correlation=0.3, availability=0.999, replicas_per_node=4)
    four = margin(4, zones(3, 0.01), correlation=0.3, availability=0.999)
    assert whole is not None
    assert four is not None
    assert fours is not None
    assert fours.nodes == four.nodes
    assert fours.spot == 4 * four.spot > whole.spot


def test_a_need_that_is_on_demand_wants_no_spot() -> None:
    found = margin(4, zones(2, 0.01), correlation=0.3, availability=0.999, base=4)
    assert found is not None
    assert found.spot == 0
    assert found.covered == 1


@given(need=NEEDS, count=COUNTS, loss=LOSSES, rho=RHOS, price=st.floats(0.1, 1.2), base=st.integers(0, 4))
def test_no_split_is_cheaper(
    *, need: int, count: int, loss: float, rho: float, price: float, base: int
) -> None:
    where = zones(count, loss)
    found = cheapest(
        need, where, correlation=rho, availability=0.99, on_demand_price=1.0, spot_price=price, base=base
    )
    assert found.base >= base
    cost = found.base + price * found.spot
    for other in range(base, max(need, base) + 1):
        rival = margin(need, where, correlation=rho, availability=0.99, base=other)
        if rival is not None:
            assert cost <= other + price * rival.spot + 1e-9


def test_the_reason_says_need_margin_availability_hazard_and_correlation() -> None:
    because = enough(8, 0.01, 3, 0.3, 0.999).because
    for words in ("8 needed", "12 spot", "4 more than needed", "1.00%", "correlation", "0.3", "0.999"):
        assert words in because
    split = cheapest(
        8, zones(1, 0.1), correlation=0.9, availability=0.999, on_demand_price=1.0, spot_price=0.35
    )
    assert "all on demand" in split.because


def test_thousands_of_replicas_add_up() -> None:
    found = enough(2000, 0.01, 3, 0.3, 0.999)
    nodes, losses = found.nodes, [0.01] * 3
    assert covered(nodes, losses, 0.3, 2000) >= 0.999
    assert covered([nodes[0], nodes[1], nodes[2] - 1], losses, 0.3, 2000) < 0.999
    assert survivors(nodes, losses, 0.3)[0] == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize(
    "wrong",
    [
        {"need": -1},
        {"base": -1},
        {"replicas_per_node": 0},
        {"correlation": 1.5},
        {"availability": 1.0},
        {"availability": float("nan")},
    ],
)
def test_numbers_that_cannot_be_are_refused(wrong: dict[str, float]) -> None:
    given_ = {"need": 4, "correlation": 0.3, "availability": 0.99, **wrong}
    need = int(given_.pop("need"))
    with pytest.raises(ValueError, match=r"need|correlation"):
        margin(need, zones(1, 0.01), **given_)  # type: ignore[arg-type]


def test_a_zone_cannot_lose_more_than_all_nor_have_room_for_less_than_none() -> None:
    with pytest.raises(ValueError, match="loss"):
        Zone(name="zone", loss=1.1)
    with pytest.raises(ValueError, match="room"):
        Zone(name="zone", loss=0.1, room=-1)
    with pytest.raises(ValueError, match="prices"):
        cheapest(4, zones(1, 0.1), correlation=0.0, availability=0.9, on_demand_price=1.0, spot_price=0.0)
