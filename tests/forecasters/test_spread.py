"""Errors by lead: measured, extrapolated within reason, never crossing."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from predictscale.core.series import Floats
from predictscale.errors import FitFailed
from predictscale.forecasters.spread import Spread

_levels = st.lists(st.floats(0.0005, 0.9995), min_size=1, max_size=8, unique=True).map(sorted)


def _walk(*, bins: int = 3000, seed: int = 3) -> Floats:
    return np.cumsum(np.random.default_rng(seed).normal(size=bins))


def _measure(
    deviation: Floats, *, longest: int = 30, kept: float | None = 1.0, widest: float = 1e9
) -> Spread:
    return Spread.measure(deviation, deviation, longest=longest, kept=kept, widest=widest)


@given(
    hnp.arrays(
        np.float64, st.integers(20, 80), elements=st.one_of(st.floats(-1e3, 1e3), st.just(float("nan")))
    ),
    _levels,
    st.lists(st.integers(1, 500), min_size=1, max_size=10).map(sorted),
)
def test_quantiles_never_cross_whatever_was_measured(
    deviation: Floats, levels: list[float], leads: list[int]
) -> None:
    try:
        spread = _measure(deviation, kept=None, widest=50.0)
    except FitFailed:
        assert np.isnan(deviation).mean() > 0.3
        return
    paths = spread.quantiles(np.array(leads, dtype=np.float64), levels)
    assert paths.shape == (len(levels), len(leads))
    assert np.isfinite(paths).all()
    assert (np.diff(paths, axis=0) >= -1e-9).all()


def test_errors_of_a_random_walk_grow_with_the_root_of_the_lead_measured_or_not() -> None:
    spread = _measure(_walk(bins=50_000), longest=64)
    at = spread.quantiles(np.array([1.0, 16.0, 64.0, 256.0]), (0.9,))[0]
    assert at == pytest.approx(1.2816 * np.array([1, 4, 8, 16]), rel=0.25)


def test_an_extrapolated_error_stays_within_the_range_of_the_history() -> None:
    spread = _measure(_walk(), longest=10, widest=12.0)
    far = spread.quantiles(np.array([1.0, 1e6]), (0.01, 0.5, 0.99))
    assert np.abs(far[:, 1]).max() == pytest.approx(12.0)


def test_a_few_errors_that_all_fell_do_not_rule_out_a_rise() -> None:
    falling = np.linspace(10.0, 0.0, 12)
    spread = _measure(falling, longest=2)
    low, high = spread.quantiles(np.array([1.0]), (0.05, 0.95))[:, 0]
    assert high == pytest.approx(-low)
    assert high > 0


def test_leads_that_gaps_hide_are_bridged_by_those_that_can_be_measured() -> None:
    """A scrape every other bin: nothing is ever known an odd number of steps later."""
    walk = _walk()
    walk[::2] = np.nan
    spread = _measure(walk)
    assert set(spread.leads % 2) == {0.0}
    assert (spread.quantiles(np.array([1.0, 2.0, 3.0]), (0.9,)) > 0).all()


def test_too_many_gaps_are_said_to_be_so() -> None:
    deviation = np.full(100, np.nan)
    deviation[:3] = 1.0
    with pytest.raises(FitFailed, match="gaps leave fewer than 5 past errors"):
        _measure(deviation)


def test_the_share_that_stays_is_that_of_the_process() -> None:
    """An AR(1) that keeps 0.9 a step keeps 0.9**h over h steps."""
    rng = np.random.default_rng(7)
    deviation = np.zeros(40_000)
    for i in range(1, deviation.size):
        deviation[i] = 0.9 * deviation[i - 1] + rng.normal()
    spread = _measure(deviation, longest=20, kept=None)
    leads = np.array([1.0, 5.0, 20.0])
    assert spread.share_kept(leads) == pytest.approx(0.9**leads, abs=0.05)
    assert (np.diff(spread.kept) <= 0).all()


def test_a_deviation_that_never_was_keeps_nothing_and_divides_by_nothing() -> None:
    spread = _measure(np.zeros(100), kept=None)
    assert not spread.kept.any()
    assert not spread.errors.any()


def test_arrays_that_do_not_fit_together_are_refused() -> None:
    good = _measure(_walk())
    with pytest.raises(ValueError, match="shapes"):
        Spread(good.leads[1:], good.kept, good.errors, good.peaks, 1.0)
    with pytest.raises(ValueError, match="finite"):
        Spread(good.leads, good.kept * np.nan, good.errors, good.peaks, 1.0)
