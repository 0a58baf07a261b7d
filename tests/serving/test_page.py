import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient

from predictscale.clock import ManualClock
from predictscale.control.desk import Desk, Following
from predictscale.control.step import StepMemory, step
from predictscale.control.store import DecisionStore
from predictscale.core.demand import WorkloadId
from predictscale.core.forecast import Forecast
from predictscale.core.plan import Decision, Mode, OnStale, Stage
from predictscale.serving.page import render_page
from predictscale.serving.rest import create_app
from predictscale.serving.views import RefusedView
from worlds import CHAT, NOON, at, flat_forecast, policy, seen

SCRIPT = "<script>alert('x')</script>"


class Read(HTMLParser):
    """What a browser makes of a page: its tags, their attributes, its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data if "style" not in self.open else ""


def decide(
    demand: float | None = 25,
    forecast: Forecast | None = None,
    *,
    mode: Mode = Mode.LIVE,
    workload: WorkloadId = CHAT,
    unit: str = "requests/s",
    replicas: int | None = None,
    notes: tuple[str, ...] = (),
) -> Decision:
    made, _ = step(
        workload,
        seen(demand, replicas=replicas),
        forecast,
        policy(mode=mode, on_stale=OnStale.UNAVAILABLE),
        StepMemory(),
        unit=unit,
        notes=notes,
    )
    return made


def page(*decisions: Decision, refused: tuple[RefusedView, ...] = ()) -> Read:
    return Read(render_page(decisions, refused, now=NOON))


def refusal(problem: str, *, name: str = "shop") -> RefusedView:
    return RefusedView(namespace="prod", scaled_object=name, problems=[problem], since=NOON)


def test_every_stage_is_shown_with_its_number_and_its_reason() -> None:
    made = decide(25, flat_forecast(90))
    read = page(made)
    for stage, shown in zip(Stage, made.plan.steps, strict=True):
        assert stage.value in read.text
        assert shown.because in read.text
        assert f"{shown.value:,.6g}" in read.text


def test_each_workload_shows_what_is_published_wanted_and_there() -> None:
    read = page(decide(25, flat_forecast(90), replicas=4))
    assert "prod/chat ok" in read.text
    assert "published 9, reactive 3, replicas 4, ready 4; model oracle; mode live" in read.text


def test_a_fleet_that_is_not_known_is_not_shown_as_zero() -> None:
    assert "replicas unknown, ready unknown; model none" in page(decide()).text


def test_a_workload_that_keda_is_told_nothing_of_is_shown_as_unavailable() -> None:
    assert "published unavailable" in page(decide(None)).text
    late = render_page([decide()], [], now=at(policy().stale_after_s + 1))
    assert "published unavailable" in Read(late).text


def test_in_shadow_mode_the_steps_to_the_published_number_come_first() -> None:
    made = decide(25, flat_forecast(90), mode=Mode.SHADOW)
    text = page(made).text
    told, recorded = text.split("With the forecast, which is only recorded:")
    assert "published 3, reactive 3" in told
    assert made.reactive.steps[0].because in told
    assert made.plan.steps[0].because in recorded


def test_workloads_come_in_the_order_of_their_names() -> None:
    names = [WorkloadId("a", "z"), WorkloadId("prod", "chat"), WorkloadId("prod", "shop")]
    text = page(*(decide(workload=name) for name in reversed(names))).text
    assert sorted(names, key=lambda name: text.index(str(name))) == names


def test_notes_and_refused_triggers_are_shown() -> None:
    read = page(
        decide(notes=("prophet not used: it is late",)), refused=(refusal("maxReplicas: is missing"),)
    )
    assert "Note: prophet not used: it is late" in read.text
    assert "prod/shop: maxReplicas: is missing" in read.text


def test_an_empty_service_says_so() -> None:
    assert "No workload has a decision yet." in page().text


def test_whatever_people_name_things_is_text_and_nothing_else() -> None:
    made = decide(
        25,
        replace(flat_forecast(90), model=SCRIPT),
        workload=WorkloadId(SCRIPT, SCRIPT),
        unit=SCRIPT,
        notes=(SCRIPT,),
    )
    plain = page(decide(25, flat_forecast(90), notes=("x",)), refused=(refusal("x"),))
    read = page(made, refused=(refusal(SCRIPT, name=SCRIPT),))
    assert read.tags == plain.tags
    assert read.attributes == plain.attributes
    assert "script" not in read.tags
    assert read.text.count(SCRIPT) > 8


@given(st.text(min_size=1), st.text(min_size=1), st.text(min_size=1, max_size=40))
def test_no_name_unit_or_note_can_change_the_page(name: str, note: str, unit: str) -> None:
    plain = page(decide(notes=("x",)), refused=(refusal("x"),))
    made = decide(workload=WorkloadId(name, name), unit=unit, notes=(note,))
    read = page(made, refused=(refusal(note, name=name),))
    assert (read.tags, read.attributes) == (plain.tags, plain.attributes)


def test_every_tag_that_is_opened_is_closed() -> None:
    read = page(decide(25, flat_forecast(90), mode=Mode.SHADOW), refused=(refusal("x"),))
    assert read.open == []


def test_the_page_asks_for_nothing_outside_and_runs_nothing() -> None:
    html = render_page([decide(25, flat_forecast(90))], [refusal("x")], now=NOON)
    read = Read(html)
    assert not {"script", "link", "img", "iframe", "object", "embed", "form", "base"} & set(read.tags)
    assert not [
        name for name, _ in read.attributes if name in {"src", "href", "action", "style"} or name[:2] == "on"
    ]
    assert not re.search(r"://|url\(|@import", html)


@pytest.fixture
def client() -> TestClient:
    store = DecisionStore()
    store.put(decide())

    def parse(_: object) -> object:
        raise AssertionError("no trigger is asked for")

    desk = Desk(
        parse=parse,  # type: ignore[arg-type]  # it is not called
        store=store,
        following=Following(lambda _: None, lambda _: None),
        clock=ManualClock(NOON),
        max_registrations=1,
        expire_after_s=1,
    )
    return TestClient(create_app(store=store, desk=desk, now=lambda: NOON, ready=lambda: True))


def test_the_browser_is_told_to_load_and_run_nothing(client: TestClient) -> None:
    answer = client.get("/")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    rules = dict(rule.strip().split(" ", 1) for rule in answer.headers["content-security-policy"].split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["frame-ancestors"] == "'none'"
    assert not {"script-src", "img-src", "connect-src"} & set(rules)
    assert "prod/chat" in answer.text
