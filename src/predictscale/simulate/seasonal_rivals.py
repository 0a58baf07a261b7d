"""Rivals that repeat what was a day or a week ago: schedules, offsets, hourly maxima.

All say what load they expect within the lead time and are asked beside the reactive need, as
their owners are told to run them. A week ago is asked where there is one, else a day ago;
where neither is known they have no opinion and the reactive need decides.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from predictscale.core.series import Floats
from predictscale.simulate.rivals import (
    DAY_S,
    NO_OPINION,
    Ints,
    Knobs,
    Rival,
    Scene,
    beside_reactive,
    grid,
    together,
)
from predictscale.simulate.sliding import ahead_max

_HOUR_S = 3600.0
_WEEK_S = 7 * DAY_S
_DAY_H = 24
_WEEK_H = 168
_WEEKS_BACK = 8
_DAYS_BACK = 14


@dataclass(frozen=True, slots=True, eq=False)
class _Hours:
    """Demand cut at whole hours of the clock.

    Args:
        table: One row for each hour, shape (hours, steps of one hour); NaN where the scene has no step.
        skipped: Steps of the first row that lie before the scene.
    """

    table: Floats
    skipped: int

    @property
    def width(self) -> int:
        """Steps of one hour."""
        return int(self.table.shape[1])

    def of(self, step: int) -> int:
        """The hour that a step of the scene lies in."""
        return (step + self.skipped) // self.width


def _hours(scene: Scene) -> _Hours:
    width = round(_HOUR_S / scene.step_s)
    skipped = round(scene.demand.stamps_s[0] % _HOUR_S / scene.step_s)
    # The newest value of every step; the step's own is the one that ended with it.
    values = np.append(scene.ended, np.nan)
    rows = -(-(skipped + values.size) // width)
    table = np.full(rows * width, np.nan)
    table[skipped : skipped + values.size] = values
    return _Hours(table.reshape(rows, width), skipped)


def _ahead_of_hours(scene: Scene, hours: _Hours, expected: Floats) -> Floats:
    """The highest hourly expectation between each asked step and a lead time later, shape (steps,)."""
    each = np.repeat(expected, hours.width)[hours.skipped :]
    ahead = scene.lead_steps + 1
    stop = len(scene.demand)
    tail = np.append(each[:stop], np.full(max(0, stop - each.size), NO_OPINION))
    return ahead_max(tail, ahead)[scene.first :]


def _same_hours(hour: int, table: Floats) -> Floats | None:
    """Earlier rows of the same hour of the week, or of the day while there is no such week."""
    for period, most in ((_WEEK_H, _WEEKS_BACK), (_DAY_H, _DAYS_BACK)):
        rows = [hour - period * back for back in range(1, most + 1) if hour - period * back >= 0]
        known = table[rows][~np.isnan(table[rows]).any(axis=1)]
        if known.size:
            return known
    return None


def _cron(scene: Scene, settings: Sequence[Knobs]) -> Ints:
    """A quantile of the same hour in past weeks, ahead by the lead time."""
    hours = _hours(scene)
    levels = sorted({knobs["quantile"] for knobs in settings})
    expected = np.full((len(levels), hours.table.shape[0]), NO_OPINION)
    for hour in range(hours.of(scene.first), hours.table.shape[0]):
        known = _same_hours(hour, hours.table)
        if known is not None:
            expected[:, hour] = np.quantile(known, levels)
    ahead = {level: _ahead_of_hours(scene, hours, row) for level, row in zip(levels, expected, strict=True)}
    rows = (beside_reactive(scene, ahead[knobs["quantile"]], knobs) for knobs in settings)
    return together(scene, rows, len(settings))


def _hourly_max(scene: Scene, settings: Sequence[Knobs]) -> Ints:
    """The mean of the hourly maxima of the same hour in past weeks."""
    hours = _hours(scene)
    expected = np.full(hours.table.shape[0], NO_OPINION)
    for hour in range(hours.of(scene.first), expected.size):
        known = _same_hours(hour, hours.table)
        if known is not None:
            expected[hour] = known.max(axis=1).mean()
    ahead = _ahead_of_hours(scene, hours, expected)
    return together(scene, (beside_reactive(scene, ahead, knobs) for knobs in settings), len(settings))


def _window_ago(scene: Scene, *, period_s: float, before_s: float, after_s: float) -> Floats:
    """The highest load from `before_s` before to `after_s` after the same instant, a period ago."""
    period, before, after = (scene.in_steps(span) for span in (period_s, before_s, after_s))
    wide = ahead_max(scene.ended, before + after + 1)
    # `ended` is one step late: the value that ended before step i is element i - 1.
    begins = np.arange(scene.first, len(scene.demand)) - period - before
    found = np.full(scene.steps, NO_OPINION)
    exists = begins >= 0
    found[exists] = wide[begins[exists]]
    return found


def _ago(scene: Scene, *, before_s: float, after_s: float) -> Floats:
    """A week ago, or a day ago while there is no such week."""
    week = _window_ago(scene, period_s=_WEEK_S, before_s=before_s, after_s=after_s)
    day = _window_ago(scene, period_s=DAY_S, before_s=before_s, after_s=after_s)
    return np.where(week > NO_OPINION, week, day)


def _naive(scene: Scene, settings: Sequence[Knobs]) -> Ints:
    """What was a lead time after this instant, a week ago."""
    lead_s = scene.lead_steps * scene.step_s
    expected = _ago(scene, before_s=-lead_s, after_s=lead_s)
    return together(scene, (beside_reactive(scene, expected, knobs) for knobs in settings), len(settings))


def _offset(scene: Scene, settings: Sequence[Knobs]) -> Ints:
    """The highest around this instant, a week ago."""

    def rows() -> Iterator[Ints]:
        for knobs in settings:
            after_s = max(knobs["after_s"], scene.lead_time_s)
            yield beside_reactive(scene, _ago(scene, before_s=300.0, after_s=after_s), knobs)

    return together(scene, rows(), len(settings))


_MARGINS = (1.5, 1.25, 1.1, 1.0, 0.85)
_BESIDE = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)

CRON = Rival(
    name="cron",
    idea="a schedule by hour of the week from past weeks, beside a reactive trigger",
    knobs=grid(
        quantile=(1.0, 0.95, 0.8, 0.5), margin=(1.25, 1.1, 1.0, 0.85), utilisation=_BESIDE, hold_s=(300.0,)
    ),
    desired=_cron,
)
HOURLY_MAX = Rival(
    name="hourly-max",
    idea="AWS predictive scaling: expected hourly maxima, beside dynamic scaling",
    knobs=grid(margin=_MARGINS, utilisation=_BESIDE, hold_s=(300.0,)),
    desired=_hourly_max,
)
NAIVE = Rival(
    name="seasonal-naive",
    idea="what was a week ago at the time when replicas will be ready, beside a reactive trigger",
    knobs=grid(margin=_MARGINS, utilisation=_BESIDE, hold_s=(60.0, 300.0)),
    desired=_naive,
)
OFFSET = Rival(
    name="offset-max",
    idea="Kedify and PromQL `offset`: the highest of last week's window, beside a reactive trigger",
    knobs=grid(after_s=(900.0, 3600.0), margin=_MARGINS, utilisation=_BESIDE, hold_s=(60.0, 300.0)),
    desired=_offset,
)
