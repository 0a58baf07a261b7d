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


def to_logs(values: Floats, offset: float | Floats) -> Floats:
    """log(1 + demand / offset), elementwise; NaN stays."""
    logs: Floats = np.log1p(values / offset)
    return logs


def to_demand(logs: Floats, offset: float | Floats) -> Floats:
    """What `to_logs` was given, never negative, shape as given."""
    demand: Floats = np.expm1(logs)
    np.maximum(demand, 0.0, out=demand)
    demand *= offset
    return demand


@dataclass(frozen=True, slots=True)
class Domain:
    """The scale of one series.

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

    def to(self, values: Floats) -> Floats:
        """Logarithms, each value counted up to `high`; NaN stays. 0 is no demand."""
        return to_logs(np.minimum(values, self.high), self.offset)
