"""Who was ready before a start is read from the source, if it tells all of it."""

from datetime import datetime, timedelta

import numpy as np
import pytest

from predictscale.bootstrap.tuning import ready_before
from predictscale.core.demand import Signal, SignalName
from predictscale.core.series import MetricWindow
from predictscale.errors import PartialAnswer
from predictscale.sources.base import Answer
from scenes import MORNING

READY = Signal(SignalName.READY, "ready", "replicas")


class Fleet:
    """Seven are ready, as far as is told."""

    def __init__(self, *, partial: bool) -> None:
        self.partial = partial

    async def read(self, signal: Signal, *, start: datetime, end: datetime, step_s: float) -> Answer:
        """See `Source.read`."""
        assert signal is READY
        bins = round((end - start).total_seconds() / step_s)
        return Answer(MetricWindow(start, step_s, np.full(bins, 7.0)), partial=self.partial)

    async def aclose(self) -> None:
        """Nothing to close."""


@pytest.mark.parametrize("partial", [False, True])
async def test_an_incomplete_answer_does_not_pass_for_a_smaller_fleet(*, partial: bool) -> None:
    ready = ready_before({SignalName.READY: READY}, Fleet(partial=partial), step_s=60.0)
    assert ready is not None
    start = MORNING - timedelta(hours=1)
    if partial:
        with pytest.raises(PartialAnswer, match="lacks data"):
            await ready(start=start, end=MORNING)
    else:
        assert (await ready(start=start, end=MORNING)).values.tolist() == [7.0] * 60
