"""Where self-tuning meets the simulator: questions of `control` answered in the fit workers."""

from predictscale.control.asks import Ask, Retelling
from predictscale.control.refit import FitPool
from predictscale.control.said import Peaks
from predictscale.core.tuned import Choice
from predictscale.simulate.retell import retell
from predictscale.simulate.tune import tune


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


def _tuned(ask: Ask) -> Choice:
    """`tune` under the service's rule."""
    return tune(ask)
