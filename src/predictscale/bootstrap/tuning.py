"""Where self-tuning meets the simulator and the sources: questions of `control`, and who answers them."""

from collections.abc import Mapping
from datetime import datetime

from predictscale.control.asks import Ask, Retelling
from predictscale.control.recall import ReadyBefore
from predictscale.control.refit import FitPool
from predictscale.control.said import Peaks
from predictscale.core.demand import Signal, SignalName
from predictscale.core.series import MetricWindow
from predictscale.core.tuned import Choice
from predictscale.errors import PartialAnswer
from predictscale.simulate.retell import retell
from predictscale.simulate.tune import tune
from predictscale.sources.base import Source


class PoolTuner:
    """`control.tuning.Tuner` by worker processes.

    Args:
        pool: Whose workers; questions wait for their turn among slow fits.
    """

    def __init__(self, pool: FitPool) -> None:
        self._pool = pool

    async def tune(self, ask: Ask) -> Choice:
        """See `Tuner.tune`."""
        return await self._pool.run(_tuned, ask)

    async def retell(self, asked: Retelling) -> Peaks:
        """See `Tuner.retell`."""
        return await self._pool.run(retell, asked)


def ready_before(
    signals: Mapping[SignalName, Signal], source: Source, *, step_s: float
) -> ReadyBefore | None:
    """Who tells the ready replicas of a workload's past by bins; None if nobody does."""
    signal = signals.get(SignalName.READY)
    if signal is None:
        return None

    async def read(*, start: datetime, end: datetime) -> MetricWindow:
        answer = await source.read(signal, start=start, end=end, step_s=step_s)
        if answer.partial:
            raise PartialAnswer(
                "the source warned that its answer lacks data: fewer would seem to have served"
            )
        return answer.window

    return read


def _tuned(ask: Ask) -> Choice:
    """`tune` under the service's rule."""
    return tune(ask)
