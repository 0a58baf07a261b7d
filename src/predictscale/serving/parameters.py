"""A parameter that a call does not know is an error: a misspelt `?att=` must not be answered as of now.

So is one that is given twice where one is wanted, for the caller cannot know which was taken. Asked once for
every call of the API, by what the routes themselves declare. Refuses to judge the page's own addresses, and
the probes: what stands behind their question mark is a browser's, or a load balancer's.
"""

import difflib
from collections import Counter
from typing import Final, get_args, get_origin

from fastapi import Request
from fastapi.exceptions import RequestValidationError

from predictscale.serving.conditional import API

_MOST_TOLD: Final = 5
_LONGEST: Final = 40
"""As much of a name is said again."""


async def only_known(request: Request) -> None:
    """A dependency of every route.

    Raises:
        RequestValidationError: A parameter of the query is none of the route's, or is given twice.
    """
    if not request.scope["path"].startswith(API):
        return
    fields = {field.alias: field.field_info for field in request.scope["route"].dependant.query_params}
    given = Counter(name for name, _ in request.query_params.multi_items())
    wrong = [(name, _said(name, sorted(fields)), "unknown_parameter") for name in given if name not in fields]
    wrong += [
        (name, f"is given {times} times; one is wanted", "repeated_parameter")
        for name, times in given.items()
        if times > 1 and name in fields and not _several(fields[name].annotation)
    ]
    if wrong:
        raise RequestValidationError(
            [
                {"loc": ("query", name[:_LONGEST]), "msg": said, "type": kind}
                for name, said, kind in wrong[:_MOST_TOLD]
            ]
        )


def _several(annotation: object) -> bool:
    """Whether a parameter takes a list, or may."""
    return any(get_origin(one) is list for one in (annotation, *get_args(annotation)))


def _said(name: str, known: list[str]) -> str:
    if not known:
        return "is no parameter: this call takes none"
    close = difflib.get_close_matches(name[:_LONGEST], known, n=1)
    guess = f"did you mean {close[0]}? " if close else ""
    return f"is no parameter; {guess}known: {', '.join(known)}"
