"""The page is handed out as it was built, with rules that let a browser run and ask for nothing else."""

import gzip
import re
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path
from urllib.parse import quote

import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient

from predictscale.clock import ManualClock
from predictscale.control.desk import Desk, Following
from predictscale.control.store import DecisionStore
from predictscale.serving.page import Asset, add_page, read_assets
from predictscale.serving.rest import create_app
from worlds import NOON

POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self' data:",
    "connect-src": "'self'",
    "font-src": "'self'",
    "base-uri": "'none'",
    "form-action": "'none'",
    "frame-ancestors": "'none'",
}
KINDS = {
    "app.js": "text/javascript; charset=utf-8",
    "app.css": "text/css; charset=utf-8",
    "icon.svg": "image/svg+xml",
    "LICENSES.txt": "text/plain; charset=utf-8",
}
EVERY = ["/", "/w/prod/chat", *(f"/assets/{name}" for name in KINDS)]
MOST_SENT_BYTES = 80_000


class Read(HTMLParser):
    """The tags of a page and what they load."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.loads: list[str] = []
        self.inline: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.loads += [value or "" for name, value in attrs if name in {"src", "href"}]
        self.inline += [name for name, _ in attrs if name == "style" or name.startswith("on")]


@pytest.fixture(scope="module")
def client() -> TestClient:
    def parse(_: object) -> object:
        raise AssertionError("no trigger is asked for")

    store = DecisionStore()
    desk = Desk(
        parse=parse,  # type: ignore[arg-type]  # it is not called
        store=store,
        following=Following(lambda _: None, lambda _: None),
        clock=ManualClock(NOON),
        max_registrations=1,
        expire_after_s=1,
    )
    return TestClient(create_app(store=store, desk=desk, now=lambda: NOON, ready=lambda: True))


def with_assets(**named: bytes) -> TestClient:
    app = FastAPI()
    assets = {
        name.replace("_", "."): Asset(body=body, media_type="text/plain") for name, body in named.items()
    }
    add_page(app, assets)
    return TestClient(app)


def test_both_views_are_one_page(client: TestClient) -> None:
    fleet, workload = client.get("/"), client.get("/w/prod/chat")
    assert fleet.status_code == workload.status_code == 200
    assert fleet.headers["content-type"] == "text/html; charset=utf-8"
    assert fleet.content == workload.content


def test_the_page_says_nothing_of_the_name_it_was_asked_with(client: TestClient) -> None:
    script = quote("<img src=x onerror=alert(1)>", safe="")
    assert client.get(f"/w/{script}/{script}").content == client.get("/").content


@pytest.mark.parametrize(("name", "kind"), KINDS.items())
def test_each_file_is_the_packages_own_with_its_kind(client: TestClient, name: str, kind: str) -> None:
    answer = client.get(f"/assets/{name}")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == kind
    assert answer.content == files("predictscale.serving").joinpath("web", name).read_bytes()


@pytest.mark.parametrize("path", EVERY)
def test_the_browser_is_told_to_run_load_and_ask_nothing_of_others(client: TestClient, path: str) -> None:
    headers = client.get(path).headers
    rules = dict(rule.strip().split(" ", 1) for rule in headers["content-security-policy"].split(";"))
    assert rules == POLICY
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize("path", EVERY)
@pytest.mark.parametrize("mark", ["{}", "W/{}", '"other", {}', "*"])
def test_a_browser_that_has_it_is_not_sent_it_again(client: TestClient, path: str, mark: str) -> None:
    first = client.get(path)
    again = client.get(path, headers={"If-None-Match": mark.format(first.headers["etag"])})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]
    assert again.headers["content-security-policy"] == first.headers["content-security-policy"]


@pytest.mark.parametrize("mark", ['"other"', "other", ""])
def test_a_browser_that_has_another_version_is_sent_this_one(client: TestClient, mark: str) -> None:
    answer = client.get("/assets/app.js", headers={"If-None-Match": mark})
    assert answer.status_code == 200
    assert answer.content


def test_another_version_of_a_file_has_another_mark() -> None:
    old, new = (with_assets(index_html=b"page", a_js=body).get("/assets/a.js") for body in (b"1", b"2"))
    assert old.headers["etag"] != new.headers["etag"]


def test_two_answers_share_a_mark_only_if_they_are_the_same_bytes(client: TestClient) -> None:
    ways = ["identity", "gzip"]
    answers = [client.get(path, headers={"Accept-Encoding": way}) for path in EVERY for way in ways]
    marks = {answer.headers["etag"] for answer in answers}
    assert len(marks) == len(ways) * (len(KINDS) + 1)  # the two views are one page


@pytest.mark.parametrize("path", EVERY)
def test_who_takes_gzip_is_sent_less_and_reads_the_same(client: TestClient, path: str) -> None:
    packed = client.get(path, headers={"Accept-Encoding": "br, gzip;q=0.5"})
    plain = client.get(path, headers={"Accept-Encoding": "gzip;q=0, identity"})
    assert packed.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert packed.content == plain.content
    assert int(packed.headers["content-length"]) < int(plain.headers["content-length"])
    assert packed.headers["vary"] == plain.headers["vary"] == "Accept-Encoding"


@pytest.mark.parametrize("path", EVERY)
def test_asking_for_the_head_alone_sends_the_head_alone(client: TestClient, path: str) -> None:
    head, whole = client.head(path), client.get(path)
    assert (head.status_code, head.content) == (200, b"")
    for name in ("etag", "content-type", "content-length"):
        assert head.headers[name] == whole.headers[name]


@pytest.mark.parametrize(
    "path",
    [
        "../page.py",
        "..%2fpage.py",
        "%2e%2e/page.py",
        "..\\page.py",
        "/etc/passwd",
        "app.js/",
        "./app.js",
        "index.html",
        "",
    ],
)
def test_no_path_leads_out_of_the_files_of_the_page(client: TestClient, path: str) -> None:
    # Percent-encoded so that neither client nor router tidies it up.
    answer = client.get(f"/assets/{quote(path, safe='%')}")
    assert answer.status_code == 404
    assert b"predictscale.serving" not in answer.content


@given(st.text(max_size=60))
def test_whatever_is_asked_for_is_a_file_of_the_page_or_missing(path: str) -> None:
    answer = with_assets(index_html=b"page", a_js=b"script").get(f"/assets/{quote(path, safe='')}")
    assert answer.status_code == (200 if path == "a.js" else 404)


def test_a_missing_file_is_told_as_every_other_error(client: TestClient) -> None:
    answer = client.get("/assets/app.map")
    assert answer.headers["content-type"] == "application/problem+json"
    assert "'app.map'" in answer.json()["detail"]
    assert "app.js" in answer.json()["detail"]


def test_the_page_is_no_part_of_the_documented_api(client: TestClient) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    assert paths
    assert not [path for path in paths if not path.startswith(("/api/", "/healthz", "/readyz"))]


def test_the_html_loads_what_is_served_and_nothing_inline() -> None:
    assets = read_assets()
    read = Read(assets["index.html"].body.decode())
    loaded = [load for load in read.loads if load.startswith("/assets/")]
    assert {load.removeprefix("/assets/") for load in loaded} <= set(assets)
    assert {"/assets/app.js", "/assets/app.css"} <= set(loaded)
    assert not [load for load in read.loads if not load.startswith("/")]
    assert read.inline == []
    assert "style" not in read.tags


@pytest.mark.parametrize("name", ["app.js", "app.css", "icon.svg"])
def test_no_file_names_another_origin_to_load_from(name: str) -> None:
    text = read_assets()[name].body.decode()
    named = set(re.findall(r"(?:https?:)?//[a-z0-9-]+(?:\.[a-z0-9-]+)+[^\"'\s)]*", text, flags=re.IGNORECASE))
    # An XML namespace is a name, not an address.
    assert {each for each in named if not each.startswith("http://www.w3.org/")} == set()


def test_the_script_writes_no_markup_from_text() -> None:
    script = read_assets()["app.js"].body.decode()
    sinks = [
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "DOMParser",
        "eval(",
        "Function(",
    ]
    assert [sink for sink in sinks if sink in script] == []


def test_the_page_is_small_and_carries_the_licence_of_what_it_contains() -> None:
    assets = read_assets()
    assert sum(len(gzip.compress(asset.body)) for asset in assets.values()) < MOST_SENT_BYTES
    assert re.search(r"uplot \d+\.\d+\.\d+ \(MIT\)", assets["LICENSES.txt"].body.decode())
    assert b"Copyright" in assets["LICENSES.txt"].body


def test_only_kinds_of_files_that_a_page_consists_of_are_served(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    web = tmp_path / "web"
    web.mkdir()
    for name in ("index.html", "app.js", "notes.py", "key.pem", "noend"):
        (web / name).write_text(name)
    (web / "folder.js").mkdir()
    monkeypatch.setattr("predictscale.serving.page.files", lambda _: web.parent)
    assert set(read_assets()) == {"index.html", "app.js"}
