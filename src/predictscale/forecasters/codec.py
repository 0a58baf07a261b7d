"""Fitted models as bytes, so that a restarted service answers before its first fit.

An npz archive of plain arrays with a JSON header that says which registered
class each belongs to. Refuses pickles: a file on disk must not be able to
run code. Refuses old schemas too: the cache is disposable, a fit is cheap.
"""

import dataclasses
import io
import json
from collections.abc import Mapping
from datetime import date
from typing import Any

import numpy as np

from predictscale.core.calendar import Calendar
from predictscale.errors import DAMAGE, RebuildCache
from predictscale.forecasters.base import Fitted
from predictscale.forecasters.boosted import BoostedFitted
from predictscale.forecasters.boosted.forest import Forest
from predictscale.forecasters.boosted.learn import Head
from predictscale.forecasters.chain import FittedChain
from predictscale.forecasters.curve import Curve, CurveFitted
from predictscale.forecasters.native import NativeFitted
from predictscale.forecasters.native.domain import Domain
from predictscale.forecasters.native.learn import Learned
from predictscale.forecasters.spread import Spread
from predictscale.forecasters.standings import Standing
from predictscale.forecasters.tournament import Crowned

SCHEMA = 4
"""Raised whenever a registered class changes what it holds."""

_HEADER = "header"
_CLASSES: dict[str, type[Any]] = {
    cls.__name__: cls
    for cls in (
        Calendar,
        FittedChain,
        CurveFitted,
        Curve,
        Spread,
        NativeFitted,
        Learned,
        Domain,
        Crowned,
        Standing,
        BoostedFitted,
        Head,
        Forest,
    )
}


def encode(fitted: Fitted) -> bytes:
    """A fitted model as bytes; the same model gives the same bytes.

    Raises:
        TypeError: The model, or something it holds, is of a class that is not registered.
    """
    arrays: dict[str, np.ndarray[Any, Any]] = {}
    header = {"schema": SCHEMA, "fitted": _pack(fitted, arrays)}
    text = json.dumps(header, allow_nan=False, separators=(",", ":"))
    out = io.BytesIO()
    np.savez(out, allow_pickle=False, **{_HEADER: np.frombuffer(text.encode(), np.uint8)}, **arrays)
    return out.getvalue()


def decode(data: bytes) -> Fitted:
    """The model that `encode` was given.

    Raises:
        RebuildCache: The bytes are damaged, of another schema, or not ours.
    """
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            fitted = _read(archive)
    except RebuildCache:
        raise
    except DAMAGE as error:
        raise RebuildCache(f"not a fitted model: {type(error).__name__}: {error}") from error
    if not isinstance(fitted, FittedChain | CurveFitted | NativeFitted | BoostedFitted | Crowned):
        raise RebuildCache(f"a {type(fitted).__name__} is no fitted model")
    return fitted


def _read(archive: Mapping[str, np.ndarray[Any, Any]]) -> Any:
    header = json.loads(archive[_HEADER].tobytes())
    if header["schema"] != SCHEMA:
        raise RebuildCache(f"a fitted model of schema {header['schema']!r}; this version reads {SCHEMA}")
    # Each once: parts that shared an array share it again.
    arrays = {name: np.asarray(archive[name], dtype=np.float64) for name in archive if name != _HEADER}
    return _unpack(header["fitted"], arrays)


def _pack(value: Any, arrays: dict[str, np.ndarray[Any, Any]]) -> Any:
    """`value` as JSON, its arrays put aside."""
    match value:
        case None | bool() | int() | float() | str():
            return value
        case np.ndarray():
            name = next((name for name, array in arrays.items() if array is value), f"a{len(arrays)}")
            arrays[name] = value
            return {"array": name}
        case date():
            return {"date": value.isoformat()}
        case tuple():
            return [_pack(item, arrays) for item in value]
        case _ if _CLASSES.get(type(value).__name__) is type(value):
            fields = {f.name: _pack(getattr(value, f.name), arrays) for f in dataclasses.fields(value)}
            return {"class": type(value).__name__, "fields": fields}
        case _:
            raise TypeError(f"{type(value).__name__} is not registered with the codec")


def _unpack(value: Any, arrays: Mapping[str, np.ndarray[Any, Any]]) -> Any:
    """What `_pack` was given."""
    match value:
        case {"array": str(name)}:
            return arrays[name]
        case {"date": str(text)}:
            return date.fromisoformat(text)
        case {"class": str(name), "fields": dict(fields)}:
            return _CLASSES[name](**{key: _unpack(part, arrays) for key, part in fields.items()})
        case list():
            return tuple(_unpack(item, arrays) for item in value)
        case dict():
            raise RebuildCache(f"an object of unknown shape: {sorted(value)}")
        case _:
            return value
