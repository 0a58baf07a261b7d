"""Hands out the web page: five files of the package, read once, the same bytes to everybody.

The page is built from `web/` at the root of the repository (`npm run build`) and draws what the REST API
answers, so nothing of a workload is ever written into HTML here. The policy that goes with it lets the
browser run, load and ask for nothing but what this service serves: it works without a network, and a name
full of markup stays a name. Refuses to open a file for a request: names are looked up among what was read.
"""

import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Final

from fastapi import FastAPI, HTTPException, Request, Response

from predictscale.serving.conditional import takes_gzip

CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_INDEX: Final = "index.html"
_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}
_HEADERS: Final = {
    # A browser keeps a copy and asks whether it still holds: an upgrade shows at the next load.
    "Cache-Control": "no-cache",
    "Vary": "Accept-Encoding",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    # On every file, for an SVG that is opened by itself is a document too.
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asset:
    """One file of the page.

    Args:
        body: Its bytes.
        media_type: What a browser is told that it is.
    """

    body: bytes
    media_type: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sent:
    """An asset as it goes over the wire, plain and compressed; the two have marks of their own."""

    plain: bytes
    packed: bytes
    mark: str
    media_type: str


def read_assets() -> dict[str, Asset]:
    """The files of the page by name, from the package's resources.

    Only kinds of files that a page consists of are taken; whatever else lies there is not served.
    """
    found = {}
    for file in files("predictscale.serving").joinpath("web").iterdir():
        media_type = _TYPES.get(file.name[file.name.rfind(".") :])
        if media_type is not None and file.is_file():
            found[file.name] = Asset(body=file.read_bytes(), media_type=media_type)
    return found


def add_page(app: FastAPI, assets: Mapping[str, Asset] | None = None) -> None:
    """Serves the page at `/` and `/w/{namespace}/{name}`, and its files under `/assets/`.

    Answers carry entity tags; `serving.conditional` compares them with what a browser has.

    Args:
        app: The application that the routes are added to.
        assets: The files by name, `index.html` among them; those of the package if None.
    """
    sent = {name: _ready(asset) for name, asset in (read_assets() if assets is None else assets).items()}
    index = sent.pop(_INDEX)

    @app.get("/", include_in_schema=False)
    @app.get("/w/{namespace}/{name}", include_in_schema=False)
    async def page(request: Request) -> Response:
        return _answer(request, index)

    @app.get("/assets/{path:path}", include_in_schema=False)
    async def asset(request: Request, path: str) -> Response:
        if path not in sent:
            raise HTTPException(404, f"the page has no file {path!r}; it has {', '.join(sorted(sent))}")
        return _answer(request, sent[path])


def _ready(asset: Asset) -> _Sent:
    """Compressed once, as small as it gets, so that no request waits for it."""
    return _Sent(
        plain=asset.body,
        packed=gzip.compress(asset.body, mtime=0),
        mark=hashlib.sha256(asset.body).hexdigest()[:32],
        media_type=asset.media_type,
    )


def _answer(request: Request, sent: _Sent) -> Response:
    if not takes_gzip(request.headers.getlist("accept-encoding")):
        headers = {**_HEADERS, "ETag": f'"{sent.mark}"'}
        return Response(sent.plain, media_type=sent.media_type, headers=headers)
    headers = {**_HEADERS, "ETag": f'"{sent.mark}-gz"', "Content-Encoding": "gzip"}
    return Response(sent.packed, media_type=sent.media_type, headers=headers)
