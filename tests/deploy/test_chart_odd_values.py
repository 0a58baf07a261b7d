"""Values that a default never has: long names, labels twice, sections taken away, clusters of other kinds."""

import subprocess
import sys
import textwrap
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from crd_schemas import problems
from helm_chart import (
    CHART,
    KUBERNETES,
    MAJORS,
    URL,
    Manifest,
    default,
    documents,
    helm,
    needs_helm,
    one,
    pod,
    rendered,
    service_file,
)
from predictscale.config.manifests import check_file

CLI = Path(sys.executable).parent / "predictscale"
PERSISTENT = "cache.persistent.enabled=true"
SELECTED = {"app.kubernetes.io/name": "predictscale", "app.kubernetes.io/instance": "ps"}
LABEL = 63
"""The longest value of a label."""

pytestmark = needs_helm


def workload(manifests: list[Manifest]) -> Manifest:
    (found,) = [m for m in manifests if m["kind"] in ("Deployment", "StatefulSet")]
    return found


@pytest.mark.parametrize("length", [1, 40, 41, 52, 53])
def test_the_pods_of_a_release_with_a_long_name_can_be_labelled_and_called(length: int) -> None:
    done = helm("helm4", "template", "r" * length, CHART, "--set", f"{URL},{PERSISTENT}")
    assert done.returncode == 0, done.stderr
    manifests = documents(done.stdout)
    name = workload(manifests)["metadata"]["name"]
    assert len(f"{name}-7d9f8b6c54") <= LABEL, "the label controller-revision-hash of a StatefulSet's pods"
    assert all(len(m["metadata"]["name"]) <= LABEL for m in manifests if m["kind"] == "Service")
    for manifest in manifests:
        kubernetes_validate.validate(manifest, KUBERNETES, strict=True)


def test_names_of_digits_stay_text() -> None:
    digits = {
        "shared.existingClaim": 1,
        "priorityClassName": 2,
        "cache.persistent.storageClass": 3,
        "secrets.writeTokens.name": 4,
        "secrets.writeTokens.key": 5,
        "networkPolicy.keda.namespace": 6,
        "networkPolicy.prometheus.namespace": 7,
    }
    given = ("--set", f"{URL},{PERSISTENT}", "--set-string", ",".join(f"{k}={v}" for k, v in digits.items()))
    done = helm("helm4", "template", "123", CHART, "--namespace", "456", *given)
    assert done.returncode == 0, done.stderr
    for manifest in documents(done.stdout):
        kubernetes_validate.validate(manifest, KUBERNETES, strict=True)
        assert manifest["metadata"]["namespace"] == "456"


def test_a_label_that_everything_has_already_is_replaced_and_not_written_twice() -> None:
    labels = (
        "--set-json",
        'commonLabels={"app.kubernetes.io/part-of":"platform","team":"a"}',
        "--set-json",
        'podLabels={"team":"b"}',
    )
    monitors = 'monitoring.serviceMonitor={"enabled":true,"labels":{"app.kubernetes.io/part-of":"prom"}}'
    manifests = rendered("--set", URL, *labels, "--set-json", monitors)
    parts = {m["kind"]: m["metadata"]["labels"]["app.kubernetes.io/part-of"] for m in manifests}
    assert parts.pop("ServiceMonitor") == "prom"
    assert set(parts.values()) == {"platform"}
    template = one(manifests, "Deployment")["spec"]["template"]
    assert template["metadata"]["labels"]["team"] == "b"
    assert one(manifests, "Deployment")["metadata"]["labels"]["team"] == "a"
    assert template["metadata"]["labels"].items() >= SELECTED.items()


@pytest.mark.parametrize("labels", ["podLabels", "commonLabels"])
@pytest.mark.parametrize("key", [*SELECTED, "predictscale.io/service"])
def test_a_label_by_which_pods_and_services_are_found_cannot_be_another(labels: str, key: str) -> None:
    done = helm("helm4", "template", "ps", CHART, "--set", URL, "--set-json", f'{labels}={{"{key}":"x"}}')
    assert done.returncode != 0
    assert key in done.stderr


DEFAULTS = yaml.safe_load((CHART / "values.yaml").read_text())
SECTIONS = [name for name, value in DEFAULTS.items() if isinstance(value, dict)]
MAY_GO = {"affinity", "nodeSelector", "resources", "podSecurityContext"} | {
    name for name in SECTIONS if name.endswith(("Labels", "Annotations"))
}


@pytest.mark.parametrize("major", MAJORS)
@pytest.mark.parametrize("section", SECTIONS)
def test_a_section_that_is_taken_away_is_named_or_not_needed(
    section: str, major: str, tmp_path: Path
) -> None:
    file = tmp_path / "values.yaml"
    file.write_text(yaml.safe_dump({"config": {"prometheus": {"url": "http://p:9090"}}} | {section: None}))
    done = helm(major, "template", "ps", CHART, "--values", file)
    if section in MAY_GO:
        assert done.returncode == 0, done.stderr
        for manifest in documents(done.stdout):
            kubernetes_validate.validate(manifest, KUBERNETES, strict=True)
    else:
        assert done.returncode != 0
        assert section in done.stderr
        assert "nil pointer" not in done.stderr


@pytest.mark.parametrize(
    "part", ["networkPolicy.prometheus", "cache.persistent", "service.http", "tls.certManager"]
)
def test_a_part_that_is_taken_away_is_named(part: str) -> None:
    done = helm("helm4", "template", "ps", CHART, "--set", URL, "--set-json", f"{part}=null")
    assert done.returncode != 0
    assert f"missing property '{part.split('.')[1]}'" in done.stderr


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("service.grpc.port=443", "/service/grpc/port"),
        ("service.grpc.port=8080", "service.grpc.port: 8080 is a port of the pod already"),
        ("service.grpc.port=9464", "service.grpc.port: 9464 is a port of the pod already"),
        ("service.http.port=9464", "service.http.port: 9464 is the port of metrics"),
        ("podDisruptionBudget.maxUnavailable=-1", "maxUnavailable"),
        ("podDisruptionBudget.maxUnavailable=some", "maxUnavailable"),
    ],
)
def test_what_a_cluster_would_refuse_or_a_pod_could_not_bind_is_refused_before(given: str, told: str) -> None:
    done = helm("helm4", "template", "ps", CHART, "--set", URL, "--set", given)
    assert done.returncode != 0
    assert told in done.stderr


def test_rest_is_called_at_any_port_and_the_pod_binds_one_that_nobody_may() -> None:
    manifests = rendered("--set", f"{URL},service.http.port=80")
    asked = {port["name"]: port for port in one(manifests, "Service", "-http")["spec"]["ports"]}
    assert (asked["http"]["port"], asked["http"]["targetPort"]) == (80, "http")
    bound = {port["name"]: port["containerPort"] for port in pod(manifests)["containers"][0]["ports"]}
    assert bound["http"] == service_file(manifests)["http"]["port"] >= 1024


@pytest.mark.parametrize("port", [6000, 7443])
def test_kedas_port_is_the_pods_own_for_the_service_has_no_address(port: int) -> None:
    manifests = rendered("--set", f"{URL},service.grpc.port={port}")
    (asked,) = one(manifests, "Service")["spec"]["ports"]
    bound = {one["name"]: one["containerPort"] for one in pod(manifests)["containers"][0]["ports"]}
    assert asked["port"] == bound["grpc"] == service_file(manifests)["grpc"]["port"] == port


@pytest.mark.parametrize("major", MAJORS)
def test_an_owner_may_take_a_path_away(major: str, tmp_path: Path) -> None:
    file = tmp_path / "values.yaml"
    file.write_text("config: {prometheus: {url: 'http://p:9090', retries: 0}, archive: {path: null}}")
    document = service_file(rendered("--values", file, major=major))
    assert document["archive"] == {"path": None}
    assert document["cache"]["path"]
    assert document["prometheus"]["retries"] == 0


def test_a_trial_on_a_replay_needs_no_prometheus_and_is_one_that_the_service_takes(tmp_path: Path) -> None:
    document = service_file(rendered("--set", "config.replay.series.shop=synthetic:shop"))
    assert "prometheus" not in document
    file = tmp_path / "predictscale.yaml"
    file.write_text(yaml.safe_dump(document))
    done = subprocess.run([CLI, "check", file], check=False, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_cluster_that_chooses_the_user_may() -> None:
    gone = ",".join(f"podSecurityContext.{name}=null" for name in ("runAsUser", "runAsGroup", "fsGroup"))
    whole = pod(rendered("--set", f"{URL},{gone}"))["securityContext"]
    assert not {"runAsUser", "runAsGroup", "fsGroup"} & whole.keys()
    assert whole["runAsNonRoot"] is True
    assert whole["seccompProfile"] == {"type": "RuntimeDefault"}


def test_names_are_resolved_where_the_cluster_does_it() -> None:
    there = '{"to":[{"ipBlock":{"cidr":"169.254.20.10/32"}}],"port":5353}'
    policy = one(rendered("--set", URL, "--set-json", f"networkPolicy.dns={there}"), "NetworkPolicy")
    (rule,) = [r for r in policy["spec"]["egress"] if {p["protocol"] for p in r["ports"]} == {"TCP", "UDP"}]
    assert rule["to"] == [{"ipBlock": {"cidr": "169.254.20.10/32"}}]
    assert {port["port"] for port in rule["ports"]} == {5353}


def test_a_rollout_spreads_the_new_pods_whatever_the_old_ones_stand_on() -> None:
    spread = pod(default())["topologySpreadConstraints"]
    assert [rule["matchLabelKeys"] for rule in spread] == [["pod-template-hash"]] * 2
    # The pods of a StatefulSet have no such label, and are replaced one by one in their places.
    fixed = pod(rendered("--set", f"{URL},{PERSISTENT}"))["topologySpreadConstraints"]
    assert not [rule for rule in fixed if "matchLabelKeys" in rule]


def test_a_pod_that_never_gets_ready_does_not_hold_up_a_drain() -> None:
    assert one(default(), "PodDisruptionBudget")["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow"


def test_a_tool_that_compares_finds_the_claims_as_the_cluster_keeps_them() -> None:
    (claim,) = one(rendered("--set", f"{URL},{PERSISTENT}"), "StatefulSet")["spec"]["volumeClaimTemplates"]
    assert (claim["apiVersion"], claim["kind"]) == ("v1", "PersistentVolumeClaim")


@pytest.mark.parametrize("enabled", [True, False])
def test_whoever_installs_is_told_whom_the_network_policy_lets_through(enabled: bool) -> None:  # noqa: FBT001 - a case
    given = f"{URL},networkPolicy.enabled={str(enabled).lower()},networkPolicy.keda.namespace=scalers"
    done = helm("helm4", "install", "ps", CHART, "--dry-run=client", "--set", given)
    assert done.returncode == 0, done.stderr
    notes = done.stdout[done.stdout.index("NOTES:") :]
    assert ("KEDA in from the namespace scalers" in notes) is enabled
    assert ("http://prometheus.monitoring:9090" in notes) is enabled


@pytest.mark.parametrize("tls", ["", ",tls.enabled=true,tls.existingSecret=scaler-tls"])
def test_the_trigger_that_the_notes_show_is_one_that_check_takes(tls: str, tmp_path: Path) -> None:
    given = f"{URL}{tls}"
    done = helm("helm4", "install", "ps", CHART, "--namespace", "scaling", "--dry-run=client", "--set", given)
    assert done.returncode == 0, done.stderr
    lines = done.stdout[done.stdout.index("   triggers:") :].split("\n\n")[0]
    filled = lines.replace("NAME-OF-THE-DEPLOYMENT", "chat")
    filled = filled.replace("WHAT ONE REPLICA SERVES PER SECOND", "12")
    assert filled.count("chat") == filled.count('"12"') == 1
    assert ('enableTLS: "true"' in filled) == ("authenticationRef" in filled) == bool(tls)
    filled = filled.replace("NAME-OF-A-TRIGGERAUTHENTICATION-WITH-caCert", "scaler")
    spec = {"scaleTargetRef": {"name": "chat"}, "minReplicaCount": 1, "maxReplicaCount": 20}
    spec |= yaml.safe_load(textwrap.dedent(filled))
    shown = {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": {"name": "chat", "namespace": "llm"},
        "spec": spec,
    }
    manifest = tmp_path / "shown.yaml"
    manifest.write_text(yaml.safe_dump(shown))
    found = check_file(manifest)
    assert not found.problems
    assert len(found.subjects) == 1
    assert problems(shown) == []
