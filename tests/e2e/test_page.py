"""The page in a real browser, on a running service: it tells what REST tells, and everybody can use it."""

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from page_browser import DESKTOP, LOOKS, Look, opened, overflow_px, violations, watched
from page_scene import HOSTILE, LONG, MANY, REASON, PageScene, made

pytestmark = pytest.mark.e2e

CHAT = "/w/demo/chat"
PHONE = LOOKS[-1]
looks = pytest.mark.parametrize("look", LOOKS, ids=str)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageScene]:
    with PageScene(tmp_path_factory.mktemp("page")) as scene:
        yield scene


def row(page: Page, key: str) -> Locator:
    return page.locator(f'[role="row"][data-key="{key}"]')


def keys(page: Page) -> list[str]:
    """The workloads that are drawn, in order."""
    found: list[str] = page.locator("[data-key]").evaluate_all("rows => rows.map(row => row.dataset.key)")
    return found


def number(value: float | None, digits: int = 3) -> str:
    """As the page writes it."""
    if value is None:
        return "unknown"
    if abs(value) >= 10**digits:
        return f"{value:,.0f}"
    return f"{float(f'{value:.{digits}g}'):,.9f}".rstrip("0").rstrip(".")


def focused(page: Page) -> str:
    """The text of what has the focus."""
    text: str = page.evaluate("document.activeElement.textContent")
    return text


def knows_the_fleet(page: Page, scene: PageScene) -> None:
    """Return once the page knows what time it is for the service, from when on it sees what changes."""
    expect(page.locator(".head-clock")).to_have_text(f"{scene.now:%H:%M:%S} UTC")


def has_read_the_history(page: Page) -> None:
    """Return once charts and slider know the decisions that are kept."""
    expect(page.get_by_role("slider")).to_have_attribute("aria-valuetext", re.compile("UTC"))
    expect(page.get_by_text("The history is being read.")).to_have_count(0)


def told(page: Page) -> Locator:
    """The number that KEDA is told."""
    return page.get_by_test_id("published")


def shown_steps(page: Page) -> list[tuple[str, str]]:
    """The staircase as it stands: numbers and reasons."""
    steps: list[list[str]] = page.locator(".wl-why .wl-steps").first.evaluate(
        "list => [...list.children].map(step => ['.wl-step-value', '.wl-step-because']"
        ".map(part => step.querySelector(part).textContent))"
    )
    return [(value.removesuffix(" replicas"), because) for value, because in steps]


def steps_of(decision: dict[str, Any]) -> list[tuple[str, str]]:
    """The same as REST tells it."""
    told_steps = []
    for each in decision["steps"]:
        value = (
            f"{number(each['value'], 4)} {each['unit']}"
            if each["stage"] == "demand"
            else f"{each['value']:.0f}"
        )
        told_steps.append((value, each["because"]))
    return told_steps


@looks
def test_the_fleet_tells_what_rest_tells_and_everybody_can_use_it(
    browser: Browser, scene: PageScene, look: Look
) -> None:
    with opened(browser, scene.url, "/?sort=-state", look) as page:
        expect(page.locator(".found")).to_have_text(f"{MANY:,} shown")
        listed = scene.json("/workloads?sort=-state&limit=8")["workloads"]
        for each, key in zip(listed, keys(page), strict=False):
            assert key == f"{each['namespace']}/{each['workload']}"
            shown = row(page, key)
            expect(shown.locator(".badge")).to_have_text(each["state"])
            expect(shown.locator(".cell-demand")).to_contain_text(number(each["demand"]))
            ready = each["ready_replicas"]
            replicas = f"{'unknown' if ready is None else ready}.* of {each['target_replicas']}"
            expect(shown.locator(".cell-fleet")).to_contain_text(re.compile(replicas))
        fleet = scene.json("/fleet")
        tiles = page.get_by_label("The fleet in short")
        expect(tiles).to_contain_text(f"{fleet['ready_replicas']:,} of {fleet['target_replicas']:,}")
        expect(tiles).to_contain_text(f"€{fleet['cost_per_hour'][0]['amount']:.2f}")
        knows_the_fleet(page, scene)
        assert overflow_px(page) <= 0
        assert violations(page) == []


@looks
def test_a_workload_tells_what_rest_tells_and_everybody_can_use_it(
    browser: Browser, scene: PageScene, look: Look
) -> None:
    with opened(browser, scene.url, CHAT, look) as page:
        _is_told(page, scene.json("/workloads/demo/chat/decision"))
        lead = scene.json("/workloads/demo/chat/lead-time")
        assert len(lead["measurement"]["samples_s"]) == 20
        expect(page.get_by_text("20 starts by how long they took")).to_be_visible()
        expect(page.get_by_text(lead["because"])).to_be_visible()
        expect(page.locator("canvas")).to_have_count(2)
        expect(page.get_by_text("Which model serves")).to_be_visible()
        assert overflow_px(page) <= 0
        assert violations(page) == []


@pytest.mark.parametrize(
    ("name", "look"),
    [
        ("demo/code", PHONE),
        ("made/learned", PHONE),
        ("made/shadow", DESKTOP),
        ("made/holding", PHONE),
        ("made/unavailable", DESKTOP),
        ("made/unknown", PHONE),
        ("made/ceiling", DESKTOP),
        (f"made/{LONG}", PHONE),
    ],
    ids=str,
)
def test_every_kind_of_workload_is_shown_to_everybody(
    browser: Browser, scene: PageScene, name: str, look: Look
) -> None:
    with opened(browser, scene.url, f"/w/{name}", look) as page:
        now = scene.json(f"/workloads/{name}")
        expect(page.locator(".wl-state .badge").first).to_have_text(now["state"])
        expect(page.locator(".wl-because")).to_have_text(now["state_because"])
        expect(told(page)).to_have_text(
            f"{now['published_replicas']:,}" if now["available"] else "unavailable"
        )
        expect(page.locator(".wl-card-body:empty")).to_have_count(0)
        assert overflow_px(page) <= 0
        assert violations(page) == []


def test_the_fleet_is_filtered_and_sorted_by_keyboard_and_its_address_tells_how(
    browser: Browser, scene: PageScene
) -> None:
    with opened(browser, scene.url, "/") as page:
        expect(page.locator(".found")).to_have_text(f"{MANY:,} shown")
        page.keyboard.press("/")
        page.keyboard.type("made/many-01")
        expect(page.locator(".found")).to_have_text(f"10 of {MANY:,} shown")
        page.get_by_role("button", name="Demand now").focus()
        page.keyboard.press("Enter")
        expect(page.get_by_role("columnheader", name="Demand now")).to_have_attribute(
            "aria-sort", "descending"
        )
        listed = scene.json("/workloads?q=made/many-01&sort=-demand")["workloads"]
        expected = [f"{each['namespace']}/{each['workload']}" for each in listed]
        assert keys(page) == expected
        assert parse_qs(urlsplit(page.url).query) == {"q": ["made/many-01"], "sort": ["-demand"]}
        with opened(browser, scene.url, page.url.removeprefix(scene.url)) as other:
            expect(other.locator(".found")).to_have_text(f"10 of {MANY:,} shown")
            expect(other.get_by_role("searchbox")).to_have_value("made/many-01")
            assert keys(other) == expected
        page.keyboard.press("/")
        page.keyboard.press("Escape")
        page.get_by_role("button", name=re.compile("^unavailable")).focus()
        page.keyboard.press("Space")
        many = scene.json("/workloads?state=unavailable")["total"]
        expect(page.locator(".found")).to_have_text(f"{many} of {MANY:,} shown")
        assert parse_qs(urlsplit(page.url).query)["state"] == ["unavailable"]


def test_a_row_is_opened_by_enter_and_has_the_focus_on_return(browser: Browser, scene: PageScene) -> None:
    with opened(browser, scene.url, "/?sort=name&q=made") as page:
        expect(page.locator(".found")).to_contain_text(f" of {MANY:,} shown")
        page.locator(".row-link").first.focus()
        for _ in range(3):
            page.keyboard.press("PageDown")
        left = focused(page)
        assert left not in keys(page)[:2]
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", level=1)).to_have_text(left)
        assert page.url == f"{scene.url}/w/{left}"
        page.get_by_role("link", name="Fleet").focus()
        page.keyboard.press("Enter")
        expect(page.locator(".row-link:focus")).to_have_text(left)
        assert parse_qs(urlsplit(page.url).query) == {"sort": ["name"], "q": ["made"]}


def test_of_a_thousand_rows_only_those_in_sight_are_elements(browser: Browser, scene: PageScene) -> None:
    with opened(browser, scene.url, "/?sort=name") as page:
        expect(page.get_by_role("grid")).to_have_attribute("aria-rowcount", str(MANY + 1))
        listed = scene.json("/workloads?sort=name&limit=1000")["workloads"]
        page.locator(".row-link").first.focus()
        assert focused(page) == f"{listed[0]['namespace']}/{listed[0]['workload']}"
        page.keyboard.press("End")
        assert focused(page) == f"{listed[-1]['namespace']}/{listed[-1]['workload']}"
        expect(page.locator('[role="row"]:has(:focus)')).to_have_attribute("aria-rowindex", str(MANY + 1))
        for share in (0.2, 0.9, 0.5):
            page.evaluate(f"window.scrollTo(0, document.body.scrollHeight * {share})")
            expect(page.locator("[data-key]").nth(10)).to_be_in_viewport()
            assert len(keys(page)) < 60


def test_the_slider_shows_a_past_decision_as_it_was(browser: Browser, scene: PageScene) -> None:
    with opened(browser, scene.url, CHAT) as page:
        expect(told(page)).to_be_visible()
        has_read_the_history(page)
        slider = page.get_by_role("slider")
        slider.focus()
        for _ in range(40):
            page.keyboard.press("ArrowLeft")
        past = page.get_by_label("The past is shown")
        expect(past).to_be_visible()
        at = parse_qs(urlsplit(page.url).query)["at"][0]
        assert datetime.fromisoformat(at) < scene.now - timedelta(minutes=8)
        before = scene.json(f"/workloads/demo/chat/decision?at={at}")
        newest = scene.json("/workloads/demo/chat/decision")
        assert before["published_replicas"] < newest["published_replicas"]
        _is_told(page, before)
        expect(past).to_contain_text(f"As it was at {at[11:19]} UTC")
        assert at[11:19] in (slider.get_attribute("aria-valuetext") or "")
        expect(page.locator("#voice")).to_contain_text(f"KEDA was told {before['published_replicas']}")
        expect(page.get_by_text("Cards marked “now”")).to_be_visible()
        assert violations(page) == []
        with opened(browser, scene.url, page.url.removeprefix(scene.url), PHONE) as other:
            _is_told(other, before)
            assert overflow_px(other) <= 0
            assert violations(other) == []
        page.get_by_role("button", name="Back to now").focus()
        page.keyboard.press("Enter")
        _is_told(page, newest)
        expect(slider).to_be_focused()
        expect(past).to_be_hidden()
        assert urlsplit(page.url).query == ""


def test_who_looks_back_for_a_moment_is_told_of_now_again(browser: Browser, scene: PageScene) -> None:
    with opened(browser, scene.url, CHAT) as page:
        expect(told(page)).to_be_visible()
        has_read_the_history(page)
        newest = scene.json("/workloads/demo/chat/decision")
        # So quickly that the page has not asked for the newest decision in between.
        for _ in range(3):
            page.get_by_role("slider").focus()
            page.keyboard.press("PageDown")
            expect(page.get_by_text(f"decided {newest['decided_at'][11:19]} UTC")).to_be_hidden()
            page.get_by_role("button", name="Back to now").click()
            _is_told(page, newest)


def test_cards_follow_the_slider_and_those_that_cannot_are_marked(browser: Browser, scene: PageScene) -> None:
    at = f"{scene.now - timedelta(minutes=20):%Y-%m-%dT%H:%M:%SZ}"
    before = scene.json(f"/workloads/demo/chat/capacity?at={at}")["because"]
    newest = scene.json("/workloads/demo/chat/capacity")["because"]
    assert before != newest

    def card(title: str) -> Locator:
        return page.get_by_role("article", name=title)

    with opened(browser, scene.url, f"{CHAT}?at={at}") as page:
        expect(page.get_by_text("KEDA was told", exact=True)).to_be_visible()
        expect(card("What a replica serves")).to_contain_text(before)
        expect(card("Floors")).to_contain_text("at least, then")
        expect(card("Spot and on-demand pools")).to_contain_text(f"had no pools at {at}")
        expect(card("Tuning")).to_contain_text(f"was not tuned at {at}")
        expect(card("How long a replica takes")).to_contain_text("no measurement was in force")
        marked = page.locator("article:has(.wl-of-now:visible) h3").all_text_contents()
        assert [title.removesuffix("now") for title in marked] == [
            "Which model serves",
            "What it saves",
            "What it costs",
            "Data quality",
            "Planned events",
        ]
        page.get_by_role("button", name="Back to now").click()
        expect(card("What a replica serves")).to_contain_text(newest)
        expect(card("Floors")).to_contain_text("at least, now")
        expect(page.locator(".wl-of-now:visible")).to_have_count(0)


def test_an_instant_of_which_nothing_is_kept_says_so_beside_the_slider_that_leads_out(
    browser: Browser, scene: PageScene
) -> None:
    before = f"{scene.now - timedelta(hours=2):%Y-%m-%dT%H:%M:%SZ}"
    with opened(browser, scene.url, f"{CHAT}?at={before}") as page:
        expect(page.get_by_role("alert").filter(has_text="nothing is kept of")).to_be_visible()
        expect(page.get_by_role("slider")).to_be_visible()
        expect(page.get_by_role("article", name="Floors")).to_contain_text("nothing is kept of")
        assert violations(page) == []


def test_a_card_that_is_drawn_anew_keeps_what_is_open_and_where_the_keyboard_is(
    browser: Browser, scene: PageScene
) -> None:
    with watched(browser, scene.url) as watch:
        page = watch.page
        page.clock.install()
        page.goto(scene.url + CHAT)
        quality = page.get_by_role("article", name="Data quality")
        signals = quality.locator("summary", has_text="signals")
        signals.focus()
        page.keyboard.press("Enter")
        table = quality.get_by_role("group", name="Signals")
        expect(table).to_be_visible()
        signals.evaluate("drawn => { drawn.dataset.drawn = 'before'; }")
        page.clock.fast_forward(20_000)
        page.clock.run_for(2_000)
        expect(quality.locator("[data-drawn]")).to_have_count(0)  # it was drawn anew
        expect(signals).to_be_focused()
        expect(table).to_be_visible()
        assert watch.wrongs == []


def test_what_was_never_seen_is_not_drawn_as_nothing(browser: Browser, scene: PageScene) -> None:
    with opened(browser, scene.url, "/w/made/unknown") as page:
        step = page.locator(".wl-step-demand").first
        expect(step.locator(".wl-step-value")).to_have_text("unknown requests/s")


def _is_told(page: Page, decision: dict[str, Any]) -> None:
    """Head and staircase are those of a decision."""
    expect(page.get_by_text(f"decided {decision['decided_at'][11:19]} UTC")).to_be_visible()
    expect(told(page)).to_have_text(f"{decision['published_replicas']:,}")
    facts = page.locator(".wl-facts")
    expect(facts).to_contain_text(f"Wanted{decision['target_replicas']}")
    expect(facts).to_contain_text(f"Ready{decision['ready_replicas']} of {decision['current_replicas']}")
    expect(facts).to_contain_text(f"Without a forecast{decision['reactive_replicas']}")
    expect(facts).to_contain_text(f"Demand{number(decision['demand'], 4)}")
    assert shown_steps(page) == steps_of(decision)


def test_charts_are_read_by_keys_and_as_tables(browser: Browser, scene: PageScene) -> None:
    with opened(browser, scene.url, CHAT) as page:
        expect(page.locator("canvas")).to_have_count(2)
        has_read_the_history(page)
        lately = scene.json(
            f"/workloads/demo/chat/timeline?since={scene.now - timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}"
        )
        chart = page.get_by_role("group", name=re.compile("^Chart: Replicas"))
        figure = page.locator("figure").filter(has=chart)
        figure.get_by_text("Show as table").focus()
        page.keyboard.press("Enter")
        table = figure.get_by_role("table")
        expect(table.locator("tbody tr").first).to_be_visible()
        for column in ("published", "ready"):
            at = table.locator("thead th").all_text_contents().index(column)
            shown = table.locator(f"tbody td:nth-child({at + 1})").all_text_contents()
            known = [text for text in shown if text not in ("–", "")]
            assert known == [f"{value:.0f}" for value in lately[column] if value is not None]
        chart.focus()
        page.keyboard.press("Home")
        expect(figure.locator("[aria-live]")).to_contain_text("UTC")
        for name, words in (("6 h", "6h"), ("24 h", "24h"), ("7 d", "7d")):
            button = page.get_by_role("button", name=name, exact=True)
            button.focus()
            page.keyboard.press("Enter")
            expect(button).to_have_attribute("aria-pressed", "true")
            assert parse_qs(urlsplit(page.url).query) == {"range": [words]}
        expect(table.locator("tbody tr").first).to_be_visible()


def test_colours_are_chosen_by_keyboard_and_kept(browser: Browser, scene: PageScene) -> None:
    with opened(browser, scene.url, "/") as page:
        ground = "getComputedStyle(document.documentElement).backgroundColor"
        light = page.evaluate(ground)
        page.get_by_role("button", name="Colours: dark").focus()
        page.keyboard.press("Enter")
        dark = page.evaluate(ground)
        assert dark != light
        page.reload()
        expect(page.get_by_role("button", name="Colours: dark")).to_have_attribute("aria-pressed", "true")
        assert page.evaluate(ground) == dark


def test_markup_in_names_and_reasons_stays_text(browser: Browser, scene: PageScene) -> None:
    with opened(browser, scene.url, "/w/made/hostile") as page:
        expect(page.get_by_label("Notes")).to_contain_text(HOSTILE)
        expect(page.locator(".wl-facts")).to_contain_text("<b>jobs</b>/s")
        expect(page.locator("main img, main b:text-is('jobs')")).to_have_count(0)
        assert page.title() == "made/hostile · predictscale"
    with opened(browser, scene.url, "/?q=%3Cimg%20src=x%20onerror=alert(1)%3E") as page:
        expect(page.get_by_text("Nothing matches")).to_be_visible()
        assert violations(page) == []


def test_a_pause_is_told_with_its_end_and_its_reason(browser: Browser, scene: PageScene) -> None:
    with opened(browser, scene.url, "/w/demo/shop") as page:
        orders = page.get_by_label("Orders in force")
        expect(orders).to_be_visible()
        expect(orders).to_contain_text("Paused until 07:30 UTC")
        expect(orders).to_contain_text(f"Ordered by docs, because {REASON}")
        assert violations(page) == []


def test_a_workload_that_is_not_there_is_said_in_the_services_words(
    browser: Browser, scene: PageScene
) -> None:
    with opened(browser, scene.url, "/w/demo/nobody") as page:
        expect(page.get_by_role("alert").filter(has_text="demo/nobody")).to_be_visible()
        assert violations(page) == []


def test_what_changes_is_shown_without_a_reload(browser: Browser, scene: PageScene) -> None:
    scene.put([made("moving", 30, now=scene.now)])
    try:
        with opened(browser, scene.url, "/?q=made/moving") as page:
            expect(row(page, "made/moving").locator(".cell-fleet")).to_contain_text("of 4")
            knows_the_fleet(page, scene)
            scene.put([made("moving", 300, now=scene.now)])
            expect(row(page, "made/moving").locator(".cell-fleet")).to_contain_text("of 33")
    finally:
        scene.forget("moving")


def test_a_state_that_turns_without_a_decision_is_shown_without_a_reload(
    browser: Browser, scene: PageScene
) -> None:
    with opened(browser, scene.url, "/?q=demo/chat") as page:
        badge = row(page, "demo/chat").locator(".badge")
        expect(badge).to_be_visible()
        expect(badge).not_to_have_text("paused")
        knows_the_fleet(page, scene)
        scene.order("/workloads/demo/chat/pause", {"for": "30m", "reason": "a test"})
        try:
            expect(badge).to_have_text("paused")
        finally:
            scene.order("/workloads/demo/chat/pause", method="DELETE")


def test_a_lost_connection_is_said_until_it_is_back(browser: Browser, scene: PageScene) -> None:
    with watched(browser, scene.url) as watch:
        page = watch.page
        page.goto(scene.url + CHAT)
        expect(told(page)).to_be_visible()
        knows_the_fleet(page, scene)
        assert watch.wrongs == []
        page.context.set_offline(True)
        banner = page.get_by_text("Connection lost, showing data of 07:00:00 UTC. Trying again.")
        expect(banner).to_be_visible()
        expect(told(page)).to_be_visible()
        assert violations(page) == []
        page.context.set_offline(False)
        expect(banner).to_be_hidden()
        assert {wrong for wrong in watch.wrongs if "ERR_INTERNET_DISCONNECTED" not in wrong} == set()


def test_an_instant_that_was_asked_for_without_a_connection_is_shown_once_it_is_back(
    browser: Browser, scene: PageScene
) -> None:
    with watched(browser, scene.url) as watch:
        page = watch.page
        page.goto(scene.url + CHAT)
        expect(told(page)).to_be_visible()
        has_read_the_history(page)
        page.context.set_offline(True)
        page.get_by_role("slider").focus()
        for _ in range(40):
            page.keyboard.press("ArrowLeft")
        lost = page.get_by_role("alert").filter(has_text="Failed to fetch")
        expect(lost).to_be_visible()
        at = parse_qs(urlsplit(page.url).query)["at"][0]
        page.context.set_offline(False)
        expect(lost).to_be_hidden()
        _is_told(page, scene.json(f"/workloads/demo/chat/decision?at={at}"))
        assert {wrong for wrong in watch.wrongs if "ERR_INTERNET_DISCONNECTED" not in wrong} == set()
