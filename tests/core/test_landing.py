"""What is published lands where it says, under the HPA's own arithmetic."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from predictscale.core.hpa import BandForm, DeadBand, recommend_average
from predictscale.core.landing import Landed, land
from predictscale.core.plan import Landing

COUNTS = st.integers(1, 1000)
FORMS = st.sampled_from(BandForm)
TOLERANCES = st.sampled_from([0.0, 0.01, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5])
BANDED = st.sampled_from([Landing.HOLD, Landing.OVERSHOOT])


def near(replicas: int) -> st.SearchStrategy[tuple[int, int]]:
    """A fleet and a target in or around its dead band, where the questions are."""
    tenth = replicas // 10 + 2
    targets = st.integers(max(1, replicas - tenth), replicas + tenth)
    return st.tuples(st.just(replicas), targets)


CASES = st.one_of(COUNTS.flatmap(near), st.tuples(COUNTS, COUNTS))


def hpa_lands(
    published: int,
    *,
    replicas: int,
    tolerance: float = 0.1,
    form: BandForm = BandForm.PER_DIRECTION,
    bounds: tuple[int, int] = (1, 10_000),
) -> int:
    """Where an HPA without rate limits comes to rest."""
    band = DeadBand(up=tolerance, down=tolerance, form=form)
    wanted = recommend_average(
        usage_milli=1000 * published, target_milli=1000, status_replicas=replicas, band=band
    )
    return min(max(wanted, bounds[0]), bounds[1])


def landed(
    target: int,
    mode: Landing,
    replicas: int | None,
    *,
    bounds: tuple[int, int] = (0, 10_000),
    tolerance: float = 0.1,
) -> Landed:
    return land(
        target,
        landing=mode,
        status_replicas=replicas,
        min_replicas=bounds[0],
        max_replicas=bounds[1],
        tolerance=tolerance,
    )


@given(case=CASES, form=FORMS)
def test_exact_with_tolerance_zero_lands_on_the_target_for_all_s_and_n(
    case: tuple[int, int], form: BandForm
) -> None:
    replicas, target = case
    answer = landed(target, Landing.EXACT, replicas)
    assert answer.published == answer.lands_on == target
    assert hpa_lands(answer.published, replicas=replicas, tolerance=0.0, form=form) == target


@given(mode=BANDED, case=CASES, tolerance=TOLERANCES, form=FORMS)
def test_it_lands_where_it_says_on_every_release(
    mode: Landing, case: tuple[int, int], tolerance: float, form: BandForm
) -> None:
    replicas, target = case
    answer = landed(target, mode, replicas, tolerance=tolerance)
    rests = hpa_lands(answer.published, replicas=replicas, tolerance=tolerance, form=form)
    assert rests == answer.lands_on


@given(mode=BANDED, case=CASES, below=st.integers(0, 200), above=st.integers(0, 200), form=FORMS)
def test_it_lands_where_it_says_between_any_bounds(
    *, mode: Landing, case: tuple[int, int], below: int, above: int, form: BandForm
) -> None:
    replicas, target = case
    bounds = (max(0, target - below), target + above)
    answer = landed(target, mode, replicas, bounds=bounds)
    seen_by_hpa = (max(1, bounds[0]), bounds[1])
    rests = hpa_lands(answer.published, replicas=replicas, form=form, bounds=seen_by_hpa)
    assert rests == answer.lands_on


@given(case=CASES)
def test_hold_never_overshoots_and_falls_short_by_a_tenth_at_most(case: tuple[int, int]) -> None:
    replicas, target = case
    rests = landed(target, Landing.HOLD, replicas).lands_on
    assert rests in {target, replicas}
    assert rests is not None
    assert rests <= max(target, replicas)
    assert 10 * (target - rests) <= replicas


@given(case=CASES, tolerance=TOLERANCES)
def test_overshoot_never_lands_below_the_target(case: tuple[int, int], tolerance: float) -> None:
    replicas, target = case
    rests = landed(target, Landing.OVERSHOOT, replicas, tolerance=tolerance).lands_on
    assert rests is not None
    assert rests >= target


@given(case=CASES)
def test_overshoot_adds_a_tenth_of_the_fleet_at_most(case: tuple[int, int]) -> None:
    replicas, target = case
    rests = landed(target, Landing.OVERSHOOT, replicas).lands_on
    assert rests is not None
    assert rests - target <= replicas // 10


@given(case=CASES, room=st.integers(0, 50))
def test_overshoot_lands_between_the_target_and_the_maximum(case: tuple[int, int], room: int) -> None:
    replicas, target = case
    most = target + room
    rests = landed(target, Landing.OVERSHOOT, replicas, bounds=(0, most)).lands_on
    assert rests is not None
    assert target <= rests <= most


@given(mode=BANDED, case=CASES, form=FORMS)
def test_the_maximum_is_reached_exactly(mode: Landing, case: tuple[int, int], form: BandForm) -> None:
    replicas, edge = case
    answer = landed(edge, mode, replicas, bounds=(0, edge))
    assert hpa_lands(answer.published, replicas=replicas, form=form, bounds=(1, edge)) == edge
    assert answer.lands_on == edge


@given(mode=BANDED, case=CASES, form=FORMS)
def test_the_minimum_is_reached_exactly(mode: Landing, case: tuple[int, int], form: BandForm) -> None:
    replicas, edge = case
    answer = landed(edge, mode, replicas, bounds=(edge, 10_000))
    assert hpa_lands(answer.published, replicas=replicas, form=form, bounds=(edge, 10_000)) == edge
    assert answer.lands_on == edge


@given(
    mode=st.sampled_from(Landing),
    target=st.integers(0, 1000),
    replicas=st.none() | st.integers(0, 1000),
    bounds=st.tuples(st.integers(0, 1000), st.integers(1, 1000)).map(lambda pair: (min(pair), max(pair))),
    tolerance=TOLERANCES,
)
def test_zero_is_published_for_zero_and_for_nothing_else(
    mode: Landing, target: int, replicas: int | None, bounds: tuple[int, int], tolerance: float
) -> None:
    answer = landed(target, mode, replicas, bounds=bounds, tolerance=tolerance)
    assert (answer.published == 0) == (target == 0)
    assert answer.published >= 0
    assert answer.because


@given(mode=BANDED, case=CASES, more=st.integers(1, 50))
def test_more_demand_never_lands_on_fewer_replicas(mode: Landing, case: tuple[int, int], more: int) -> None:
    replicas, target = case
    less = landed(target, mode, replicas).lands_on
    greater = landed(target + more, mode, replicas).lands_on
    assert less is not None
    assert greater is not None
    assert greater >= less


@given(mode=BANDED, case=CASES)
def test_with_tolerance_zero_every_mode_is_exact(mode: Landing, case: tuple[int, int]) -> None:
    replicas, target = case
    answer = landed(target, mode, replicas, tolerance=0.0)
    assert answer.published == answer.lands_on == target


@given(mode=BANDED, target=COUNTS, replicas=st.integers(1, 9))
def test_up_to_9_replicas_every_mode_is_exact(mode: Landing, target: int, replicas: int) -> None:
    answer = landed(target, mode, replicas)
    assert answer.published == answer.lands_on == target


@pytest.mark.parametrize(
    ("mode", "replicas", "target", "published"),
    [
        (Landing.EXACT, 20, 22, 22),
        (Landing.HOLD, 20, 22, 20),
        (Landing.HOLD, 20, 18, 20),
        (Landing.HOLD, 20, 23, 23),
        (Landing.OVERSHOOT, 20, 21, 23),
        (Landing.OVERSHOOT, 20, 22, 23),
        (Landing.OVERSHOOT, 20, 19, 20),
        (Landing.OVERSHOOT, 10, 11, 12),
        (Landing.OVERSHOOT, 50, 51, 56),
        (Landing.OVERSHOOT, 100, 101, 111),
        (Landing.OVERSHOOT, 100, 89, 89),
    ],
)
def test_twenty_replicas_and_their_neighbours(
    mode: Landing, replicas: int, target: int, published: int
) -> None:
    assert landed(target, mode, replicas).published == published


def test_the_last_step_to_the_maximum_is_pushed_over_the_band() -> None:
    answer = landed(100, Landing.HOLD, 95, bounds=(0, 100))
    assert (answer.published, answer.lands_on) == (105, 100)
    assert "caps that at its maximum, 100" in answer.because


def test_the_last_step_to_the_minimum_is_pushed_under_the_band() -> None:
    answer = landed(95, Landing.HOLD, 100, bounds=(95, 200))
    assert (answer.published, answer.lands_on) == (89, 95)
    assert "lifts that to its minimum, 95" in answer.because


def test_a_surge_above_the_maximum_needs_no_push() -> None:
    answer = landed(100, Landing.HOLD, 105, bounds=(0, 100))
    assert (answer.published, answer.lands_on) == (100, 100)


def test_hold_publishes_no_more_than_the_maximum_during_a_surge() -> None:
    answer = landed(99, Landing.HOLD, 105, bounds=(0, 100))
    assert (answer.published, answer.lands_on) == (100, 100)


@pytest.mark.parametrize("mode", [Landing.HOLD, Landing.OVERSHOOT])
def test_an_unknown_fleet_is_told_the_target_and_says_so(mode: Landing) -> None:
    answer = landed(22, mode, None)
    assert (answer.published, answer.lands_on) == (22, None)
    assert "unknown" in answer.because


def test_exact_needs_no_fleet() -> None:
    assert landed(22, Landing.EXACT, None).lands_on == 22


def test_a_fleet_at_zero_is_started_by_keda_and_told_the_target() -> None:
    answer = landed(22, Landing.OVERSHOOT, 0, bounds=(0, 100))
    assert (answer.published, answer.lands_on) == (22, 22)
    # KEDA starts 20, and from 20 the HPA does not see 21.
    assert landed(21, Landing.OVERSHOOT, 0, bounds=(20, 100)).lands_on == 20


def test_a_fleet_at_zero_is_started_with_one_where_the_minimum_is_zero() -> None:
    assert "KEDA starts 1," in landed(22, Landing.HOLD, 0).because


def test_a_band_that_reaches_down_to_zero_leaves_nothing_to_publish_below_it() -> None:
    answer = landed(1, Landing.HOLD, 2, bounds=(1, 10), tolerance=0.5)
    assert (answer.published, answer.lands_on) == (2, 2)


@pytest.mark.parametrize(("least", "rests"), [(0, 0), (3, 3)])
def test_zero_rests_at_zero_only_where_the_minimum_allows_it(least: int, rests: int) -> None:
    answer = landed(0, Landing.EXACT, 20, bounds=(least, 100))
    assert (answer.published, answer.lands_on) == (0, rests)


@given(case=CASES)
def test_the_reason_names_the_numbers_it_rests_on(case: tuple[int, int]) -> None:
    replicas, target = case
    answer = landed(target, Landing.HOLD, replicas)
    assert f"{replicas} replicas" in answer.because
    assert str(target) in answer.because


@pytest.mark.parametrize(
    ("target", "bounds", "tolerance"), [(-1, (0, 3), 0.1), (1, (4, 3), 0.1), (1, (0, 3), float("nan"))]
)
def test_what_cannot_be_is_refused(target: int, bounds: tuple[int, int], tolerance: float) -> None:
    with pytest.raises(ValueError, match=r"target|replicas|tolerance"):
        landed(target, Landing.HOLD, 10, bounds=bounds, tolerance=tolerance)
