"""What a tracker shows of its models and its data, for people who ask why."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from inline_fits import InlineFits
from made_series import shop
from predictscale.config.auto import Choice, Undecided
from predictscale.config.presets import load_presets
from predictscale.config.settings import WorkloadSettings
from predictscale.control.detecting import DetectingTracker
from predictscale.control.fitting import Fitting
from predictscale.control.reading import Readable
from predictscale.control.shelf import ModelShelf, ShelvedModel
from predictscale.core.demand import SignalName
from predictscale.core.series import MetricWindow
from predictscale.core.state import author_of
from predictscale.errors import FitFailed
from predictscale.forecasters.chain import ChainResult, FittedChain, Skipped, fit_chain
from predictscale.forecasters.naive import LastValue
from predictscale.forecasters.registry import resolve
from predictscale.forecasters.standings import Standing
from predictscale.forecasters.tournament import Crowned
from scenes import GRID, MORNING, Scene, settings_of
from small_tournament import BROKEN, SmallTournament

HISTORY = shop(days=9)
LAST = LastValue().fit(HISTORY)
AUTO_CHAIN = ("auto", "last-value")


def fitting(
    *standings: Standing,
    chain: tuple[str, ...] = AUTO_CHAIN,
    quick: bool = False,
    skipped: tuple[Skipped, ...] = (),
) -> Fitting:
    """A tournament that the last value has won, whatever the standings say."""
    crowned = Crowned(FittedChain((LAST,), high=1.0), standings)
    fitted = FittedChain((crowned, LAST), high=1.0)
    model = ShelvedModel(fitted=fitted, boundary=MORNING, quick=quick, skipped=skipped)
    return Fitting(chain=chain, model=model)


def test_before_the_first_fit_there_is_nobody_and_it_is_said() -> None:
    waiting = Fitting(chain=AUTO_CHAIN, model=None, under_way=True)
    assert waiting.candidates(serving=None) == ()
    assert waiting.skipped == ()
    assert waiting.standings == ()
    assert waiting.because == ("no model is fitted yet; a fit is under way",)


def test_candidates_come_best_first_with_the_reasons_of_the_rule() -> None:
    end_s = MORNING.timestamp()
    rests = Standing("prophet", 1.9, judged_s=end_s, lost=2, because="its loss is too high")
    told = fitting(Standing("last-value", 1.0, judged_s=end_s, because="it won"), rests)
    first, second = told.candidates(serving="last-value")
    assert (first.name, first.serves, first.loss, first.because) == ("last-value", True, 1.0, "it won")
    assert first.asked_again_at is None
    assert (second.name, second.serves, second.lost) == ("prophet", False, 2)
    assert second.because == "its loss is too high; it was not worth its fit 2 times in a row, and rests"
    assert second.judged_at == MORNING
    assert second.asked_again_at == datetime.fromtimestamp(rests.again_s, MORNING.tzinfo)


def test_a_winner_that_could_not_be_fitted_on_the_whole_history_is_told_from_the_one_that_serves() -> None:
    told = fitting(Standing("native", 0.5, because="it won"), Standing("last-value", 1.0, because="it lost"))
    native, last = told.candidates(serving="last-value")
    assert native.because == "it won; it came first, and could not be fitted on the whole history"
    assert last.because == "it lost"


def test_a_champion_without_a_credible_forecast_says_so_in_the_words_of_the_record_if_there_are_any() -> None:
    told = fitting(Standing("last-value", 1.0, because="it won"))
    silent, *_ = told.candidates(serving="seasonal-naive-day")
    assert silent.because == "it won; it is the champion, and gave no credible forecast now"
    noted, *_ = told.candidates(serving="seasonal-naive-day", notes=("last-value: too absurd", "other"))
    assert noted.because == "it won; it gave no forecast now: too absurd"


def test_too_little_history_to_judge_by_is_the_reason_of_the_first_that_could_be_fitted() -> None:
    (only,) = fitting().candidates(serving="last-value")
    assert (only.name, only.loss, only.judged_at) == ("last-value", None, None)
    assert only.because.startswith("there is too little history to judge candidates by")


def test_a_plain_chain_tells_who_was_skipped_who_serves_and_who_stands_in() -> None:
    names = ("prophet", "seasonal-naive-day", "last-value", "holt-winters")
    result = fit_chain(resolve(names[1:3]), HISTORY)
    skipped = (Skipped("prophet", "needs 2 days"),)
    model = ShelvedModel(fitted=result.fitted, boundary=MORNING, quick=False, skipped=skipped)
    told = Fitting(chain=names, model=model)
    found = {each.name: each for each in told.candidates(serving="seasonal-naive-day")}
    assert list(found) == ["seasonal-naive-day", "last-value", "prophet", "holt-winters"]
    assert found["seasonal-naive-day"].serves
    assert found["seasonal-naive-day"].because == "it is the first that could be fitted"
    assert found["last-value"].because == "it stands in where those before it cannot answer"
    assert found["prophet"].because == "it could not be fitted: needs 2 days"
    assert found["holt-winters"].because == "it is slow, and is fitted only if none before it can be"
    assert told.because == ("seasonal-naive-day is the first that could be fitted",)


def test_quick_forecasters_say_that_they_do_not_serve_for_long() -> None:
    told = fitting(quick=True)
    assert told.because == ("quick forecasters serve until the first fit of all is done",)
    assert replace(told, under_way=True).because == (f"{told.because[0]}, which is under way",)


async def test_a_tracker_shows_who_serves_and_when_it_fits_next() -> None:
    scene = Scene(fits=SmallTournament())
    tracker = scene.tracker(settings_of(forecasters=AUTO_CHAIN))
    before = tracker.fitting(scene.clock.now())
    assert (before.model, before.next_fit_at) == (None, None)
    decision = await scene.run(tracker, ticks=2)
    now = scene.clock.now()
    told = tracker.fitting(now)
    assert told.model is not None
    assert not told.model.quick
    assert told.standings[0].name == author_of(decision)
    assert now < (told.next_fit_at or now) <= now + timedelta(seconds=GRID.refit_s)
    candidates = told.candidates(serving=author_of(decision), notes=decision.notes)
    assert [each.name for each in candidates if each.serves] == [author_of(decision)]
    assert all(each.because for each in candidates)


async def test_a_tracker_shows_who_could_not_be_fitted() -> None:
    scene = Scene(fits=SmallTournament(BROKEN, LastValue()))
    tracker = scene.tracker()
    await scene.run(tracker, ticks=2)
    told = tracker.fitting(scene.clock.now())
    assert told.skipped == (Skipped("broken", "no convergence"),)


async def test_the_next_fit_is_made_when_it_was_told() -> None:
    scene = Scene()
    tracker = scene.tracker()
    await scene.run(tracker, ticks=2)
    told = tracker.fitting(scene.clock.now())
    assert told.next_fit_at is not None
    assert told.model is not None
    made = len(scene.fits.windows)
    scene.clock.advance((told.next_fit_at - scene.clock.now()).total_seconds() - 20)
    await scene.run(tracker, ticks=1)
    assert len(scene.fits.windows) == made
    await scene.run(tracker, ticks=1)
    assert len(scene.fits.windows) == made + 1
    assert scene.fits.windows[-1].end > told.model.boundary


async def test_reasons_and_skipped_ones_outlive_a_restart() -> None:
    scene = Scene()
    settings = settings_of(forecasters=("prophet", *AUTO_CHAIN))
    shelf = ModelShelf(scene.history, step_s=GRID.step_s)
    kept = fitting(Standing("last-value", 1.0, because="it won")).model
    assert kept is not None
    skipped = (Skipped("prophet", "it is not installed"),)
    put = ShelvedModel(fitted=kept.fitted, boundary=MORNING, quick=False, notes=("note",), skipped=skipped)
    await shelf.put(settings, put)
    found = await shelf.get(settings)
    assert found is not None
    assert (found.skipped, found.notes, found.boundary) == (put.skipped, put.notes, put.boundary)
    told = Fitting(chain=settings.forecasters, model=found)
    assert told.standings == (Standing("last-value", 1.0, because="it won"),)


class NoFits(InlineFits):
    """Nobody fits."""

    async def fit(self, names: Sequence[str], window: MetricWindow, **_: object) -> ChainResult:
        """Refuse."""
        raise FitFailed(f"{names} on {window.end}: switched off")


async def test_a_fit_of_a_time_that_is_still_to_come_is_left_on_the_shelf() -> None:
    """The clock was ahead when it was made, and is right now."""
    scene = Scene()
    first = scene.tracker()
    await scene.run(first, ticks=2)
    await first.stop()
    settings, shelf = settings_of(), ModelShelf(scene.history, step_s=GRID.step_s)
    kept = await shelf.get(settings)
    assert kept is not None
    await shelf.put(settings, replace(kept, boundary=MORNING + timedelta(days=400)))
    scene.fits = NoFits()
    again = scene.tracker()
    assert (await scene.run(again, ticks=2)).forecast is None
    assert again.fitting(scene.clock.now()).model is None
    scene.fits = InlineFits()
    assert (await scene.run(scene.tracker(), ticks=2)).forecast is not None


async def test_a_tracker_shows_its_history_and_how_old_each_signal_is() -> None:
    scene = Scene()
    tracker = scene.tracker()
    empty = tracker.reading()
    assert empty.bins is None
    assert [(signal.name, signal.newest_at) for signal in empty.signals] == [(SignalName.DEMAND, None)]
    decision = await scene.run(tracker, ticks=2)
    told = tracker.reading()
    assert told.bins is not None
    assert told.bins.end <= scene.clock.now()
    (demand,) = told.signals
    assert (demand.query, demand.unit, demand.newest_at) == (
        "shop_demand",
        "requests/s",
        decision.seen.demand_at,
    )
    assert told.unit == "requests/s"
    assert not told.partial


@pytest.mark.parametrize("found", [False, True])
async def test_one_that_looks_for_its_backend_shows_what_it_follows_once_it_does(*, found: bool) -> None:
    scene = Scene()
    inner = scene.tracker()
    answer: Choice | Undecided = Undecided(because="there is nothing", seen=False)
    if found:
        vllm = load_presets()["vllm"]
        answer = Choice(preset=vllm, deployment="shop", selector='namespace="prod"', because="it is seen")

    auto = replace(settings_of(), backend="auto", query=None, selector='namespace="prod"')

    async def find(settings: WorkloadSettings, *, at: datetime) -> Choice | Undecided:
        del settings, at
        return answer

    looking = DetectingTracker(auto, find=find, follow=lambda _: inner)
    assert isinstance(looking, Readable)
    assert isinstance(inner, Readable)
    await looking.tick(scene.clock.now())
    now = scene.clock.now()
    told, read = looking.fitting(now), looking.reading()
    assert (told is not None, read is not None) == (found, found)
    if found:
        assert told is not None
        assert told.chain == settings_of().forecasters
        assert read is not None
        assert read.bins is inner.reading().bins
