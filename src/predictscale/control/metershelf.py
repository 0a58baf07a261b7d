"""What meters have on their books, in the history cache between restarts.

An npz archive of plain arrays, one beside a number of its form. Refuses pickles, and whatever does
not read as what it should be: then the books begin anew, and say since when.
"""

import io
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Protocol

import numpy as np
import structlog

from predictscale.control.counterfactual import KEPT_S
from predictscale.core.series import Floats
from predictscale.core.slo import HOUR_S
from predictscale.errors import DAMAGE
from predictscale.sources.history import History

_log = structlog.get_logger(__name__)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

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

    async def restore(self, key: str, meter: Meter, *, now: datetime | None = None) -> bool:
        """Let a fresh meter go on from what was last put under a key.

        Args:
            key: Under which.
            meter: Fresh.
            now: The present. Books of a time that is still to come are left aside: the clock was ahead, and
                nothing would be put on them until it is there again. Without it they are not looked at so.

        Returns:
            Whether there was something; what is damaged is left aside, and the meter stays as it was.
        """
        blob = await self._history.blob_get(_named(key))
        if blob is None:
            return False
        try:
            at_s, books = _decoded(blob)
            if now is not None and at_s > (now - _EPOCH).total_seconds() + HOUR_S:
                _log.warning("what the meter kept is of the future", key=key)
                return False
            meter.restore(books)
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
        await self._history.blob_put(_named(key), _encoded(meter.kept(), at), at=until)


def _named(key: str) -> str:
    return f"{key}#counterfactual"


def _encoded(kept: Mapping[str, Floats], at: datetime) -> bytes:
    out, at_s = io.BytesIO(), np.array((at - _EPOCH).total_seconds())
    np.savez(out, allow_pickle=False, schema=np.array(SCHEMA), at_s=at_s, **dict(kept))
    return out.getvalue()


def _decoded(blob: bytes) -> tuple[float, dict[str, Floats]]:
    """Of when the newest entry is [s since the epoch], and the books."""
    with np.load(io.BytesIO(blob), allow_pickle=False) as archive:
        if int(archive["schema"]) != SCHEMA:
            raise ValueError(f"schema {archive['schema']}; this version reads {SCHEMA}")
        at_s = float(archive["at_s"]) if "at_s" in archive else 0.0
        return at_s, {name: archive[name] for name in archive if name not in ("schema", "at_s")}
