"""What slow libraries are given, and what is let out of them."""

import logging
import sys
import warnings

import numpy as np
import pytest

from made_series import DAY_S, at, replaced, shop, window, with_gaps
from predictscale.errors import FitFailed, NotEnoughHistory
from predictscale.forecasters.fourier import SarimaxFourier
from predictscale.forecasters.library import library_call, thinned
from predictscale.forecasters.prophet import ProphetCorrected
from predictscale.forecasters.smoothing import HoltWinters


def test_a_library_gets_standardised_roots_on_a_coarse_grid_that_ends_now() -> None:
    series = with_gaps(shop(days=6))
    thin = thinned(series, near_s=900.0, longest_s=4 * DAY_S)
    assert thin.step_s == 900.0
    assert thin.roots.size == 4 * 96
    assert thin.stamps_s[-1] + 450.0 == series.stamps_s[-1] + 300.0
    assert np.nanmean(thin.roots) == pytest.approx(0.0, abs=1e-9)
    assert np.nanstd(thin.roots) == pytest.approx(1.0)
    assert np.isnan(thin.roots).sum() > 60
    curve = thin.curve(np.nan_to_num(thin.roots))
    known = ~np.isnan(thin.roots)
    demand = np.square(curve.at(thin.stamps_s[known]))
    coarse = series.last(4 * DAY_S).resample(900.0, least_known=0.2).values
    np.testing.assert_allclose(demand, coarse[known])


def test_one_spike_does_not_reach_a_library() -> None:
    calm = shop(days=3)
    spiked = replaced(calm, 400, 1e12)
    plain, despite = (thinned(s, near_s=900.0, longest_s=3 * DAY_S) for s in (calm, spiked))
    assert despite.scale == pytest.approx(plain.scale, rel=0.05)
    assert np.abs(despite.roots).max() < 8


@pytest.mark.parametrize("value", [0.0, 7.0, 1e9])
def test_a_constant_is_left_to_those_who_say_it_exactly(value: float) -> None:
    with pytest.raises(FitFailed, match="all the same"):
        thinned(window(np.full(600, value)), near_s=900.0, longest_s=DAY_S)


def test_a_curve_that_is_not_finite_is_a_failed_fit() -> None:
    thin = thinned(shop(days=2), near_s=900.0, longest_s=DAY_S)
    with pytest.raises(FitFailed, match="2 values that are not finite"):
        thin.curve(np.array([1.0, np.nan, np.inf]))


def test_whatever_a_library_raises_becomes_a_failed_fit_with_its_cause() -> None:
    with pytest.raises(FitFailed, match="LinAlgError: singular") as failed, library_call():
        raise np.linalg.LinAlgError("singular")
    assert isinstance(failed.value.__cause__, np.linalg.LinAlgError)


def test_errors_of_the_chain_pass_unchanged() -> None:
    with pytest.raises(NotEnoughHistory), library_call():
        raise NotEnoughHistory(need_s=2, have_s=1)


def test_warnings_and_log_lines_stay_inside(caplog: pytest.LogCaptureFixture) -> None:
    talkative = logging.getLogger("talkative")
    with library_call("talkative"):
        warnings.warn("this would fail the test run", RuntimeWarning, stacklevel=1)
        talkative.error("unheard")
    talkative.error("heard")
    assert [record.message for record in caplog.records] == ["heard"]


@pytest.mark.parametrize("forecaster", [SarimaxFourier(), ProphetCorrected()])
def test_the_week_joins_once_there_are_two(forecaster: SarimaxFourier | ProphetCorrected) -> None:
    """Saturday is quieter by 40 %; only who has seen two of them may say so on a Friday night."""
    series = shop(days=20, seed=4)
    friday = at(18) + (at(1) - at(0)) * 0.98
    history = series.between(series.start, friday)
    saturday = series.between(at(19), at(19.2)).values.mean()

    def ahead(days: float) -> float:
        return float(
            forecaster.fit(history.last(days * DAY_S))
            .predict(history.last(7200.0), steps=60)
            .quantile(0.5)[6:]
            .mean()
        )

    assert abs(ahead(18.9) - saturday) < abs(ahead(10.0) - saturday)


def test_holt_winters_needs_a_grid_that_divides_the_day() -> None:
    odd = window(shop(days=20).values, step_s=301.0)
    with pytest.raises(FitFailed, match="301 s"):
        HoltWinters().fit(odd)


def test_a_library_that_does_not_converge_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    from statsmodels.tsa.statespace.sarimax import SARIMAX

    fit = SARIMAX.fit
    monkeypatch.setattr(SARIMAX, "fit", lambda self, **given: fit(self, **given | {"maxiter": 1}))
    with pytest.raises(FitFailed, match="not converged after 1 iterations"):
        SarimaxFourier().fit(shop(days=4))


def test_a_prophet_that_is_not_installed_is_a_failed_fit_that_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "prophet", None)
    with pytest.raises(FitFailed, match=r"Prophet is not here .*pip install predictscale\[prophet\]"):
        ProphetCorrected().fit(shop(days=3))
