"""The policy that is replayed is the step that runs live; many candidates at once are each of them."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from math import isnan, nan

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from made_series import MONDAY, shop
from predictscale.control.step import StepMemory, step
from predictscale.core.capacity import CapacityModel
from predictscale.core.demand import Observation
from predictscale.core.events import PlannedEvent
from predictscale.core.forecast import Forecast
from predictscale.core.plan import Decision, Landing, Mode, OnStale, Policy
from predictscale.core.series import Floats, MetricWindow
from predictscale.errors import FitFailed
from predictscale.forecasters.base import Fitted, Forecaster
from predictscale.forecasters.chain import fit_chain
from predictscale.forecasters.curve import CurveFitted
from predictscale.forecasters.naive import LastValue, SeasonalNaiveDay
from predictscale.forecasters.native import Native
from predictscale.simulate.actuation import Actuation
from predictscale.simulate.foresight import Foresight
from predictscale.simulate.ours import PredictscalePolicy, fast_targets
from predictscale.simulate.plant import Boot
from predictscale.simulate.world import World, play, replay
from stub_forecasters import scripted
from worlds import CHAT, NOON, at

TICK_S = 15.0
LEVELS = (0.5, 0.9)


def policy(
    *,
    level: float = 0.9,
    hold_s: float = 60.0,
    min_replicas: int = 0,
    on_stale: OnStale = OnStale.FLOOR,
    landing: Landing = Landing.EXACT,
    mode: Mode = Mode.LIVE,
) -> Policy:
    """Short times, so that a few ticks see all of them."""
    return Policy(
        capacity=CapacityModel(10.0),
        lead_time_s=60.0,
        level=level,
        min_replicas=min_replicas,
        max_replicas=20,
        hold_s=hold_s,
        fresh_s=20.0,
        stale_after_s=50.0,
        on_stale=on_stale,
        cooldown_s=60.0,
        landing=landing,
        mode=mode,
    )


def told(now: datetime, near: float, far: float) -> Forecast:
    """`near` over the lead time and `far` over the look-ahead, at the median; half more at 0.9."""
    median = np.array([near, far])
    return Forecast(now, 60.0, LEVELS, np.stack((median, 1.5 * median)), "made")


def by_the_step(here: Sequence[float], forecasts: Sequence[Forecast | None], chosen: Policy) -> list[int]:
    """Targets of `control.step`, tick by tick, without a queue."""
    memory, targets, newest = StepMemory(), [], None
    for tick, (demand, forecast) in enumerate(zip(here, forecasts, strict=True)):
        now = at(tick * TICK_S)
        if not isnan(demand):
            newest = (now, demand)
        seen = Observation(now, newest[1] if newest else None, newest[0] if newest else None)
        decision, memory = step(CHAT, seen, forecast, chosen, memory, unit="requests/s")
        targets.append(decision.plan.target)
    return targets


DEMAND = st.one_of(st.just(0.0), st.just(nan), st.floats(0, 250, allow_subnormal=False))
NEAR_FAR = st.tuples(*[st.just(0.0) | st.floats(0, 150, allow_subnormal=False)] * 2)
TICKS = st.lists(st.tuples(DEMAND, st.none() | NEAR_FAR), min_size=20, max_size=60)
# Quiet with long gaps: where zero, holding and stale meet.
QUIET = st.lists(
    st.tuples(
        st.tuples(st.sampled_from([0.0, nan, nan, 15.0]), st.none() | st.just((0.0, 0.0)) | NEAR_FAR),
        st.integers(1, 8),
    ),
    min_size=1,
    max_size=12,
).map(lambda runs: [tick for tick, times in runs for _ in range(times)])


@given(
    ticks=st.one_of(TICKS, QUIET),
    holds=st.tuples(*[st.sampled_from([0.0, 1.0, 15.0, 40.0, 300.0])] * 2),
    least=st.sampled_from([0, 0, 1, 3]),
    on_stale=st.sampled_from(list(OnStale)),
)
def test_candidates_replayed_at_once_are_the_step_tick_for_tick(
    ticks: list[tuple[float, tuple[float, float] | None]],
    holds: tuple[float, float],
    least: int,
    on_stale: OnStale,
) -> None:
    here = [tick[0] for tick in ticks]
    forecasts = [None if tick[1] is None else told(at(i * TICK_S), *tick[1]) for i, tick in enumerate(ticks)]
    chosen = [
        policy(level=level, hold_s=hold_s, min_replicas=least, on_stale=on_stale)
        for level, hold_s in zip(LEVELS, holds, strict=True)
    ]
    peaks, later = (
        np.array([[_peak(forecast, level, within_s) for forecast in forecasts] for level in LEVELS])
        for within_s in (60.0, 120.0)
    )
    fast = fast_targets(np.array(here), peaks, policy=chosen[0], hold_s=holds, later=later)
    for row, each in zip(fast.tolist(), chosen, strict=True):
        assert row == by_the_step(here, forecasts, each)


def _peak(forecast: Forecast | None, level: float, within_s: float) -> float:
    if forecast is None:
        return nan
    until = forecast.origin + timedelta(seconds=within_s)
    return forecast.peak(level=level, since=forecast.origin, until=until)


@given(replicas=st.integers(0, 500), per_replica=st.floats(0.01, 1e4))
def test_capacity_is_rounded_as_live(replicas: int, per_replica: float) -> None:
    for demand in (replicas * per_replica, replicas * per_replica * (1 + 1e-9), 1e300):
        model = CapacityModel(per_replica)
        chosen = replace(policy(min_replicas=1), capacity=model, max_replicas=10**9)
        fast = fast_targets(np.array([demand]), np.array([[nan]]), policy=chosen, hold_s=[0.0])
        assert fast.tolist() == [[max(1, model.replicas_for(demand))]]


def test_a_stale_target_falls_to_the_floor_through_its_hold() -> None:
    here = np.array([100.0, *[nan] * 5])
    peaks = np.full((1, 6), nan)
    floor = policy(min_replicas=2, on_stale=OnStale.FLOOR)
    assert fast_targets(here, peaks, policy=floor, hold_s=[300.0]).tolist() == [[10] * 4 + [2] * 2]


def test_in_doubt_a_fleet_of_one_is_not_put_to_sleep() -> None:
    here = np.array([0.0, *[nan] * 6])
    peaks = np.full((1, 7), nan)
    assert fast_targets(here, peaks, policy=policy(), hold_s=[0.0], later=peaks).tolist() == [[1] * 7]


def test_a_last_good_target_stays_though_doubt_once_wanted_more() -> None:
    # Fresh until 30 s; at 45 s a forecast wants 18, at 60 s nothing does, and the last good target was 15.
    here = [150.0, 100.0, nan, nan, nan]
    peaks = np.array([[nan, nan, nan, 180.0, nan]])
    chosen = policy(min_replicas=1, hold_s=60.0)
    fast = fast_targets(np.array(here), peaks, policy=chosen, hold_s=[60.0])
    forecasts = [None, None, None, told(at(45.0), 120.0, 0.0), None]
    assert fast.tolist() == [by_the_step(here, forecasts, chosen)] == [[15, 15, 15, 18, 15]]


def test_without_a_look_ahead_no_candidate_goes_to_zero() -> None:
    here = np.zeros(5)
    assert fast_targets(here, np.zeros((1, 5)), policy=policy(), hold_s=[0.0]).tolist() == [[1] * 5]
    later = np.zeros((1, 5))
    assert fast_targets(here, later, policy=policy(), hold_s=[0.0], later=later).tolist() == [[0] * 5]


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="shape"):
        fast_targets(np.zeros(3), np.zeros((2, 3)), policy=policy(), hold_s=[0.0])


def world(demand: Floats, *, actuation: Actuation = Actuation.HPA_EXACT) -> World:
    return World(
        demand=MetricWindow(NOON, TICK_S, demand),
        per_replica=10.0,
        boot=Boot.fixed(60.0),
        min_replicas=1,
        max_replicas=20,
        actuation=actuation,
        before=float(demand[0]),
    )


def test_in_the_world_it_is_the_targets_of_a_replay() -> None:
    demand = 80 + 60 * np.sin(np.arange(200) / 20)
    here = np.append(demand[0], demand[:-1])
    fast = fast_targets(here, here[None] * 1.5, policy=policy(min_replicas=1), hold_s=[60.0])
    ours = PredictscalePolicy(
        lambda now: told(now, here[round((now - NOON).total_seconds() / TICK_S)], 0.0),
        lambda _: policy(min_replicas=1),
        sees_queue=False,
    )
    closed, opened = play(world(demand), ours), replay(world(demand), fast)
    assert closed.desired.tolist() == opened.desired.tolist()
    assert closed.violation == pytest.approx(opened.violation)


def test_a_queue_that_waits_raises_it_unless_nobody_measures_it() -> None:
    demand = np.array([20.0] * 5 + [100.0] * 10)
    desired = [
        play(
            world(demand),
            PredictscalePolicy(lambda _: None, lambda _: policy(min_replicas=1), sees_queue=sees),
        ).desired[0]
        for sees in (False, True)
    ]
    assert (desired[1] >= desired[0]).all()
    assert desired[1].max() > desired[0].max() == 10


def test_settings_may_change_over_time() -> None:
    def policy_at(now: datetime) -> Policy:
        return policy(level=0.9 if now >= at(75.0) else 0.5, min_replicas=1)

    ours = PredictscalePolicy(lambda now: told(now, 100.0, 100.0), policy_at)
    assert play(world(np.full(10, 50.0)), ours).desired[0].tolist() == [10] * 5 + [15] * 5


def test_a_limit_refers_to_the_highest_it_is_told() -> None:
    limited = replace(policy(min_replicas=1), limit=1.2)
    ours = PredictscalePolicy(
        lambda now: told(now, 100.0, 100.0), lambda _: limited, highest_at=lambda _: 100.0
    )
    assert play(world(np.full(3, 50.0)), ours).desired[0].tolist() == [12] * 3


def test_it_publishes_through_its_own_landing() -> None:
    decisions: list[Decision] = []
    ours = PredictscalePolicy(
        lambda _: None,
        lambda _: policy(min_replicas=1, landing=Landing.OVERSHOOT),
        sees_queue=False,
        record=decisions.append,
    )
    run = play(world(np.array([100.0, 110.0, 110.0, 110.0]), actuation=Actuation.HPA), ours)
    assert [decision.plan.target for decision in decisions] == [10, 10, 11, 11]
    # 11 lies in the dead band around 10, 12 does not; around 12, 11 does.
    assert run.desired[0].tolist() == [10, 10, 12, 12]
    assert run.spec[0].tolist() == [10, 10, 12, 12]


def test_while_its_answer_is_unavailable_the_fleet_stays() -> None:
    ours = PredictscalePolicy(lambda _: None, lambda _: policy(min_replicas=1))
    unseen = replace(world(np.full(4, nan)), before=None, replicas=7)
    assert play(unseen, ours).desired[0].tolist() == [7] * 4


def test_in_shadow_mode_it_publishes_the_reactive_need() -> None:
    ours = PredictscalePolicy(
        lambda now: told(now, 150.0, 150.0),
        lambda _: policy(min_replicas=1, mode=Mode.SHADOW),
    )
    assert play(world(np.full(4, 50.0)), ours).desired[0].tolist() == [5] * 4


def bins(days: float = 3.0) -> MetricWindow:
    return shop(days=days, step_s=60.0)


def track(window: MetricWindow, *, start_days: float, ticks: int, levels: Sequence[float] = LEVELS) -> Floats:
    foresight = Foresight(window, [SeasonalNaiveDay(), LastValue()], reach_s=315.0, refit_s=1800.0)
    start = MONDAY + timedelta(days=start_days)
    instants = [start + timedelta(seconds=tick * TICK_S) for tick in range(ticks)]
    rows = []
    for now, forecast in zip(instants, foresight.of_ticks(instants), strict=True):
        assert forecast is not None
        until = now + timedelta(seconds=300)
        rows.append([forecast.peak(level=level, since=now, until=until) for level in levels])
    return np.array(rows)


@pytest.mark.parametrize("offset_s", [0.0, 45.0])
def test_a_track_is_what_each_tick_would_have_been_told(offset_s: float) -> None:
    window, start = bins(), MONDAY + timedelta(days=2.5)
    window = MetricWindow(window.start + timedelta(seconds=offset_s), window.step_s, window.values)
    table = track(window, start_days=2.5, ticks=1000)
    alone = Foresight(window, [SeasonalNaiveDay(), LastValue()], reach_s=315.0, refit_s=1800.0)
    for tick in (0, 1, 3, 4, 121, 480, 961, 999):
        now = start + timedelta(seconds=tick * TICK_S)
        forecast = alone(now)
        assert forecast is not None
        until = now + timedelta(seconds=300)
        assert table[tick].tolist() == [forecast.peak(level=q, since=now, until=until) for q in LEVELS]


def test_asked_together_or_alone_the_engine_says_the_same() -> None:
    window, now = bins(1.5), MONDAY + timedelta(days=1, minutes=17)
    chain: list[Forecaster] = [Native(), LastValue()]
    forecast = Foresight(window, chain, reach_s=315.0)(now)
    fitted = fit_chain(chain, window.between(window.start, MONDAY + timedelta(days=1))).fitted
    alone = fitted.predict(window.between(window.start, now), steps=7)
    assert forecast is not None
    assert forecast.model == alone.model == "native"
    assert forecast.values.tolist() == alone.values.tolist()


def test_what_is_not_credible_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    foresight = Foresight(bins(1.5), [Native(), LastValue()], reach_s=315.0)
    monkeypatch.setattr("predictscale.forecasters.chain.CREDIBLE", 0.01)
    assert foresight(MONDAY + timedelta(days=1)) is None


def test_planned_events_are_laid_over_what_models_say() -> None:
    now = MONDAY + timedelta(days=1)
    event = PlannedEvent(name="campaign", start=now, end=now + timedelta(hours=1), multiplier=3.0)
    plain, with_event = (
        Foresight(bins(1.5), [LastValue()], reach_s=315.0, events=events)(now) for events in ((), (event,))
    )
    assert plain is not None
    assert with_event is not None
    assert with_event.values == pytest.approx(3 * plain.values)


@settings(max_examples=20)
@given(days=st.floats(0.3, 2.0), seed=st.integers(0, 3))
def test_nothing_after_a_tick_changes_what_it_is_told(days: float, seed: int) -> None:
    window = bins()
    values = window.values.copy()
    cut = round(days * 1440)
    values[cut:] = np.random.default_rng(seed).uniform(0, 1e4, values.size - cut)
    poisoned = MetricWindow(window.start, window.step_s, values)
    ticks = 40
    start_days = (cut - ticks / 4 + 0.25) / 1440
    # The last tick lies at the cut: all bins before it have ended, and none of the poisoned ones.
    assert np.array_equal(
        track(window, start_days=start_days, ticks=ticks), track(poisoned, start_days=start_days, ticks=ticks)
    )


def test_a_newer_bin_is_known_as_soon_as_it_has_ended() -> None:
    window = bins()
    values = window.values.copy()
    values[2000:] *= 3
    other = MetricWindow(window.start, window.step_s, values)
    one, two = (track(each, start_days=1990 / 1440, ticks=60) for each in (window, other))
    changed = np.flatnonzero((one != two).any(axis=1))
    # The bin that begins at 2000 ends at 2001, eleven minutes or 44 ticks after the first.
    assert changed[0] == 44


def test_where_no_model_can_answer_there_is_no_forecast() -> None:
    nobody = [scripted("nobody", FitFailed("no"))]
    foresight = Foresight(bins(), nobody, reach_s=315.0)
    assert foresight(MONDAY + timedelta(days=1)) is None
    instants = [MONDAY + timedelta(days=1, minutes=minute) for minute in range(5)]
    assert foresight.of_ticks(instants) == [None] * 5


def test_a_gap_at_the_end_is_reached_over() -> None:
    window = bins()
    short = window.between(window.start, window.start + timedelta(days=2))
    foresight = Foresight(short, [LastValue()], reach_s=315.0)
    now = short.end + timedelta(minutes=7)
    forecast = foresight(now)
    assert forecast is not None
    assert forecast.origin == short.end
    assert forecast.end >= now + timedelta(seconds=315)


def test_fits_see_the_usual_demand_and_the_fit_before() -> None:
    windows: list[MetricWindow] = []
    before: list[str] = []

    class Watching(LastValue):
        def fit(self, window: MetricWindow) -> CurveFitted:
            windows.append(window)
            return super().fit(window)

        def after(self, previous: Fitted) -> Forecaster:
            before.append(previous.model)
            return self

    whole = bins(1.5)
    event = PlannedEvent(
        name="campaign",
        start=MONDAY + timedelta(hours=10),
        end=MONDAY + timedelta(hours=11),
        multiplier=2.0,
    )
    foresight = Foresight(whole, [Watching()], reach_s=315.0, refit_s=1800.0, events=[event])
    first = MONDAY + timedelta(days=1)
    # A fit serves five minutes after its boundary.
    foresight.of_ticks([first + timedelta(minutes=5 + 30 * turn) for turn in range(4)])
    assert before == ["last-value"] * 3
    changed = np.flatnonzero(windows[0].values != whole.values[:1440])
    assert changed.tolist() == list(range(600, 660))
    assert windows[0].values[600:660] == pytest.approx(whole.values[600:660] / 2)


def test_a_fit_serves_until_the_next_boundary() -> None:
    ends: list[datetime] = []

    class Counting(LastValue):
        def fit(self, window: MetricWindow) -> CurveFitted:
            ends.append(window.end)
            return super().fit(window)

    foresight = Foresight(bins(), [Counting()], reach_s=315.0, refit_s=1800.0)
    start = MONDAY + timedelta(days=1, minutes=10)
    foresight.of_ticks([start + timedelta(seconds=tick * TICK_S) for tick in range(240)])
    # Ticks from ten minutes past on, of an hour; each fit serves five minutes after its boundary.
    assert [(end - MONDAY).total_seconds() / 60 for end in ends] == [1440, 1470, 1500]
