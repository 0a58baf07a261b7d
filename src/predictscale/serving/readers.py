"""How routes get at what a tracker shows, and what they answer while it shows nothing."""

from collections.abc import Callable
from datetime import datetime

from fastapi import HTTPException

from predictscale.control.fitting import Fitting
from predictscale.control.reading import Readable, Reading
from predictscale.core.demand import WorkloadId
from predictscale.core.plan import Decision

Now = Callable[[], datetime]
"""The clock's present instant."""

Latest = Callable[[str, str], Decision]
"""The newest decision of a namespace and a name; raises 404 where there is none."""

Readers = Callable[[WorkloadId], Readable | None]
"""Who shows a workload's data and models; None if nobody does."""


def fitting_of(readers: Readers, decision: Decision) -> Fitting:
    """The workload's models as of its newest decision.

    Raises:
        HTTPException: 404: nobody follows its demand yet.
    """
    reader = readers(decision.workload)
    fitting = None if reader is None else reader.fitting(decision.seen.now)
    if fitting is None:
        raise _nothing(decision, "no models")
    return fitting


def reading_of(readers: Readers, decision: Decision) -> Reading:
    """The workload's data as it was last read.

    Raises:
        HTTPException: 404: nobody follows its demand yet.
    """
    reader = readers(decision.workload)
    reading = None if reader is None else reader.reading()
    if reading is None:
        raise _nothing(decision, "no data")
    return reading


def _nothing(decision: Decision, what: str) -> HTTPException:
    why = "; ".join(decision.notes) or "its demand is not followed"
    return HTTPException(404, f"{decision.workload} has {what} yet: {why}")
