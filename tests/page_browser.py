"""Debian's chromium with the page in it: what it logged and asked for, and whether everybody can use it."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast
from urllib.parse import urlsplit

from playwright.sync_api import Browser, Page, Playwright, Request, Response, expect

from patience import WITHIN_S

expect.set_options(timeout=1000 * WITHIN_S)

_AXE = Path(__file__).parents[1] / "web" / "node_modules" / "axe-core" / "axe.min.js"
_QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """How somebody looks at the page."""

    colours: Literal["light", "dark"]
    width: int
    height: int

    def __str__(self) -> str:
        return f"{self.colours}-{self.width}"


DESKTOP = Look(colours="light", width=1440, height=900)
LOOKS = tuple(
    Look(colours=colours, width=width, height=height)
    for colours in ("light", "dark")
    for width, height in ((1440, 900), (390, 844))
)


@dataclass
class Watched:
    """A page, and what went wrong in it.

    Args:
        page: The page.
        origin: Whose answers it may ask for.
        wrongs: Console messages, failed requests, and requests to anybody else; in words.
    """

    page: Page
    origin: str
    wrongs: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        page = self.page
        page.on("console", lambda message: self._console(message.type, message.text))
        page.on("pageerror", lambda error: self.wrongs.append(f"uncaught: {error}"))
        page.on("request", self._request)
        page.on("requestfailed", self._failed)
        page.on("response", self._response)

    def _console(self, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            self.wrongs.append(f"console {kind}: {text}")

    def _request(self, request: Request) -> None:
        parts = urlsplit(request.url)
        if f"{parts.scheme}://{parts.netloc}" != self.origin and parts.scheme != "data":
            self.wrongs.append(f"asked another origin: {request.url}")

    def _failed(self, request: Request) -> None:
        # A view that is left takes its questions back.
        if request.failure != "net::ERR_ABORTED":
            self.wrongs.append(f"failed: {request.url}: {request.failure}")

    def _response(self, response: Response) -> None:
        if response.status >= 400:
            self.wrongs.append(f"{response.status}: {response.url}")


def launched(playwright: Playwright) -> Browser:
    """Debian's chromium, which asks for nothing by itself."""
    path = shutil.which("chromium")
    assert path is not None, "chromium is not on PATH: scripts/install-test-tools"
    return playwright.chromium.launch(executable_path=path, args=list(_QUIET), timeout=1000 * WITHIN_S)


@contextmanager
def opened(browser: Browser, origin: str, path: str, look: Look = DESKTOP) -> Iterator[Page]:
    """A path of the page, in a fresh profile; at the end nothing must have gone wrong in it."""
    with watched(browser, origin, look) as watch:
        watch.page.goto(origin + path)
        yield watch.page
        assert watch.wrongs == []


@contextmanager
def watched(browser: Browser, origin: str, look: Look = DESKTOP) -> Iterator[Watched]:
    """A fresh profile whose page is watched; the caller judges."""
    context = browser.new_context(
        viewport={"width": look.width, "height": look.height},
        color_scheme=look.colours,
        reduced_motion="reduce",
    )
    context.set_default_timeout(1000 * WITHIN_S)
    try:
        yield Watched(context.new_page(), origin)
    finally:
        context.close()


def violations(page: Page) -> list[str]:
    """What axe-core finds wrong with the page as it stands.

    It is evaluated, since the page's policy lets nobody add a script.
    """
    assert _AXE.is_file(), "axe-core is not there: scripts/install-test-tools"
    if not page.evaluate("typeof axe === 'object'"):
        page.evaluate(_AXE.read_text(encoding="utf-8"))
    found = cast("dict[str, Any]", page.evaluate("axe.run({resultTypes: ['violations']})"))
    assert len(found["passes"]) > 20, "axe-core looked at next to nothing"
    return [
        f"{each['id']} ({each['impact']}): {node['target']}: {node['failureSummary']}"
        for each in found["violations"]
        for node in each["nodes"]
    ]


def overflow_px(page: Page) -> int:
    """How far the page is wider than its window."""
    return cast("int", page.evaluate("document.documentElement.scrollWidth - window.innerWidth"))
