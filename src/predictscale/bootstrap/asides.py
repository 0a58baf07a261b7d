"""Where the rows of the fleet's list meet the trackers that know what decisions do not tell."""

from collections.abc import Callable
from datetime import datetime

from predictscale.control.loop import Loop
from predictscale.control.reading import Readable
from predictscale.core.demand import WorkloadId
from predictscale.core.series import MetricWindow
from predictscale.serving.rows import Asides


def asides_of(
    loop: Loop, *, paused_until: Callable[[WorkloadId], datetime | None] = lambda _: None
) -> Asides:
    """What readers may look up of the workloads that a loop follows.

    Args:
        loop: Where trackers are found.
        paused_until: Until when a person keeps a fleet from shrinking; None if nobody does.
    """

    def bins(workload: WorkloadId) -> MetricWindow | None:
        tracker: object = loop.tracker(workload)
        reading = tracker.reading() if isinstance(tracker, Readable) else None
        return None if reading is None else reading.bins

    return Asides(paused_until=paused_until, bins=bins)
