"""What every model behind a slow library does: thin its window, call the library, keep its noise in.

The heavy import happens inside the fit, so only a worker process pays for it.
Refuses to let a library's warning, log line or exception type reach the chain.
"""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np

from predictscale.core.calendar import Calendar
from predictscale.core.series import Floats, MetricWindow
from predictscale.errors import FitFailed, TryNextForecaster
from predictscale.forecasters.curve import Curve
from predictscale.forecasters.robust import WEEK_S, coarse_step_s, highest, roots

_WEEKLY_FROM_S = 2 * WEEK_S


class Thinned(NamedTuple):
    """A window as libraries get it: roots of believed demand, standardised, on a coarse grid.

    Args:
        stamps_s: Centres of the bins, seconds since the epoch, shape (n,).
        roots: Mean 0, deviation 1 over the known ones; NaN is a gap; shape (n,).
        step_s: Width of a bin [s].
        mean: What was subtracted.
        scale: What was divided by, above 0.
    """

    stamps_s: Floats
    roots: Floats
    step_s: float
    mean: float
    scale: float

    @property
    def start_s(self) -> float:
        """Where the first bin begins, seconds since the epoch."""
        return float(self.stamps_s[0]) - self.step_s / 2

    def ahead_s(self, reach_s: float) -> Floats:
        """Centres of the coming bins, until they cover `reach_s`."""
        ahead: Floats = self.stamps_s[-1] + self.step_s * np.arange(
            1, int(np.ceil(reach_s / self.step_s)) + 1
        )
        return ahead

    def curve(self, values: Floats, *, start_s: float | None = None) -> Curve:
        """Standardised values as a curve in roots of demand.

        Raises:
            FitFailed: A value is not finite.
        """
        return self._drawn(values * self.scale + self.mean, self.start_s if start_s is None else start_s)

    def part(self, values: Floats) -> Curve:
        """Standardised values that are a part of such a curve, as its week: what they add to it.

        Raises:
            FitFailed: A value is not finite.
        """
        return self._drawn(values * self.scale, self.start_s)

    def _drawn(self, values: Floats, start_s: float) -> Curve:
        if not np.isfinite(values).all():
            raise FitFailed(f"the curve has {int((~np.isfinite(values)).sum())} values that are not finite")
        return Curve(start_s, self.step_s, values)


def thinned(window: MetricWindow, *, near_s: float, longest_s: float) -> Thinned:
    """The last `longest_s` of a window on a grid of about `near_s`.

    Raises:
        FitFailed: The known values are all the same: nothing is left to learn, and
            a naive model says it exactly.
    """
    tail = window.last(longest_s)
    believed = np.square(roots(tail.values, high=highest(tail.values)))
    coarse = MetricWindow(tail.start, tail.step_s, believed).resample(
        coarse_step_s(tail.step_s, near_s=near_s), least_known=0.2
    )
    values = np.sqrt(coarse.values)
    known = values[~np.isnan(values)]
    mean, scale = (float(known.mean()), float(known.std())) if known.size else (0.0, 0.0)
    if scale <= 1e-6 * (mean + 1e-6):
        raise FitFailed(f"{known.size} averaged bins are known and all the same; there is no curve in them")
    return Thinned(coarse.stamps_s + coarse.step_s / 2, (values - mean) / scale, coarse.step_s, mean, scale)


def outlook(
    window: MetricWindow, *, near_s: float, longest_s: float, reach_s: float
) -> tuple[Thinned, Floats, bool]:
    """What a library draws its curve from, and where.

    Returns:
        The thinned window; the centres of its bins and of those until `reach_s` ahead [s],
        shape (n + h,); and whether there are two weeks to see a week in.

    Raises:
        FitFailed: As `thinned`.
    """
    thin = thinned(window, near_s=near_s, longest_s=longest_s)
    stamps_s = np.concatenate((thin.stamps_s, thin.ahead_s(reach_s)))
    return thin, stamps_s, window.known_s >= 0.95 * _WEEKLY_FROM_S


def by_the_wall(stamps_s: Floats, calendar: Calendar) -> tuple[Floats, float]:
    """What the clock on the wall shows, counted from a midnight that lies at most a week before.

    That midnight is a whole number of weeks after the epoch, so that the same history some
    weeks later is the same numbers to the last bit, and an optimiser takes the same way.

    Returns:
        Local stamps since that midnight [s], shape (n,); and the midnight, in local seconds
        since the epoch.
    """
    local_s = stamps_s + calendar.offsets_s(stamps_s)
    midnight_s = float(local_s[0] // WEEK_S * WEEK_S)
    return local_s - midnight_s, midnight_s


@contextmanager
def library_call(*loggers: str) -> Iterator[None]:
    """Silence warnings and the named loggers; whatever is raised becomes `FitFailed`.

    Raises:
        FitFailed: The library raised.
    """
    before = {name: logging.getLogger(name).disabled for name in loggers}
    try:
        for name in loggers:
            logging.getLogger(name).disabled = True
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except TryNextForecaster:
        raise
    except Exception as error:
        # Libraries raise anything: LinAlgError, RuntimeError, ValueError, their own.
        raise FitFailed(f"{type(error).__name__}: {str(error).strip()[:200]}") from error
    finally:
        for name, disabled in before.items():
            logging.getLogger(name).disabled = disabled
