"""Backends of the owner's: added, extended, replaced, and all that can be wrong with them at once."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from predictscale.config.backends import OwnBackend, with_own
from predictscale.config.load import load_service
from predictscale.config.manifests import check_file
from predictscale.config.metadata import parse_trigger
from predictscale.config.presets import Extra, Preset, load_presets
from predictscale.config.settings import ServiceSettings
from predictscale.core.demand import SignalName
from predictscale.errors import SettingsError

PACKAGED = load_presets()
OWN = "namespace='own'"
DEMAND = {"query": "sum(rate(mine{$selector}[$window]))", "unit": "requests/s", "meaning": "arrival"}
MINE: dict[str, Any] = {
    "name": "mine",
    "title": "My engine",
    "source": "its README",
    "signals": {"demand": DEMAND},
}
WORKLOAD = {"namespace": "a", "name": "b", "backend": "mine", "capacity_per_replica": 1, "max_replicas": 2}


def file_of(tmp_path: Path, *backends: object, workloads: object = ()) -> Path:
    path = tmp_path / "predictscale.yaml"
    path.write_text(yaml.safe_dump({"backends": list(backends), "workloads": list(workloads)}))  # type: ignore[call-overload]
    return path


def loaded(tmp_path: Path, *backends: object, workloads: object = ()) -> ServiceSettings:
    return load_service(file_of(tmp_path, *backends, workloads=workloads))


def problems(tmp_path: Path, *backends: object, workloads: object = ()) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        loaded(tmp_path, *backends, workloads=workloads)
    return [str(problem) for problem in caught.value.problems]


def queries(preset: Preset) -> dict[str, str | None]:
    return {str(name): preset.query(name, selector=OWN) for name in preset.signals}


def test_without_own_backends_there_are_the_packaged_ones() -> None:
    assert ServiceSettings().presets() == PACKAGED


def test_a_backend_of_ones_own_serves_workloads_and_triggers_by_its_name(tmp_path: Path) -> None:
    service = loaded(tmp_path, MINE, workloads=[WORKLOAD])
    (named,) = service.named_workloads(service.presets())
    demand = named.signals(service.presets())[SignalName.DEMAND]
    assert demand.query == 'sum(rate(mine{namespace="a"}[2m]))'
    metadata = {"backend": "mine", "selector": 'job="x"', "capacityPerReplica": "1", "maxReplicas": "2"}
    trigger = parse_trigger("tenant", "t", metadata, service, service.presets())
    demand = trigger.signals(service.presets())[SignalName.DEMAND]
    assert demand.query == 'sum(rate(mine{namespace="tenant",job="x"}[2m]))'
    assert set(service.presets()) == {*PACKAGED, "mine"}


def test_an_extension_keeps_what_it_does_not_say(tmp_path: Path) -> None:
    queue = {"query": "sum(my_queue{$selector})", "unit": "requests", "meaning": "gauge"}
    own = {"name": "vllm", "extends": "vllm", "signals": {"queue": queue, "kv_usage": None}}
    extended = loaded(tmp_path, own).presets()["vllm"]
    before = queries(PACKAGED["vllm"])
    assert queries(extended) == {
        **{name: query for name, query in before.items() if name != "kv_usage"},
        "queue": f"sum(my_queue{{{OWN}}})",
    }
    assert extended.discovery == PACKAGED["vllm"].discovery


def test_a_wider_window_is_one_line(tmp_path: Path) -> None:
    wide = loaded(tmp_path, {"name": "vllm", "extends": "vllm", "window_s": "5m"}).presets()["vllm"]
    narrow = queries(PACKAGED["vllm"])
    assert queries(wide) == {
        name: query
        and query.replace("[2m]", "[5m]").replace("offset 2m", "offset 5m").replace("/ 120", "/ 300")
        for name, query in narrow.items()
    }


def test_those_that_lean_on_a_backend_lean_on_its_extension(tmp_path: Path) -> None:
    running = {"query": "sum(mine{$selector})", "unit": "requests", "meaning": "gauge"}
    presets = loaded(tmp_path, {"name": "vllm", "extends": "vllm", "signals": {"running": running}}).presets()
    assert presets["vllm-tokens"].query(Extra.RUNNING, selector=OWN) == f"sum(mine{{{OWN}}})"


def test_what_was_learnt_of_a_backend_is_not_used_for_another_of_its_name(tmp_path: Path) -> None:
    workload = {**WORKLOAD, "backend": "vllm"}

    def fingerprint(*backends: object) -> str:
        service = loaded(tmp_path, *backends, workloads=[workload])
        return service.resolved(0, service.presets()).fingerprint()

    title = {"extends": "vllm", "title": "as before"}
    wider, replaced = {"extends": "vllm", "window_s": "5m"}, {**MINE, "name": "vllm", "replaces": "vllm"}
    assert fingerprint() == fingerprint(title)
    assert len({fingerprint(), fingerprint(wider), fingerprint(replaced)}) == 3


def test_of_a_replaced_backend_nothing_stays(tmp_path: Path) -> None:
    replaced = loaded(tmp_path, {**MINE, "name": "vllm", "replaces": "vllm"}).presets()["vllm"]
    assert set(replaced.signals) == {SignalName.DEMAND}
    assert replaced.discovery is None


def test_an_extension_under_another_name_is_not_found_by_the_same_series(tmp_path: Path) -> None:
    presets = loaded(tmp_path, {"name": "my-vllm", "extends": "vllm", "title": "Mine"}).presets()
    assert queries(presets["my-vllm"]) == queries(presets["vllm"])
    assert presets["my-vllm"].discovery is None
    assert presets["vllm"] == PACKAGED["vllm"]


@pytest.mark.parametrize("name", sorted(PACKAGED))
def test_an_extension_that_says_nothing_changes_nothing(name: str) -> None:
    own = OwnBackend.model_validate({"name": name, "extends": name})
    same = with_own([own])[name]
    assert queries(same) == queries(PACKAGED[name])
    assert {field: getattr(same, field) for field in Preset.model_fields} == {
        field: getattr(PACKAGED[name], field) for field in Preset.model_fields
    }
    assert own.said() == f"backend {name} extends the packaged {name}: nothing changed"


def test_what_an_owner_changed_is_said_by_check_and_in_words(tmp_path: Path) -> None:
    extends = {"name": "vllm", "extends": "vllm", "window_s": "5m", "signals": {"queue": None}}
    path = file_of(tmp_path, MINE, extends, {**MINE, "name": "http", "replaces": "http"})
    notes = [
        "backend mine is the service's own",
        "backend vllm extends the packaged vllm: window_s, signals.queue",
        "backend http replaces the packaged one",
    ]
    assert check_file(path).notes == notes
    cli = Path(sys.executable).parent / "predictscale"
    done = subprocess.run([cli, "check", path], capture_output=True, text=True, check=True, timeout=180)
    assert all(note in done.stdout for note in notes)


def test_a_manifest_is_checked_against_the_services_own_backends(tmp_path: Path) -> None:
    trigger = {
        "type": "external",
        "metadata": {"scalerAddress": "predictscale:6000", "backend": "mine", "capacityPerReplica": "1",
                     "maxReplicas": "2"},
    }  # fmt: skip
    manifest = {
        "kind": "ScaledObject",
        "metadata": {"name": "x", "namespace": "y"},
        "spec": {"triggers": [trigger]},
    }
    path = tmp_path / "scaled.yaml"
    path.write_text(yaml.safe_dump(manifest))
    assert check_file(path, service=loaded(tmp_path, MINE)).good
    assert [problem.got for problem in check_file(path).problems] == ["'mine' is not a known backend"]


@pytest.mark.parametrize(
    ("backend", "complaint"),
    [
        ({**MINE, "name": "vllm"}, "backends[0].name: 'vllm' comes with predictscale; give `extends: vllm`"),
        ({**MINE, "name": "auto"}, "backends[0].name: 'auto'; take another name (it asks for detection)"),
        ({"name": "x", "extends": "vlm"}, "backends[0].extends: 'vlm' does not come with"),
        ({**MINE, "replaces": "vlm"}, "backends[0].replaces: 'vlm' does not come with predictscale; did you"),
        ({**MINE, "replaces": "vllm"}, "backends[0].replaces: 'vllm'; must be the backend's own name"),
        (
            {"name": "vllm", "extends": "vllm", "replaces": "vllm"},
            "backends[0].replaces: is given with extends; give one of them",
        ),
        ({**MINE, "sauce": "x"}, "backends[0].sauce: is not a known setting; did you mean 'source'?"),
        ({**MINE, "source": ""}, "backends[0].source: ''; "),
        ({**MINE, "signals": {}}, "backends[0].signals: have no demand; give signals.demand"),
        (
            {**MINE, "signals": {"demand": {**DEMAND, "query": "sum(mine)"}}},
            "backends[0].signals.demand.query: selects mine unbound; every selector must hold $selector",
        ),
        (
            {**MINE, "signals": {"demand": {**DEMAND, "query": "sum(mine{$selector}"}}},
            "backends[0].signals.demand.query: is not PromQL",
        ),
        (
            {**MINE, "signals": {"demand": {**DEMAND, "unit": "requests"}}},
            "backends[0].signals.demand.unit: 'requests'; must end in /s: demand is a rate",
        ),
        (
            {**MINE, "signals": {"demand": DEMAND, "queue": {**DEMAND, "unit": "tokens"}}},
            "backends[0].signals.queue.unit: 'tokens'; must be 'requests', as demand is in requests/s",
        ),
        ({**MINE, "further_of": "nobody"}, "backends[0].further_of: 'nobody'; must be a preset of its own"),
        ({**MINE, "further_of": "vllm-tokens"}, "backends[0].further_of: 'vllm-tokens'; must be a preset of"),
        ("vllm", "backends[0]: 'vllm'; must be a mapping"),
    ],
)  # fmt: skip
def test_each_mistake_says_where_it_is_and_what_would_do(
    tmp_path: Path, backend: object, complaint: str
) -> None:
    (problem,) = problems(tmp_path, backend)
    assert problem.startswith(complaint)


def test_an_extension_that_names_itself_nothing_takes_the_place_of_what_it_extends(tmp_path: Path) -> None:
    wide = loaded(tmp_path, {"extends": "vllm", "window_s": "5m"}).presets()["vllm"]
    assert wide.window_s == 300
    assert wide.discovery == PACKAGED["vllm"].discovery


def test_a_list_is_meant(tmp_path: Path) -> None:
    path = tmp_path / "predictscale.yaml"
    path.write_text("backends: {vllm: {}}\n")
    with pytest.raises(SettingsError, match="backends: a mapping; must be a list of backends"):
        load_service(path)


def test_one_mistake_is_told_once_and_all_mistakes_at_once(tmp_path: Path) -> None:
    unsound = {**MINE, "signals": {"demand": {**DEMAND, "query": "sum(mine)"}}}
    misshapen = {"name": "other", "title": "x"}
    workloads = [WORKLOAD, {**WORKLOAD, "name": "c", "backend": "other", "max_replicas": 0}]
    assert sorted(
        line.split(": ")[0] for line in problems(tmp_path, unsound, misshapen, workloads=workloads)
    ) == [
        "backends[0].signals.demand.query",
        "backends[1].signals",
        "backends[1].source",
        "workloads[1].max_replicas",
    ]


def test_two_of_one_name_are_told_by_both_places(tmp_path: Path) -> None:
    assert problems(tmp_path, MINE, MINE) == [
        "backends[1].name: 'mine' is backends[0] too; give each its own name"
    ]


def test_own_backends_come_from_the_environment_as_json() -> None:
    service = load_service(
        None, {"PREDICTSCALE_BACKENDS": '[{"name":"vllm","extends":"vllm","window_s":"5m"}]'}
    )
    assert service.presets()["vllm"].window_s == 300
