"""What meters have on their books, in the history cache between restarts.

An npz archive of plain arrays, one beside a number of its form. Refuses pickles, and whatever does
not read as what it should be: then the books begin anew, and say since when.
"""

import io
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Protocol

import numpy as np
import structlog

from predictscale.control.counterfactual import KEPT_S
from predictscale.core.series import Floats
from predictscale.errors import DAMAGE
from predictscale.sources.history import History

_log = structlog.get_logger(__name__)

SCHEMA = 1
"""Raised whenever what is kept changes its shape or meaning."""


class Meter(Protocol):
    """What has books: a `CounterfactualMeter`, or a `ShadowMeter`."""

    def kept(self) -> dict[str, Floats]:
        """All of it as arrays."""
        ...

    def restore(self, kept: Mapping[str, Floats]) -> None:
        """Go on from what `kept` gave; on an error nothing has changed.

        Raises:
            ValueError: It is not that.
            KeyError: The same.
        """
        ...


class MeterShelf:
    """Where the books lie.

    Args:
        history: The cache.
    """

    def __init__(self, history: History) -> None:
        self._history = history

    async def restore(self, key: str, meter: Meter) -> bool:
        """Let a fresh meter go on from what was last put under a key.

        Returns:
            Whether there was something; what is damaged is left aside, and the meter stays as it was.
        """
        blob = await self._history.blob_get(_named(key))
        if blob is None:
            return False
        try:
            meter.restore(_decoded(blob))
        except DAMAGE as damaged:
            _log.warning("what the meter kept on disk is damaged", key=key, because=str(damaged))
            return False
        return True

    async def put(self, key: str, meter: Meter, *, at: datetime) -> None:
        """Keep its books; they replace what was there.

        Args:
            key: Under which.
            meter: Whose.
            at: Of when the newest entry is. Books tell of the `KEPT_S` before it, and are of use for as long.
        """
        until = at + timedelta(seconds=KEPT_S)
        await self._history.blob_put(_named(key), _encoded(meter.kept()), at=until)


def _named(key: str) -> str:
    return f"{key}#counterfactual"


def _encoded(kept: Mapping[str, Floats]) -> bytes:
    out = io.BytesIO()
    np.savez(out, allow_pickle=False, schema=np.array(SCHEMA), **dict(kept))
    return out.getvalue()


def _decoded(blob: bytes) -> dict[str, Floats]:
    with np.load(io.BytesIO(blob), allow_pickle=False) as archive:
        if int(archive["schema"]) != SCHEMA:
            raise ValueError(f"schema {archive['schema']}; this version reads {SCHEMA}")
        return {name: archive[name] for name in archive if name != "schema"}
