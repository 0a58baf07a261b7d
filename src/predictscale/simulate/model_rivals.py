"""Rivals that fit a model: Holt-Winters as a predictive HPA runs it, harmonics as Crane replays them.

Both work on means of five minutes, learn again every day from the past alone, and are asked
beside the reactive need. Refuses to extrapolate before two days are known.
"""

from collections.abc import Sequence
from itertools import product

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

_BLOCK_S = 300.0
_DAY = round(DAY_S / _BLOCK_S)
_SMOOTHING = np.array(list(product((0.05, 0.2, 0.5, 0.8), (0.0, 0.01, 0.05), (0.05, 0.2, 0.5))))
"""Level, trend and season gains that Holt-Winters may choose from."""


def _blocks(scene: Scene) -> Floats:
    """Means over five minutes of what was known, shape (whole blocks,)."""
    width = scene.in_steps(_BLOCK_S)
    count = scene.ended.size // width
    means: Floats = scene.ended[: count * width].reshape(count, width).mean(axis=1)
    return means


def _at_steps(scene: Scene, of_block: Floats) -> Floats:
    """What was said when each asked step's last whole block had ended, shape (steps,).

    Args:
        scene: Whose steps.
        of_block: Element b was said with the blocks before b known, shape (blocks + 1,).
    """
    ended = np.arange(scene.first, len(scene.demand)) // scene.in_steps(_BLOCK_S)
    return of_block[ended]


def _reach(scene: Scene) -> int:
    """Blocks from the one that is under way to the one in which a replica asked for now is ready."""
    return int(np.ceil(scene.lead_time_s / _BLOCK_S)) + 1


def holt_winters(blocks: Floats, *, reach: int) -> Floats:
    """The highest of the next `reach` blocks as additive Holt-Winters expects it.

    Level, trend and a season of one day, all gains side by side; what is said are the gains with
    the least squared error one block ahead until the last midnight of the series. Recursion:
    Holt (1957), Winters (1960).

    Args:
        blocks: Means of five minutes, shape (n,).
        reach: How many blocks ahead.

    Returns:
        Element b knows the blocks before b, shape (n + 1,); no opinion during the first two days.
    """
    said = np.full(blocks.size + 1, NO_OPINION)
    if blocks.size < 2 * _DAY:
        return said
    up, slope, wave = _SMOOTHING.T
    first, second = blocks[:_DAY], blocks[_DAY : 2 * _DAY]
    level = np.full(up.size, first.mean())
    trend = np.full(up.size, (second.mean() - first.mean()) / _DAY)
    season = np.repeat((first - first.mean())[:, np.newaxis], up.size, axis=1)
    errors = np.zeros(up.size)
    best = 0
    ahead = np.arange(1, reach + 1)
    for place in range(_DAY, blocks.size):
        phase = place % _DAY
        was, value = season[phase].copy(), blocks[place]
        errors += (level + trend + was - value) ** 2
        higher = up * (value - was) + (1 - up) * (level + trend)
        trend = slope * (higher - level) + (1 - slope) * trend
        season[phase] = wave * (value - higher) + (1 - wave) * was
        level = higher
        if (place + 1) % _DAY == 0:
            best = int(errors.argmin())
        if place + 1 >= 2 * _DAY:
            waves = season[(place + ahead) % _DAY, best]
            said[place + 1] = (level[best] + ahead * trend[best] + waves).max()
    return said


def harmonics(blocks: Floats, *, kept: int, reach: int, days: int) -> Floats:
    """The highest of the next `reach` blocks if the strongest harmonics of the last days go on.

    Fitted at each midnight of the series on the last `days` whole days, or on those there are.

    Args:
        blocks: Means of five minutes, shape (n,).
        kept: How many harmonics stay beside the mean.
        reach: How many blocks ahead.
        days: The stretch that is taken as periodic [days].

    Returns:
        Element b knows the blocks before b, shape (n + 1,); no opinion during the first two days.
    """
    said = np.full(blocks.size + 1, NO_OPINION)
    for midnight in range(2 * _DAY, blocks.size + 1, _DAY):
        span = min(midnight // _DAY, days) * _DAY
        spectrum = np.fft.rfft(blocks[midnight - span : midnight])
        strength = np.abs(spectrum)
        strength[0] = np.inf
        spectrum[np.argsort(strength)[: -(kept + 1)]] = 0.0
        again = np.fft.irfft(spectrum, span)
        ahead = np.take(again, np.arange(_DAY + reach), mode="wrap")
        until = min(_DAY, said.size - midnight)
        said[midnight : midnight + until] = ahead_max(ahead, reach)[:until]
    return said


def _holt_winters(scene: Scene, settings: Sequence[Knobs]) -> Ints:
    expected = _at_steps(scene, holt_winters(_blocks(scene), reach=_reach(scene)))
    return together(scene, (beside_reactive(scene, expected, knobs) for knobs in settings), len(settings))


def _fourier(scene: Scene, settings: Sequence[Knobs]) -> Ints:
    blocks, reach = _blocks(scene), _reach(scene)
    expected = {
        kept: _at_steps(scene, harmonics(blocks, kept=int(kept), reach=reach, days=7))
        for kept in {knobs["harmonics"] for knobs in settings}
    }
    rows = (beside_reactive(scene, expected[knobs["harmonics"]], knobs) for knobs in settings)
    return together(scene, rows, len(settings))


_BESIDE = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)

HOLT_WINTERS = Rival(
    name="holt-winters",
    idea="PHPA: additive Holt-Winters with a daily season, beside a reactive trigger",
    knobs=grid(margin=(1.5, 1.35, 1.2, 1.1, 1.0), utilisation=_BESIDE, hold_s=(60.0, 300.0)),
    desired=_holt_winters,
)
FOURIER = Rival(
    name="fourier",
    idea="Crane: the strongest harmonics of the last week go on, with a margin, beside the load that is here",
    knobs=grid(
        harmonics=(10.0, 25.0, 60.0), margin=(1.4, 1.2, 1.1, 1.0), utilisation=_BESIDE, hold_s=(300.0,)
    ),
    desired=_fourier,
)
