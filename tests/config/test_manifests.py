"""What `check` finds in files, and that what `render` writes is found good."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from predictscale.config.load import load_service
from predictscale.config.manifests import Checked, check_file
from predictscale.config.presets import load_presets
from predictscale.config.render import render_scaled_object
from predictscale.config.settings import ServiceSettings
from predictscale.errors import FileUnusable, SettingsError

ROOT = Path(__file__).parents[2]
PRESETS = load_presets()
SERVICE = load_service(ROOT / "predictscale.example.yaml")
EXAMPLES = sorted((ROOT / "deploy" / "examples").glob("*.yaml"))
INLINE = {"backend": "http", "target": "shop", "capacityPerReplica": "80", "maxReplicas": "25"}


def rendered(metadata: dict[str, str] = INLINE, **more: Any) -> str:
    asked = {"namespace": "web", "name": "shop", "service": SERVICE, "presets": PRESETS, **more}
    return render_scaled_object(metadata=metadata, **asked)


def manifest(metadata: dict[str, str] = INLINE, **more: Any) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(rendered(metadata, **more))
    return document


def checked(tmp_path: Path, *documents: object, service: ServiceSettings | None = SERVICE) -> Checked:
    path = tmp_path / "file.yaml"
    path.write_text(documents[0] if isinstance(documents[0], str) else yaml.safe_dump_all(documents))
    return check_file(path, service=service)


def clean(found: Checked) -> bool:
    return found.good and not found.warnings


def warning(found: Checked) -> str:
    assert found.good
    (only,) = found.warnings
    return str(only)


def problem(found: Checked) -> str:
    assert not found.good
    (only,) = found.problems
    return str(only)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.stem)
def test_every_example_is_good_beside_the_example_service(path: Path) -> None:
    assert clean(check_file(path, service=SERVICE))


def test_there_are_examples_of_a_named_an_inline_and_a_fallback_trigger() -> None:
    text = "".join(path.read_text() for path in EXAMPLES)
    assert all(word in text for word in ("workload: chat", "backend: http", "fallback:"))


def test_the_example_service_is_good() -> None:
    found = check_file(ROOT / "predictscale.example.yaml")
    assert clean(found)
    assert (found.subjects, found.is_service) == (["the service's settings"], True)
    assert not check_file(EXAMPLES[0], service=SERVICE).is_service


triggers: st.SearchStrategy[dict[str, str]] = st.fixed_dictionaries(
    {
        **{key: st.just(text) for key, text in INLINE.items()},
        "minReplicas": st.integers(0, 5).map(str),
        "maxReplicas": st.integers(5, 500).map(str),
        "warmReplicas": st.integers(0, 5).map(str),
        "cooldownPeriod": st.integers(0, 3600).map(str),
        "landing": st.sampled_from(["exact", "hold", "overshoot"]),
        "onStale": st.sampled_from(["hold", "floor", "unavailable"]),
        "selector": st.sampled_from(["", 'job="a:b # c"', "job=~'é.*'", 'job="{{ x }}"']),
    }
)


@settings(deadline=None)
@given(triggers)
def test_whatever_is_rendered_is_found_good(
    tmp_path_factory: pytest.TempPathFactory, metadata: dict[str, str]
) -> None:
    assert clean(checked(tmp_path_factory.getbasetemp(), rendered(metadata)))


def test_a_rendered_trigger_says_what_was_given_and_what_keda_must_agree_with() -> None:
    trigger = manifest()["spec"]["triggers"][0]
    assert (trigger["type"], trigger["metricType"]) == ("external", "AverageValue")
    assert trigger["metadata"].items() >= {**INLINE, "minReplicas": "1"}.items()
    assert trigger["metadata"]["scalerAddress"].endswith(":6000")


def test_a_rendered_trigger_names_the_deployment_so_that_its_pods_can_be_measured() -> None:
    def told(text: str) -> object:
        (trigger,) = yaml.safe_load(text)["spec"]["triggers"]
        return trigger["metadata"].get("target")

    silent = {key: text for key, text in INLINE.items() if key != "target"}
    assert told(rendered(silent, target="other")) == "other"
    assert told(rendered(INLINE, target="other")) == "shop"


def test_a_rendered_behavior_goes_up_in_one_step_and_lands_exactly() -> None:
    behavior = manifest()["spec"]["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    assert behavior["scaleUp"] == {
        "tolerance": "0",
        "stabilizationWindowSeconds": 0,
        "policies": [{"type": "Pods", "value": 25, "periodSeconds": 15}],
    }
    assert (behavior["scaleDown"]["tolerance"], behavior["scaleDown"]["stabilizationWindowSeconds"]) == (
        "0",
        120,
    )


def test_a_landing_that_knows_the_dead_band_keeps_it() -> None:
    behavior = manifest({**INLINE, "landing": "hold"})["spec"]["advanced"]["horizontalPodAutoscalerConfig"][
        "behavior"
    ]
    assert not any("tolerance" in direction for direction in behavior.values())


def test_a_named_workload_is_rendered_with_its_own_bounds(tmp_path: Path) -> None:
    text = rendered({"workload": "chat"}, namespace="llm", name="chat")
    spec = yaml.safe_load(text)["spec"]
    assert (spec["minReplicaCount"], spec["maxReplicaCount"], spec["scaleTargetRef"]["name"]) == (
        2,
        40,
        "chat",
    )
    assert set(spec["triggers"][0]["metadata"]) == {"scalerAddress", "workload"}
    assert clean(checked(tmp_path, text))


@pytest.mark.parametrize(
    ("pool", "deployment", "most"), [("on-demand", "code", 30), ("spot", "code-spot", 40)]
)
def test_a_pool_is_rendered_and_checked_with_its_own_deployment_and_ceiling(
    tmp_path: Path, pool: str, deployment: str, most: int
) -> None:
    metadata = {"workload": "code", "pool": pool}
    text = rendered(metadata, namespace="llm", name=deployment)
    document = yaml.safe_load(text)
    spec = document["spec"]
    assert (spec["scaleTargetRef"]["name"], spec["minReplicaCount"], spec["maxReplicaCount"]) == (
        deployment,
        0,
        most,
    )
    assert clean(checked(tmp_path, text))
    spec["maxReplicaCount"] = 12
    assert f"{most} while spec.maxReplicaCount is 12" in warning(checked(tmp_path, document))
    spec.update(maxReplicaCount=most, scaleTargetRef={"name": "another"})
    said = warning(checked(tmp_path, document))
    assert f"is {deployment} while spec.scaleTargetRef.name is 'another'" in said


def test_what_the_service_would_refuse_is_not_rendered() -> None:
    with pytest.raises(SettingsError, match="maxReplicas"):
        rendered({"backend": "http", "capacityPerReplica": "1"})
    with pytest.raises(SettingsError, match="name the Deployment"):
        rendered({"backend": "http", "capacityPerReplica": "1", "maxReplicas": "2"})
    with pytest.raises(SettingsError, match="leadTimeFromEnv"):
        rendered({**INLINE, "leadTimeFromEnv": "LEAD"})


def test_a_refused_trigger_is_named_with_its_place(tmp_path: Path) -> None:
    broken = manifest()
    broken["spec"]["triggers"][0]["metadata"]["leadtime"] = "4m"
    text = problem(checked(tmp_path, broken))
    assert text == (
        "ScaledObject web/shop: triggers[0].metadata: 'leadtime' is not a known key; did you mean 'leadTime'?"
    )


@pytest.mark.parametrize(
    ("path", "value", "complaint"),
    [
        (("maxReplicaCount",), 30, "maxReplicas: 25 while spec.maxReplicaCount is 30; should be equal"),
        (("maxReplicaCount",), None, "25 while spec.maxReplicaCount is 100 by default"),
        (("minReplicaCount",), None, "minReplicas: 1 while spec.minReplicaCount is 0 by default"),
        (("cooldownPeriod",), 30, "cooldownPeriod: 300 while spec.cooldownPeriod is 30"),
        (("triggers", 0, "metricType"), "Value", "metricType: 'Value'; should be AverageValue"),
    ],
)
def test_what_keda_and_predictscale_disagree_on_is_a_warning(
    tmp_path: Path, path: tuple[str | int, ...], value: object, complaint: str
) -> None:
    document = manifest()
    here: Any = document["spec"]
    for part in path[:-1]:
        here = here[part]
    here[path[-1]] = value
    assert complaint in warning(checked(tmp_path, document))


@pytest.mark.parametrize("tolerance", [None, "0.1", 0.05, "none"])
def test_an_exact_landing_without_zero_tolerance_is_a_warning(tmp_path: Path, tolerance: object) -> None:
    document = manifest()
    behavior = document["spec"]["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    behavior["scaleDown"]["tolerance"] = tolerance
    assert "scaleDown.tolerance" in warning(checked(tmp_path, document))
    del document["spec"]["advanced"]
    assert len(checked(tmp_path, document).warnings) == 2


@pytest.mark.parametrize("tolerance", ["0", 0, "0.0"])
def test_zero_has_more_than_one_spelling(tmp_path: Path, tolerance: object) -> None:
    document = manifest()
    document["spec"]["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]["scaleUp"]["tolerance"] = (
        tolerance
    )
    assert clean(checked(tmp_path, document))


def test_a_number_in_metadata_is_a_problem_that_kubernetes_would_find_too(tmp_path: Path) -> None:
    document = manifest()
    document["spec"]["triggers"][0]["metadata"]["maxReplicas"] = 25
    assert 'maxReplicas: 25 is no text; must be text, such as maxReplicas: "25"' in problem(
        checked(tmp_path, document)
    )


def test_a_scaled_job_has_no_hpa_and_no_push(tmp_path: Path) -> None:
    document = manifest()
    document["kind"] = "ScaledJob"
    del document["spec"]["advanced"]
    assert clean(checked(tmp_path, document))
    document["spec"]["triggers"][0]["type"] = "external-push"
    assert "must be external (KEDA pushes to no ScaledJob)" in problem(checked(tmp_path, document))


def test_a_push_trigger_of_a_scaled_object_is_good(tmp_path: Path) -> None:
    document = manifest()
    document["spec"]["triggers"][0]["type"] = "external-push"
    assert clean(checked(tmp_path, document))


def test_triggers_of_others_are_not_judged(tmp_path: Path) -> None:
    document = manifest()
    document["spec"]["triggers"] = [
        {"type": "cpu", "metadata": {"value": "50"}},
        {"type": "external", "metadata": {"scalerAddress": "other.svc:9", "color": "red"}},
        "nonsense",
    ]
    found = checked(tmp_path, document)
    assert (found.subjects, found.problems, found.warnings, found.good) == ([], [], [], False)


def test_all_documents_and_lists_of_a_file_are_checked(tmp_path: Path) -> None:
    deployment = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "shop"}}
    other = manifest({**INLINE, "target": "till"}, name="b")
    listed = {"apiVersion": "v1", "kind": "List", "items": [other, deployment]}
    found = checked(tmp_path, deployment, manifest(name="a"), None, listed)
    assert clean(found)
    assert [subject.split(":")[0] for subject in found.subjects] == [
        "ScaledObject web/a",
        "ScaledObject web/b",
    ]


def test_an_object_without_a_namespace_is_in_default(tmp_path: Path) -> None:
    document = manifest()
    del document["metadata"]["namespace"]
    assert "default/shop" in checked(tmp_path, document).subjects[0]


def test_without_the_service_what_depends_on_it_is_a_warning(tmp_path: Path) -> None:
    named = rendered({"workload": "chat"}, namespace="llm", name="chat")
    assert "give the service's file" in warning(checked(tmp_path, named, service=None))
    document = manifest()
    metadata = document["spec"]["triggers"][0]["metadata"]
    del metadata["backend"]
    metadata |= {"query": "sum(up)", "serverAddress": "http://thanos"}
    found = checked(tmp_path, document, service=None)
    assert found.good
    assert [str(w).split(";")[0].rsplit(".", 1)[1] for w in found.warnings] == [
        "query: may be refused",
        "serverAddress: may be refused",
    ]
    assert len(checked(tmp_path, document).problems) == 2


def test_values_that_only_the_cluster_knows_are_a_warning(tmp_path: Path) -> None:
    document = manifest()
    document["spec"]["triggers"][0]["metadata"]["leadTimeFromEnv"] = "LEAD"
    assert "leadTimeFromEnv not checked" in warning(checked(tmp_path, document))


def test_a_service_file_with_problems_is_not_good(tmp_path: Path) -> None:
    assert "did you mean 'grpc'" in problem(checked(tmp_path, {"grcp": {}}))


@pytest.mark.parametrize("content", ["a: [", "kind: A\nkind: B\n", "kind: &a [*a]\n---\n{"])
def test_a_file_that_is_no_yaml_is_one_problem(tmp_path: Path, content: str) -> None:
    assert problem(checked(tmp_path, content))


def test_a_file_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(FileUnusable, match="No such file"):
        check_file(tmp_path / "none.yaml")


broken = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=5)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=2),
        st.dictionaries(
            st.sampled_from(["kind", "metadata", "spec", "triggers", "type", "advanced", "name", "items"]),
            inner,
        ),
    ),
    max_leaves=8,
)


@settings(deadline=None)
@given(broken, st.sampled_from(["ScaledObject", "ScaledJob", "List"]))
def test_a_misshapen_manifest_is_survived(
    tmp_path_factory: pytest.TempPathFactory, part: object, kind: str
) -> None:
    trigger = {"type": "external", "metadata": part}
    for document in (
        {"kind": kind, "spec": part, "metadata": part, "items": part},
        {"kind": kind, "spec": {"triggers": [trigger], "advanced": part}},
        {"kind": kind, "spec": {"triggers": [{"type": "external", "metadata": {"workload": part}}]}},
    ):
        found = checked(tmp_path_factory.getbasetemp(), document)
        assert bool(found.subjects) or not found.problems


def test_a_target_that_is_not_what_is_scaled_is_warned_of(tmp_path: Path) -> None:
    written = manifest()
    written["spec"]["scaleTargetRef"]["name"] = "shopp"
    assert "shop while spec.scaleTargetRef.name is 'shopp'" in warning(checked(tmp_path, written))


def test_two_scaled_objects_of_one_target_are_warned_of(tmp_path: Path) -> None:
    second = manifest()
    second["metadata"]["name"] = "second"
    told = warning(checked(tmp_path, manifest(), second))
    assert "ScaledObject web/second: spec.scaleTargetRef.name" in told
    assert "scaled by ScaledObject web/shop too" in told


def test_scaled_objects_of_two_namespaces_or_targets_are_no_pair(tmp_path: Path) -> None:
    elsewhere, other = manifest(), manifest({**INLINE, "target": "till"})
    elsewhere["metadata"]["namespace"] = "test"
    other["metadata"]["name"] = "till"
    other["spec"]["scaleTargetRef"]["name"] = "till"
    assert not checked(tmp_path, manifest(), elsewhere, other).warnings
