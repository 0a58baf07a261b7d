"""Fits of a tournament that is over in a moment, for tests of what is told of one."""

from collections.abc import Sequence

from inline_fits import NOBODYS, InlineFits
from predictscale.core.series import MetricWindow
from predictscale.errors import FitFailed
from predictscale.forecasters.base import Fitted, Forecaster
from predictscale.forecasters.chain import ChainResult, fit_chain, following
from predictscale.forecasters.naive import LastValue, SeasonalNaiveDay
from predictscale.forecasters.registry import Context
from predictscale.forecasters.tournament import Tournament
from stub_forecasters import scripted

BROKEN = scripted("broken", FitFailed("no convergence"))


class SmallTournament(InlineFits):
    """Whatever chain is asked for: the season of a day, one that cannot be fitted, and the last value.

    Or another chain that a test brings.
    """

    def __init__(self, *chain: Forecaster) -> None:
        super().__init__()
        self._chain = chain or (Tournament((SeasonalNaiveDay(), BROKEN, LastValue())), LastValue())

    async def fit(
        self,
        names: Sequence[str],
        window: MetricWindow,
        *,
        quick_only: bool = False,
        context: Context = NOBODYS,
        previous: Fitted | None = None,
    ) -> ChainResult:
        """Fit at once."""
        del names, quick_only, context
        return fit_chain(following(self._chain, previous), window)
