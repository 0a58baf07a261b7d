"""The list of workloads over REST: filtered, sorted, paged.

Pages follow the last row that was told, not a count of rows, so nothing is told twice or skipped
because others were decided meanwhile, unless its own place has moved. What is not known sorts last,
whichever way. Refuses a cursor of another order.
"""

import base64
import binascii
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from hashlib import blake2b
from typing import Annotated

from fastapi import APIRouter, HTTPException, Query, Response
from pydantic import TypeAdapter

from predictscale.control.desk import Desk
from predictscale.core.state import State
from predictscale.serving.problems import problems
from predictscale.serving.rows import Row, RowBook
from predictscale.serving.views import RefusedView, WorkloadsView, refused_views

MOST_ROWS = 1000
"""Rows of one page."""
_LATER = 1
"""Before what sorts last."""

_Place = tuple[int, float, str, str]
"""Where a row stands: 1 if its value is not known, the value, and its name, which settles ties."""

_ORDER = {state: place for place, state in enumerate(State)}
_REFUSED = TypeAdapter(list[RefusedView])


class Sort(StrEnum):
    """What the list is sorted by; with a minus the other way round."""

    NAME = "name"
    STATE = "state"
    TARGET = "target"
    READY = "ready"
    DEMAND = "demand"
    SAVED = "saved"
    AGE = "age"
    NAME_DOWN = "-name"
    STATE_DOWN = "-state"
    TARGET_DOWN = "-target"
    READY_DOWN = "-ready"
    DEMAND_DOWN = "-demand"
    SAVED_DOWN = "-saved"
    AGE_DOWN = "-age"


def _age(row: Row) -> float | None:
    measured = row.view.demand_at
    return None if measured is None else -measured.timestamp()


_VALUES: Mapping[str, Callable[[Row], float | None]] = {
    "name": lambda _: 0.0,
    "state": lambda row: _ORDER[row.view.state],
    "target": lambda row: row.view.target_replicas,
    "ready": lambda row: row.view.ready_replicas,
    "demand": lambda row: row.view.demand,
    "saved": lambda row: row.view.saved_replica_hours,
    "age": _age,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What of the list is asked for.

    Args:
        limit: Rows at most.
        sort: In which order.
        after: The place of the last row of the page before; None for the first page.
        namespace: Of this namespace alone, if any.
        states: In one of these states alone, if any.
        words: With this in `namespace/name`, whatever the case.
    """

    limit: int
    sort: Sort
    after: _Place | None = None
    namespace: str | None = None
    states: frozenset[State] = frozenset()
    words: str = ""


def add_list(api: APIRouter, *, rows: RowBook, desk: Desk, now: Callable[[], datetime]) -> None:
    """The route of the list.

    Args:
        api: Where it is added.
        rows: Where rows are read.
        desk: Where registrations are read.
        now: The present.
    """

    @api.get("/workloads", response_model=WorkloadsView, responses=problems(422))
    async def workloads(
        *,
        limit: Annotated[int, Query(ge=1, le=MOST_ROWS, description="Rows of a page at most.")] = 100,
        cursor: Annotated[
            str | None, Query(max_length=2000, description="`next` of the page before.")
        ] = None,
        namespace: Annotated[str | None, Query(description="Of this namespace alone.")] = None,
        state: Annotated[
            list[State] | None, Query(description="In this state alone; given again, in either.")
        ] = None,
        q: Annotated[
            str, Query(max_length=200, description="A part of `namespace/name`, whatever the case.")
        ] = "",
        sort: Annotated[Sort, Query(description="A minus turns the order round.")] = Sort.NAME,
    ) -> Response:
        """Every workload with its newest decision, and the triggers that were refused."""
        asked = Asked(
            limit=limit,
            sort=sort,
            after=None if cursor is None else _place(cursor, sort),
            namespace=namespace,
            states=frozenset(state or ()),
            words=q.casefold(),
        )
        at = now()
        everything = await rows.all(now=at)
        page, total, following = _page(everything, asked)
        around = _around(desk, everything, total=total, following=following)
        head, tail = b'{"workloads":[', b"".join((b"],", around, b',"as_of":"', _instant(at), b'"}'))
        tag = blake2b(b"".join(row.digest for row in page) + around, digest_size=16).hexdigest()
        body = b"".join((head, b",".join(row.json(now=at) for row in page), tail))
        return Response(body, media_type="application/json", headers={"ETag": f'W/"{tag}"'})


def _page(rows: Sequence[Row], asked: Asked) -> tuple[list[Row], int, str | None]:
    """The rows of a page, how many match on all pages, and the cursor of the next one."""
    found = [row for row in rows if _matches(row, asked)]
    down = asked.sort.startswith("-")
    value = _VALUES[asked.sort.lstrip("-")]
    placed = [(_placed(row, value(row), down=down), row) for row in found]
    # By name there is nothing else to turn round.
    by_name_down = asked.sort is Sort.NAME_DOWN
    placed.sort(key=lambda each: each[0], reverse=by_name_down)
    after = asked.after
    if after is not None:
        placed = [each for each in placed if (each[0] < after if by_name_down else each[0] > after)]
    page = placed[: asked.limit]
    following = _cursor(page[-1][0], asked.sort) if len(placed) > len(page) else None
    return [row for _, row in page], len(found), following


def _matches(row: Row, asked: Asked) -> bool:
    return (
        (asked.namespace is None or row.view.namespace == asked.namespace)
        and (not asked.states or row.view.state in asked.states)
        and asked.words in row.words
    )


def _placed(row: Row, value: float | None, *, down: bool) -> _Place:
    namespace, name = row.decision.workload
    if value is None:
        return (_LATER, 0.0, namespace, name)
    return (0, -value if down else value, namespace, name)


def _cursor(place: _Place, sort: Sort) -> str:
    return base64.urlsafe_b64encode(json.dumps([sort.value, *place]).encode()).decode().rstrip("=")


def _place(cursor: str, sort: Sort) -> _Place:
    """What a cursor says.

    Raises:
        HTTPException: It is none of ours, or of another order.
    """
    try:
        said = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        of, known, value, namespace, name = said
        place = (int(known), float(value), str(namespace), str(name))
    except (binascii.Error, ValueError, TypeError, OverflowError, RecursionError):
        raise HTTPException(422, "query.cursor: is none that was told; give `next` of a page") from None
    if of != sort.value:
        raise HTTPException(422, f"query.cursor: is of another order than {sort.value}; begin without one")
    return place


def waiting_for(desk: Desk, rows: Sequence[Row]) -> list[str]:
    """The workloads that are followed and have no decision yet, by name."""
    decided = {row.decision.workload for row in rows}
    return sorted(str(workload) for workload in desk.workloads() if workload not in decided)


def _around(desk: Desk, rows: Sequence[Row], *, total: int, following: str | None) -> bytes:
    """What is told beside the rows, as the inside of a JSON object."""
    waiting = json.dumps(waiting_for(desk, rows), separators=(",", ":"))
    refused = _REFUSED.dump_json(refused_views(desk.registrations()))
    rest = f'"waiting":{waiting},"refused":'.encode(), refused, f',"total":{total}'.encode()
    return b"".join((*rest, f',"next":{json.dumps(following)}'.encode()))


def _instant(at: datetime) -> bytes:
    return at.isoformat().replace("+00:00", "Z").encode()
