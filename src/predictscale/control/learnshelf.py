"""What was learned of a workload's replicas, in the history cache: a few numbers as JSON.

Refuses pickles, and whatever does not read as what it should be: then it is learned again.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import structlog

from predictscale.core.law import Law, Mix, TtftLine
from predictscale.core.lawcapacity import Engine
from predictscale.core.lawfit import LawFit
from predictscale.core.lawguards import Learned, Seen
from predictscale.core.lawtaught import Taught
from predictscale.core.lawwindows import LeftOut
from predictscale.errors import DAMAGE
from predictscale.sources.history import History

_log = structlog.get_logger(__name__)

SCHEMA = 1
"""Raised whenever what is kept changes its shape or meaning."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InForce:
    """What was taught, and the first tick at which decisions obey it."""

    since: datetime
    taught: Taught


class LearnShelf:
    """Where it lies between restarts.

    Args:
        history: The cache.
    """

    def __init__(self, history: History) -> None:
        self._history = history

    async def get(self, key: str) -> tuple[InForce, ...]:
        """What was last put under a key, oldest first; nothing if it is not there, or damaged."""
        blob = await self._history.blob_get(_named(key))
        if blob is None:
            return ()
        try:
            return _decoded(blob)
        except DAMAGE as damaged:
            _log.warning("what was learned of replicas is damaged on disk", key=key, because=str(damaged))
            return ()

    async def put(self, key: str, kept: tuple[InForce, ...]) -> None:
        """Keep it; it replaces what was there. Nothing learned replaces nothing."""
        if kept:
            await self._history.blob_put(_named(key), _encoded(kept), at=kept[-1].since)


def _named(key: str) -> str:
    return f"{key}#capacity"


def _encoded(kept: tuple[InForce, ...]) -> bytes:
    told = {"schema": SCHEMA, "kept": [asdict(each) for each in kept]}
    return json.dumps(told, allow_nan=False, default=_text).encode()


def _text(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__}: not kept")


def _decoded(blob: bytes) -> tuple[InForce, ...]:
    told = json.loads(blob)
    if told["schema"] != SCHEMA:
        raise ValueError(f"schema {told['schema']!r}; this version reads {SCHEMA}")
    return tuple(
        InForce(since=datetime.fromisoformat(each["since"]), taught=_taught(each["taught"]))
        for each in told["kept"]
    )


def _taught(told: Mapping[str, Any]) -> Taught:
    learned = told["learned"]
    parts = {
        "at": datetime.fromisoformat(told["at"]),
        "learned": Learned(
            fit=None if learned["fit"] is None else _fit(learned["fit"]),
            why_not=learned["why_not"],
            seen=Seen(**learned["seen"]),
        ),
        "mix": None if told["mix"] is None else Mix(**told["mix"]),
        "engine": Engine(**told["engine"]),
    }
    return Taught(**{**told, **parts})


def _fit(told: Mapping[str, Any]) -> LawFit:
    law = told["law"]
    ttft = None if law["ttft"] is None else TtftLine(**law["ttft"])
    alpha_s, beta_s, gamma_s = told["errors_s"]
    parts = {
        "law": Law(**{**law, "ttft": ttft}),
        "errors_s": (alpha_s, beta_s, gamma_s),
        "left_out": LeftOut(**told["left_out"]),
    }
    return LawFit(**{**told, **parts})
