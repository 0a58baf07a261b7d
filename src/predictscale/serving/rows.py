"""Each workload's row of the fleet's list, kept as JSON until something in it changes.

A list of a thousand workloads is asked for every few seconds by every open page, on the event loop
that also answers KEDA; so a row is made once for each decision and then only copied. Ages are not
part of what is kept: they are laid in when a row is told. Refuses to hold the loop: whoever makes
many rows lets others speak in between.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b

from predictscale.control.moneybook import Money, MoneyBook
from predictscale.control.store import DecisionStore
from predictscale.core.demand import WorkloadId
from predictscale.core.plan import Decision
from predictscale.core.series import MetricWindow
from predictscale.core.state import state_of
from predictscale.serving.views import RowView, is_told, row_view

MADE_AT_ONCE = 32
"""Rows that are made before others may speak: under 3 ms."""

_AGE = b'"demand_age_s":'
_UNKNOWN = b"null"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asides:
    """What readers know of a workload beside its decision, by lookup alone.

    Args:
        paused_until: Until when a person keeps its fleet from shrinking; None if nobody does.
        bins: Its demand on the grid of bins; None before the history was read.
    """

    paused_until: Callable[[WorkloadId], datetime | None] = lambda _: None
    bins: Callable[[WorkloadId], MetricWindow | None] = lambda _: None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Row:
    """A row as it is told, and what lists are filtered and sorted by.

    Args:
        decision: What it is made of.
        money: Likewise; None without books.
        told: Whether KEDA was told a number when it was made.
        paused_until: As `Asides` had it then.
        head: JSON up to the age of the demand.
        tail: JSON after it.
        digest: Of both; equal rows have equal ones.
        view: The row itself.
        words: What is searched: `namespace/name` in small letters.
    """

    decision: Decision
    money: Money | None
    told: bool
    paused_until: datetime | None
    head: bytes
    tail: bytes
    digest: bytes
    view: RowView
    words: str

    def json(self, *, now: datetime) -> bytes:
        """The row with the age that its demand has now."""
        measured = self.view.demand_at
        if measured is None:
            return self.head + _UNKNOWN + self.tail
        return b"%b%.3f%b" % (self.head, (now - measured).total_seconds(), self.tail)


class RowBook:
    """The row of every workload that has a decision.

    Args:
        store: Where decisions are read.
        money: Where savings are read.
        asides: What else a row tells.
    """

    def __init__(self, store: DecisionStore, money: MoneyBook, asides: Asides) -> None:
        self._store = store
        self._money = money
        self._asides = asides
        self._rows: dict[WorkloadId, Row] = {}
        self._all: list[Row] = []
        self._generation = -1
        self._until: datetime | None = None
        self._owed = 0

    def of(self, decision: Decision, *, now: datetime) -> Row:
        """The row of a workload's newest decision."""
        workload = decision.workload
        kept = self._rows.get(workload)
        if kept is None or not self._holds(kept, decision, now=now):
            kept = self._rows[workload] = self._made(decision, now=now)
        return kept

    async def all(self, *, now: datetime) -> Sequence[Row]:
        """Every row, in no order; those that changed are made anew, a few at a time."""
        self._owed = len(self._all)
        if self._stands(now):
            return self._all
        generation = self._store.generation
        rows, made = {}, 0
        for decision in self._store:
            row = self._rows.get(decision.workload)
            if row is None or not self._holds(row, decision, now=now):
                row = self._made(decision, now=now)
                made += 1
                if made % MADE_AT_ONCE == 0:
                    await asyncio.sleep(0)
            rows[decision.workload] = row
        self._rows, self._all, self._generation = rows, list(rows.values()), generation
        self._until = min((row.decision.valid_until for row in self._all if row.told), default=None)
        return self._all

    def note(self, decision: Decision) -> None:
        """Make a row as soon as its decision is published, while somebody looks at the list.

        Whoever asks for all rows has one made in advance for each workload, so that his next question
        finds them made; when nobody asks any more, none is.
        """
        if self._owed > 0:
            self._owed -= 1
            self._rows[decision.workload] = self._made(decision, now=decision.seen.now)

    def _stands(self, now: datetime) -> bool:
        """Whether no row can have changed since all were last told."""
        paused_until = self._asides.paused_until
        return (
            self._generation == self._store.generation
            and (self._until is None or now <= self._until)
            and all(row.paused_until == paused_until(row.decision.workload) for row in self._all)
        )

    def _holds(self, row: Row, decision: Decision, *, now: datetime) -> bool:
        workload = decision.workload
        return (
            row.decision is decision
            and row.money is self._money.get(workload)
            and row.told == is_told(decision, now=now)
            and row.paused_until == self._asides.paused_until(workload)
        )

    def _made(self, decision: Decision, *, now: datetime) -> Row:
        workload = decision.workload
        told, money = is_told(decision, now=now), self._money.get(workload)
        paused_until = self._asides.paused_until(workload)
        fares = state_of(decision, told=told, paused_until=paused_until)
        view = row_view(decision, fares=fares, money=money, now=now)
        # Within a JSON string a quote is escaped, so this can only be the field itself.
        head, _, tail = (
            view.model_copy(update={"demand_age_s": None})
            .model_dump_json()
            .encode()
            .partition(_AGE + _UNKNOWN)
        )
        head += _AGE
        return Row(
            decision=decision,
            money=money,
            told=told,
            paused_until=paused_until,
            head=head,
            tail=tail,
            digest=blake2b(head + tail, digest_size=8).digest(),
            view=view,
            words=str(workload).casefold(),
        )
