"""Who is asked again, and when: a candidate that cannot pay for its compute rests."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from made_series import at, office_hours, shop
from predictscale.core.forecast import Forecast
from predictscale.core.series import MetricWindow
from predictscale.errors import FitFailed
from predictscale.forecasters.base import LEVELS, Fitted, Forecaster
from predictscale.forecasters.chain import FittedChain, following
from predictscale.forecasters.codec import decode, encode
from predictscale.forecasters.naive import LastValue, SeasonalNaiveDay
from predictscale.forecasters.standings import RESTS_S, Standing, judge
from predictscale.forecasters.tournament import Crowned, Tournament
from stub_forecasters import scripted

HOUR_S = 3600.0
_SHOP = shop(days=12, step_s=900.0)


@dataclass(frozen=True)
class _Off:
    """What a fit of `_Wrong` says: the last value, so many times."""

    inner: Fitted
    factor: float
    model: str

    def predict(self, recent: MetricWindow, *, steps: int, levels: Sequence[float] = LEVELS) -> Forecast:
        said = self.inner.predict(recent, steps=steps, levels=levels)
        peaks = None if said.peaks is None else said.peaks * self.factor
        return replace(said, values=said.values * self.factor, peaks=peaks, model=self.model)


@dataclass(frozen=True)
class _Wrong:
    """As wrong as it is told to be; counts its fits."""

    name: str
    factor: float
    fits: list[datetime]
    slow: bool = False

    def needs_s(self, step_s: float) -> float:
        return LastValue().needs_s(step_s)

    def fit(self, window: MetricWindow) -> Fitted:
        self.fits.append(window.end)
        return _Off(LastValue().fit(window), self.factor, self.name)


def wrong(name: str, factor: float, fits: list[datetime] | None = None) -> Forecaster:
    return cast("Forecaster", _Wrong(name, factor, [] if fits is None else fits))


@dataclass(frozen=True)
class _Changing:
    """As wrong as it is told to be before an instant, and from then on."""

    name: str
    before: float
    since: float
    turns: datetime
    slow: bool = False

    def needs_s(self, step_s: float) -> float:
        return LastValue().needs_s(step_s)

    def fit(self, window: MetricWindow) -> Fitted:
        return _Turning(LastValue().fit(window), self)


@dataclass(frozen=True)
class _Turning:
    """What a fit of `_Changing` says."""

    inner: Fitted
    of: _Changing

    @property
    def model(self) -> str:
        return self.of.name

    def predict(self, recent: MetricWindow, *, steps: int, levels: Sequence[float] = LEVELS) -> Forecast:
        factor = self.of.before if recent.end < self.of.turns else self.of.since
        return _Off(self.inner, factor, self.model).predict(recent, steps=steps, levels=levels)


def changing(name: str, *, before: float, since: float) -> Forecaster:
    """Unlike itself in the last quarter of the days that `history(0)` is judged by."""
    return cast("Forecaster", _Changing(name, before, since, at(8) - timedelta(days=8 / 12)))


def history(hours: float) -> MetricWindow:
    """Eight days of the shop that end so many hours after its eighth day."""
    end = at(8) + timedelta(hours=hours)
    return _SHOP.between(end - timedelta(days=8), end)


def by_name(standings: Sequence[Standing]) -> dict[str, Standing]:
    return {standing.name: standing for standing in standings}


def test_a_challenger_that_lost_clearly_is_asked_again_after_ever_longer_rests_of_at_most_a_day() -> None:
    fits_of_home: list[datetime] = []
    fits: list[datetime] = []
    home, loser = wrong("home", 1.0, fits_of_home), wrong("loser", 3.0, fits)
    past: tuple[Standing, ...] = ()
    asked = []
    for hour in range(72):
        before = len(fits)
        past = judge((home, loser, LastValue()), history(hour), past=past)
        if len(fits) > before:
            asked.append(hour)
    assert len(fits_of_home) == 72
    assert asked == [0, 2, 4, 8, 16, 24, 48]
    assert by_name(past)["loser"].lost == 7


def test_a_challenger_that_lost_by_little_is_asked_at_every_fit() -> None:
    fits: list[datetime] = []
    near = wrong("near", 1.02, fits)
    past: tuple[Standing, ...] = ()
    for hour in range(3):
        past = judge((wrong("home", 1.0), near, LastValue()), history(hour), past=past)
        assert by_name(past)["near"].lost == 0
    assert len(fits) == 3


def test_a_challenger_that_comes_back_starts_with_the_shortest_rest_again() -> None:
    past = (Standing("back", 2.0, judged_s=at(7).timestamp(), lost=5),)
    won = judge((wrong("home", 1.0), wrong("back", 1.0)), history(0), past=past)
    assert by_name(won)["back"].lost == 0
    lost = judge((wrong("home", 1.0), wrong("back", 3.0)), history(1), past=won)
    assert by_name(lost)["back"].lost == 1


def test_one_that_rests_is_asked_at_once_when_the_best_has_become_as_bad() -> None:
    rested = Standing("other", 2.5, judged_s=at(8).timestamp(), lost=4)
    # The last value is no candidate here, so that nobody is good.
    told = judge((wrong("home", 8.0), wrong("other", 1.0)), history(1), past=(rested,))
    assert [standing.name for standing in told] == ["other", "home"]
    assert told[0].judged_s == at(8).timestamp() + HOUR_S


def test_the_first_candidate_and_the_last_value_never_rest() -> None:
    candidates = (wrong("home", 9.0), SeasonalNaiveDay(), wrong("other", 9.0), LastValue())
    told = by_name(judge(candidates, office_hours(days=9)))
    assert min(told["home"].loss or 0, told["last-value"].loss or 0) > 1.25 * (
        told["seasonal-naive-day"].loss or 9
    )
    assert {name: standing.lost for name, standing in told.items()} == {
        "home": 0,
        "seasonal-naive-day": 0,
        "other": 1,
        "last-value": 0,
    }


def test_one_that_cannot_be_fitted_rests_and_one_that_lacks_history_waits_for_it() -> None:
    @dataclass(frozen=True)
    class Patient:
        name: str
        slow: bool = False

        def needs_s(self, step_s: float) -> float:
            del step_s
            return 30 * 86400.0

        def fit(self, window: MetricWindow) -> Fitted:
            raise AssertionError(f"asked with {window.known_s} s")

    broken = scripted("broken", FitFailed("no convergence"))
    patient = cast("Forecaster", Patient("patient"))
    told = by_name(judge((wrong("home", 1.0), broken, patient), history(0)))
    assert (told["broken"].loss, told["broken"].lost) == (None, 1)
    assert (told["patient"].loss, told["patient"].lost) == (None, 0)


def test_those_that_rest_come_last_whatever_they_were_worth() -> None:
    resting = Standing("resting", 1.3, judged_s=at(8).timestamp(), lost=3)
    told = judge((wrong("home", 1.0), wrong("resting", 1.0), wrong("bad", 5.0)), history(1), past=(resting,))
    assert [standing.name for standing in told] == ["home", "bad", "resting"]
    assert told[-1] == resting


@given(lost=st.integers(0, 9), hours=st.integers(0, 10_000))
def test_replicas_that_judged_at_different_hours_ask_again_at_the_same(lost: int, hours: int) -> None:
    start_s = at(0).timestamp() + hours * HOUR_S
    rest_s = RESTS_S[min(lost, len(RESTS_S) - 1)]
    again = {
        Standing("x", 2.0, judged_s=start_s + early_s, lost=lost).again_s
        for early_s in np.arange(0.0, rest_s - start_s % max(rest_s, 1.0), HOUR_S)
    }
    assert len(again) <= 1
    assert all(start_s < again_s <= start_s + rest_s for again_s in again)


def test_the_reason_names_who_rests_and_until_when() -> None:
    standing = Standing("prophet", 1.62, judged_s=datetime(2026, 3, 2, 13, tzinfo=UTC).timestamp(), lost=2)
    assert str(standing) == (
        "prophet 1.620 (not worth its fit 2 times in a row, asked again from 02 Mar 16:00 UTC on)"
    )
    assert str(replace(standing, lost=0)) == "prophet 1.620"


@pytest.mark.parametrize("stored", [False, True])
def test_the_next_fit_of_a_chain_knows_how_the_one_before_judged(*, stored: bool) -> None:
    fits: list[datetime] = []
    tournament = Tournament((LastValue(), wrong("loser", 3.0, fits)))
    first: Fitted = FittedChain((tournament.fit(history(0)),), high=1.0)
    if stored:
        first = decode(encode(first))
    (after,) = following((tournament,), first)
    assert isinstance(after, Tournament)
    second = after.fit(history(1))
    assert isinstance(second, Crowned)
    assert len(fits) == 1
    assert "loser" in second.because
    assert "asked again from" in second.because


def test_what_is_no_tournament_is_nothing_to_learn_from() -> None:
    history_ = history(0)
    tournament = Tournament((LastValue(),))
    forecasters: tuple[Forecaster, ...] = (tournament, LastValue())
    assert following(forecasters, LastValue().fit(history_)) == forecasters
    assert following(forecasters, None) == forecasters


def test_a_slow_challenger_that_would_not_serve_rests_where_a_quick_one_is_asked_every_time() -> None:
    quick_fits: list[datetime] = []
    slow_fits: list[datetime] = []
    candidates = (
        wrong("home", 1.0),
        wrong("quick", 1.05, quick_fits),
        cast("Forecaster", _Wrong("slow", 1.05, slow_fits, slow=True)),
    )
    past: tuple[Standing, ...] = ()
    for hour in range(24):
        past = judge(candidates, history(hour), past=past)
    assert len(quick_fits) == 24
    assert len(slow_fits) < 8
    assert by_name(past)["slow"].lost > 1


def test_a_slow_challenger_that_rests_is_asked_at_once_when_the_first_candidate_gets_bad() -> None:
    fits: list[datetime] = []
    slow = cast("Forecaster", _Wrong("slow", 1.2, fits, slow=True))
    rested = judge((wrong("home", 1.1), slow), history(0))
    rested = judge((wrong("home", 1.1), slow), history(1), past=rested)
    assert len(fits) == 1
    judge((wrong("home", 3.0), slow), history(2), past=rested)
    assert len(fits) == 2


def test_a_challenger_that_wins_most_of_the_judged_days_and_loses_the_rest_does_not_serve() -> None:
    home, steady = wrong("home", 2.0), wrong("steady", 1.3)
    fickle = changing("fickle", before=1.0, since=2.2)
    told = judge((home, fickle), history(0))
    assert [standing.name for standing in told] == ["home", "fickle"]
    losses = [standing.loss or 0 for standing in told]
    assert losses[1] < 0.6 * losses[0]
    assert judge((home, fickle, steady), history(0))[0].name == "steady"


def test_the_last_value_serves_if_it_is_better_and_in_no_part_of_the_judged_days_behind() -> None:
    home = changing("home", before=1.6, since=1.06)
    told = judge((home, LastValue(), wrong("stranger", 1.0)), history(0))
    assert [standing.name for standing in told] == ["last-value", "home", "stranger"]
    # On this series a little more than the last value is better than that: it is behind in the last part.
    ahead_there = changing("home", before=1.6, since=1.02)
    told = judge((ahead_there, LastValue()), history(0))
    assert [standing.name for standing in told] == ["home", "last-value"]
    assert (told[1].loss or 9) < 0.9 * (told[0].loss or 0)


def test_who_holds_the_first_candidate_within_itself_serves_if_it_is_slightly_better() -> None:
    for name, first in (("boosted", "boosted"), ("stranger", "native")):
        told = judge((wrong("native", 1.3), wrong(name, 1.28)), history(0))
        losses = by_name(told)
        assert 0.9 < (losses[name].loss or 0) / (losses["native"].loss or 1) < 0.97
        assert told[0].name == first
    same = judge((wrong("native", 1.3), wrong("boosted", 1.299)), history(0))
    assert same[0].name == "native"
    # What it holds is not the first candidate.
    assert judge((wrong("other", 1.3), wrong("boosted", 1.28)), history(0))[0].name == "other"


def test_the_reason_says_why_one_with_less_loss_does_not_serve() -> None:
    tournament = Tournament((wrong("home", 2.0), changing("fickle", before=1.0, since=2.2)))
    fitted = tournament.fit(history(0))
    assert isinstance(fitted, Crowned)
    assert fitted.because.startswith("home serves")
    assert fitted.because.endswith("(but not in each part of the judged days)")


def test_each_candidate_that_was_asked_says_why_it_did_or_did_not_come_first() -> None:
    home, steady = wrong("home", 2.0), wrong("steady", 1.3)
    fickle, bad = changing("fickle", before=1.0, since=2.2), wrong("bad", 5.0)
    broken = scripted("broken", FitFailed("no convergence"))
    told = by_name(judge((home, fickle, steady, bad, broken, LastValue()), history(0)))
    losses = {name: standing.loss or 0.0 for name, standing in told.items()}
    assert told["last-value"].because == (
        f"its loss of 1.000 over the judged days is below 0.9 of the {losses['home']:.3f} of home, which is "
        "at home, and not behind in each part of them"
    )
    assert told["steady"].because == "last-value is better still"
    assert told["home"].because == "it is at home, but last-value is better all through the judged days"
    assert told["bad"].because == (
        f"its loss of {losses['bad']:.3f} is not below 0.9 of the {losses['home']:.3f} of home"
    )
    assert told["fickle"].because.startswith(
        f"its loss of {losses['fickle']:.3f} is below the {losses['home']:.3f} of home on the whole, but not "
        "in each part of the judged days: in part 4 of 4 it is "
    )
    assert told["broken"].because == "it cannot answer: no convergence"


def test_the_first_candidate_says_that_it_stays_because_none_is_better() -> None:
    told = by_name(judge((wrong("home", 1.0), wrong("other", 1.2)), history(0)))
    assert told["home"].because == (
        "it is at home, and no other is clearly better in each part of the judged days"
    )


def test_a_first_candidate_that_cannot_answer_and_who_replaces_it_say_so() -> None:
    broken = scripted("broken", FitFailed("no convergence"))
    first, second = judge((broken, wrong("other", 1.2)), history(0))
    assert first.because == "broken, which is at home, cannot answer: no convergence"
    assert second.because == "it is at home and cannot answer: no convergence"


def test_one_that_holds_the_first_candidate_says_by_which_margin_it_is_better() -> None:
    first, second = judge((wrong("native", 1.3), wrong("boosted", 1.25)), history(0))
    assert first.name == "boosted"
    assert first.because.endswith(f"is below 0.97 of the {second.loss:.3f} of native, which is at home")
    assert second.because == "it is at home, but boosted, which holds it within itself, is slightly better"


def test_who_rests_keeps_the_reason_of_when_it_was_judged_across_restarts() -> None:
    home, loser = wrong("home", 1.0), wrong("loser", 3.0)
    first = judge((home, loser), history(0))
    again = judge((home, loser), history(1), past=first)
    assert again[-1] == first[-1]
    assert again[-1].because.startswith("its loss of ")
    kept = decode(encode(Crowned(FittedChain((LastValue().fit(history(0)),), high=1.0), first)))
    assert isinstance(kept, Crowned)
    assert kept.standings == first
