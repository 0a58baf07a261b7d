"""Fits in this process, for tests that are not about worker processes."""

from collections.abc import Sequence

from predictscale.core.series import MetricWindow
from predictscale.forecasters.chain import ChainResult, fit_chain, quick_ones
from predictscale.forecasters.registry import resolve


class InlineFits:
    """`control.tracker.Fits` without processes; counts what it was asked for."""

    def __init__(self) -> None:
        self.windows: list[MetricWindow] = []

    async def fit(
        self, names: Sequence[str], window: MetricWindow, *, quick_only: bool = False
    ) -> ChainResult:
        """Fit at once."""
        self.windows.append(window)
        forecasters = resolve(names)
        return fit_chain(quick_ones(forecasters) if quick_only else forecasters, window)
