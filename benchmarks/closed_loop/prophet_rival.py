"""Prophet as autoscalers deploy it: refitted daily on a quarter-hour grid, its upper bound for the window.

Kedify and Dynamo put it before a reactive trigger. It is slow, so its curves are kept in the
cache and it takes part only when asked to. Refuses to look past the midnight of its fit.
"""

import logging
import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
from benchmarks.closed_loop.traces import STEP_S, Case

from predictscale.core.series import Floats
from predictscale.simulate.rivals import (
    DAY_S,
    NO_OPINION,
    Ints,
    Knobs,
    Scene,
    beside_reactive,
    grid,
    together,
)
from predictscale.simulate.sliding import ahead_max

_GRID_S = 900.0
_LEARN_DAYS = 28
_LEVELS = (0.9, 0.975)
_DAY = round(DAY_S / _GRID_S)
_BEYOND = 4
"""Quarters after a day that its fit still speaks about: a lead time may reach beyond midnight."""
_QUARTER = round(_GRID_S / STEP_S)

SETTINGS: tuple[Knobs, ...] = grid(
    level=_LEVELS, margin=(1.25, 1.1, 1.0), utilisation=(0.5, 0.6, 0.7, 0.8, 0.9, 1.0), hold_s=(300.0,)
)


def expected(case: Case, *, cache: Path | None) -> Floats:
    """Prophet's upper bounds, one fit a day: shape (days, levels, quarters of the day and an hour).

    Days are counted from the case's beginning; none has an opinion before two of them are known.
    """
    quarters = len(case.demand) // _QUARTER
    shape = (-(-quarters // _DAY), len(_LEVELS), _DAY + _BEYOND)
    file = None if cache is None else cache / f"prophet_{case.name}.npz"
    if file is not None and file.exists():
        with np.load(file) as kept:
            table: Floats = kept["upper"]
        if table.shape == shape:
            return table
    begins = case.demand.start
    whole = case.demand.between(begins, begins + timedelta(seconds=quarters * _GRID_S))
    values = whole.resample(_GRID_S).values  # noqa: PD011 - a MetricWindow, not pandas
    table = np.full(shape, NO_OPINION)
    for day in range(max(2, case.first // _QUARTER // _DAY), shape[0]):
        first = max(0, day - _LEARN_DAYS) * _DAY
        start_s = float(case.demand.stamps_s[0]) + first * _GRID_S
        table[day] = _upper(values[first : day * _DAY], start_s=start_s)
        print(f"{case.name}: Prophet, day {day} of {shape[0]}", file=sys.stderr, flush=True)
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        np.savez(file, upper=table)
    return table


def desired(scene: Scene, upper: Floats, settings: Sequence[Knobs]) -> Ints:
    """Replicas of each setting: the highest bound within the lead time, beside the reactive need."""
    each = np.repeat(upper, _QUARTER, axis=2)
    ahead = ahead_max(each, scene.lead_steps + 1)[:, :, : _DAY * _QUARTER]
    steps = np.concatenate(list(ahead), axis=1)
    rest = len(scene.demand) - steps.shape[1]
    # Steps of a last day too short for a quarter of an hour keep what was said last.
    told = np.pad(steps, ((0, 0), (0, max(0, rest))), mode="edge")[:, scene.first : len(scene.demand)]
    of_level = dict(zip(_LEVELS, told, strict=True))
    rows = (beside_reactive(scene, of_level[knobs["level"]], knobs) for knobs in settings)
    return together(scene, rows, len(settings))


def _upper(values: Floats, *, start_s: float) -> Floats:
    from prophet import Prophet  # noqa: PLC0415 - slow to import, and seldom asked for

    logging.getLogger("cmdstanpy").setLevel(logging.ERROR)
    stamps = pd.to_datetime(start_s + np.arange(values.size + _DAY + _BEYOND) * _GRID_S, unit="s")
    model = Prophet(uncertainty_samples=300)
    model.fit(pd.DataFrame({"ds": stamps[: values.size], "y": values}))
    rows = []
    for level in _LEVELS:
        model.interval_width = 2 * level - 1
        np.random.seed(0)  # noqa: NPY002 - Prophet draws from numpy's global state
        rows.append(model.predict(pd.DataFrame({"ds": stamps[values.size :]}))["yhat_upper"].to_numpy())
    return np.array(rows)
