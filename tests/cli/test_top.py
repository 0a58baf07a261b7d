"""The fleet in a terminal, asked of a real REST server."""

import io
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module

import pytest
from rich.console import Console
from typer.testing import CliRunner

from closed_desk import closed_desk
from past_scenes import decided, rising
from predictscale.cli import app
from predictscale.cli.top import Asked, Seen, frame, look
from predictscale.clock import ManualClock
from predictscale.control.moneybook import Money, MoneyBook
from predictscale.control.store import DecisionStore
from predictscale.core.cost import Spend
from predictscale.core.demand import WorkloadId
from predictscale.serving.rest import create_app
from served_app import served_app
from worlds import NOON, policy


@dataclass
class Served:
    """A service's REST, and what it reads."""

    url: str
    store: DecisionStore
    money: MoneyBook

    def decide(self, name: str, demand: float | None, *, namespace: str = "prod", most: int = 100) -> None:
        forecast = None if demand is None else rising(0)
        obeyed = policy(lead_time_s=240, level=0.95, max_replicas=most)
        workload = WorkloadId(namespace, name)
        self.store.put(decided(0, demand, workload=workload, forecast=forecast, obeyed=obeyed))

    def say(self, *arguments: str, wants: int = 0) -> str:
        run = CliRunner().invoke(app, ["top", *arguments, "--url", self.url], env={"COLUMNS": "170"})
        assert run.exit_code == wants, run.output
        return str(run.output)

    def rows(self, *arguments: str) -> list[list[str]]:
        """The cells of `top --once`."""
        lines = self.say("--once", *arguments).splitlines()
        return [[cell.strip() for cell in line.split("│")[1:-1]] for line in lines if line.startswith("│")]


@pytest.fixture
def served() -> Iterator[Served]:
    store, clock, money = DecisionStore(), ManualClock(NOON), MoneyBook()
    desk = closed_desk(store, clock)
    rest = create_app(store=store, desk=desk, now=clock.now, ready=lambda: True, money=money)
    with served_app(rest) as url:
        yield Served(url, store, money)


def drawn(*, lost: str | None, asked: Asked, rows: int | None = None) -> str:
    console = Console(file=io.StringIO(), width=170)
    console.print(frame(look(asked, rows=rows), lost=lost))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_each_workload_is_a_row_with_its_numbers_the_worst_state_first(served: Served) -> None:
    served.decide("chat", 305)
    served.decide("shop", None)
    served.decide("full", 305, most=20)
    rows = served.rows()
    assert rows[0][0] == "prod/shop"
    assert rows[0][4:7] == ["none", "4", "–"]
    told = {row[0]: row for row in rows[1:]}
    assert told["prod/chat"][1:3] == ["ok", "live"]
    assert told["prod/chat"][3:7] == ["31", "31", "4", "305"]
    assert told["prod/full"][3:7] == ["20 max", "20", "4", "305"]
    assert told["prod/chat"][8:11] == ["requests/s", "oracle", "0s"]


def test_the_head_tells_the_fleet_in_one_line(served: Served) -> None:
    served.decide("chat", 305)
    head = served.say("--once").splitlines()[0]
    assert "1 workloads, 0 waiting, 0 refused" in head
    assert "31 wanted, 4 ready" in head
    assert "12:00:00 UTC" in head


def test_what_the_fleet_costs_is_told_with_what_it_is_the_cost_of(served: Served) -> None:
    hourly = Spend(currency="EUR", money=12.5, replica_h=3, gpu_h=None)
    served.money.put(WorkloadId("prod", "chat"), Money(at=NOON, currency="EUR", hourly=hourly))
    for name in ("chat", "shop"):
        served.decide(name, 305)
    head = " ".join(served.say("--once").split())
    assert "2 workloads, 0 waiting" in head
    assert "12.50 EUR/h for 3 replicas of 1 workload ·" in head


def test_filters_and_order_are_the_services(served: Served) -> None:
    for name, demand in (("a", 10), ("b", 30), ("c", 20)):
        served.decide(name, demand)
    served.decide("d", None, namespace="dev")
    assert [row[0] for row in served.rows("--sort", "-demand", "--namespace", "prod")] == [
        "prod/b",
        "prod/c",
        "prod/a",
    ]
    [only] = served.rows("--namespace", "dev")
    assert only[0] == "dev/d"
    assert {row[0] for row in served.rows("--state", "ok")} == {"prod/a", "prod/b", "prod/c"}
    assert "state" in served.say("--once", "--state", "tired", wants=1)


def test_all_pages_are_printed_at_once_and_a_screen_tells_what_it_hides(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(import_module("predictscale.cli.top"), "_PAGE", 7)
    for number in range(23):
        served.decide(f"w{number:02}", 10)
    assert [row[0] for row in served.rows("--sort", "name")] == [f"prod/w{number:02}" for number in range(23)]
    assert "and 18 more" in drawn(lost=None, asked=Asked(url=served.url), rows=5)


def test_refused_triggers_are_told_with_their_reasons_and_no_more_than_a_few() -> None:
    each = {"namespace": "llm", "problems": ["maxReplicas: is missing", "[b]: is no key"]}
    refused = [{**each, "scaled_object": f"w{number}"} for number in range(9)]
    fleet = {
        "version": "1",
        "workloads": 0,
        "waiting": 0,
        "refused": 9,
        "target_replicas": 0,
        "now": "2026-03-02T12:00Z",
    }
    console = Console(file=io.StringIO(), width=170)
    console.print(frame(Seen(fleet=fleet, rows=[], total=0, refused=refused)))
    assert isinstance(console.file, io.StringIO)
    said = console.file.getvalue()
    assert "refused: llm/w0: maxReplicas: is missing; [b]: is no key" in said
    assert said.count("refused: llm/") == 3


def test_names_are_no_markup(served: Served) -> None:
    served.decide("[red]loud[/red]", 10)
    assert served.rows()[0][0] == "prod/[red]loud[/red]"


def test_old_numbers_are_not_shown_as_new_ones(served: Served) -> None:
    served.decide("chat", 305)
    said = drawn(lost="nobody answers", asked=Asked(url=served.url))
    assert "nobody answers" in said
    assert "the numbers above are of 12:00:00 UTC" in said


def test_live_goes_on_through_a_service_that_is_away_until_it_is_told_to_stop(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    served.decide("chat", 305)
    asked: list[str] = []
    module = import_module("predictscale.cli.top")  # the package has a command of that name
    real = module.ask

    def ask(url: str, path: str, query: object = ()) -> object:
        asked.append(path)
        if len(asked) > 8:
            raise KeyboardInterrupt
        return real("http://127.0.0.1:9" if 3 <= len(asked) <= 4 else url, path, query)

    class Soon(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            assert timeout == 0.5
            return False

    monkeypatch.setattr(module, "ask", ask)
    monkeypatch.setattr(module.threading, "Event", Soon)
    said = served.say("--every", "100ms")
    assert len(asked) == 9
    assert "prod/chat" in said


@pytest.mark.parametrize("every", ["soon", "-1", ""])
def test_a_bad_rhythm_is_refused(served: Served, every: str) -> None:
    assert "--every" in served.say("--every", every, wants=2)


def test_where_nobody_answers_the_command_says_so() -> None:
    run = CliRunner().invoke(app, ["top", "--once", "--url", "http://127.0.0.1:9"])
    assert run.exit_code == 1
    assert "is --url its REST address?" in run.output
