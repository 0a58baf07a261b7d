"""Absence told without an error, to readers that ask for it so.

A browser writes each answer of status 404 into its console as an error. The page asks for what a
workload may well not have (pools, tuning, a forecast), and expects the problem's words; an empty
console is worth something to whoever looks for real errors there. So a reader may send
`Prefer: problem=ok` (RFC 7240) and is given the same problem+json, which names its status, as 200.

Refuses to touch any status but 404, and any reader that does not ask.
"""

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

PREFERENCE = "problem=ok"
_PROBLEM_TYPE = "application/problem+json"


class AbsentAsked:
    """Middleware that answers 200 with the problem where there would be a 404, if that is preferred.

    Args:
        app: The application.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http" or not _prefers(scope):
            await self._app(scope, receive, send)
            return

        async def soften(message: Message) -> None:
            await send(_softened(message))

        await self._app(scope, receive, soften)


def _prefers(scope: Scope) -> bool:
    given = Headers(scope=scope).getlist("prefer")
    return any(each.strip().lower() == PREFERENCE for field in given for each in field.split(","))


def _softened(message: Message) -> Message:
    if message["type"] != "http.response.start" or message["status"] != 404:
        return message
    headers = MutableHeaders(raw=list(message["headers"]))
    if not headers.get("content-type", "").startswith(_PROBLEM_TYPE):
        return message
    headers["Preference-Applied"] = PREFERENCE
    headers.add_vary_header("Prefer")
    return {**message, "status": 200, "headers": headers.raw}
