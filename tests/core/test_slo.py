"""A budget is spent by lateness, and what was spent makes the next choice careful."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from predictscale.core.series import Floats
from predictscale.core.slo import DAY_S, Budget, Pacing, Slo, lateness
from predictscale.simulate.plant import Boot, Plant

SLO = Slo(max_violation=0.005, wait_s=2.0)
PACING = Pacing()
SHARES = st.lists(st.floats(0, 1), min_size=1, max_size=800)


def budget(late: list[float] | Floats, *, slo: Slo = SLO) -> Budget:
    """An hour's demand is 100; of it the given shares were late."""
    shares = np.asarray(late, dtype=float)
    return Budget(slo=slo, arrived=np.where(np.isnan(shares), np.nan, 100.0), late=shares * 100.0)


def test_lateness_at_the_objective_spends_the_window_exactly() -> None:
    spent = budget(np.full(720, 0.005))
    assert spent.spent == pytest.approx(1.0)
    assert spent.pace == pytest.approx(1.0)
    assert spent.asked(PACING) == pytest.approx(0.005)


def test_after_a_tenth_of_the_window_a_tenth_is_spent() -> None:
    assert budget(np.full(72, 0.005)).spent == pytest.approx(0.1)


def test_what_lies_before_the_window_is_forgiven() -> None:
    assert budget(np.r_[np.full(100, 1.0), np.zeros(720)]).spent == 0.0


def test_hours_of_which_nothing_is_known_neither_spend_nor_save() -> None:
    known = budget([0.01] * 48)
    with_gaps = budget([0.01, math.nan] * 48)
    assert with_gaps.violation == pytest.approx(known.violation)
    assert with_gaps.spent == pytest.approx(known.spent)
    assert with_gaps.asked(PACING) == pytest.approx(known.asked(PACING))


def test_nothing_known_asks_for_the_objective_itself() -> None:
    assert budget([math.nan] * 5).asked(PACING) == SLO.max_violation
    assert budget([]).asked(PACING) == SLO.max_violation
    assert budget([math.nan] * 5).notches(PACING) == 0


def test_what_was_spent_too_much_is_asked_back_in_proportion_and_within_bounds() -> None:
    assert budget(np.full(240, 0.0075)).asked(PACING) == pytest.approx(0.5 * SLO.max_violation)
    assert budget(np.full(240, 0.05)).asked(PACING) == pytest.approx(PACING.least * SLO.max_violation)


def test_an_unspent_budget_lets_the_asked_share_rise_slowly_to_its_bound() -> None:
    asked = [budget(np.zeros(hours)).asked(PACING) for hours in range(1, 721)]
    assert asked == sorted(asked)
    assert max(np.diff(asked)) < 0.01 * SLO.max_violation
    assert asked[0] < 1.01 * SLO.max_violation
    assert asked[-1] <= PACING.most * SLO.max_violation


@given(SHARES, st.integers(0, 799))
def test_more_lateness_never_asks_for_less_care(shares: list[float], place: int) -> None:
    worse = list(shares)
    worse[place % len(shares)] = 1.0
    assert budget(worse).asked(PACING) <= budget(shares).asked(PACING) + 1e-15
    assert budget(worse).notches(PACING) >= budget(shares).notches(PACING) or place % len(shares) < (
        len(shares) - 6
    )


@given(SHARES)
def test_what_is_asked_stays_within_its_bounds(shares: list[float]) -> None:
    asked = budget(shares).asked(PACING) / SLO.max_violation
    assert PACING.least - 1e-12 <= asked <= PACING.most + 1e-12
    assert 0 <= budget(shares).notches(PACING) <= PACING.notches


def test_a_burst_takes_a_notch_for_each_hundredth_of_the_windows_budget_and_is_forgotten() -> None:
    # The budget is 0.005 * 720 * 100 = 360; a hundredth of it 3.6, besides 0.5 that accrue each hour.
    calm = [0.0] * 714
    quiet = budget([*calm, 0, 0, 0, 0, 0, 0.03 + 0.03])
    assert quiet.notches(PACING) == 0
    assert budget([*calm, 0, 0, 0, 0, 0, 0.03 + 0.04]).notches(PACING) == 1
    assert budget([*calm, 0, 0, 0, 0, 0, 0.03 + 0.08]).notches(PACING) == 2
    assert budget([*calm, 0, 0, 0, 0, 0, 1.0]).notches(PACING) == PACING.notches
    assert budget([*calm, 1.0, 0, 0, 0, 0, 0, 0]).notches(PACING) == 0


def test_an_objective_that_cannot_be_is_refused() -> None:
    for wrong in ({"max_violation": 0.0}, {"max_violation": 1.0}, {"wait_s": -1.0}, {"window_s": DAY_S / 2}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            Slo(**{"max_violation": 0.01, "wait_s": 2.0} | wrong)


@given(
    st.lists(st.tuples(st.floats(0, 300), st.integers(0, 20)), min_size=1, max_size=60),
    st.sampled_from([0.0, 2.0, 5.0, 60.0, 200.0]),
)
def test_lateness_is_that_of_a_simulated_plant(steps: list[tuple[float, int]], wait_s: float) -> None:
    plant = Plant(fleets=1, per_replica=10.0, step_s=60.0, boot=Boot.fixed(0.0), wait_s=wait_s)
    demand, held = np.array([d for d, _ in steps]), np.array([[r for _, r in steps]])
    served = plant.advance(demand, held)
    queue, late = 0.0, []
    for came, ready in steps:
        share, queue = lateness(queue, came / 10.0, ready, wait_steps=wait_s / 60.0)
        late.append(share * came * 60.0)
    assert np.allclose(late, served.late[0], rtol=1e-9, atol=1e-6)
    assert queue * 600.0 == pytest.approx(float(served.queue[0, -1]), rel=1e-9, abs=1e-6)
