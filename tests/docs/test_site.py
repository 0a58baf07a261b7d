"""The documents' site: it builds strictly, fetches nothing, and its pictures are what the code draws."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
_LOADED = re.compile(r"<(?:script|img|link|iframe|source)\b[^>]*?\b(?:src|href)=\"(?P<address>[^\"]+)\"")
_IN_STYLE = re.compile(r"(?:url\(|@import)\s*[\"']?(?:https?:)?//")


def built(folder: Path, *, config: Path = ROOT / "properdocs.yml") -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        "-m",
        "properdocs",
        "build",
        "--config-file",
        str(config),
        "--site-dir",
        str(folder),
    ]
    return subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True, timeout=180)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = built(folder)
    assert done.returncode == 0, done.stderr
    return folder


def test_every_document_is_a_page_of_the_site(site: Path) -> None:
    documents = {path.relative_to(ROOT / "docs") for path in (ROOT / "docs").rglob("*.md")}
    pages = {path.relative_to(site) for path in site.rglob("*.html")}
    assert {document.with_suffix(".html") for document in documents} <= pages


def test_no_page_loads_anything_from_elsewhere(site: Path) -> None:
    for page in site.rglob("*.html"):
        addresses = [found["address"] for found in _LOADED.finditer(page.read_text())]
        assert addresses, page
        assert not [one for one in addresses if re.match(r"(?:[a-z]+:)?//", one)], page
    for style in site.rglob("*.css"):
        assert not _IN_STYLE.search(style.read_text()), style


def test_what_leaves_the_documents_is_told_as_a_path(site: Path) -> None:
    page = (site / "installation.html").read_text()
    assert "deploy/chart/predictscale/README.md" in page
    assert 'href="../deploy' not in page


def test_anchors_are_selectors_for_the_themes_script_stops_at_one_that_is_none(site: Path) -> None:
    for page in {*site.rglob("*.html")} - {site / "404.html"}:  # the theme's own
        assert not re.findall(r"<h[1-6] id=\"[0-9][^\"]*", page.read_text()), page


@pytest.mark.parametrize("text", ["[gone](gone.md)", "[gone](index.md#gone)", "[gone](../gone/file.yaml)"])
def test_a_broken_link_fails_the_build(text: str, tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "index.md").write_text(f"# One page\n\n{text}\n")
    settings = (ROOT / "properdocs.yml").read_text().partition("\nnav:")[0]
    config = tmp_path / "properdocs.yml"
    config.write_text(settings.replace("scripts/site_links.py", str(ROOT / "scripts/site_links.py")))
    done = built(tmp_path / "site", config=config)
    assert done.returncode != 0
    assert "gone" in done.stderr


def test_pictures_are_what_the_code_draws(tmp_path: Path) -> None:
    subprocess.run([sys.executable, ROOT / "scripts" / "draw-documents", tmp_path], check=True, timeout=180)
    drawn = sorted(tmp_path.glob("*.svg"))
    assert len(drawn) >= 6
    for picture in drawn:
        kept = ROOT / "docs" / "images" / picture.name
        assert picture.read_text() == kept.read_text(), f"scripts/draw-documents makes another {picture.name}"
