"""Warm nodes from what a service tells: more forecast never means fewer, and the unknown is not nothing."""

from datetime import timedelta
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from predictscale.cli import app
from predictscale.cli.warmnodes import expected
from predictscale.config.warmnodes import read_warm_nodes
from predictscale.control.step import StepMemory, step
from predictscale.core.forecast import Forecast
from predictscale.core.plan import Policy
from predictscale.errors import SettingsError
from predictscale.serving.views import decision_view, forecast_view
from worlds import CHAT, flat_forecast, forecast_of, policy, seen

WAKE = {"gpusPerNode": "4", "wake": "4m"}


def told(
    forecast: Forecast, *, replicas: int | None = 3, age_s: float = 0, obeyed: Policy | None = None
) -> dict[str, Any]:
    """What REST answers of a decision, `age_s` after its forecast began."""
    now = forecast.origin + timedelta(seconds=age_s)
    made, _ = step(
        CHAT,
        seen(25, now=now, replicas=replicas),
        forecast,
        obeyed or policy(),
        StepMemory(),
        unit="requests/s",
    )
    return {
        "decision": decision_view(made, now=now).model_dump(mode="json"),
        "told": forecast_view(made, forecast, now=now).model_dump(mode="json"),
    }


def nodes(answers: dict[str, Any], **said: str) -> int:
    return expected(read_warm_nodes("prod", "chat", {**WAKE, **said}), **answers).nodes


def test_nodes_are_for_the_replicas_that_may_be_wanted_while_a_node_starts() -> None:
    # Ten requests/s per replica: 12 replicas within four minutes, 3 are here, so 9 on nodes of 4.
    answers = told(forecast_of([30, 60, 120, 90, 500, 500]))
    sized = expected(read_warm_nodes("prod", "chat", WAKE), **answers)
    assert sized.nodes == 3
    wanted, author, each, held = sized.because
    assert wanted == (
        "up to 120 requests/s may come within 240 s at level 0.9: 12 replicas; 3 are here, "
        "9 more may be wanted."
    )
    assert author.startswith(
        "Forecast by oracle of 2026-03-02T12:00:00Z; the decision of 2026-03-02T12:00:00Z is ok."
    )
    assert each == "A replica serves 10 requests/s (configured)."
    assert held == "Replicas to hold: 9. GPUs per replica 1, per node 4: nodes 3."


def test_who_waits_longer_for_a_node_keeps_more_of_them() -> None:
    answers = told(forecast_of([30, 60, 120, 90, 500, 500]))
    assert [nodes(answers, wake=wake) for wake in ("1m", "2m", "4m", "5m")] == [0, 1, 3, 12]


def test_an_old_forecast_is_asked_for_what_still_lies_ahead() -> None:
    path = [500.0, 60, 60, 60, 60, 60, 60]
    assert nodes(told(forecast_of(path))) == 12
    assert nodes(told(forecast_of(path), age_s=90)) == 1


demands = st.floats(0, 1e4)


@given(path=st.lists(demands, min_size=4, max_size=8), more=demands, here=st.integers(0, 200))
def test_more_forecast_never_means_fewer_nodes(path: list[float], more: float, here: int) -> None:
    asked = policy(max_replicas=10_000)
    low = nodes(told(forecast_of(path), replicas=here, obeyed=asked))
    high = nodes(told(forecast_of([value + more for value in path]), replicas=here, obeyed=asked))
    assert low <= high


@given(demand=demands, here=st.integers(0, 200), more=st.integers(0, 50))
def test_more_replicas_here_never_mean_more_nodes(demand: float, here: int, more: int) -> None:
    forecast = flat_forecast(demand)
    assert nodes(told(forecast, replicas=here + more)) <= nodes(told(forecast, replicas=here))


def test_no_room_is_kept_for_replicas_that_the_workload_may_not_have() -> None:
    answers = told(flat_forecast(1000), obeyed=policy(max_replicas=11))
    sized = expected(read_warm_nodes("prod", "chat", WAKE), **answers)
    assert sized.nodes == 2
    assert "100 replicas, of which the workload may have 11; 3 are here, 8 more" in sized.because[0]


def test_the_level_is_the_policys_unless_another_is_said() -> None:
    answers = told(flat_forecast(100), obeyed=policy(level=0.5))
    for said, level in (({}, "0.5"), ({"level": "0.9"}, "0.9")):
        sized = expected(read_warm_nodes("prod", "chat", {**WAKE, **said}), **answers)
        assert f"at level {level}:" in sized.because[0]


def test_a_fleet_that_cannot_be_seen_is_not_an_empty_one() -> None:
    with pytest.raises(SettingsError, match="current_replicas: is not known to the service"):
        nodes(told(flat_forecast(100), replicas=None))


def test_a_capacity_that_is_not_learned_yet_sizes_nothing() -> None:
    answers = told(flat_forecast(100))
    answers["decision"]["policy"]["capacity_per_replica"] = None
    with pytest.raises(SettingsError, match="capacity_per_replica: is not known to the service yet"):
        nodes(answers)


def test_a_node_that_takes_longer_than_the_forecast_reaches_is_refused_with_both_numbers() -> None:
    with pytest.raises(SettingsError, match=r"^wake: 20m; the forecast of 2026-03-02T12:00:00Z reaches 20m"):
        nodes(told(flat_forecast(100, steps=20), age_s=30), wake="20m")


def render(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["render", *arguments])
    return result.exit_code, result.stdout, result.stderr


def test_a_number_that_is_given_needs_no_service() -> None:
    nobody = ("--url", "http://127.0.0.1:9")
    code, out, err = render("llm/chat", "--warm-nodes", "placeholder", "gpusPerNode=8", "nodes=2", *nobody)
    assert (code, err) == (0, "")
    (_, deployment) = yaml.safe_load_all(out)
    assert deployment["spec"]["replicas"] == 2


def test_without_a_number_the_service_is_asked() -> None:
    nobody = ("--url", "http://127.0.0.1:9")
    code, out, err = render("llm/chat", "--warm-nodes", "buffer", "gpusPerNode=8", "wake=4m", *nobody)
    assert (code, out) == (1, "")
    assert "http://127.0.0.1:9: no answer" in err


def test_the_command_prints_what_the_service_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = told(flat_forecast(120))

    def get(url: str, workload: str, what: str) -> Any:
        assert (url, workload) == ("http://here", "prod/chat")
        return answers["decision" if what == "decision" else "told"]

    monkeypatch.setattr("predictscale.cli.warmnodes.get", get)
    code, out, _ = render(
        "prod/chat", "--warm-nodes", "buffer", "gpusPerNode=4", "wake=4m", "--url", "http://here"
    )
    assert code == 0
    assert out.startswith("# Nodes that stand ready for prod/chat: 3.\n# up to 120 requests/s may come")
    (_, buffer) = yaml.safe_load_all(out)
    assert buffer["spec"]["replicas"] == 3


@pytest.mark.parametrize("option", ["--target", "--address", "--service"])
def test_what_is_of_a_scaled_object_is_refused_beside_warm_nodes(option: str) -> None:
    code, out, err = render("llm/chat", "--warm-nodes", "buffer", "gpusPerNode=8", "nodes=1", option, "x")
    assert (code, out) == (2, "")
    assert err == f"{option}: is of a ScaledObject; leave it out beside --warm-nodes\n"


def test_problems_end_the_command_with_all_of_them() -> None:
    code, out, err = render("llm/chat", "--warm-nodes", "buffer", "gpuPerNode=8", "nodes=-1")
    assert (code, out) == (2, "")
    assert [line.partition(":")[0] for line in err.splitlines()] == ["gpuPerNode", "nodes", "gpusPerNode"]
