"""Our own policy as candidates: quantiles of the peak by two engines, at several levels, holds and limits.

Forecasts are made once for each trace, a minute apart, refitted on the past alone (the native engine
every hour, with trees twice a day), and kept in a cache folder, since all settings and cold starts
share them. From there on it is the arithmetic of a live decision, `simulate.ours`.
"""

import hashlib
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
from benchmarks.closed_loop.traces import MINUTE_S, STEP_S, Case
from numpy.typing import NDArray

from predictscale.core.capacity import CapacityModel
from predictscale.core.plan import Policy
from predictscale.core.series import Floats, MetricWindow
from predictscale.errors import TryNextForecaster
from predictscale.forecasters import boosted, native
from predictscale.forecasters.base import LEVELS
from predictscale.simulate.ours import fast_targets
from predictscale.simulate.rivals import Ints, Knobs, Scene, grid
from predictscale.simulate.sliding import trailing_max

LEADS_S = (60.0, 240.0, 600.0)
_REACH = tuple(int(lead_s // MINUTE_S) + 1 for lead_s in LEADS_S)
"""Bins that [now, now + lead] touches when now lies within one."""
_FIT_DAYS = 28
_LOOK_DAYS = 16
_HIGHEST_DAYS = 5
_UNLIMITED = 0.0
_STEPS = round(MINUTE_S / STEP_S)
_MOST_REPLICAS = 30_000
_TOLD_EVERY = 2880

_LEVELS = (0.995, 0.99, 0.983, 0.975, 0.965, 0.95, 0.925, 0.9, 0.85, 0.8, 0.75, 0.7, 0.6, 0.5)

SETTINGS: tuple[Knobs, ...] = (
    *grid(level=(0.995,), margin=(2.0, 1.5, 1.2), limit=(_UNLIMITED,), hold_s=(300.0,)),
    *grid(level=_LEVELS, margin=(1.0,), limit=(_UNLIMITED,), hold_s=(600.0, 300.0, 60.0)),
    *grid(level=_LEVELS, margin=(1.0,), limit=(1.1, 1.0), hold_s=(300.0, 60.0)),
)
"""Beyond the highest level that is calibrated, a margin is honest about being one. A limit of 0 is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """Who forecasts.

    Args:
        name: As files of the cache are called.
        fit: Learns from a window.
        together: Answers for many origins at once.
        ask: Puts one question: fitted, recent, steps, levels.
        refit_bins: Minutes between fits.
    """

    name: str
    fit: Callable[[MetricWindow], Any]
    together: Callable[[Sequence[Any]], list[Any]]
    ask: Callable[..., Any]
    refit_bins: int


NATIVE: Final = Engine(
    name="native",
    fit=native.Native().fit,
    together=native.predict_together,
    ask=native.Ask,
    refit_bins=60,
)
TREES: Final = Engine(
    name="boosted",
    fit=boosted.Boosted().fit,
    together=boosted.predict_together,
    ask=boosted.Ask,
    refit_bins=720,
)


def peaks(case: Case, engine: Engine, *, cache: Path | None) -> NDArray[np.float32]:
    """Quantiles of the peak for every minute from the record on, shape (minutes, leads, levels).

    Row j was made from data before the minute `case.first / 4 + j` of the case. NaN where the
    engine had no answer.
    """
    first, stop = case.first // _STEPS, len(case.demand) // _STEPS
    file = None if cache is None else cache / f"{engine.name}-{case.name}.npz"
    if file is not None and file.exists():
        found = _kept(file, case, first, stop)
        if found is not None:
            return found
    table = _forecast(case.minutes, engine, first, stop, name=case.name)
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        np.savez(
            file,
            peaks=table,
            first=first + case.bins_before,
            stop=stop + case.bins_before,
            made_from=_mark(case.minutes),
        )
    return table


def desired(scene: Scene, made: NDArray[np.float32], settings: Sequence[Knobs]) -> Ints:
    """Targets of each setting as a live decision would choose them, shape (settings, steps)."""
    lead = LEADS_S.index(scene.lead_time_s)
    told = np.repeat(made[:, lead].astype(np.float64), _STEPS, axis=0)[: scene.steps]
    policy = Policy(
        capacity=CapacityModel(scene.per_replica),
        lead_time_s=scene.lead_time_s,
        level=0.5,
        min_replicas=1,
        max_replicas=_MOST_REPLICAS,
    )
    here = scene.demand.values[scene.first - 1 : -1]
    highest = _highest(scene)
    rows = np.stack([_counted(told, highest, knobs) for knobs in settings])
    targets = fast_targets(
        here, rows, policy=policy, hold_s=[knobs["hold_s"] for knobs in settings], tick_s=scene.step_s
    )
    return targets.astype(np.int32)


def _counted(told: Floats, highest: Floats, knobs: Knobs) -> Floats:
    """What of the forecast is sized for, as in the stage DEMAND of a decision."""
    counted = _at_level(told, knobs["level"]) * knobs["margin"]
    return np.minimum(counted, knobs["limit"] * highest) if knobs["limit"] else counted


def _highest(scene: Scene) -> Floats:
    """The highest minute of the last days that was over at each step of the record, shape (n,)."""
    values = scene.demand.values[: len(scene.demand) // _STEPS * _STEPS]
    minutes = np.nan_to_num(values.reshape(-1, _STEPS).mean(axis=1))
    over = trailing_max(minutes, _HIGHEST_DAYS * 1440)
    places = (np.arange(scene.first, scene.first + scene.steps) // _STEPS) - 1
    highest: Floats = over[np.maximum(places, 0)]
    return highest


def _kept(file: Path, case: Case, first: int, stop: int) -> NDArray[np.float32] | None:
    """What an earlier run left, if it covers these minutes of the same demand."""
    with np.load(file) as kept:
        if "made_from" in kept and str(kept["made_from"]) != _mark(case.minutes):
            return None
        begins = int(kept["first"]) - case.bins_before
        table: NDArray[np.float32] = kept["peaks"]
    fits = table.shape[1:] == (len(LEADS_S), len(LEVELS))
    if not fits or begins > first or begins + table.shape[0] < stop:
        return None
    return table[first - begins : stop - begins]


def _mark(minutes: MetricWindow) -> str:
    """What a forecast was made from; other demand under the same name is another forecast."""
    return hashlib.sha256(minutes.values.tobytes()).hexdigest()


def _at_level(told: Floats, level: float) -> Floats:
    place = int(np.searchsorted(LEVELS, level))
    if LEVELS[place] == level:
        return told[:, place]
    share = (level - LEVELS[place - 1]) / (LEVELS[place] - LEVELS[place - 1])
    between: Floats = told[:, place - 1] * (1 - share) + told[:, place] * share
    return between


def _forecast(
    minutes: MetricWindow, engine: Engine, first: int, stop: int, *, name: str
) -> NDArray[np.float32]:
    table = np.full((stop - first, len(LEADS_S), len(LEVELS)), np.nan, dtype=np.float32)
    fitted: Any = None
    for begin in range(first, stop, engine.refit_bins):
        now = _at(minutes, begin)
        try:
            fitted = engine.fit(minutes.between(now - timedelta(days=_FIT_DAYS), now))
        except TryNextForecaster:
            if fitted is None:
                continue
        ends = [_at(minutes, place) for place in range(begin, min(begin + engine.refit_bins, stop))]
        asks = [
            engine.ask(fitted, minutes.between(end - timedelta(days=_LOOK_DAYS), end), max(_REACH), LEVELS)
            for end in ends
        ]
        for place, said in enumerate(engine.together(asks), begin - first):
            if not isinstance(said, TryNextForecaster):
                ahead = np.maximum.accumulate(said.values, axis=1) if said.peaks is None else said.peaks
                table[place] = ahead[:, [reach - 1 for reach in _REACH]].T
        if (begin - first) % _TOLD_EVERY == 0:
            print(
                f"{name}: {engine.name} forecast {begin - first} of {stop - first}",
                file=sys.stderr,
                flush=True,
            )
    return table


def _at(minutes: MetricWindow, place: int) -> datetime:
    return minutes.start + timedelta(seconds=place * MINUTE_S)
