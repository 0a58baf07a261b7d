"""The engine of our own: many small experts on the present level, weighed by what they just earned.

Refuses to choose: a model that is right today is not removed because it was wrong
yesterday, and the last value always has a voice.
"""

from predictscale.forecasters.native.fitted import Ask, NativeFitted, predict_together
from predictscale.forecasters.native.model import Native

__all__ = ["Ask", "Native", "NativeFitted", "predict_together"]
