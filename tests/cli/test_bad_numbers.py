"""Numbers that cannot be are refused with the option that they came by, before anything is asked or read."""

import pytest
from fastapi import FastAPI
from typer.testing import CliRunner

from predictscale.cli import app
from served_app import served_app

NOWHERE = ("--prometheus", "http://127.0.0.1:9")


@pytest.fixture(autouse=True)
def _keeps_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("predictscale.bootstrap.configure_logging", lambda **_: None)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("audit", "--days", "nan"), "--days: nan; must be above 0, at most 400"),
        (("audit", "--replay-days", "-1"), "--replay-days: -1; must be above 0, at most 400"),
        (
            ("audit", "--replay-days", "30"),
            "--replay-days: 30 days are to be replayed of 28 that are read (--days)",
        ),
        (("audit", "--lead-time", "2d"), "--lead-time: 2d; must be at most a day"),
        (("report", "ml/x", "--history-days", "nan"), "--history-days: nan; must be above 0, at most 400"),
        (("report", "ml/x", "--days", "0"), "--days: 0; must be above 0, at most 400"),
        (
            ("report", "ml/x", "--days", "28"),
            "--days: 28 days are to be replayed of 28 that are read (--history-days)",
        ),
    ],
)
def test_days_are_named_as_the_command_that_was_run_names_them(given: tuple[str, ...], said: str) -> None:
    run = CliRunner().invoke(app, [*given, *NOWHERE])
    assert run.exit_code == 2
    assert run.stderr.startswith(said)


@pytest.mark.parametrize(
    "given",
    [
        ("--capacity-per-replica", "nan"), ("--capacity-per-replica", "0"), ("--lead-time-s", "-1"),
        ("--lead-time-s", "inf"), ("--lead-time-s", "1e9"), ("--slo-violation", "2"), ("--wait-s", "nan"),
        ("--max", "0"),
    ],
)  # fmt: skip
def test_what_tune_cannot_use_is_named(given: tuple[str, str]) -> None:
    run = CliRunner().invoke(app, ["tune", "--trace", "nowhere.csv", "--capacity-per-replica", "1", *given])
    assert run.exit_code == 2
    assert given[0] in run.stderr.partition(";")[0]


@pytest.mark.parametrize("command", ["audit", "discover"])
def test_who_answers_and_refuses_is_not_said_to_be_out_of_reach(command: str) -> None:
    """FastAPI's 404 stands for whatever is no Prometheus, or wants a token."""
    with served_app(FastAPI()) as url:
        run = CliRunner().invoke(app, [command, "--prometheus", url])
    assert run.exit_code == 1
    assert "HTTP 404" in run.stderr
    assert run.stderr.endswith(f"; is {url} the base URL of a Prometheus that lets you ask it?\n")


def test_who_does_not_answer_is_named() -> None:
    run = CliRunner().invoke(app, ["audit", *NOWHERE])
    assert run.exit_code == 1
    assert run.stderr.endswith("; can http://127.0.0.1:9 be reached from here?\n")
