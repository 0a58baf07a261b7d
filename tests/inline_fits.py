"""Fits in this process, for tests that are not about worker processes."""

from collections.abc import Sequence

from predictscale.core.series import MetricWindow
from predictscale.forecasters.base import Fitted
from predictscale.forecasters.chain import ChainResult, fit_chain, following, quick_ones
from predictscale.forecasters.registry import Context, resolve

NOBODYS = Context()


class InlineFits:
    """`control.tracker.Fits` without processes; counts what it was asked for."""

    def __init__(self) -> None:
        self.windows: list[MetricWindow] = []
        self.contexts: list[Context] = []
        self.previous: list[Fitted | None] = []

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
        self.windows.append(window)
        self.contexts.append(context)
        self.previous.append(previous)
        forecasters = following(resolve(names, context=context), previous)
        return fit_chain(quick_ones(forecasters) if quick_only else forecasters, window)
