"""Gradient-boosted trees for the peak, beside the engine. Refuses to be needed: LightGBM is optional."""

from predictscale.forecasters.boosted.fitted import Ask, BoostedFitted, predict_together
from predictscale.forecasters.boosted.model import Boosted

__all__ = ["Ask", "Boosted", "BoostedFitted", "predict_together"]
