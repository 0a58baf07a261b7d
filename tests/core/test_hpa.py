"""The HPA's arithmetic against figures measured on a real one, and against its own rules."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from predictscale.core.hpa import (
    SYNC_S,
    BandForm,
    Behavior,
    DeadBand,
    HpaSettings,
    HpaState,
    PolicyKind,
    ScalingPolicy,
    ScalingRules,
    SelectPolicy,
    exact_behavior,
    metric_milli,
    recommend_average,
    recommend_value,
    sync,
)

START = datetime(2026, 3, 1, tzinfo=UTC)
STOCK = DeadBand()
OLD = DeadBand(form=BandForm.SYMMETRIC)
NONE = DeadBand(up=0.0, down=0.0)
COUNTS = st.integers(1, 1000)


def wanted(value: float, *, replicas: int, band: DeadBand = STOCK) -> int:
    return recommend_average(
        usage_milli=metric_milli(value), target_milli=1000, status_replicas=replicas, band=band
    )


def swallowed(replicas: int, band: DeadBand) -> list[int]:
    """The targets other than `replicas` that an HPA answers by staying."""
    every = range(1, 2 * replicas + 2)
    return [n for n in every if n != replicas and wanted(n, replicas=replicas, band=band) == replicas]


def walk(
    settings: HpaSettings, spec: int, *proposals: int | None, step_s: float = SYNC_S
) -> tuple[list[int], HpaState]:
    """The spec after each sync, one proposal a sync."""
    state, specs = HpaState(), []
    for number, proposal in enumerate(proposals):
        now = START + timedelta(seconds=number * step_s)
        spec, state = sync(state, settings=settings, now=now, spec_replicas=spec, proposals=[proposal])
        specs.append(spec)
    return specs, state


def rules(*policies: ScalingPolicy, **other: object) -> ScalingRules:
    return replace(ScalingRules(policies=policies), **other)  # type: ignore[arg-type]  # by name


def pods(value: int, period_s: float = 15.0) -> ScalingPolicy:
    return ScalingPolicy(kind=PolicyKind.PODS, value=value, period_s=period_s)


def percent(value: int, period_s: float = 15.0) -> ScalingPolicy:
    return ScalingPolicy(kind=PolicyKind.PERCENT, value=value, period_s=period_s)


# Measured on a real cluster


@pytest.mark.parametrize(
    ("replicas", "reported", "landed"),
    [(10, 11, 10), (20, 22, 20), (20, 23, 23), (23, 21, 23), (50, 55, 50), (50, 56, 56), (56, 45, 45)],
)
def test_default_tolerance_lands_as_measured(replicas: int, reported: int, landed: int) -> None:
    assert wanted(reported, replicas=replicas) == landed


@pytest.mark.parametrize(("replicas", "reported", "landed"), [(10, 8.9, 9), (20, 17.9, 18)])
def test_a_fraction_gains_the_lower_edge_as_measured(replicas: int, reported: float, landed: int) -> None:
    assert wanted(reported, replicas=replicas) == landed


def test_tolerance_zero_lands_every_step_as_measured() -> None:
    steps = [9, 10, 11, 12, 11, 10, 9, 20, 21, 22, 23, 21, 20, 18, 16, 50, 51, 55, 56, 45]
    settings = HpaSettings(max_replicas=100, behavior=exact_behavior(max_replicas=100))
    replicas, state = 9, HpaState()
    for number, step in enumerate(steps):
        now = START + timedelta(seconds=number * SYNC_S)
        proposal = wanted(step, replicas=replicas, band=settings.band)
        replicas, state = sync(
            state, settings=settings, now=now, spec_replicas=replicas, proposals=[proposal]
        )
        assert replicas == step


# The dead band


@pytest.mark.parametrize(("band", "first"), [(STOCK, 10), (OLD, 11)])
def test_the_first_plus_one_is_lost_at_10_and_before_1_33_at_11(band: DeadBand, first: int) -> None:
    lost = [s for s in range(1, 40) if wanted(s + 1, replicas=s, band=band) == s]
    assert lost[0] == first


@pytest.mark.parametrize("band", [STOCK, OLD])
def test_the_first_minus_one_is_lost_at_10(band: DeadBand) -> None:
    lost = [s for s in range(2, 40) if wanted(s - 1, replicas=s, band=band) == s]
    assert lost[0] == 10


def test_the_dead_band_of_20_50_and_100() -> None:
    assert swallowed(20, STOCK) == [18, 19, 21, 22]
    assert swallowed(50, STOCK) == [*range(45, 50), *range(51, 56)]
    assert swallowed(100, STOCK) == [*range(90, 100), *range(101, 111)]


@pytest.mark.parametrize("band", [STOCK, OLD])
@pytest.mark.parametrize("replicas", range(1, 10))
def test_up_to_9_replicas_every_target_is_exact(replicas: int, band: DeadBand) -> None:
    assert swallowed(replicas, band) == []


@given(replicas=COUNTS)
def test_before_1_33_only_the_upper_edge_differs(replicas: int) -> None:
    edge = [replicas * 11 // 10] if replicas % 10 == 0 else []
    assert swallowed(replicas, STOCK) == sorted({*swallowed(replicas, OLD), *edge})


@given(replicas=COUNTS, usage_milli=st.integers(0, 2_000_000), target_milli=st.integers(1, 5_000))
def test_no_encoding_lands_inside_the_upper_band(replicas: int, usage_milli: int, target_milli: int) -> None:
    landed = recommend_average(
        usage_milli=usage_milli, target_milli=target_milli, status_replicas=replicas, band=STOCK
    )
    assert not replicas < landed <= replicas * 11 // 10


def test_tolerance_zero_lands_exactly_for_all_s_and_n_up_to_1000() -> None:
    missed = [
        (replicas, target)
        for replicas in range(1, 1001)
        for target in range(1, 1001)
        if recommend_average(
            usage_milli=1000 * target, target_milli=1000, status_replicas=replicas, band=NONE
        )
        != target
    ]
    assert missed == []


@pytest.mark.parametrize("form", BandForm)
def test_the_edges_belong_to_the_band(form: BandForm) -> None:
    # A quarter has no rounding in it.
    band = DeadBand(up=0.25, down=0.25, form=form)
    assert swallowed(100, band) == [*range(75, 100), *range(101, 126)]


def test_a_surge_makes_the_hpa_stay_at_the_surged_number() -> None:
    assert wanted(10, replicas=11) == 11


def test_each_direction_has_a_tolerance_of_its_own() -> None:
    band = DeadBand(up=0.0, down=0.2)
    assert wanted(101, replicas=100, band=band) == 101
    assert wanted(80, replicas=100, band=band) == 100
    assert wanted(79, replicas=100, band=band) == 79


def test_before_1_33_a_behaviors_tolerance_is_ignored() -> None:
    settings = HpaSettings(max_replicas=9, behavior=exact_behavior(max_replicas=9), form=BandForm.SYMMETRIC)
    assert settings.band == OLD


@pytest.mark.parametrize("shares", [(-0.1, 0.1), (0.1, float("nan")), (float("inf"), 0.1)])
def test_a_tolerance_is_a_finite_share(shares: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="tolerance"):
        DeadBand(up=shares[0], down=shares[1])


def test_before_1_33_there_is_one_tolerance_for_both_directions() -> None:
    with pytest.raises(ValueError, match="only one"):
        DeadBand(up=0.0, down=0.1, form=BandForm.SYMMETRIC)


# The metric


@pytest.mark.parametrize(
    ("value", "milli"),
    [
        (12, 12_000),
        (12.0005, 12_001),
        (12.0004, 12_000),
        (0.0004, 0),
        (-3, 0),
        (float("inf"), 0),
        (17.9, 17_900),
    ],
)
def test_a_metric_is_rounded_to_three_decimals(value: float, milli: int) -> None:
    assert metric_milli(value) == milli


def test_a_hair_above_a_whole_number_costs_a_replica() -> None:
    assert wanted(12.0005, replicas=1) == 13
    assert wanted(12.0004, replicas=1) == 12


def test_nan_is_not_a_metric() -> None:
    with pytest.raises(ValueError, match="NaN"):
        metric_milli(float("nan"))


def test_value_type_misses_39_percent_of_targets_even_at_tolerance_zero() -> None:
    """S, R, N up to 120 with R ready of S replicas, and a value of N / R: 39.3 % do not land on N."""
    missed = total = 0
    for ready in range(1, 121):
        for target in range(1, 121):
            for replicas in range(ready, 121):
                landed = recommend_value(
                    usage_milli=metric_milli(target / ready),
                    target_milli=1000,
                    spec_replicas=replicas,
                    ready=ready,
                    band=NONE,
                )
                missed += landed != target
                total += 1
    assert missed / total == pytest.approx(0.393, abs=0.0005)


def test_value_type_depends_on_the_ready_pods() -> None:
    half = {"usage_milli": 2000, "target_milli": 1000, "spec_replicas": 10, "band": STOCK}
    assert recommend_value(ready=10, **half) == 20  # type: ignore[arg-type]  # by name
    assert recommend_value(ready=5, **half) == 10  # type: ignore[arg-type]  # by name
    assert recommend_value(ready=0, **half) == 0  # type: ignore[arg-type]  # by name


# Bounds and several metrics


def test_spec_zero_switches_the_hpa_off() -> None:
    assert walk(HpaSettings(max_replicas=10), 0, 7, 7)[0] == [0, 0]


@pytest.mark.parametrize("behavior", [None, Behavior()])
def test_a_spec_beyond_the_bounds_is_brought_back_at_once(behavior: Behavior | None) -> None:
    settings = HpaSettings(min_replicas=50, max_replicas=60, behavior=behavior)
    assert walk(settings, 500, None)[0] == [60]
    assert walk(settings, 1, None)[0] == [50]


@pytest.mark.parametrize(
    ("proposals", "landed"),
    [
        ([3, 12, 7], 12),
        ([12, None], 12),  # growing on what is known
        ([3, None], 10),  # a gap speaks against shrinking
        ([None, None], 10),
        ([], 10),
    ],
)
def test_the_highest_metric_rules_and_a_gap_never_shrinks(proposals: list[int | None], landed: int) -> None:
    settings = HpaSettings(max_replicas=100, behavior=exact_behavior(max_replicas=100))
    state = HpaState(wanted=((START - timedelta(hours=1), 10),))
    spec, _ = sync(state, settings=settings, now=START, spec_replicas=10, proposals=proposals)
    assert spec == landed


# Without behavior


def test_growing_from_1_to_100_takes_6_syncs_by_default() -> None:
    specs, _ = walk(HpaSettings(max_replicas=100), 1, *[100] * 7)
    assert specs == [4, 8, 16, 32, 64, 100, 100]


def test_by_default_the_highest_recommendation_of_300_seconds_rules() -> None:
    specs, _ = walk(HpaSettings(max_replicas=100), 20, 20, *[5] * 21)
    # The recommendation of 0 s still counts at 300 s, its edge, and no longer at 315 s.
    assert specs == [20] * 21 + [5]


def test_the_first_sight_of_a_fleet_counts_as_a_recommendation() -> None:
    specs, _ = walk(HpaSettings(max_replicas=100), 20, 5)
    assert specs == [20]


# With behavior


def test_growing_from_1_to_100_takes_6_syncs_with_default_behavior() -> None:
    specs, _ = walk(HpaSettings(max_replicas=100, behavior=Behavior()), 1, *[100] * 7)
    assert specs == [5, 10, 20, 40, 80, 100, 100]


def test_growing_from_1_to_100_takes_one_sync_with_a_pods_policy() -> None:
    behavior = Behavior(up=rules(pods(100)))
    assert walk(HpaSettings(max_replicas=100, behavior=behavior), 1, 100)[0] == [100]


def test_shrinking_waits_for_the_window_and_stops_at_its_highest() -> None:
    behavior = Behavior(down=rules(percent(100), window_s=30.0))
    specs, _ = walk(HpaSettings(max_replicas=100, behavior=behavior), 20, 20, 12, 5, 5, 5)
    assert specs == [20, 20, 12, 5, 5]


def test_growing_waits_for_its_window_and_stops_at_its_lowest() -> None:
    behavior = Behavior(up=rules(pods(100), window_s=30.0))
    specs, _ = walk(HpaSettings(max_replicas=100, behavior=behavior), 5, 5, 12, 20, 20, 20)
    assert specs == [5, 5, 12, 20, 20]


def test_between_the_windows_the_fleet_stays() -> None:
    behavior = Behavior(up=rules(pods(100), window_s=300.0), down=rules(percent(100), window_s=300.0))
    specs, _ = walk(HpaSettings(max_replicas=100, behavior=behavior), 10, 5, 20, 7, 15, 10)
    assert specs == [10] * 5


def test_a_policy_counts_what_was_added_within_its_period() -> None:
    behavior = Behavior(up=rules(pods(4, period_s=60.0)))
    specs, _ = walk(HpaSettings(max_replicas=100, behavior=behavior), 10, *[50] * 6)
    assert specs == [14, 14, 14, 14, 18, 18]


def test_what_was_removed_within_the_period_may_be_added_again() -> None:
    up = rules(pods(1, period_s=60.0))
    behavior = Behavior(up=up, down=rules(percent(100)))
    settings = HpaSettings(max_replicas=100, behavior=behavior)
    old = HpaState(wanted=((START - timedelta(hours=1), 10),))
    spec, state = sync(old, settings=settings, now=START, spec_replicas=10, proposals=[4])
    assert spec == 4
    later = START + timedelta(seconds=30)
    assert sync(state, settings=settings, now=later, spec_replicas=4, proposals=[20])[0] == 11


def test_percent_rounds_up_on_the_way_up_and_down_on_the_way_down() -> None:
    behavior = Behavior(up=rules(percent(10)), down=rules(percent(10)))
    settings = HpaSettings(max_replicas=100, behavior=behavior)
    old = HpaState(wanted=((START - timedelta(hours=1), 15),))
    assert sync(old, settings=settings, now=START, spec_replicas=15, proposals=[50])[0] == 17
    assert sync(old, settings=settings, now=START, spec_replicas=15, proposals=[1])[0] == 13


@pytest.mark.parametrize(
    ("select", "up", "down"),
    [(SelectPolicy.MAX, 20, 5), (SelectPolicy.MIN, 12, 8), (SelectPolicy.DISABLED, 10, 10)],
)
def test_select_policy_chooses_the_greatest_or_the_least_change(
    select: SelectPolicy, up: int, down: int
) -> None:
    both = (pods(2), percent(100)), (pods(2), percent(50))
    behavior = Behavior(up=rules(*both[0], select=select), down=rules(*both[1], select=select))
    settings = HpaSettings(max_replicas=100, behavior=behavior)
    old = HpaState(wanted=((START - timedelta(hours=1), 10),))
    assert sync(old, settings=settings, now=START, spec_replicas=10, proposals=[90])[0] == up
    assert sync(old, settings=settings, now=START, spec_replicas=10, proposals=[1])[0] == down


def test_scale_events_that_a_tighter_policy_left_behind_do_not_shrink_the_fleet() -> None:
    """More was added within the period than the policy allows: it waits, it does not give back."""
    behavior = Behavior(up=rules(pods(2, period_s=600.0)))
    settings = HpaSettings(max_replicas=100, behavior=behavior)
    state = HpaState(wanted=((START, 30),), grown=((START, 20),))
    now = START + timedelta(seconds=15)
    assert sync(state, settings=settings, now=now, spec_replicas=30, proposals=[60])[0] == 30


def test_scale_events_that_a_tighter_policy_left_behind_do_not_grow_the_fleet() -> None:
    behavior = Behavior(down=rules(pods(2, period_s=600.0)))
    settings = HpaSettings(max_replicas=100, behavior=behavior)
    state = HpaState(wanted=((START, 1),), shrunk=((START, 20),))
    now = START + timedelta(seconds=15)
    assert sync(state, settings=settings, now=now, spec_replicas=30, proposals=[5])[0] == 30


def test_being_brought_back_within_the_bounds_counts_as_a_scale_event() -> None:
    settings = HpaSettings(min_replicas=5, max_replicas=40, behavior=Behavior())
    assert walk(settings, 50, None)[1].shrunk == ((START, 10),)
    assert walk(settings, 2, None)[1].grown == ((START, 3),)


def test_a_new_event_takes_the_place_of_one_outdated_event_and_of_no_other() -> None:
    """What is outdated for the way up may still count for the way down, with its longer period."""
    behavior = Behavior(up=rules(pods(50)), down=rules(pods(50, period_s=600.0)))
    settings = HpaSettings(max_replicas=100, behavior=behavior)
    ages_s = (50, 40, 10)
    grown = tuple((START - timedelta(seconds=age_s), age_s) for age_s in ages_s)
    state = HpaState(wanted=((START, 100),), grown=grown)
    _, state = sync(state, settings=settings, now=START, spec_replicas=60, proposals=[65])
    assert state.grown == (grown[0], (START, 5), grown[2])


@given(spec=st.integers(1, 1000), target=st.integers(1, 1000))
def test_exact_behavior_reaches_any_target_in_one_sync(spec: int, target: int) -> None:
    settings = HpaSettings(max_replicas=1000, behavior=exact_behavior(max_replicas=1000))
    assert walk(settings, spec, wanted(target, replicas=spec, band=settings.band))[0] == [target]


@given(
    settings=st.sampled_from(
        [
            HpaSettings(min_replicas=3, max_replicas=40),
            HpaSettings(min_replicas=3, max_replicas=40, behavior=Behavior()),
            HpaSettings(min_replicas=3, max_replicas=40, behavior=exact_behavior(max_replicas=40)),
            HpaSettings(
                min_replicas=3,
                max_replicas=40,
                behavior=Behavior(
                    up=rules(pods(3, 60.0), percent(10, 120.0), window_s=45.0, select=SelectPolicy.MIN),
                    down=rules(pods(1, 30.0), window_s=60.0),
                ),
            ),
        ]
    ),
    spec=st.integers(1, 60),
    proposals=st.lists(st.none() | st.integers(0, 80), min_size=1, max_size=40),
    step_s=st.sampled_from([1.0, 14.9, 15.0, 40.0, 400.0]),
)
def test_the_spec_stays_within_bounds_and_memory_stays_small(
    settings: HpaSettings, spec: int, proposals: list[int | None], step_s: float
) -> None:
    specs, state = walk(settings, spec, *proposals, step_s=step_s)
    assert all(3 <= replicas <= 40 for replicas in specs)
    longest_s = max(settings.downscale_window_s, 300.0)
    assert len(state.wanted) <= longest_s / step_s + 3


def test_memory_does_not_grow_over_a_week_of_flapping() -> None:
    behavior = Behavior(down=rules(percent(100)))
    syncs = 7 * 24 * 240
    _, state = walk(HpaSettings(max_replicas=40, behavior=behavior), 5, *[5, 9] * (syncs // 2))
    assert max(len(state.wanted), len(state.grown), len(state.shrunk)) <= 3


@pytest.mark.parametrize(
    "broken",
    [
        lambda: HpaSettings(min_replicas=0, max_replicas=3),
        lambda: HpaSettings(min_replicas=4, max_replicas=3),
        lambda: ScalingRules(policies=()),
        lambda: rules(pods(1), window_s=3601.0),
        lambda: pods(0),
        lambda: pods(1, period_s=1801.0),
    ],
)
def test_what_the_api_server_refuses_is_refused(broken: object) -> None:
    with pytest.raises(ValueError, match=r"replicas|policies|window_s|policy"):
        broken()  # type: ignore[operator]  # each case is a function
