"""Scale to zero by break-even, by the gaps on record, and never blindly."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from predictscale.core.breakeven import (
    LEAST_GAPS,
    ColdStart,
    IdleTimeout,
    idle_for_s,
    idle_gaps_s,
    idle_timeout,
    may_sleep,
)
from predictscale.core.series import Floats, MetricWindow
from worlds import NOON

COLD = ColdStart(lost_value=2.0, idle_per_h=4.0, lead_s=300.0)
NAN = float("nan")


def cost(wait_s: float, gaps_s: Floats, cold: ColdStart = COLD) -> float:
    """Mean cost of a gap, word for word."""
    idle = np.minimum(gaps_s, wait_s).mean() / 3600 * cold.idle_per_h
    return float(idle + cold.penalty * (gaps_s > wait_s).mean())


def window(*values: float) -> MetricWindow:
    return MetricWindow(NOON, 60.0, np.array(values))


def test_the_worked_example() -> None:
    # 4 $/h, a start of 5 minutes, 2 $ lost: 2.33 $ a start, 1.7 sessions an hour, 35 minutes.
    assert COLD.penalty == pytest.approx(2.3333, abs=1e-4)
    assert COLD.busy_per_h == pytest.approx(1.714, abs=1e-3)
    assert COLD.break_even_s == pytest.approx(35 * 60)


def test_with_few_gaps_on_record_the_wait_is_the_break_even() -> None:
    found = idle_timeout(COLD, np.full(LEAST_GAPS - 1, 10.0))
    assert found.wait_s == COLD.break_even_s
    assert idle_timeout(COLD).wait_s == COLD.break_even_s
    assert "29 gaps are on record" in found.because


@given(gap_s=st.floats(0, 1e6))
def test_the_break_even_never_costs_more_than_twice_the_best(gap_s: float) -> None:
    gaps_s = np.array([gap_s])
    best = min(cost(0.0, gaps_s), cost(gap_s, gaps_s))
    assert cost(COLD.break_even_s, gaps_s) <= 2 * best + 1e-9


@given(gaps=st.lists(st.floats(1, 100_000), min_size=LEAST_GAPS, max_size=80), other_s=st.floats(0, 200_000))
def test_no_other_wait_would_have_cost_less_over_the_gaps(gaps: list[float], other_s: float) -> None:
    gaps_s = np.array(gaps)
    found = idle_timeout(COLD, gaps_s)
    assert cost(found.wait_s, gaps_s) <= cost(other_s, gaps_s) + 1e-9
    assert 0 <= found.wait_s <= gaps_s.max()


def test_short_gaps_are_idled_through_and_long_ones_are_not() -> None:
    short, long = np.full(50, 60.0), np.full(50, 50_000.0)
    assert idle_timeout(COLD, short).wait_s == 60.0
    assert idle_timeout(COLD, long).wait_s == 0.0
    assert idle_timeout(COLD, np.concatenate((short, long))).wait_s == 60.0


def test_random_sessions_stay_warm_above_the_break_even_rate_only() -> None:
    rng = np.random.default_rng(5)
    often, rarely = (rng.exponential(3600 / (COLD.busy_per_h * times), 4000) for times in (3, 1 / 3))
    assert idle_timeout(COLD, often).wait_s > 10 * np.median(often) / 2
    assert idle_timeout(COLD, rarely).wait_s < np.median(rarely) / 10


def test_a_blind_workload_never_sleeps() -> None:
    may, because = may_sleep(idle_s=1e9, timeout=IdleTimeout(0.0, "at once"), sighted=False)
    assert not may
    assert "nobody would count the demand" in because


def test_it_sleeps_once_it_is_known_to_have_been_idle_for_long_enough() -> None:
    told = {
        idle_s: may_sleep(idle_s=idle_s, timeout=IdleTimeout(60.0, "the reason"), sighted=True)
        for idle_s in (None, 0.0, 59.0, 60.0, 1e6)
    }
    assert [may for may, _ in told.values()] == [False, False, False, True, True]
    assert all("the reason" in because for idle_s, (_, because) in told.items() if idle_s is not None)


def test_gaps_are_stretches_without_demand_between_demand() -> None:
    demand = window(0, 0, 5, 0, 0, 0, 7, 7, 0, 3, 0, 0)
    assert idle_gaps_s(demand).tolist() == [180.0, 60.0]


def test_what_touches_an_unknown_bin_is_no_gap() -> None:
    assert idle_gaps_s(window(5, 0, NAN, 0, 5, 0, 5)).tolist() == [60.0]
    assert idle_gaps_s(window(NAN, 0, 5, 0, NAN)).tolist() == []
    assert idle_gaps_s(MetricWindow.empty(start=NOON, step_s=60)).tolist() == []


def test_little_enough_demand_counts_as_none() -> None:
    assert idle_gaps_s(window(5, 0.1, 0.2, 5), least=0.2).tolist() == [120.0]
    assert idle_gaps_s(window(5, 0.1, 0.2, 5)).tolist() == []


@pytest.mark.parametrize(
    ("values", "idle_s"),
    [
        ((5, 0, 0), 120.0),
        ((5, 0, 1), 0.0),
        ((0, 0), 120.0),
        ((0, NAN, 0), 60.0),
        ((0, NAN), None),
        ((), None),
    ],
)
def test_idleness_is_counted_back_to_demand_or_to_what_is_not_known(
    values: tuple[float, ...], idle_s: float | None
) -> None:
    assert idle_for_s(window(*values)) == idle_s


@given(values=st.lists(st.sampled_from([0.0, 1.0, NAN]), max_size=40))
def test_gaps_are_no_longer_than_the_idle_bins(values: list[float]) -> None:
    gaps = idle_gaps_s(window(*values))
    assert gaps.sum() <= 60.0 * values.count(0.0)
    text = "".join("x" if v != v else str(int(v)) for v in values)  # noqa: PLR0124 - NaN is not itself
    between = [part for part in text.replace("x", "x0x").split("1")[1:-1] if part and "x" not in part]
    assert sorted(gaps.tolist()) == sorted(60.0 * len(part) for part in between)


@pytest.mark.parametrize(("lost", "idle", "lead"), [(-1, 1, 1), (1, 0, 1), (1, 1, -1), (NAN, 1, 1)])
def test_a_cold_start_that_cannot_be_is_refused(lost: float, idle: float, lead: float) -> None:
    with pytest.raises(ValueError, match="lost"):
        ColdStart(lost_value=lost, idle_per_h=idle, lead_s=lead)
