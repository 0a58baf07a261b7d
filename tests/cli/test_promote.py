"""The gate on the command line, asked of a real REST server."""

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from predictscale.cli import app
from predictscale.cli.promote import LONGEST_REASON, NOT_YET, amount
from predictscale.cli.sending import fail, send
from predictscale.core.demand import WorkloadId
from predictscale.core.plan import Mode
from promotion_scene import TOKEN, Gate, Trial, many
from served_app import served_app

GOOD, YOUNG = Trial(), Trial(days=0.3)


@dataclass
class Asked:
    gate: Gate
    url: str

    def run(self, *arguments: str) -> Result:
        environment = {"COLUMNS": "200", "PREDICTSCALE_TOKEN": None, "PREDICTSCALE_TOKEN_FILE": None}
        return CliRunner().invoke(app, [*arguments, "--url", self.url], env=environment)

    def promote(self, *arguments: str, name: str = "chat") -> Result:
        return self.run("promote", f"prod/{name}", "--days", "3", *arguments)

    @property
    def token(self) -> tuple[str, str]:
        return ("--token-file", str(self.gate.tokens))


@pytest.fixture
def asked(tmp_path: Path) -> Iterator[Asked]:
    gate = Gate(tmp_path / "tokens")
    with served_app(gate.app()) as url:
        yield Asked(gate, url)


def test_days_that_speak_for_it_are_shown_with_every_reason(asked: Asked) -> None:
    asked.gate.add("chat", GOOD)
    run = asked.promote()
    assert run.exit_code == 0, run.output
    assert "prod/chat: promote (shadow for 3.1 days)" in run.output
    assert "late in replay" in run.output
    assert "fail" not in run.output
    assert "a plain HPA (projected)" in run.output
    # Nobody asked for it.
    assert asked.gate.mode(WorkloadId("prod", "chat")) is None


def test_too_few_days_are_not_yet_enough_and_are_not_replayed(asked: Asked) -> None:
    asked.gate.add("chat", YOUNG)
    run = asked.promote()
    assert run.exit_code == NOT_YET
    assert "not yet" in run.output
    assert "late in replay" not in run.output


def test_a_replay_that_is_late_too_often_keeps_the_gate_shut(asked: Asked) -> None:
    asked.gate.late = 0.5
    asked.gate.add("chat", GOOD)
    run = asked.promote()
    assert run.exit_code == NOT_YET
    assert asked.promote("--no-replay").exit_code == 0


def test_a_replay_that_cannot_be_had_is_said(asked: Asked) -> None:
    asked.gate.late = None
    asked.gate.add("chat", GOOD)
    run = asked.promote()
    assert run.exit_code == 0
    assert "not replayed: prod/chat has 0.5 days of history" in run.output


def test_apply_switches_it_on_with_the_gates_reasons(asked: Asked) -> None:
    chat = asked.gate.add("chat", GOOD)
    run = asked.promote("--apply", *asked.token)
    assert run.exit_code == 0, run.output
    assert asked.gate.mode(chat) is Mode.LIVE
    said = asked.gate.reason(chat)
    assert said.startswith("promoted by the gate; 3.1 days in shadow: 0.000% late")
    assert len(said) <= LONGEST_REASON
    assert TOKEN not in run.output


def test_apply_leaves_in_shadow_what_the_gate_does_not_pass_unless_it_is_forced(asked: Asked) -> None:
    chat = asked.gate.add("chat", YOUNG)
    assert asked.promote("--apply", *asked.token).exit_code == NOT_YET
    assert asked.gate.mode(chat) is None
    run = asked.promote("--apply", "--force", *asked.token)
    assert run.exit_code == 0, run.output
    assert asked.gate.mode(chat) is Mode.LIVE
    assert asked.gate.reason(chat).startswith("forced, although not met: days in shadow")


def test_force_alone_and_apply_without_a_token_change_nothing(asked: Asked) -> None:
    chat = asked.gate.add("chat", GOOD)
    assert asked.promote("--force").exit_code == 2
    run = asked.promote("--apply")
    assert run.exit_code == 1
    assert "--token-file" in run.output
    assert asked.gate.mode(chat) is None


def test_what_is_live_already_needs_nothing(asked: Asked) -> None:
    chat = asked.gate.add("chat", Trial(mode=Mode.LIVE))
    run = asked.promote("--apply", *asked.token)
    assert run.exit_code == 0
    assert "live already" in run.output
    assert asked.gate.mode(chat) is None


def test_json_is_what_the_service_says(asked: Asked) -> None:
    asked.gate.add("chat", GOOD)
    told = json.loads(asked.promote("--json").stdout)
    assert told["promote"] is True
    assert {each["what"] for each in told["reasons"]} >= {"late", "coverage", "late in replay"}


def test_a_workload_that_nobody_follows_and_a_service_that_is_away_are_errors(asked: Asked) -> None:
    asked.gate.add("chat", GOOD)
    gone = asked.promote(name="gone")
    assert (gone.exit_code, "known: " in gone.output) == (1, True)
    away = CliRunner().invoke(app, ["promote", "prod/chat", "--url", "http://127.0.0.1:9"])
    assert (away.exit_code, "no answer" in away.output) == (1, True)
    assert CliRunner().invoke(app, ["promote", "chat", "--url", asked.url]).exit_code == 2


def test_numbers_read_as_people_write_them() -> None:
    assert [amount(0.0123, "1"), amount(1.1, "x"), amount(7, "d"), amount(1800, "s")] == [
        "1.23%",
        "1.10x",
        "7.00 d",
        "1,800 s",
    ]


EIGHT = [(f"m{n}", GOOD) for n in range(8)]


def test_a_canary_puts_a_share_live_and_the_rest_in_shadow(asked: Asked) -> None:
    many(asked.gate, [*EIGHT[:-1], ("m7", Trial(mode=Mode.LIVE))])
    run = asked.run("canary", "plan", "--namespace", "llm", "--share", "25%")
    assert run.exit_code == 0, run.output
    assert "2 of 8 live first (25%)" in run.output
    names = [WorkloadId("llm", f"m{n}") for n in range(8)]
    assert [asked.gate.mode(name) for name in names] == [None] * 8
    done = asked.run("canary", "plan", "--namespace", "llm", "--share", "25%", "--apply", *asked.token)
    assert done.exit_code == 0, done.output
    # m7 was live by its settings; whichever were in their mode already are left alone.
    after = [asked.gate.mode(name) or (Mode.LIVE if name.name == "m7" else Mode.SHADOW) for name in names]
    assert after.count(Mode.LIVE) == 2
    live = [str(name) for name, mode in zip(names, after, strict=True) if mode is Mode.LIVE]
    for name in live:
        assert any(name in line and "live" in line for line in run.output.splitlines())


def test_a_canary_that_breaks_off_says_what_it_has_done(
    asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    many(asked.gate, EIGHT)
    plan = ("canary", "plan", "--namespace", "llm", "--share", "50%", "--apply", *asked.token)
    done: list[str] = []

    def breaks(method: str, url: str, workload: str, what: str, **rest: Any) -> Any:
        if len(done) == 2:
            fail(f"{url}: no answer")
        done.append(workload)
        return send(method, url, workload, what, **rest)

    # The package holds the command under this name.
    monkeypatch.setattr(sys.modules["predictscale.cli.canary"], "send", breaks)
    run = asked.run(*plan)
    assert run.exit_code == 1
    said = f"2 of 4 modes were set before that: {', '.join(done)}; the same command sets the rest"
    assert said in run.output


@pytest.mark.parametrize("number", ["NaN", "Infinity"])
def test_what_is_no_number_is_left_to_the_service_to_judge(asked: Asked, number: str) -> None:
    run = asked.run("whatif", "prod/chat", "--days", number)
    # The scene takes any number.
    assert run.exit_code == 0, run.output


def test_no_column_of_a_what_if_is_called_what_a_row_is(asked: Asked) -> None:
    said = " ".join(asked.run("whatif", "prod/chat").output.split())
    assert "Peak fleet: fixed, for the highest demand that came." in said
    assert "to static" not in said


def test_a_canary_of_named_ones_and_of_none(asked: Asked) -> None:
    many(asked.gate, EIGHT)
    run = asked.run("canary", "plan", "llm/m1", "llm/m2", "--share", "0.5")
    assert "1 of 2 live first" in run.output
    assert asked.run("canary", "plan", "llm/m1", "llm/gone").exit_code == 1
    assert asked.run("canary", "plan", "--namespace", "none").exit_code == 1
    assert asked.run("canary", "plan", "llm/m1", "--namespace", "llm").exit_code == 2
    for share in ("0%", "101%", "many"):
        assert asked.run("canary", "plan", "--share", share).exit_code == 2


LIVE = [(f"l{n}", Trial(days=0.3, mode=Mode.LIVE, replicas=4 + n)) for n in range(3)]
SHADOW = [(f"s{n}", Trial(days=0.3, replicas=6 + n)) for n in range(3)]


def test_the_status_of_a_canary_compares_what_each_did_beside_a_plain_hpa(asked: Asked) -> None:
    many(asked.gate, [*LIVE, *SHADOW])
    run = asked.run("canary", "status", "--namespace", "llm", "--days", "3")
    assert run.exit_code == 0, run.output
    # A plain HPA aims at 70 %: four of ten for 25; the live ones hold 4, 5, 6 and the others 6, 7, 8.
    assert "hours of a plain HPA's, live less shadow: -0.488 ± 0.857" in run.output
    told = json.loads(asked.run("canary", "status", "--namespace", "llm", "--days", "3", "--json").stdout)
    assert told["live_less_shadow"]["late"]["mean"] == 0
    cost = told["live_less_shadow"]["cost"]
    assert cost["mean"] < -0.4
    # Live 1, 1.25, 1.5: a spread of 0.25 on either side, and t of two degrees of freedom.
    assert cost["within"] == pytest.approx(4.303 * (2 * 0.25**2 / 3) ** 0.5, rel=0.05)


def test_a_canary_goes_on_with_those_that_pass(asked: Asked) -> None:
    many(asked.gate, [*LIVE, ("good", GOOD), ("young", YOUNG)])
    shown = asked.run("canary", "promote", "--namespace", "llm", "--days", "3")
    assert shown.exit_code == NOT_YET
    assert "1 of 2 in shadow pass" in shown.output
    assert asked.gate.mode(WorkloadId("llm", "good")) is None
    done = asked.run("canary", "promote", "--namespace", "llm", "--days", "3", "--apply", *asked.token)
    assert done.exit_code == NOT_YET
    assert asked.gate.mode(WorkloadId("llm", "good")) is Mode.LIVE
    assert asked.gate.mode(WorkloadId("llm", "young")) is None


def test_a_canary_whose_live_ones_are_late_more_often_goes_no_further(asked: Asked) -> None:
    # Two replicas of ten for 25 a second: their queue never ends.
    bad = [(f"l{n}", Trial(days=0.3, mode=Mode.LIVE, replicas=2)) for n in range(3)]
    many(asked.gate, [*bad, *SHADOW, ("good", GOOD)])
    run = asked.run("canary", "promote", "--namespace", "llm", "--days", "3", "--apply", *asked.token)
    assert run.exit_code == 1
    assert "nothing is switched on" in run.output
    good = WorkloadId("llm", "good")
    assert asked.gate.mode(good) is None
    asked.run("canary", "promote", "--namespace", "llm", "--days", "3", "--apply", "--force", *asked.token)
    assert asked.gate.mode(good) is Mode.LIVE
