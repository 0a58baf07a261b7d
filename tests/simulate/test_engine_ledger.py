"""The truth is kept by whole bins, and a bin holds what happened in it."""

import math

import pytest

from predictscale.simulate.engine.ledger import Ledger, sum_up


def test_an_instant_on_an_edge_belongs_to_the_bin_that_begins_there() -> None:
    ledger = Ledger(15.0)
    for at_s in (0.0, 14.999, 15.0, 15.5, 30.0):
        ledger.at(at_s).finished += 1
    counts = [sum_up([ledger], at_s, at_s + 15).finished for at_s in (0, 15, 30, 45)]
    assert counts == [2, 2, 1, 0]


def test_ledgers_add_up_and_means_are_weighted_by_what_they_are_means_of() -> None:
    busy, quiet = Ledger(60.0), Ledger(60.0)
    busy.at(1.0).itl_sum_s, busy.at(1.0).itl_count = 30.0, 1000
    quiet.at(2.0).itl_sum_s, quiet.at(2.0).itl_count = 0.01, 1
    busy.at(3.0).ttft_s.extend([0.1, 0.3])
    quiet.at(61.0).ttft_s.append(0.2)
    truth = sum_up([busy, quiet], 0, 120)
    assert truth.mean_itl_s == pytest.approx(30.01 / 1001)
    assert truth.ttft_quantile_s(0.5) == pytest.approx(0.2)
    assert truth.per_second(truth.ttft_s.size) == 3 / 120


def test_what_nobody_had_is_not_a_number_and_not_zero() -> None:
    nothing = sum_up([Ledger(60.0)], 0, 60)
    assert nothing.arrived == 0
    for value in (nothing.mean_itl_s, nothing.mean_e2e_s, nothing.ttft_quantile_s(0.95)):
        assert math.isnan(value)


@pytest.mark.parametrize("bin_s", [0.0, -1.0, math.nan, math.inf])
def test_a_bin_has_a_width(bin_s: float) -> None:
    with pytest.raises(ValueError, match="bin_s"):
        Ledger(bin_s)
