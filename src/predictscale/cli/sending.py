"""What commands send to a running service: changes with a token, questions without one.

Tokens come from a file or the environment and from nowhere else: a command line is seen by all who
share a machine.
"""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from predictscale.cli.remote import PATIENCE_S, place

if TYPE_CHECKING:
    from httpx2 import Response

TokenFile = Annotated[
    Path | None,
    typer.Option(
        help="A file that holds a bearer token; without it PREDICTSCALE_TOKEN is the token.",
        envvar="PREDICTSCALE_TOKEN_FILE",
    ),
]


def token_of(file: Path | None) -> str:
    """The token to show; ends the command if there is none that can be sent.

    A file of several, as the service reads it, has its first one taken.
    """
    text, where = os.environ.get("PREDICTSCALE_TOKEN", ""), "PREDICTSCALE_TOKEN"
    if file is not None:
        where = f"--token-file: {file}"
        try:
            text = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            because = error.strerror if isinstance(error, OSError) else "it is not text"
            fail(f"{where}: cannot be read: {because}")
    lines = (line.split() for line in text.splitlines())
    words = next((line for line in lines if line and not line[0].startswith("#")), None)
    if words is None:
        fail("--token-file: is missing; give it, or set PREDICTSCALE_TOKEN_FILE or PREDICTSCALE_TOKEN")
    if len(words) > 2 or not (words[-1].isascii() and words[-1].isprintable()):
        fail(f"{where}: holds no token; must be one word of visible ASCII, perhaps after a name")
    return words[-1]


def send(
    method: str, url: str, workload: str, what: str, *, token: str | None, body: dict[str, Any] | None = None
) -> Any:
    """What the service answers to a change; ends the command if it refuses or does not answer."""
    return read(url, sent(method, url, f"workloads/{place(workload)}/{what}", token=token, body=body))


def read(url: str, answer: "Response") -> Any:
    """What an answer says; ends the command if it is a refusal, or none of the service's."""
    if not answer.is_success:
        fail(f"{url}: {told(answer)}")
    try:
        return answer.json() if answer.content else None
    except ValueError:
        # Whoever answered, a login page or a proxy, is not the service.
        fail(f"{url}: {told(answer)}")


def sent(
    method: str, url: str, path: str, *, token: str | None = None, body: dict[str, Any] | None = None
) -> "Response":
    """The service's answer, whatever it is; ends the command if there is none.

    Args:
        method: Of HTTP.
        url: The service's REST address.
        path: What is asked, below `/api/v1/`.
        token: Shown if there is one.
        body: What is sent; None for nothing.
    """
    import httpx2  # noqa: PLC0415 - half of the command line's start-up time

    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    try:
        return httpx2.request(
            method,
            f"{url.rstrip('/')}/api/v1/{path}",
            headers=headers | {"Content-Type": "application/json"},
            # What is no number in JSON is the service's to refuse, with its reason.
            content=None if body is None else json.dumps(body),
            timeout=PATIENCE_S,
        )
    except (httpx2.HTTPError, httpx2.InvalidURL) as failed:
        fail(f"{url}: no answer ({failed}); is the service running, and is --url its REST address?")


def told(answer: "Response") -> str:
    """What a refusal says."""
    try:
        return str(answer.json()["detail"])
    except (ValueError, LookupError, TypeError):
        return f"status {answer.status_code}; is --url the service's REST address?"


def fail(message: str) -> NoReturn:
    """Say why, and end the command."""
    typer.echo(message, err=True)
    raise typer.Exit(1)
