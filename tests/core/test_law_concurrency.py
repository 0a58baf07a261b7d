"""Headroom for bursts: the tables of the design note, and what must hold of any of them."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from predictscale.core.concurrency import (
    Burst,
    erlang_c,
    exact_utilization,
    headroom_factor,
    peakedness,
    wait_probability,
)
from predictscale.core.series import MetricWindow
from predictscale.errors import NotEnoughHistory
from worlds import NOON

WAITS = st.floats(0.001, 0.999)


@pytest.mark.parametrize(
    ("wait", "factor"), [(0.5, 0.51), (0.2, 1.06), (0.1, 1.42), (0.05, 1.74), (0.01, 2.37)]
)
def test_the_factors_of_halfin_and_whitt(wait: float, factor: float) -> None:
    assert headroom_factor(wait) == pytest.approx(factor, abs=0.005)


@pytest.mark.parametrize(
    ("slots", "shares"),
    [(64, (0.80, 0.65, 0.43)), (4 * 64, (0.90, 0.80, 0.65)), (16 * 64, (0.95, 0.90, 0.80))],
)
def test_the_utilisation_that_bursts_leave(slots: int, shares: tuple[float, ...]) -> None:
    for peak, share in zip((1, 4, 16), shares, strict=True):
        assert Burst(peakedness=peak).utilization(slots) == pytest.approx(share, abs=0.0052)


def test_the_exact_row_for_one_slot_a_replica() -> None:
    shares = {1: 0.05, 2: 0.17, 4: 0.33, 8: 0.48, 16: 0.61, 32: 0.72, 64: 0.79, 128: 0.85}
    assert {n: round(exact_utilization(n, 0.05), 2) for n in shares} == shares


@given(WAITS)
def test_the_factor_undoes_the_chance_to_wait(wait: float) -> None:
    assert wait_probability(headroom_factor(wait)) == pytest.approx(wait, rel=1e-9)


@given(st.integers(1, 200), st.floats(0.01, 0.99))
def test_erlang_is_a_chance_that_grows_with_load(servers: int, share: float) -> None:
    low, high = erlang_c(servers, share * servers * 0.9), erlang_c(servers, share * servers)
    assert 0 <= low < high <= 1


def test_one_server_waits_as_often_as_it_is_busy() -> None:
    assert erlang_c(1, 0.3) == pytest.approx(0.3)
    assert erlang_c(3, 3.0) == 1.0


def test_erlang_by_its_definition() -> None:
    servers, offered = 5, 3.2
    terms = [offered**k / math.factorial(k) for k in range(servers + 1)]
    last = terms[-1] / (1 - offered / servers)
    assert erlang_c(servers, offered) == pytest.approx(last / (sum(terms[:-1]) + last))


@given(st.floats(1, 1e5), st.floats(0, 50), WAITS)
def test_the_utilisation_leaves_exactly_the_headroom(slots: float, peak: float, wait: float) -> None:
    burst = Burst(wait_probability=wait, peakedness=peak)
    used = burst.utilization(slots) * slots
    assert used + burst.headroom(used) == pytest.approx(slots)


def counted(counts: np.ndarray) -> MetricWindow:
    return MetricWindow(NOON, 30, counts / 30)


def test_poisson_arrivals_have_peakedness_one() -> None:
    counts = np.random.default_rng(5).poisson(40, 5000).astype(float)
    assert peakedness(counted(counts)) == pytest.approx(1, abs=0.05)


def test_arrivals_in_batches_are_as_peaked_as_the_batch() -> None:
    counts = 8.0 * np.random.default_rng(5).poisson(5, 5000)
    assert peakedness(counted(counts)) == pytest.approx(8, rel=0.05)


def test_a_slow_season_is_no_burst() -> None:
    draw = np.random.default_rng(5)
    season = 400 * (1.5 + np.sin(np.arange(5000) / 300))
    counts = draw.poisson(season).astype(float)
    assert counts.var() / counts.mean() > 50
    assert peakedness(counted(counts)) == pytest.approx(1, abs=0.1)


def test_paced_arrivals_count_as_poisson() -> None:
    assert peakedness(counted(np.full(100, 7.0))) == 1
    assert peakedness(counted(np.zeros(100))) == 1


def test_a_gap_parts_two_bins_that_are_no_neighbours() -> None:
    counts = np.random.default_rng(5).poisson(40, 200).astype(float)
    counts[100:] += 10_000
    assert peakedness(counted(counts)) > 10
    counts[99:101] = np.nan
    assert peakedness(counted(counts)) < 2


def test_a_few_bins_say_nothing() -> None:
    with pytest.raises(NotEnoughHistory, match="needs 1830 s"):
        peakedness(counted(np.array([1.0, 2.0, np.nan, 4.0])))


@pytest.mark.parametrize("wait", [0.0, 1.0, float("nan")])
def test_a_share_that_waits_lies_between_none_and_all(wait: float) -> None:
    with pytest.raises(ValueError, match="wait_probability"):
        Burst(wait_probability=wait)


@pytest.mark.parametrize("peak", [-1.0, float("nan"), float("inf")])
def test_a_peakedness_that_cannot_be_is_refused(peak: float) -> None:
    with pytest.raises(ValueError, match="peakedness"):
        Burst(peakedness=peak)
