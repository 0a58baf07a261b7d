"""What self-tuning remembers, in the history cache: choices, what was said, what was spent.

An npz archive of plain arrays with a JSON head. Refuses pickles, as the models' shelf does, and
whatever does not read as what it should be: then the record is told again from history.
"""

import io
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import numpy as np
import structlog
from numpy.typing import NDArray

from predictscale.core.knobs import Knobs
from predictscale.core.series import Floats
from predictscale.core.tuned import Choice, Score
from predictscale.errors import DAMAGE
from predictscale.sources.history import History

_log = structlog.get_logger(__name__)

SCHEMA = 2
"""Raised whenever what is kept changes its shape or meaning."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """A choice, and since when its settings have been the same."""

    choice: Choice
    since: datetime


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Kept:
    """All that is kept of one workload.

    Args:
        at: Of when the newest of it is.
        chosen: The last choices, oldest first.
        said_end: The number of the bin after the newest one of `said`.
        said: What was forecast, by bins.
        spending: Lateness, as `Spending.kept` gives it.
        retold_until: Up to when `said` was told again after a start; None if all was said live.
    """

    at: datetime
    chosen: tuple[Chosen, ...]
    said_end: int
    said: NDArray[np.float32]
    spending: Mapping[str, Floats]
    retold_until: datetime | None = None


class TuningShelf:
    """Where it lies between restarts.

    Args:
        history: The cache.
    """

    def __init__(self, history: History) -> None:
        self._history = history

    async def get(self, key: str) -> Kept | None:
        """What was last put under a key, or None."""
        blob = await self._history.blob_get(_named(key))
        if blob is None:
            return None
        try:
            return _decoded(blob)
        except DAMAGE as damaged:
            _log.warning("what tuning kept on disk is damaged", key=key, because=str(damaged))
            return None

    async def put(self, key: str, kept: Kept) -> None:
        """Keep it; it replaces what was there."""
        await self._history.blob_put(_named(key), _encoded(kept), at=kept.at)


def _named(key: str) -> str:
    return f"{key}#tuning"


def _encoded(kept: Kept) -> bytes:
    head = {
        "schema": SCHEMA,
        "at": kept.at.isoformat(),
        "said_end": kept.said_end,
        "retold_until": None if kept.retold_until is None else kept.retold_until.isoformat(),
        "chosen": [
            {
                "since": each.since.isoformat(),
                "choice": {**asdict(each.choice), "at": each.choice.at.isoformat()},
            }
            for each in kept.chosen
        ],
    }
    arrays = {f"spending_{name}": rows for name, rows in kept.spending.items()}
    out = io.BytesIO()
    text = np.frombuffer(json.dumps(head, allow_nan=False).encode(), np.uint8)
    np.savez(out, allow_pickle=False, head=text, said=kept.said, **arrays)
    return out.getvalue()


def _decoded(blob: bytes) -> Kept:
    with np.load(io.BytesIO(blob), allow_pickle=False) as archive:
        head = json.loads(archive["head"].tobytes())
        if head["schema"] != SCHEMA:
            raise ValueError(f"schema {head['schema']!r}; this version reads {SCHEMA}")
        prefix = "spending_"
        return Kept(
            at=datetime.fromisoformat(head["at"]),
            chosen=tuple(
                Chosen(choice=_choice(each["choice"]), since=datetime.fromisoformat(each["since"]))
                for each in head["chosen"]
            ),
            said_end=int(head["said_end"]),
            said=archive["said"],
            retold_until=None if (told := head["retold_until"]) is None else datetime.fromisoformat(told),
            spending={
                name.removeprefix(prefix): archive[name] for name in archive if name.startswith(prefix)
            },
        )


def _choice(told: Mapping[str, Any]) -> Choice:
    scores = tuple(Score(**{**score, "knobs": Knobs(**score["knobs"])}) for score in told["scores"])
    at = datetime.fromisoformat(told["at"])
    return Choice(**{**told, "at": at, "knobs": Knobs(**told["knobs"]), "scores": scores})
