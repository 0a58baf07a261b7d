"""In a real browser: an answer that comes late is shown as what it is, or not at all."""

import re
from collections.abc import Iterator
from typing import Self

import pytest
from playwright.sync_api import Browser, Locator, Page, Route, expect

from page_browser import opened, watched
from page_scene import PageScene

pytestmark = pytest.mark.e2e

CHAT = "/w/demo/chat"
OF_NOW = re.compile(r"/chat/decision$")
OF_THEN = re.compile(r"/chat/decision\?at=")
FORECAST_THEN = re.compile(r"/chat/forecast\?at=")


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageScene]:
    with PageScene(tmp_path_factory.mktemp("page")) as scene:
        yield scene


class Held:
    """Questions that are not passed on for now."""

    def __init__(self, page: Page, url: re.Pattern[str]) -> None:
        self._page, self._url, self._routes = page, url, list[Route]()

    def __enter__(self) -> Self:
        self._page.route(self._url, lambda route: self._routes.append(route))  # noqa: PLW0108 - it is marked
        return self

    def __exit__(self, *_: object) -> None:
        self._page.unroute(self._url)

    def asked(self) -> Route:
        """The first that is held, once there is one."""
        while not self._routes:
            asked_once_more(self._page)
        return self._routes[0]


def label(page: Page) -> Locator:
    """Whether the number was told, or is."""
    return page.locator(".wl-told-label")


def asked_once_more(page: Page) -> None:
    """Return once the service has answered with the fleet again, at which the page draws its head."""
    with page.expect_response("**/api/v1/fleet"):
        pass


def asked_twice_more(page: Page) -> None:
    for _ in range(2):
        asked_once_more(page)


def is_of(page: Page, decided_at: str) -> None:
    expect(page.get_by_text(f"decided {decided_at[11:19]} UTC")).to_be_visible()


def looked_back(page: Page) -> None:
    expect(page.get_by_role("slider")).to_have_attribute("aria-valuetext", re.compile("UTC"))
    expect(page.get_by_text("The history is being read.")).to_have_count(0)
    page.get_by_role("slider").focus()
    page.keyboard.press("PageDown")


def test_what_is_told_of_now_is_not_shown_as_the_past_though_it_comes_last(
    browser: Browser, scene: PageScene
) -> None:
    newest = scene.json("/workloads/demo/chat/decision")["decided_at"]
    with opened(browser, scene.url, CHAT) as page:
        is_of(page, newest)
        with Held(page, OF_NOW) as held:
            late = held.asked()
            looked_back(page)
            expect(label(page)).to_have_text("KEDA was told")
            with page.expect_response(OF_NOW):
                late.continue_()
            asked_twice_more(page)
            expect(label(page)).to_have_text("KEDA was told")
            expect(page.get_by_text(f"decided {newest[11:19]} UTC")).to_be_hidden()


def test_until_the_past_is_known_the_present_is_not_told_as_it(browser: Browser, scene: PageScene) -> None:
    newest = scene.json("/workloads/demo/chat/decision")["decided_at"]
    with opened(browser, scene.url, CHAT) as page:
        is_of(page, newest)
        with Held(page, OF_THEN) as held:
            looked_back(page)
            late = held.asked()
            asked_twice_more(page)
            expect(label(page)).to_have_text("KEDA is told")
            is_of(page, newest)
            late.continue_()
            expect(label(page)).to_have_text("KEDA was told")
            expect(page.get_by_text(f"decided {newest[11:19]} UTC")).to_be_hidden()


def test_until_the_present_is_known_the_past_is_not_told_as_it(browser: Browser, scene: PageScene) -> None:
    newest = scene.json("/workloads/demo/chat/decision")["decided_at"]
    with opened(browser, scene.url, CHAT) as page:
        is_of(page, newest)
        looked_back(page)
        expect(label(page)).to_have_text("KEDA was told")
        with Held(page, OF_NOW) as held:
            page.get_by_role("button", name="Back to now").click()
            late = held.asked()
            asked_twice_more(page)
            expect(label(page)).to_have_text("KEDA was told")
            late.continue_()
            expect(label(page)).to_have_text("KEDA is told")
            is_of(page, newest)


def test_a_forecast_that_was_lost_on_its_way_is_asked_for_again(browser: Browser, scene: PageScene) -> None:
    with watched(browser, scene.url) as watch:
        page, lost = watch.page, list[str]()
        page.goto(scene.url + CHAT)
        is_of(page, scene.json("/workloads/demo/chat/decision")["decided_at"])

        def lose(route: Route) -> None:
            if lost:
                route.continue_()
            else:
                lost.append(route.request.url)
                route.abort()

        page.route(FORECAST_THEN, lose)
        looked_back(page)
        expect(label(page)).to_have_text("KEDA was told")
        for said in page.get_by_text("Failed to fetch").all():
            expect(said).to_be_hidden()
        assert len(lost) == 1
        page.unroute(FORECAST_THEN)
        assert {wrong for wrong in watch.wrongs if "ERR_FAILED" not in wrong} == set()
