from pathlib import Path

import pytest
import yaml

from predictscale.config.presets import Preset, fleet_signals, load_presets
from predictscale.config.promql import parse_selector, unconfined
from predictscale.core.demand import SignalName
from predictscale.errors import FileUnusable, SettingsError

PRESETS = load_presets()

SOUND = {
    "name": "thing",
    "title": "A thing",
    "source": "made up for a test",
    "signals": {
        "demand": {"query": "sum(rate(a{$selector}[$window]))", "unit": "requests/s", "meaning": "arrival"},
    },
}


def written(folder: Path, preset: object, *, name: str = "thing") -> Path:
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(preset))
    return folder


def with_query(query: str) -> dict[str, object]:
    return {**SOUND, "signals": {"demand": {"query": query, "unit": "requests/s", "meaning": "arrival"}}}


def test_every_backend_of_the_design_has_a_preset() -> None:
    assert set(PRESETS) == {
        "envoy", "http", "istio", "knative", "llm-d", "nginx", "ray-serve",
        "sglang", "sglang-tokens", "tgi", "triton", "vllm", "vllm-tokens",
    }  # fmt: skip


@pytest.mark.parametrize("preset", PRESETS.values(), ids=str)
def test_every_selector_of_a_preset_is_bound_to_the_namespace(preset: Preset) -> None:
    selector = parse_selector('model_name="x"', "own", where="selector", label=preset.confined_by)
    for name in preset.signals:
        signal = preset.signal(name, selector=selector)
        assert signal is not None
        assert unconfined(signal.query, "own", label=preset.confined_by) == []
        assert "$" not in signal.query


@pytest.mark.parametrize("preset", PRESETS.values(), ids=str)
def test_a_queue_is_counted_in_the_demands_unit(preset: Preset) -> None:
    demand = preset.signal(SignalName.DEMAND, selector='namespace="own"')
    queue = preset.signal(SignalName.QUEUE, selector='namespace="own"')
    assert demand is not None
    assert demand.unit in ("requests/s", "tokens/s")
    assert queue is None or queue.unit == demand.unit.removesuffix("/s")


def test_a_dollar_in_a_selector_is_not_a_placeholder() -> None:
    selector = parse_selector('model_name=~"a$|$window"', "own", where="selector")
    signal = PRESETS["vllm"].signal(SignalName.QUEUE, selector=selector)
    assert signal is not None
    assert signal.query == 'sum(vllm:num_requests_waiting{namespace="own",model_name=~"a$|$window"})'


def test_the_window_is_written_as_a_range_and_as_seconds() -> None:
    wide = PRESETS["vllm"].model_copy(update={"window_s": 300.0})
    signal = wide.signal(SignalName.DEMAND, selector='namespace="own"')
    assert signal is not None
    assert "[5m]" in signal.query
    assert "/ 300" in signal.query


def test_the_fleet_is_told_by_kube_state_metrics() -> None:
    replicas, ready = fleet_signals("own", "chat")
    assert replicas.query == 'max(kube_deployment_status_replicas{namespace="own",deployment="chat"})'
    assert ready.query == 'max(kube_deployment_status_replicas_ready{namespace="own",deployment="chat"})'
    assert not replicas.empty_is_zero
    assert not ready.empty_is_zero


def test_a_sound_preset_of_ones_own_is_loaded(tmp_path: Path) -> None:
    assert list(load_presets(written(tmp_path, SOUND))) == ["thing"]


@pytest.mark.parametrize(
    ("preset", "complaint"),
    [
        (with_query("sum(rate(a{$selector}[$window])"), "is not PromQL"),
        (with_query("sum(a)"), "selects a unbound"),
        (with_query("sum(a{$selector}) + sum(b)"), "selects b unbound"),
        (with_query("sum(a{$selector,$model})"), "placeholder 'model'"),
        (with_query("sum(a{$selector,b=~'c$'})"), "placeholder"),
        (with_query("a{$selector}[$window]"), "gives a range"),
        ({**SOUND, "name": "other"}, "must be the file's: 'thing'"),
        ({**SOUND, "signals": {}}, "have no demand"),
        ({**SOUND, "singals": {}}, "did you mean 'signals'"),
        ({**SOUND, "window_s": "0s"}, "must be above 0"),
        ({**SOUND, "title": ""}, "title"),
        ([], "must be a mapping"),
    ],
)
def test_a_preset_that_would_fail_later_fails_when_it_is_loaded(
    tmp_path: Path, preset: object, complaint: str
) -> None:
    with pytest.raises(SettingsError, match=complaint):
        load_presets(written(tmp_path, preset))


def test_the_problems_of_all_files_are_told_at_once(tmp_path: Path) -> None:
    written(tmp_path, with_query("sum("), name="thing")
    written(tmp_path, {**SOUND, "name": "b", "signals": {}}, name="b")
    with pytest.raises(SettingsError) as caught:
        load_presets(tmp_path)
    assert {problem.where.split(":")[0] for problem in caught.value.problems} == {"thing.yaml", "b.yaml"}


def test_a_folder_without_presets_is_an_incomplete_installation(tmp_path: Path) -> None:
    with pytest.raises(FileUnusable, match="holds no presets"):
        load_presets(tmp_path)
