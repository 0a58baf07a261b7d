from pathlib import Path
from typing import Any

import pytest
import yaml

from predictscale.config.presets import EXTRA_UNITS, Extra, Preset, fleet_signals, load_presets
from predictscale.config.promql import parse_selector, unconfined
from predictscale.core.demand import SignalName
from predictscale.errors import FileUnusable, SettingsError

PRESETS = load_presets()

SOUND: dict[str, Any] = {
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


def with_extra(name: str, *, query: str = "sum(b{$selector})", unit: str = "requests") -> dict[str, object]:
    signals = {"demand": SOUND["signals"]["demand"], name: {"query": query, "unit": unit, "meaning": "gauge"}}
    return {**SOUND, "signals": signals}


def test_every_backend_of_the_design_has_a_preset() -> None:
    assert set(PRESETS) == {
        "dynamo", "envoy", "http", "istio", "knative", "kserve", "llama-cpp", "llm-d", "lmdeploy", "nginx",
        "nim", "production-stack", "ray-serve", "ray-vllm", "sglang", "sglang-tokens", "tensorrt-llm", "tgi",
        "triton", "vllm", "vllm-tokens",
    }  # fmt: skip


@pytest.mark.parametrize("preset", PRESETS.values(), ids=str)
def test_every_selector_of_a_preset_is_bound_to_the_namespace(preset: Preset) -> None:
    selector = parse_selector('model_name="x"', "own", where="selector", label=preset.confined_by)
    for name in preset.signals:
        query = preset.query(name, selector=selector)
        assert query is not None
        assert unconfined(query, "own", label=preset.confined_by) == []
        assert "$" not in query


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
    replicas, ready, starting = fleet_signals("own", "chat")
    assert replicas.query == 'max(kube_deployment_status_replicas{namespace="own",deployment="chat"})'
    assert ready.query == 'max(kube_deployment_status_replicas_ready{namespace="own",deployment="chat"})'
    assert not replicas.empty_is_zero
    assert not ready.empty_is_zero
    assert not starting.empty_is_zero
    assert unconfined(starting.query, "own") == []


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
        (with_extra("running", query="sum(b)"), "signals.running.query: selects b unbound"),
        (with_extra("running", query="sum(b{$selector,$more})"), "signals.running.query.*placeholder 'more'"),
        (with_extra("running", query="sum(b{$selector}"), "signals.running.query: is not PromQL"),
        (with_extra("running", unit="things"), "signals.running.unit: 'things'; must be 'requests'"),
        (with_extra("runing"), "runing"),
        ({**SOUND, "discovery": {"metrics": ["b"], "told_by": "engine"}}, "'b'; must occur in one of its"),
        ({**SOUND, "discovery": {"metrics": [], "told_by": "engine"}}, "discovery.metrics"),
        ({**SOUND, "discovery": {"metrics": ["a"], "labels": ["x y"], "told_by": "engine"}}, "labels"),
        ({**SOUND, "further_of": "nobody"}, "further_of: 'nobody'; must be a preset of its own"),
        ({**SOUND, "further_of": "thing"}, "further_of: 'thing'; must be a preset of its own"),
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


def test_presets_of_one_server_share_its_further_signals(tmp_path: Path) -> None:
    written(tmp_path, with_extra("running"))
    loaded = load_presets(written(tmp_path, {**SOUND, "name": "other", "further_of": "thing"}, name="other"))
    assert loaded["other"].extras == (Extra.RUNNING,)
    asked = {preset.query(Extra.RUNNING, selector='namespace="own"') for preset in loaded.values()}
    assert asked == {'sum(b{namespace="own"})'}
    assert PRESETS["vllm-tokens"].extras == PRESETS["vllm"].extras


def test_every_further_signal_is_told_by_some_backend_and_has_one_unit() -> None:
    told = {name for preset in PRESETS.values() for name in preset.extras}
    assert told == set(Extra) == set(EXTRA_UNITS)


def test_a_signal_that_a_backend_lacks_is_none() -> None:
    assert PRESETS["http"].query(Extra.KV_USAGE, selector='namespace="own"') is None
    assert PRESETS["http"].query(SignalName.QUEUE, selector='namespace="own"') is None


def test_every_preset_is_found_by_something_or_stands_beside_one_that_is() -> None:
    assert all((preset.discovery is None) == (preset.further_of is not None) for preset in PRESETS.values())
