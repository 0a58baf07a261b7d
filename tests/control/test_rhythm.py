"""When fits are made, and what they learn from."""

from datetime import UTC, datetime, timedelta

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from predictscale.control.rhythm import fit_boundary, fit_window, next_boundary
from predictscale.core.demand import WorkloadId
from predictscale.core.series import MetricWindow

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
SECONDS = st.integers(0, 200_000)


@given(seconds=SECONDS, name=st.text("abc", min_size=1), known_s=st.sampled_from([0.0, 1e6]))
def test_a_boundary_is_past_but_never_older_than_a_fit_and_a_bin(
    seconds: int, name: str, known_s: float
) -> None:
    at, every_s = NOON + timedelta(seconds=seconds), 300.0 if not known_s else 3600.0
    boundary = fit_boundary(
        at, workload=WorkloadId("prod", name), known_s=known_s, step_s=60.0, refit_s=3600.0
    )
    assert timedelta() <= at - boundary < timedelta(seconds=every_s + 60.0)
    assert boundary.second == 0


@given(seconds=SECONDS)
def test_at_a_boundary_it_is_itself(seconds: int) -> None:
    def of(at: datetime) -> datetime:
        return fit_boundary(at, workload=None, known_s=1e6, step_s=60.0, refit_s=900.0)

    boundary = of(NOON + timedelta(seconds=seconds))
    assert of(boundary) == boundary


def test_workloads_do_not_fit_in_the_same_second() -> None:
    boundaries = {
        fit_boundary(NOON, workload=WorkloadId("prod", str(n)), known_s=1e6, step_s=60.0, refit_s=3600.0)
        for n in range(100)
    }
    assert len(boundaries) > 40


def test_a_fit_learns_from_the_first_known_bin_on() -> None:
    values = np.arange(10.0)
    values[[0, 1, 5, 9]] = np.nan
    bins = MetricWindow(NOON, 60.0, values)
    boundary = NOON + timedelta(minutes=9)
    window = fit_window(bins, boundary, history_s=3600.0)
    assert (window.start, window.end) == (NOON + timedelta(minutes=2), boundary)
    assert np.isnan(window.values[3])
    assert fit_window(bins, boundary, history_s=180.0).start == NOON + timedelta(minutes=6)


def test_where_nothing_is_known_there_is_nothing_to_learn_from() -> None:
    nothing = MetricWindow(NOON, 60.0, np.full(5, np.nan))
    assert len(fit_window(nothing, nothing.end, history_s=300.0)) == 0


@given(
    seconds=SECONDS,
    name=st.text("abc", min_size=1),
    known_s=st.sampled_from([0.0, 1e6]),
    refit_s=st.sampled_from([900.0, 3600.0]),
)
def test_the_next_boundary_is_when_the_boundary_moves_on(
    seconds: int, name: str, known_s: float, refit_s: float
) -> None:
    at, workload = NOON + timedelta(seconds=seconds), WorkloadId("prod", name)
    due = next_boundary(at, workload=workload, known_s=known_s, refit_s=refit_s)

    def of(instant: datetime) -> datetime:
        return fit_boundary(instant, workload=workload, known_s=known_s, step_s=60.0, refit_s=refit_s)

    assert due > at
    assert of(due - timedelta(seconds=1)) == of(at) < of(due)
