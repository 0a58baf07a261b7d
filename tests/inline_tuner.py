"""Self-tuning's questions answered in this process, for tests that are not about worker processes."""

import numpy as np

from predictscale.control.asks import Ask, Retelling
from predictscale.control.said import Peaks
from predictscale.core.knobs import LEVEL_LADDER, Knobs
from predictscale.core.track import TRACKED_LEVELS
from predictscale.core.tuned import Choice, Score
from predictscale.errors import FitFailed
from predictscale.simulate.retell import retell
from predictscale.simulate.tune import tune


class InlineTuner:
    """`control.tuning.Tuner` without processes."""

    async def tune(self, ask: Ask) -> Choice:
        """Choose at once."""
        return tune(ask)

    async def retell(self, asked: Retelling) -> Peaks:
        """Tell again at once."""
        return retell(asked)


class StubTuner:
    """Chooses another level every hour, whatever happened; keeps its questions, and can be switched off."""

    def __init__(self) -> None:
        self.asks: list[Ask] = []
        self.retellings: list[Retelling] = []
        self.down = False

    async def tune(self, ask: Ask) -> Choice:
        """A level of the ladder within the bounds."""
        self.asks.append(ask)
        if self.down:
            raise FitFailed("switched off")
        levels = [q for q in LEVEL_LADDER if ask.bounds.lowest_level <= q <= ask.bounds.highest_level]
        knobs = Knobs(level=levels[ask.demand.end.hour % len(levels)], hold_s=300.0)
        score = Score(knobs=knobs, violation=0.001, replica_hours=100.0)
        return Choice(
            knobs=knobs,
            at=ask.demand.end,
            because="it is that hour",
            asked=ask.asked,
            replayed_s=86400.0,
            compared=len(levels),
            scores=(score,),
        )

    async def retell(self, asked: Retelling) -> Peaks:
        """The minute of the day, at all levels."""
        self.retellings.append(asked)
        if self.down:
            raise FitFailed("switched off")
        first = asked.start.hour * 60 + asked.start.minute
        column = (first + np.arange(asked.bins)) % 1440
        return np.repeat(column[:, None], len(TRACKED_LEVELS), axis=1).astype(np.float32)
