"""A parameter that a call does not know is an error: a misspelt `?att=` must not be answered as of now.

Asked once for every call of the API, by what the routes themselves declare. Refuses to judge the page's
own addresses, and the probes: what stands behind their question mark is a browser's, or a load balancer's.
"""

import difflib
from typing import Final

from fastapi import Request
from fastapi.exceptions import RequestValidationError

from predictscale.serving.conditional import API

_MOST_TOLD: Final = 5
_LONGEST: Final = 40
"""As much of a name is said again."""


async def only_known(request: Request) -> None:
    """A dependency of every route.

    Raises:
        RequestValidationError: A parameter of the query is none of the route's.
    """
    if not request.scope["path"].startswith(API):
        return
    known = sorted(field.alias for field in request.scope["route"].dependant.query_params)
    unknown = [name for name in dict.fromkeys(request.query_params) if name not in known]
    if unknown:
        raise RequestValidationError(
            [
                {"loc": ("query", name[:_LONGEST]), "msg": _said(name, known), "type": "unknown_parameter"}
                for name in unknown[:_MOST_TOLD]
            ]
        )


def _said(name: str, known: list[str]) -> str:
    if not known:
        return "is no parameter: this call takes none"
    close = difflib.get_close_matches(name[:_LONGEST], known, n=1)
    guess = f"did you mean {close[0]}? " if close else ""
    return f"is no parameter; {guess}known: {', '.join(known)}"
