"""The scale on which the engine adds and averages.

Traffic grows by factors, and the noise of counts by roots; the logarithm of demand
plus an offset does both, by factors where there is much and evenly where there is
little. The offset is the series' own mean, so that a series counted in
other units is forecast alike. Refuses constants with a unit.
"""

from dataclasses import dataclass

import numpy as np

from predictscale.core.series import Floats
from predictscale.forecasters.robust import highest

_OFFSET = 1.0


@dataclass(frozen=True, slots=True)
class Domain:
    """log(1 + demand / offset).

    Args:
        offset: What demand is counted in, in the demand's unit, above 0.
        high: The highest confirmed demand; what lies beyond counts as this.
    """

    offset: float
    high: float

    @classmethod
    def of(cls, values: Floats) -> "Domain":
        """The domain that suits these values, shape (n,); NaN is a gap."""
        high = highest(values)
        known = values[~np.isnan(values)]
        mean = float(np.minimum(known, high).mean()) if known.size else 0.0
        # Of nothing but zeros any offset tells the same.
        return cls(_OFFSET * mean or 1.0, high)

    def to(self, values: Floats, *, most: float | None = None) -> Floats:
        """Logarithms, each value counted up to `most` or else `high`; NaN stays. 0 is no demand."""
        logs: Floats = np.log1p(np.minimum(values, self.high if most is None else most) / self.offset)
        return logs

    def back(self, logs: Floats) -> Floats:
        """Demand, never negative, shape as given."""
        demand: Floats = self.offset * np.maximum(np.expm1(logs), 0.0)
        return demand
