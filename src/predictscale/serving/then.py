"""How routes get at what was told of a past decision, and hand on one part of it.

Refuses to make up what was not kept: an archive that an earlier version wrote holds the decision and
its forecast alone, and then that is said.
"""

import json
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Annotated, NamedTuple

from fastapi import HTTPException, Query, Response
from pydantic import AwareDatetime

from predictscale.control.decisionlog import Past

JSON = "application/json"

At = Annotated[
    AwareDatetime | None,
    Query(
        description="As it was at this instant: of the newest decision kept of then or before. That one says "
        "nothing of what KEDA was told after its `valid_until`."
    ),
]
"""The parameter of a route that tells the past, too."""


class Told(NamedTuple):
    """What was told of a past decision, apart: JSON each, empty if it was not kept."""

    at: datetime
    decision: bytes
    forecast: bytes
    cards: bytes

    @classmethod
    def of(cls, past: Past) -> "Told":
        """The lines of what was told."""
        decision, _, further = past.said.partition(b"\n")
        forecast, _, cards = further.partition(b"\n")
        return cls(past.at, decision, forecast, cards)


Then = Callable[[str, str, datetime], Awaitable[Told]]
"""What was told of the newest decision of a namespace and a name that is kept of an instant or before;
raises 404 where nothing is."""


def forecast_in(told: Told, namespace: str, name: str) -> bytes:
    """The forecast that a past decision used.

    Raises:
        HTTPException: 404: there was none.
    """
    if told.forecast == b"null":
        notes = "; ".join(json.loads(told.decision)["notes"])
        raise HTTPException(404, f"{namespace}/{name} had no forecast at {clock(told.at)}: {notes}")
    return told.forecast


async def card_then(
    then: Then, namespace: str, name: str, at: datetime, *, card: str, none: str = ""
) -> Response:
    """One of the cards of a past decision, as `serving.pastcards` kept it.

    Args:
        then: Who tells the past.
        namespace: Of the workload.
        name: Its name.
        at: The instant that is asked for.
        card: Its field.
        none: What is said where there was no such thing.

    Raises:
        HTTPException: 404: nothing is kept of then, or not this, or there was no such thing.
    """
    told = await then(namespace, name, at)
    cards = json.loads(told.cards or b"{}")
    if card not in cards:
        raise HTTPException(404, f"{namespace}/{name}: nothing is kept of its {card} at {clock(told.at)}")
    if (found := cards[card]) is None:
        raise HTTPException(404, f"{namespace}/{name} {none} at {clock(told.at)}")
    return Response(json.dumps(found, separators=(",", ":")), media_type=JSON)


def clock(at: datetime) -> str:
    """An instant as REST writes it."""
    return at.isoformat().replace("+00:00", "Z")
