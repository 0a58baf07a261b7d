"""What passes between a change of demand and new pods, beside the pods' own starts.

Refuses to count KEDA's polling where it plays no part: above zero replicas the HPA asks for itself.
"""

from pydantic import Field

from predictscale.config.fields import DAY_S, Duration, Frozen
from predictscale.core.leadtime import Delays


class DelaySettings(Frozen):
    """The delays that are added to measured starts."""

    scrape_interval_s: Duration = Field(
        default=30.0, le=DAY_S, description="Between two scrapes of what demand is read from."
    )
    rate_window_s: Duration = Field(
        default=120.0,
        le=DAY_S,
        description="The range that demand's rates look back over, half of which is delay; of a backend its "
        "own counts.",
    )
    poll_s: Duration = Field(
        default=30.0, le=DAY_S, description="KEDA's pollingInterval; counts where min_replicas is 0."
    )
    hpa_sync_s: Duration = Field(
        default=15.0, le=DAY_S, description="The HPA's sync period, a setting of the cluster."
    )
    rate_limit_s: Duration = Field(
        default=0.0, le=DAY_S, description="What scale-up policies of the ScaledObject hold back."
    )

    def delays(self, *, rate_window_s: float | None, from_zero: bool) -> Delays:
        """Them as the measurement adds them.

        Args:
            rate_window_s: The backend's [s]; None leaves the owner's in force.
            from_zero: Whether the workload may be at zero replicas.
        """
        window_s = self.rate_window_s if rate_window_s is None else rate_window_s
        return Delays(
            scrape_s=self.scrape_interval_s + window_s / 2,
            poll_s=self.poll_s if from_zero else 0.0,
            sync_s=self.hpa_sync_s,
            rate_limit_s=self.rate_limit_s,
        )


DEFAULT_DELAYS = DelaySettings()
