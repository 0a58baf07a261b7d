"""In a real browser: where KEDA was told no number the page shows none, and says so to everybody."""

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, expect

from page_browser import LOOKS, Look, opened, overflow_px, violations
from page_scene import PageScene, made
from predictscale.control.store import DecisionStore
from predictscale.core.plan import Decision, OnStale
from worlds import policy

pytestmark = pytest.mark.e2e

NIGHT = "/w/made/night"
GONE = policy(on_stale=OnStale.UNAVAILABLE)
PAUSED = replace(policy(), paused_with=4)


def night(now: datetime) -> Iterator[Decision]:
    """Until a quarter of an hour ago: ten minutes are untold, ten are paused, and at the end none comes."""
    for ago in range(65, 14, -1):
        at = now - timedelta(minutes=ago)
        if 40 < ago <= 50:
            yield made("night", 35, now=at, age_s=5000, obeyed=GONE)
        elif 20 < ago <= 30:
            yield made("night", 35, now=at, obeyed=PAUSED)
        else:
            yield made("night", 35 if ago <= 40 else 85, now=at)


class NightScene(PageScene):
    """The scene with that night in its archive."""

    def keep(self) -> None:
        """Lay the night in, as the loop does."""

        def keep(store: DecisionStore) -> None:
            assert self._service is not None
            for decision in night(self.now):
                store.put(decision)
                self._service._archive.note(decision)

        self._do(keep)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageScene]:
    with NightScene(tmp_path_factory.mktemp("page")) as scene:
        scene.keep()
        yield scene


def instant(scene: PageScene, minutes_ago: float) -> str:
    return f"{scene.now - timedelta(minutes=minutes_ago):%Y-%m-%dT%H:%M:%SZ}"


def ago(scene: PageScene, minutes_ago: float) -> str:
    """The path of the view as it was then."""
    return f"{NIGHT}?range=6h&at={quote(instant(scene, minutes_ago))}"


@pytest.mark.parametrize("look", LOOKS, ids=str)
def test_a_stretch_in_which_keda_was_told_nothing_stands_out_by_name(
    browser: Browser, scene: PageScene, look: Look
) -> None:
    with opened(browser, scene.url, ago(scene, 45), look) as page:
        chart = page.locator("figure.chart").nth(1)
        expect(chart.locator(".chart-key", has_text="KEDA told UNAVAILABLE")).to_be_visible()
        expect(page.locator("p", has_text="; UNAVAILABLE in 10 of 51 steps")).to_be_visible()
        expect(page.get_by_test_id("published")).to_have_text("unavailable")
        expect(page.locator(".wl-state .badge").first).to_have_text("unavailable")
        expect(page.locator(".wl-state")).to_contain_text("KEDA is told UNAVAILABLE: demand is 5000 s old")
        changes = page.get_by_role("article", name="Recent changes")
        expect(changes.get_by_text(re.compile(r"\d+ → unavailable"))).to_have_count(1)
        expect(changes.get_by_text(re.compile(r"unavailable → \d+"))).to_have_count(1)
        assert overflow_px(page) <= 0
        assert violations(page) == []


def test_the_table_has_no_number_in_that_stretch_and_tells_what_held_in_others(
    browser: Browser, scene: PageScene
) -> None:
    with opened(browser, scene.url, ago(scene, 45)) as page:
        chart = page.locator("figure.chart").nth(1)
        expect(chart.locator(".chart-key", has_text="KEDA told UNAVAILABLE")).to_be_visible()
        chart.get_by_text("Show as table").click()
        expect(chart.get_by_role("columnheader", name="State")).to_be_visible()
        # At once: the table is drawn anew as often as the service is asked.
        drawn: list[list[str]] = chart.locator("table").evaluate(
            "table => [...table.rows].map(row => [...row.cells].map(cell => cell.textContent))"
        )
        heads, rows = drawn[0][1:], {first: cells for first, *cells in drawn[1:]}

        def at(minutes_ago: float) -> dict[str, str]:
            when = scene.now - timedelta(minutes=minutes_ago)
            return dict(zip(heads, rows[f"{when:%m-%d %H:%M}:00 UTC"], strict=True))

        assert (at(45)["published"], at(45)["State"]) == ("–", "stale, KEDA told UNAVAILABLE")
        assert (at(25)["published"], at(25)["State"]) == ("4", "paused")
        assert at(60)["State"] == ""
        assert at(60)["published"].isdecimal()
        assert at(45)["wanted"].isdecimal()
        assert violations(page) == []


def test_a_pause_of_the_past_is_told_as_one(browser: Browser, scene: PageScene) -> None:
    with opened(browser, scene.url, ago(scene, 25)) as page:
        expect(page.locator(".wl-state .badge").first).to_have_text("paused")
        expect(page.locator(".wl-state")).to_contain_text("4 were there when that began")
        expect(page.get_by_test_id("published")).to_have_text("4")


def test_an_instant_at_which_no_decision_was_valid_has_no_number(browser: Browser, scene: PageScene) -> None:
    with opened(browser, scene.url, ago(scene, 2)) as page:
        expect(page.get_by_test_id("published")).to_have_text("unknown")
        expect(page.locator(".wl-state")).to_contain_text("No decision is kept that was valid then")
        expect(page.locator("#voice")).to_contain_text("No decision is kept that was valid then")
        assert violations(page) == []
    with opened(browser, scene.url, ago(scene, 6)) as page:
        expect(page.get_by_test_id("published")).not_to_have_text("unknown")
        expect(page.locator("#voice")).to_contain_text(re.compile(r"KEDA was told \d+"))
