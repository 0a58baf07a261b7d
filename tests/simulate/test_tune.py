"""A replay takes the steps that the service would have taken, and the cheapest that met the aim serves."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from predictscale.control.asks import Ask
from predictscale.control.step import StepMemory, step
from predictscale.core.demand import Observation
from predictscale.core.forecast import Forecast
from predictscale.core.knobs import ALONE, ANY_LEVEL, Bounds, Kind, Knobs
from predictscale.core.plan import OnStale, Policy
from predictscale.core.series import Floats, MetricWindow
from predictscale.core.slo import Slo
from predictscale.core.track import TRACKED_LEVELS, Track
from predictscale.simulate.honest import Rule
from predictscale.simulate.tune import RULE, candidates, pick, plans, replay, track_of, tune
from worlds import CHAT, NOON, policy

SLO = Slo(max_violation=0.01, wait_s=5.0)


def ask(track: Track, owner: Policy, *, asked: float = 0.01, serving: Knobs | None = None) -> Ask:
    """The question that a track answers."""
    before = MetricWindow(track.start - timedelta(minutes=1), 60.0, np.array([track.before]))
    demand = before.join(MetricWindow(track.start, 60.0, track.demand))
    return Ask(
        demand=demand, peaks=track.peaks, policy=owner, slo=SLO, asked=asked, tick_s=60.0, serving=serving
    )


def made(demand: Floats, peaks: Floats, *, highest: Floats | None = None, before: float = 0.0) -> Track:
    most = np.full(demand.size, np.nan) if highest is None else highest
    return Track(
        start=NOON,
        step_s=60.0,
        demand=demand,
        peaks=np.sort(peaks.astype(np.float32), axis=1),
        highest=most,
        before=before,
    )


def days(count: float, *, seed: int = 0, told: float = 1.0) -> Track:
    """Waves with noise, and an honest forecast of their peaks times `told`."""
    n = round(count * 1440)
    rng = np.random.default_rng(seed)
    minute = np.arange(n + 5)
    demand = 500 * (1.3 + np.sin(minute * 2 * np.pi / 1440)) * np.exp(0.1 * rng.standard_normal(n + 5))
    windows = np.lib.stride_tricks.sliding_window_view(demand, 5)[:n].max(axis=1)
    spread = np.quantile(np.exp(0.1 * rng.standard_normal(5000)), TRACKED_LEVELS)
    peaks = windows[:, None] * np.exp(0.1 * rng.standard_normal((n, 1))) * spread[None] * told
    return made(demand[:n], peaks, highest=np.full(n, demand.max()), before=float(demand[0]))


def stepped(track: Track, policy: Policy) -> list[int]:
    """The targets of `control.step`, bin by bin."""
    memory, targets, demand, demand_at = StepMemory(), [], None, None
    for place, here in enumerate(track.here.tolist()):
        now = track.start + timedelta(seconds=60 * place)
        if not np.isnan(here):
            demand, demand_at = here, now
        said, most = track.peaks[place].astype(float), float(track.highest[place])
        forecast = None
        if not np.isnan(said).any():
            path = np.repeat(said[:, None], 12, axis=1)
            forecast = Forecast(now, 60.0, TRACKED_LEVELS, path, model="kept")
        seen = Observation(now, demand, demand_at, highest=None if np.isnan(most) else most)
        decision, memory = step(CHAT, seen, forecast, policy, memory, unit="requests/s")
        targets.append(decision.plan.target)
    return targets


DEMANDS = st.lists(st.one_of(st.just(np.nan), st.floats(0, 400)), min_size=2, max_size=40)


@settings(max_examples=150)
@given(DEMANDS, st.data())
def test_a_replay_wants_what_the_service_would_have_wanted_tick_for_tick(
    demand: list[float], data: st.DataObject
) -> None:
    n = len(demand)
    rng = np.random.default_rng(data.draw(st.integers(0, 1000)))
    peaks = np.where(rng.random((n, 1)) < 0.2, np.nan, rng.random((n, 8)) * 500)
    highest = np.where(rng.random(n) < 0.2, np.nan, 300.0)
    track = made(np.array(demand), peaks, highest=highest, before=data.draw(st.sampled_from([np.nan, 80.0])))
    owner = policy(
        min_replicas=data.draw(st.integers(0, 2)),
        warm_replicas=1,
        max_replicas=30,
        stale_after_s=180,
        on_stale=data.draw(st.sampled_from(OnStale)),
    )
    knobs = data.draw(st.lists(st.sampled_from(candidates(owner, ANY_LEVEL)), min_size=1, max_size=4))
    wanted = plans(track, knobs, owner)
    for row, each in zip(wanted, knobs, strict=True):
        assert row.tolist() == stepped(track, owner.obeying(each)), str(each)


def test_the_owner_comes_first_and_plain_reactive_and_static_are_always_among_the_candidates() -> None:
    for bounds in (ANY_LEVEL, Bounds(lowest_level=0.9, highest_level=0.9)):
        found = candidates(policy(level=0.93), bounds)
        assert found[0] == policy(level=0.93).knobs
        assert any(k.kind is Kind.REACTIVE and k.headroom == 1 for k in found)
        assert Knobs(level=0.995, margin=ALONE, limit=1.0) in found
        assert len(set(found)) == len(found)


def test_the_owner_restricts_the_levels() -> None:
    found = candidates(policy(level=0.9), Bounds(lowest_level=0.8, highest_level=0.95))
    levels = {k.level for k in found if k.kind is Kind.PREDICTIVE}
    assert levels == {0.8, 0.85, 0.9, 0.925, 0.95}
    assert not any(k.margin in (1.2, 1.5, 2.0) for k in found)


def test_with_less_than_two_days_on_record_the_owners_settings_serve() -> None:
    choice = tune(ask(days(1.5), policy()))
    assert choice.knobs == policy().knobs
    assert "36 h of forecasts are on record, a choice takes 48 h" in choice.because


def test_the_choice_met_the_aim_and_none_that_met_it_was_cheaper() -> None:
    owner = policy(per_replica=20, max_replicas=200)
    choice = tune(ask(days(3), owner))
    track = track_of(ask(days(3), owner))
    outcome = replay(track, candidates(owner, ANY_LEVEL), owner, wait_s=SLO.wait_s)
    chosen = candidates(owner, ANY_LEVEL).index(choice.knobs)
    good = outcome.violation <= 0.01 * RULE.aim
    assert good[chosen]
    assert outcome.replica_hours[chosen] == outcome.replica_hours[good].min()
    assert "the cheapest of" in choice.because
    assert choice.knobs in [score.knobs for score in choice.scores]
    assert {Kind.REACTIVE, Kind.STATIC} <= {score.knobs.kind for score in choice.scores}
    assert choice.at == days(3).end


def test_a_forecast_that_says_too_little_is_seen_through() -> None:
    owner = policy(per_replica=20, max_replicas=200)
    low = tune(ask(days(3, told=0.5), owner))
    assert low.knobs.kind is not Kind.PREDICTIVE or low.knobs.margin > 1


@given(st.floats(0.002, 0.1), st.floats(1.0, 5.0))
@settings(max_examples=10, deadline=None)
def test_asking_for_more_lateness_never_costs_more(asked: float, factor: float) -> None:
    owner = policy(per_replica=20, max_replicas=200)
    knobs = candidates(owner, ANY_LEVEL)
    outcome = replay(days(2), knobs, owner, wait_s=SLO.wait_s)

    def cost(share: float) -> float:
        chosen = knobs.index(pick(outcome, knobs, rule=Rule(asked=share)).knobs)
        met = outcome.violation[chosen] <= share * Rule(asked=share).aim
        return float(outcome.replica_hours[chosen]) if met else np.inf

    assert cost(min(asked * factor, 0.5)) <= cost(asked)


def test_what_serves_stays_while_nothing_is_clearly_cheaper() -> None:
    owner = policy(per_replica=20, max_replicas=200)
    loyal, fickle = Rule(asked=0.01, least=48, keep=0.2), Rule(asked=0.01, least=48, keep=0.0)
    first = tune(ask(days(3), owner), loyal)
    near = next(
        score.knobs
        for score in first.scores
        if score.knobs != first.knobs and score.violation <= 0.01 * loyal.aim
    )
    kept = tune(ask(days(3), owner, serving=near), loyal)
    assert kept.knobs == near
    assert "no other is cheaper by 20%" in kept.because
    assert tune(ask(days(3), owner, serving=near), fickle).knobs == first.knobs


def test_where_nothing_meets_the_aim_the_least_late_serves_and_says_so() -> None:
    # Three replicas at most for a demand of forty: all candidates are late.
    owner = policy(per_replica=20, max_replicas=3)
    choice = tune(ask(days(2), owner))
    assert choice.because.startswith("none of")


def test_a_replay_does_not_depend_on_the_company_of_a_candidate() -> None:
    owner = policy(per_replica=20, max_replicas=200)
    knobs = candidates(owner, ANY_LEVEL)
    whole = replay(days(2), knobs, owner, wait_s=5.0)
    for place in (0, 40, len(knobs) - 1):
        alone = replay(days(2), knobs[place : place + 1], owner, wait_s=5.0)
        assert np.allclose(alone.late[0], whole.late[place], rtol=1e-9, atol=1e-6)
        assert np.array_equal(alone.billed[0], whole.billed[place])


def test_an_hour_without_demand_counts_neither_work_nor_cost() -> None:
    track = days(2)
    track.demand[60:120] = np.nan
    outcome = replay(track, [policy().knobs], policy(), wait_s=5.0)
    assert outcome.arrived[1] == 0
    assert outcome.billed[0, 1] == 0
    assert outcome.arrived[2] == pytest.approx(track.demand[120:180].sum() * 60)


def test_the_highest_is_of_the_five_days_that_had_ended() -> None:
    minutes = 6 * 1440
    demand = np.full(minutes, 10.0)
    demand[100], demand[200] = 500.0, np.nan
    peaks = np.full((minutes - 1, 8), 1.0, dtype=np.float32)
    window = MetricWindow(NOON, 60.0, demand)
    track = track_of(Ask(demand=window, peaks=peaks, policy=policy(), slo=SLO, asked=0.01, tick_s=60.0))
    assert track.before == 10.0
    assert track.end == window.end
    # Bin i of the track is minute i + 1: minute 100 is known from minute 101 on, for five days.
    assert track.highest[[98, 99, 100, 99 + 7200, 100 + 7200]].tolist() == [10, 10, 500, 500, 10]


def test_ticks_closer_than_bins_are_replayed_one_by_one() -> None:
    owner = policy(per_replica=20, max_replicas=200)
    question = ask(days(3), owner)
    fine = tune(replace(question, tick_s=15.0))
    outcome = replay(track_of(question).finer(4), [fine.knobs], owner, wait_s=SLO.wait_s)
    (told,) = {score for score in fine.scores if score.knobs == fine.knobs}
    assert told.violation == pytest.approx(float(outcome.violation[0]))
    assert told.replica_hours == pytest.approx(float(outcome.replica_hours[0]))


def test_a_bin_of_which_nobody_knows_what_was_forecast_is_not_scored() -> None:
    track = days(2)
    track.peaks[60:120] = np.nan
    outcome = replay(track, [policy().knobs], policy(), wait_s=5.0)
    assert outcome.arrived[1] == 0
    assert outcome.arrived[0] > 0
