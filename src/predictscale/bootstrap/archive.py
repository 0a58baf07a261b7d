"""Where the archive of past decisions meets whoever decides, and whoever tells of it."""

from datetime import datetime
from pathlib import Path

from predictscale.config.settings import ArchiveSettings
from predictscale.control.decisionlog import DecisionLog
from predictscale.control.moneybook import MoneyBook
from predictscale.core.plan import Decision
from predictscale.meters import Meters
from predictscale.serving.pastreader import encode


class Archive:
    """The archive of one service.

    Args:
        settings: What its owner wants.
        meters: Where its writes and faults are counted.
        money: Who knows what a plain HPA would ask for.
    """

    def __init__(self, settings: ArchiveSettings, meters: Meters, money: MoneyBook) -> None:
        self._money = money
        self.log = DecisionLog(
            path=None if settings.path is None else Path(settings.path),
            encode=encode,
            meters=meters,
            keep_s=settings.keep_s,
            max_bytes=settings.max_bytes,
        )

    def note(self, decision: Decision) -> None:
        """Keep a decision that was published, beside what a plain HPA asks for at that instant."""
        books = self._money.get(decision.workload)
        told = books is not None and books.at == decision.seen.now
        self.log.note(decision, plain=books.plain_replicas if told and books is not None else None)

    async def keep(self, now: datetime) -> None:
        """Write what waits; forget what is older than is kept."""
        await self.log.flush()
        await self.log.prune(now)
