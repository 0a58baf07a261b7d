"""The gap in demand that a workload is in, and how long its last replica waits in it.

From the bins of its history alone, so that the service after a restart, each of its replicas and a
backtest know the same. Refuses to look at a bin that had not ended by then.
"""

from datetime import datetime

from predictscale.core.breakeven import ColdStart, Rest, idle_for_s, idle_gaps_s, idle_timeout
from predictscale.core.series import MetricWindow, floor_to_grid


class Idleness:
    """Tells the rest of one workload by the bin.

    Args:
        cold: What a cold start costs; None if its last replica goes by expectation alone.
    """

    def __init__(self, cold: ColdStart | None) -> None:
        self._cold = cold
        self._told: tuple[tuple[MetricWindow, datetime], Rest] | None = None

    def at(self, now: datetime, bins: MetricWindow | None) -> Rest | None:
        """What was known of the gap at an instant; None without a cold start's cost, or a history.

        Args:
            now: The instant of the decision.
            bins: What came.
        """
        if self._cold is None or bins is None:
            return None
        end = floor_to_grid(now, bins.step_s)
        if self._told is None or self._told[0][0] is not bins or self._told[0][1] != end:
            known = bins.between(bins.start, max(end, bins.start))
            rest = Rest(idle_for_s(known), idle_timeout(self._cold, idle_gaps_s(known)))
            self._told = ((bins, end), rest)
        return self._told[1]
