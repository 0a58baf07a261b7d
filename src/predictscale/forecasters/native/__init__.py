"""The engine of our own: many small experts on the present level, weighed by what they just earned.

Refuses to choose: a model that is right today is not removed because it was wrong
yesterday, and the last value always has a voice.
"""

from predictscale.forecasters.native.model import Native, NativeFitted

__all__ = ["Native", "NativeFitted"]
