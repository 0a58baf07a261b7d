"""Fitted models kept across restarts, so that a restarted service answers as before it stopped."""

import json
from dataclasses import dataclass
from datetime import datetime

import structlog

from predictscale.config.settings import WorkloadSettings
from predictscale.errors import DAMAGE, RebuildCache
from predictscale.forecasters.chain import FittedChain, Skipped
from predictscale.forecasters.codec import decode, encode
from predictscale.sources.history import History

_log = structlog.get_logger(__name__)

_UNREADABLE: tuple[type[Exception], ...] = (RebuildCache, *DAMAGE)


@dataclass(frozen=True, slots=True, eq=False)
class ShelvedModel:
    """A fitted chain and where it came from.

    Args:
        fitted: What predicts.
        boundary: Where the window of the fit ended.
        quick: Whether slow forecasters were left out; such a model serves until the others are done.
        notes: Which forecasters of the chain could not be used, and why; then why the others serve.
        skipped: The former, one by one.
        ordered: Whether a person asked for it, beside the grid of fits.
    """

    fitted: FittedChain
    boundary: datetime
    quick: bool
    notes: tuple[str, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    ordered: bool = False


class ModelShelf:
    """Fitted models in the history cache, by the fingerprint of their workload's settings.

    Args:
        history: The cache.
        step_s: The grid that models are fitted on [s]; one of another grid is not found.
    """

    def __init__(self, history: History, *, step_s: float) -> None:
        self._history = history
        self._step_s = step_s

    async def get(self, settings: WorkloadSettings, *, series: str = "") -> ShelvedModel | None:
        """The model last put for exactly these settings, or None.

        Args:
            settings: Of its workload.
            series: Which of the workload's series, if not the demand itself.
        """
        blob = await self._history.blob_get(self._key(settings, series))
        if blob is None:
            return None
        try:
            head, _, body = blob.partition(b"\n")
            kept = json.loads(head)
            fitted = decode(body)
            if not isinstance(fitted, FittedChain):
                return None
            return ShelvedModel(
                fitted=fitted,
                boundary=datetime.fromisoformat(kept["boundary"]),
                quick=False,
                notes=tuple(kept["notes"]),
                skipped=tuple(Skipped(name, reason) for name, reason in kept.get("skipped", ())),
                ordered=bool(kept.get("ordered", False)),
            )
        except _UNREADABLE as damaged:
            workload = str(settings.workload)
            _log.warning("a fitted model on disk is damaged", workload=workload, because=repr(damaged))
            return None

    async def put(self, settings: WorkloadSettings, model: ShelvedModel, *, series: str = "") -> None:
        """Keep a model; it replaces the one before of the same series."""
        head = json.dumps(
            {
                "boundary": model.boundary.isoformat(),
                "notes": list(model.notes),
                "skipped": model.skipped,
                "ordered": model.ordered,
            }
        )
        blob = head.encode() + b"\n" + encode(model.fitted)
        await self._history.blob_put(self._key(settings, series), blob, at=model.boundary)

    def _key(self, settings: WorkloadSettings, series: str) -> str:
        key = f"{settings.workload}#{settings.fingerprint()}#{self._step_s:g}"
        return f"{key}#{series}" if series else key
