"""Hazard, correlation and restore times against pools whose truth is known."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from predictscale.core.hazard import (
    UNWATCHED_S,
    Correlation,
    Counted,
    Hazard,
    Prior,
    Record,
    Together,
    correlation,
    counted_elsewhere,
    hazard,
    normal,
    observed,
    together_counts,
)
from worlds import at

PRIOR = Prior()
LONG = Prior(half_life_s=1e12, recent_half_life_s=1e12)
COUNTS = st.integers(0, 50)
HOURS = st.floats(0.0, 5000.0)


def watched(
    looks: list[tuple[int, int]], *, step_s: float = 60.0, window_s: float = 300.0, prior: Prior = LONG
) -> Record:
    """A record after looks of (nodes, lost), one each `step_s`."""
    record = Record()
    for place, (nodes, lost) in enumerate(looks):
        record = observed(
            record, now=at(place * step_s), nodes=nodes, lost=lost, window_s=window_s, prior=prior
        )
    return record


def known(events: float, exposure_h: float) -> Record:
    return counted_elsewhere(Record(), Counted(events=events, exposure_h=exposure_h))


def test_where_nothing_is_known_the_prior_stands() -> None:
    rate = normal(Record(), [], PRIOR)
    assert (rate.shape, rate.rate_h) == (0.5, 10.0)
    assert rate.per_node_hour == pytest.approx(0.05)
    assert hazard(Record(), [], PRIOR).per_node_hour == pytest.approx(0.05)


def test_losses_and_node_hours_add_to_the_prior() -> None:
    rate = normal(known(3, 40), [], PRIOR)
    assert (rate.shape, rate.rate_h) == (3.5, 50.0)
    # 1 - (b / (b + L)) ** a with L five minutes.
    assert rate.loss(300) == pytest.approx(1 - (50 / (50 + 300 / 3600)) ** 3.5)


def test_a_notice_shortens_the_time_in_which_a_loss_hurts() -> None:
    rate = Hazard(shape=2, rate_h=10, because="")
    assert rate.loss(300, notice_s=120) == pytest.approx(rate.loss(180))
    assert rate.loss(60, notice_s=120) == 0


@given(shape=st.floats(0.1, 50), rate_h=st.floats(0.1, 5000), hours=st.floats(0.01, 10))
def test_what_is_not_known_of_a_rate_lowers_the_chance_of_a_loss(
    shape: float, rate_h: float, hours: float
) -> None:
    rate = Hazard(shape=shape, rate_h=rate_h, because="")
    assert 0 < rate.loss(3600 * hours) <= 1 - np.exp(-rate.per_node_hour * hours) + 1e-12


@given(events=COUNTS, more=COUNTS, hours=HOURS)
def test_more_losses_never_mean_less_hazard(events: int, more: int, hours: float) -> None:
    fewer, most = (normal(known(count, hours), [], PRIOR) for count in (events, events + more))
    assert fewer.per_node_hour <= most.per_node_hour
    assert fewer.loss(300) <= most.loss(300)


@given(events=COUNTS, hours=HOURS, more=HOURS)
def test_more_calm_hours_never_mean_more_hazard(events: int, hours: float, more: float) -> None:
    short, calm = (normal(known(events, exposure), [], PRIOR) for exposure in (hours, hours + more))
    assert calm.loss(300) <= short.loss(300)


def test_a_small_pool_is_drawn_to_its_type_and_a_large_one_speaks_for_itself() -> None:
    wild = [known(200, 400)]
    small, large = normal(known(0, 1), wild, PRIOR), normal(known(10, 1000), wild, PRIOR)
    assert small.per_node_hour > 0.3
    assert large.per_node_hour == pytest.approx(0.01, rel=0.25)
    assert normal(known(0, 1), [], PRIOR).per_node_hour < 0.05


def test_losses_and_exposure_are_counted_from_looks() -> None:
    record = watched([(4, 0), (4, 0), (3, 1), (3, 0)], step_s=600.0)
    assert record.normal.events == pytest.approx(1)
    # Nodes of a look are there until the next: 4 + 4 + 3 for ten minutes each.
    assert record.normal.exposure_h == pytest.approx(11 / 6)


def test_hours_that_nobody_watched_are_neither_calm_nor_dangerous() -> None:
    gap = UNWATCHED_S + 1
    record = observed(watched([(4, 0)]), now=at(gap), nodes=1, lost=3, window_s=300.0, prior=LONG)
    assert record.normal == Counted()
    assert record.together == Together()
    assert record.nodes == 1


def test_old_losses_are_forgotten_by_half_lives() -> None:
    prior = replace(PRIOR, recent_half_life_s=600.0)
    record = watched([(4, 0), (3, 1)], prior=prior)
    later = record
    for place in range(1, 11):
        later = observed(later, now=at(60 + 60 * place), nodes=0, lost=0, window_s=300.0, prior=prior)
    assert later.recent.events == pytest.approx(record.recent.events / 2)
    assert later.normal.events > 0.999


def test_a_pool_that_just_came_back_is_more_dangerous_than_one_that_stayed() -> None:
    record = watched([(4, 0), (2, 2)] + [(4, 0)] * 20, prior=PRIOR)
    calm = record
    for place in range(1, 600):
        calm = observed(calm, now=at(60 * (21 + place)), nodes=4, lost=0, window_s=300.0, prior=PRIOR)
    fresh, stayed = (hazard(one, [], PRIOR).loss(300) for one in (record, calm))
    assert fresh > 5 * stayed


def test_the_rate_of_a_steady_process_is_found() -> None:
    rng = np.random.default_rng(0)
    lost = rng.random(20_000) < 0.5 / 60
    record = watched([(1, int(one)) for one in lost])
    assert normal(record, [], LONG).per_node_hour == pytest.approx(0.5, rel=0.15)


def drawn_windows(rho: float, *, seed: int, share: float = 0.1, count: int = 20_000) -> Record:
    """Windows of two to eight nodes whose losses have a known correlation."""
    rng = np.random.default_rng(seed)
    nodes = rng.integers(2, 9, count)
    scale = (1 - rho) / rho if rho else np.inf
    shares = rng.beta(share * scale, (1 - share) * scale, count) if rho else np.full(count, share)
    together = Together()
    for size, lost in zip(nodes.tolist(), rng.binomial(nodes, shares).tolist(), strict=True):
        together = together.then(size, lost)
    return Record(together=together)


@pytest.mark.parametrize("rho", [0.0, 0.26, 0.7])
def test_the_correlation_of_drawn_losses_is_found(rho: float) -> None:
    found = correlation([drawn_windows(rho, seed=1), drawn_windows(rho, seed=2)], PRIOR)
    assert found.measured
    assert found.value == pytest.approx(rho, abs=0.02)


def test_all_or_none_is_perfect_correlation() -> None:
    looks = ([(4, 0)] * 50 + [(0, 4)]) * 10
    assert correlation([watched(looks)], PRIOR).value == pytest.approx(1, abs=0.05)


def test_until_twenty_losses_half_is_assumed() -> None:
    few = Record(together=Together(nodes=100, lost=19, nodes_squared=400, both=76, lost_squared=76))
    found = correlation([few], PRIOR)
    assert found == Correlation(value=0.5, measured=False, because=found.because)
    assert "19 of the 20" in found.because
    assert correlation([replace(few, together=few.together.then(4, 1))], PRIOR).measured


def test_nodes_that_are_alone_say_nothing_of_correlation() -> None:
    alone = Record(together=Together(nodes=500, lost=40, nodes_squared=500, both=40, lost_squared=40))
    assert not correlation([alone], PRIOR).measured


def test_losses_that_come_together_tell_less_but_the_same() -> None:
    pool = known(4000, 8000)
    design = together_counts([drawn_windows(0.7, seed=3)], 0.7)
    assert design > 3
    alone, together = normal(pool, [], PRIOR), normal(pool, [], PRIOR, design=design)
    assert together.shape < alone.shape
    assert together.per_node_hour == pytest.approx(alone.per_node_hour, rel=0.02)
    assert together_counts([], 0.7) == 1


def test_the_reason_says_losses_node_hours_and_where_the_prior_is_from() -> None:
    because = hazard(known(3, 40), [known(1, 100)], PRIOR).because
    for words in ("losses per node-hour", "3.0 in 40 node-hours", "in other zones"):
        assert words in because
    assert "assumed" in hazard(Record(), [], PRIOR).because


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="in order"):
        observed(watched([(1, 0)]), now=at(-1), nodes=1, lost=0, window_s=300.0, prior=PRIOR)
    with pytest.raises(ValueError, match="counted"):
        observed(Record(), now=at(0), nodes=-1, lost=0, window_s=300.0, prior=PRIOR)
    with pytest.raises(ValueError, match="node-hours"):
        Counted(events=-1.0, exposure_h=1.0)
    with pytest.raises(ValueError, match="above 0"):
        Prior(per_node_hour=0.0)
    with pytest.raises(ValueError, match="correlation"):
        Prior(correlation=1.5)
