"""How well a demand can be forecast at a lead time, against who says that it stays as it is.

The forecasters are walked over the last third of a history as the service would have asked them, each
judged by the peak that decides. Refuses to pick the best by what it is scored on without saying so:
the first of the chain is told of, and the others stand beside it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from predictscale.core.series import MetricWindow
from predictscale.forecasters.base import Forecaster
from predictscale.forecasters.evaluate import TARGETS, Score, reaching, rolling, score, spaced_origins
from predictscale.forecasters.naive import LastValue
from predictscale.forecasters.scoring import mean_change

SCORED: Final = 1 / 3
"""The last part of the history that is scored [1]."""
ORIGINS: Final = 96
"""Forecasters are asked at so many instants of it."""

_LEVELS = (0.5, 0.9, 0.95, 0.99)
_DAY_S = 86_400.0
_NOTHING = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecastable:
    """How the forecasters did on the highest demand within the lead time.

    Args:
        lead_s: How far ahead, a whole number of the history's steps [s].
        origins: How many forecasts were scored.
        losses: Weighted quantile loss of each forecaster, the last value's among them [1].
        first: The chain's first, of whom the rest is told.
        skill: 1 - its loss over the last value's; 0 is no better, 1 is perfect; None where demand
            never moved, so that there is nothing to be better at.
        levels: Quantile levels, q of them.
        coverage: The share of peaks at or below each; honest if equal to the level.
    """

    lead_s: float
    origins: int
    losses: dict[str, float]
    first: str
    skill: float | None
    levels: tuple[float, ...]
    coverage: tuple[float, ...]


def forecastable(
    window: MetricWindow, forecasters: Sequence[Forecaster], *, lead_s: float
) -> Forecastable | None:
    """Judge forecasters on the last third of a history.

    Args:
        window: The history.
        forecasters: The first is told of.
        lead_s: How far ahead they look [s].

    Returns:
        None if the history is too short, or knows no peak that could be scored.
    """
    lead_s = max(1, int(np.ceil(lead_s / window.step_s - 1e-9))) * window.step_s
    room = int(len(window) * SCORED) - round(lead_s / window.step_s) - 1
    if room < 1 or not window.known.any():
        return None
    origins = spaced_origins(window, min(ORIGINS, room), ahead_s=lead_s, share=SCORED)
    scale = mean_change(window.between(window.start, origins[0]).values)
    found: dict[str, Score] = {}
    for forecaster in (*forecasters, LastValue()):
        if forecaster.name not in found:
            said = rolling(
                reaching(forecaster, _DAY_S + lead_s),
                window,
                origins=origins,
                leads_s=(lead_s,),
                levels=_LEVELS,
            )
            (found[forecaster.name],) = (
                one for one in score(said, window, scale=scale) if one.target == TARGETS[1]
            )
    first, last = found[forecasters[0].name], found[LastValue.name]
    if not first.origins or not np.isfinite(first.wql):
        return None
    return Forecastable(
        lead_s=lead_s,
        origins=first.origins,
        losses={name: one.wql for name, one in found.items()},
        first=forecasters[0].name,
        skill=1 - first.wql / last.wql if last.wql > _NOTHING else None,
        levels=_LEVELS,
        coverage=first.coverage,
    )
