"""Highest values of sliding windows, for many settings over long traces.

Two running maxima over blocks of the window's width (van Herk; Gil and Werman) make the
cost independent of that width. Refuses nothing: where a window reaches over the array's
end, it is the part of it that exists.
"""

from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Numbers = TypeVar("Numbers", bound=NDArray[Any])


def trailing_max(values: Numbers, width: int) -> Numbers:
    """The highest of each element and the `width - 1` before it, along the last axis.

    Raises:
        ValueError: `width` is below 1.
    """
    return ahead_max(values[..., ::-1], width)[..., ::-1]  # type: ignore[return-value]


def ahead_max(values: Numbers, width: int) -> Numbers:
    """The highest of each element and the `width - 1` after it, along the last axis.

    Raises:
        ValueError: `width` is below 1.
    """
    if width < 1:
        raise ValueError(f"width: {width}; a window holds something")
    n = values.shape[-1]
    width = min(width, n)
    if width <= 1:
        return values.copy()
    blocks = -(-n // width)
    padded = np.empty((*values.shape[:-1], blocks * width), dtype=values.dtype)
    padded[..., :n] = values
    padded[..., n:] = values[..., -1:]
    table = padded.reshape(*values.shape[:-1], blocks, width)
    to_end = np.maximum.accumulate(table[..., ::-1], axis=-1)[..., ::-1].reshape(padded.shape)
    from_start = np.maximum.accumulate(table, axis=-1).reshape(padded.shape)
    highest: Numbers = to_end[..., :n].copy()  # type: ignore[assignment]
    # A window is the rest of the block it begins in, and the beginning of the block it ends in.
    inside = from_start[..., width - 1 : width - 1 + n]
    part = highest[..., : inside.shape[-1]]
    np.maximum(part, inside, out=part)
    return highest
