"""One replay that goes on chooses as a replay anew at each choice does."""

from datetime import timedelta

import numpy as np
import pytest

from predictscale.control.asks import Ask, Retelling
from predictscale.core.capacity import CapacityModel
from predictscale.core.plan import Policy
from predictscale.core.series import MetricWindow
from predictscale.core.slo import DAY_S, HOUR_S, Slo
from predictscale.core.track import TRACKED_LEVELS
from predictscale.core.tuned import Choice
from predictscale.forecasters.registry import Context
from predictscale.simulate.honest import Rule
from predictscale.simulate.rolling import RollingTuner
from predictscale.simulate.tune import tune
from worlds import NOON

RULE = Rule(asked=0.01, record=72, least=12)
OWNER = Policy(
    capacity=CapacityModel(40.0), lead_time_s=240.0, level=0.95, min_replicas=1, max_replicas=100, hold_s=300
)


def questions(hours: int, *, every_s: float = HOUR_S, record_s: float = 3 * DAY_S) -> list[Ask]:
    """The last three days each time, of a demand whose peaks are told honestly; with a gap in it."""
    minutes = round((record_s + hours * HOUR_S) / 60)
    rng = np.random.default_rng(7)
    wave = 1.3 + np.sin(np.arange(minutes + 6) * 2 * np.pi / 700)
    demand = 500 * wave * np.exp(0.15 * rng.standard_normal(minutes + 6))
    spread = np.quantile(np.exp(0.15 * rng.standard_normal(5000)), TRACKED_LEVELS)
    highest = np.lib.stride_tricks.sliding_window_view(500 * wave, 5)[:minutes].max(axis=1)
    peaks = (highest[:, None] * spread[None] * 1.15).astype(np.float32)
    demand[1000:1007] = np.nan
    whole = MetricWindow(NOON, 60.0, demand[:minutes])
    asks = []
    for turn in range(round(hours * HOUR_S / every_s) + 1):
        stop = round((record_s + turn * every_s) / 60)
        kept = round(record_s / 60)
        asks.append(
            Ask(
                demand=whole.between(NOON, NOON + timedelta(minutes=stop)),
                peaks=peaks[stop - kept : stop],
                policy=OWNER,
                slo=Slo(max_violation=0.01, wait_s=5.0),
                asked=0.01 + 0.001 * (turn % 3),
                tick_s=15.0,
            )
        )
    return asks


async def rolled(asks: list[Ask], *, every_s: float = HOUR_S) -> list[Choice]:
    tuner = RollingTuner(every_s=every_s, rule=RULE)
    return [await tuner.tune(ask) for ask in asks]


async def test_the_first_choice_is_the_one_that_a_replay_makes() -> None:
    ask = questions(0)[0]
    (mine,), theirs = await rolled([ask]), tune(ask, RULE)
    assert (mine.knobs, mine.because, mine.at) == (theirs.knobs, theirs.because, theirs.at)
    for one, other in zip(mine.scores, theirs.scores, strict=True):
        assert (one.knobs, one.replica_hours) == (other.knobs, other.replica_hours)
        assert one.violation == pytest.approx(other.violation, rel=1e-9)


async def test_later_choices_are_made_from_the_same_record_but_for_how_fleets_begin() -> None:
    asks = questions(20)
    for ask, choice in zip(asks, await rolled(asks), strict=True):
        anew = tune(ask, RULE)
        assert (choice.at, choice.asked, choice.replayed_s) == (anew.at, anew.asked, anew.replayed_s)
        mine, theirs = ({each.knobs: each for each in told.scores} for told in (choice, anew))
        # One that cannot keep up at all has a queue that never ends.
        for knobs in [each for each in mine.keys() & theirs.keys() if mine[each].violation < 0.2]:
            assert mine[knobs].replica_hours == pytest.approx(theirs[knobs].replica_hours, rel=0.002)
            assert mine[knobs].violation == pytest.approx(theirs[knobs].violation, abs=2e-3)
        assert len(mine.keys() & theirs.keys()) >= 8


async def test_any_rhythm_of_choices_is_followed() -> None:
    asks = questions(3, every_s=900.0)
    choices = await rolled(asks, every_s=900.0)
    assert [choice.at for choice in choices] == [ask.demand.end for ask in asks]
    assert choices[0].knobs == tune(asks[0], RULE).knobs


async def test_with_too_little_on_record_the_owner_decides() -> None:
    ask = questions(0, record_s=8 * HOUR_S)[0]
    (choice,) = await rolled([ask])
    assert choice.compared == 0
    assert choice.knobs == OWNER.knobs


@pytest.mark.parametrize("forecasters", [("last-value",), ("auto",)])
async def test_what_is_told_again_comes_from_before(forecasters: tuple[str, ...]) -> None:
    demand = questions(0)[0].demand
    poisoned = MetricWindow(NOON, 60.0, np.where(np.arange(len(demand)) < 4080, demand.values, 1e4))
    told = [
        await RollingTuner(every_s=HOUR_S).retell(
            Retelling(
                demand=window,
                start=NOON + timedelta(minutes=4030),
                bins=60,
                span_s=285.0,
                forecasters=forecasters,
                context=Context(),
                events=(),
                history_s=2 * DAY_S,
            )
        )
        for window in (demand, poisoned)
    ]
    assert told[0].shape == (60, len(TRACKED_LEVELS))
    assert not np.isnan(told[0]).any()
    assert np.array_equal(told[0][:51], told[1][:51])
    assert not np.array_equal(told[0], told[1])
