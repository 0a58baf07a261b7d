"""The manifests of the examples: good for a cluster and for the service, and told of in their README."""

import copy
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from crd_schemas import Manifest, at, problems, schemas
from predictscale.cli import app
from predictscale.config.load import load_service
from predictscale.config.manifests import check_file

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "deploy" / "examples"
SERVICE = ROOT / "predictscale.example.yaml"
VALIDATORS = ROOT / ".tools" / "operators"
FILES = sorted(EXAMPLES.rglob("*.yaml"))
OURS = ("external", "external-push")

# Where keys are the writer's own, and nobody can know a misspelt one.
FREE = {
    "labels",
    "annotations",
    "matchLabels",
    "nodeSelector",
    "limits",
    "requests",
    "tags",
    "rayStartParams",
}


def documents(path: Path) -> list[Manifest]:
    return [document for document in yaml.safe_load_all(path.read_text()) if document]


def named(path: Path) -> str:
    return str(path.relative_to(EXAMPLES))


DOCUMENTS = [(path, document) for path in FILES for document in documents(path)]
SCALED = [(path, document) for path, document in DOCUMENTS if document["kind"] == "ScaledObject"]


@pytest.mark.parametrize("path", FILES, ids=named)
def test_every_document_is_what_kubernetes_and_the_operators_take(path: Path) -> None:
    found = {f"{d['kind']} {d['metadata']['name']}": problems(d) for d in documents(path)}
    assert found
    assert not any(found.values()), found


def mappings(tree: Any, way: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The ways to the mappings within a manifest whose keys are not the writer's own."""
    inner: list[tuple[str | int, Any]] = []
    if isinstance(tree, dict):
        yield way
        inner = [(key, part) for key, part in tree.items() if key not in FREE]
    elif isinstance(tree, list):
        inner = list(enumerate(tree))
    for key, part in inner:
        yield from mappings(part, (*way, key))


def is_free(document: Manifest, way: tuple[str | int, ...]) -> bool:
    """Whether the keys there are free: a trigger's metadata, and the selector of a Service."""
    triggers = way[:2] == ("spec", "triggers") and way[-1:] == ("metadata",)
    return triggers or (document["kind"] == "Service" and way == ("spec", "selector"))


@pytest.mark.parametrize(
    ("path", "document"), DOCUMENTS, ids=lambda part: named(part) if isinstance(part, Path) else part["kind"]
)
def test_a_misspelt_field_is_found_wherever_it_stands(path: Path, document: Manifest) -> None:
    assert path.is_file()
    for way in mappings(document):
        if is_free(document, way):
            continue
        wrong = copy.deepcopy(document)
        place: Any = wrong
        for key in way:
            place = place[key]
        place["misspelt"] = "x"
        assert problems(wrong), f"nobody minds {'.'.join(map(str, way))}.misspelt"


@pytest.mark.parametrize(
    "path", [path for path in FILES if "kind: ScaledObject" in path.read_text()], ids=named
)
def test_every_trigger_passes_check_without_a_warning(path: Path) -> None:
    found = check_file(path, service=load_service(SERVICE, env={}))
    assert found.good
    assert not found.warnings
    external = [t for d in documents(path) for t in at(d, "spec", "triggers") or () if t["type"] in OURS]
    assert len(found.subjects) == len(external) > 0


@pytest.mark.parametrize(
    ("path", "document"),
    SCALED,
    ids=lambda part: named(part) if isinstance(part, Path) else part["metadata"]["name"],
)
def test_a_scaledobject_says_to_predictscale_which_deployment_it_scales(
    path: Path, document: Manifest
) -> None:
    settings = load_service(SERVICE, env={})
    for trigger in document["spec"]["triggers"]:
        said = trigger["metadata"]
        if trigger["type"] not in OURS or "workload" in said:
            continue
        assert said["target"] == document["spec"]["scaleTargetRef"]["name"], named(path)
    assert settings.limits.allow_inline_queries is False, "no example needs more than the default allows"


def test_what_is_scaled_has_no_number_of_replicas_of_its_own() -> None:
    scaled = {d["spec"]["scaleTargetRef"]["name"] for _, d in SCALED}
    deployments = [d for _, d in DOCUMENTS if d["kind"] == "Deployment" and d["metadata"]["name"] in scaled]
    assert len(deployments) > 3
    assert not [d["metadata"]["name"] for d in deployments if "replicas" in d["spec"]]


def test_no_deployment_is_scaled_by_two_scaledobjects() -> None:
    targets = [(d["metadata"]["namespace"], d["spec"]["scaleTargetRef"]["name"]) for _, d in SCALED]
    assert len(targets) == len(set(targets))


def test_a_formula_names_every_trigger_and_lands_as_one_trigger_would() -> None:
    composed = [d["spec"] for _, d in SCALED if at(d, "spec", "advanced", "scalingModifiers")]
    assert composed
    for spec in composed:
        modifiers = spec["advanced"]["scalingModifiers"]
        words = set(re.findall(r"[A-Za-z_]\w*", modifiers["formula"]))
        assert {trigger["name"] for trigger in spec["triggers"]} == words - {"max", "min"}
        # KEDA's own fallback asks for a whole number above 0 here.
        assert int(modifiers["target"]) == 1
        assert modifiers["metricType"] == "AverageValue"
        # With a formula it decides what is active: the forecast could not wake what sleeps.
        assert spec["minReplicaCount"] >= 1


def test_zero_is_asked_for_only_where_somebody_counts_while_nobody_serves() -> None:
    for path, document in SCALED:
        metadata = document["spec"]["triggers"][0]["metadata"]
        if document["spec"]["minReplicaCount"] == 0 and "pool" not in metadata:
            assert metadata["backend"] in {"llm-d", "production-stack", "envoy", "dynamo", "ray-serve"}, path


def test_the_node_pools_buy_what_the_service_is_told_of_the_pools() -> None:
    settings = load_service(SERVICE, env={})
    (code,) = (workload for workload in settings.workloads if workload.name == "code")
    (spot,) = (pool for pool in code.pools if pool.name == "spot")
    pools = {d["metadata"]["name"]: d["spec"] for _, d in DOCUMENTS if d["kind"] == "NodePool"}
    for name, spec in pools.items():
        asked = {one["key"]: one["values"] for one in spec["template"]["spec"]["requirements"]}
        assert asked["karpenter.sh/capacity-type"] == [name.removeprefix("gpu-")]
        assert tuple(asked["topology.kubernetes.io/zone"]) == spot.zones
        assert tuple(asked["node.kubernetes.io/instance-type"]) == spot.instance_types
    warm = next(d["spec"]["replicas"] for _, d in DOCUMENTS if d["kind"] == "CapacityBuffer")
    most = {"gpu-on-demand": code.max_replicas + warm, "gpu-spot": spot.max_replicas}
    assert {name: int(spec["limits"]["nvidia.com/gpu"]) for name, spec in pools.items()} == most
    for pool in code.pools:
        (deployment,) = (
            d for _, d in DOCUMENTS if d["kind"] == "Deployment" and d["metadata"]["name"] == pool.target
        )
        selector = deployment["spec"]["template"]["spec"]["nodeSelector"]
        assert selector == {"karpenter.sh/nodepool": f"gpu-{pool.name}"}


def only(file: str, kind: str) -> Any:
    (found,) = (d for path, d in DOCUMENTS if named(path) == file and d["kind"] == kind)
    return found


def test_bounds_that_an_operator_holds_too_are_those_of_keda() -> None:
    files = ("integrations/kserve.yaml", "integrations/knative.yaml", "integrations/ray-serve.yaml")
    keda = [only(file, "ScaledObject")["spec"] for file in files]
    predictor = only(files[0], "InferenceService")["spec"]["predictor"]
    revision = only(files[1], "Service")["spec"]["template"]["metadata"]
    serve = yaml.safe_load(only(files[2], "RayService")["spec"]["serveConfigV2"])
    detector = serve["applications"][0]["deployments"][0]
    theirs = [
        (predictor["minReplicas"], predictor["maxReplicas"]),
        tuple(int(revision["annotations"][f"autoscaling.knative.dev/{end}-scale"]) for end in ("min", "max")),
        tuple(detector["autoscaling_config"][f"{end}_replicas"] for end in ("min", "max")),
    ]
    assert theirs == [(spec["minReplicaCount"], spec["maxReplicaCount"]) for spec in keda]
    assert (
        keda[0]["scaleTargetRef"]["name"]
        == f"{only(files[0], 'InferenceService')['metadata']['name']}-predictor"
    )
    assert keda[1]["scaleTargetRef"]["name"] == f"{revision['name']}-deployment"
    selector = keda[2]["triggers"][0]["metadata"]["selector"]
    assert selector == f'application="{serve["applications"][0]["name"]}",deployment="{detector["name"]}"'


@pytest.mark.parametrize("kind", ["buffer", "placeholder"])
def test_warm_nodes_are_what_render_prints(kind: str) -> None:
    said = ["nodes=2", "gpusPerNode=1", "nodeSelector=karpenter.sh/nodepool=gpu-on-demand"]
    said.append("tolerations=nvidia.com/gpu:NoSchedule")
    done = CliRunner().invoke(app, ["render", "llm/code", "--warm-nodes", kind, *said])
    assert done.exit_code == 0, done.output
    assert done.stdout == (EXAMPLES / "nodes" / f"warm-nodes-{kind}.yaml").read_text()
    assert " ".join(said) in (EXAMPLES / "README.md").read_text()


def test_the_readme_tells_of_every_file_once_and_of_no_other() -> None:
    rows = re.findall(r"^\| \[`([^`]+)`\]\(([^)]+)\) \|", (EXAMPLES / "README.md").read_text(), re.MULTILINE)
    assert all(shown == link for shown, link in rows)
    assert sorted(link for _, link in rows) == [named(path) for path in FILES]


GENERATED = """
import { pathToFileURL } from "node:url";
const given = JSON.parse(await new Response(process.stdin).text());
const groups = {"keda.sh": "keda", "karpenter.sh": "karpenter", "karpenter.k8s.aws": "karpenter"};
const found = [];
for (const document of given) {
  const from = `node_modules/@kubernetes-models/${groups[document.apiVersion.split("/")[0]]}`;
  const file = `${process.cwd()}/${from}/${document.apiVersion}/${document.kind}.js`;
  const Kind = (await import(pathToFileURL(file)))[document.kind];
  try { new Kind(document).validate(); found.push(""); } catch (wrong) { found.push(wrong.message); }
}
console.log(JSON.stringify(found));
"""

generated = pytest.mark.skipif(
    not (VALIDATORS / "installed").is_file() or shutil.which("node") is None,
    reason="no validators here: scripts/install-deploy-tools brings them, where there is npm",
)


def by_the_operators(given: list[Manifest]) -> list[str]:
    """What validators that were generated from the operators' own Go types say; nothing of what is good."""
    done = subprocess.run(
        ["node", "--input-type=module", "--eval", GENERATED],
        cwd=VALIDATORS,
        input=json.dumps(given),
        capture_output=True,
        text=True,
        check=True,
        timeout=180,
    )
    said: list[str] = json.loads(done.stdout)
    return said


@generated
def test_validators_made_from_the_operators_own_types_agree() -> None:
    groups = ("keda.sh/", "karpenter.sh/", "karpenter.k8s.aws/")
    given = [document for _, document in DOCUMENTS if document["apiVersion"].startswith(groups)]
    assert len(given) > 20
    assert by_the_operators(given) == [""] * len(given)
    wrong = copy.deepcopy(given[0])
    wrong["spec"]["maxReplicaCount"] = "many"
    assert "maxReplicaCount" in by_the_operators([wrong])[0]


@generated
@pytest.mark.parametrize(
    ("version", "kind", "way", "package", "model"),
    [
        ("keda.sh/v1alpha1", "ScaledObject", (), "keda", "KedaV1alpha1ScaledObjectSpec"),
        ("keda.sh/v1alpha1", "ScaledObject", ("scaleTargetRef",), "keda", "KedaV1alpha1ScaleTarget"),
        ("keda.sh/v1alpha1", "ScaledObject", ("fallback",), "keda", "KedaV1alpha1Fallback"),
        ("keda.sh/v1alpha1", "ScaledObject", ("advanced",), "keda", "KedaV1alpha1AdvancedConfig"),
        ("keda.sh/v1alpha1", "ScaledObject", ("triggers", "items"), "keda", "KedaV1alpha1ScaleTriggers"),
        ("keda.sh/v1alpha1", "TriggerAuthentication", (), "keda", "KedaV1alpha1TriggerAuthenticationSpec"),
        ("karpenter.sh/v1", "NodePool", (), "karpenter", "KarpenterPkgApisV1NodePoolSpec"),
        ("karpenter.sh/v1", "NodePool", ("disruption",), "karpenter", "KarpenterPkgApisV1Disruption"),
        ("karpenter.k8s.aws/v1", "EC2NodeClass", (), "karpenter", "AwsPkgApisV1EC2NodeClassSpec"),
    ],
)
def test_our_schemas_invent_no_field(
    version: str, kind: str, way: tuple[str, ...], package: str, model: str
) -> None:
    schema = schemas()[version]["kinds"][kind]
    for name in way:
        schema = schema["items"] if name == "items" else schema["properties"][name]
    folder = VALIDATORS / "node_modules" / "@kubernetes-models" / package / "_schemas"
    (file,) = folder.glob(f"*{model}.js")
    known = set(re.findall(r"\bdata\.([A-Za-z0-9]+)", file.read_text()))
    assert set(schema["properties"]) <= known
