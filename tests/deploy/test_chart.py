"""The chart and what Helm and kubectl make of it; then a pod's process, as the chart sets it up."""

import copy
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import kubernetes_validate
import pytest
import yaml
from grpc_health.v1 import health_pb2, health_pb2_grpc

from helm_chart import (
    CHART,
    KUBERNETES,
    MAJORS,
    ROOT,
    SETS,
    TOOLS,
    URL,
    default,
    helm,
    needs_helm,
    one,
    pod,
    rendered,
    service_file,
)
from patience import until
from predictscale.config.settings import ArchiveSettings
from service_process import ServiceProcess

CLI = Path(sys.executable).parent / "predictscale"

pytestmark = needs_helm


@pytest.mark.parametrize("major", MAJORS)
@pytest.mark.parametrize(
    "values", [None, *SETS], ids=lambda values: "default" if values is None else values.stem
)
def test_the_chart_lints_and_renders_what_kubernetes_accepts(major: str, values: Path | None) -> None:
    given = ("--set", URL) if values is None else ("--values", values)
    linted = helm(major, "lint", "--strict", CHART, *given)
    assert linted.returncode == 0, linted.stdout + linted.stderr
    manifests = rendered(*given, major=major)
    if major == "helm3":
        return  # what follows is of the manifests, and those are the same
    assert manifests == rendered(*given, major="helm3")
    for manifest in manifests:
        if "." in manifest["apiVersion"].split("/")[0] and not manifest["apiVersion"].startswith(
            ("networking.k8s.io", "policy")
        ):
            assert manifest["kind"] in {"ServiceMonitor", "PodMonitor", "PrometheusRule", "Certificate"}
            assert manifest["spec"]
        else:
            kubernetes_validate.validate(manifest, KUBERNETES, strict=True)
    assert not restricted_violations(pod(manifests))
    assert {m["metadata"]["namespace"] for m in manifests} == {"scaling"}
    assert not {"Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding", "Secret"} & {
        m["kind"] for m in manifests
    }


def test_there_are_six_sets_of_values() -> None:
    assert len(SETS) == 6


def restricted_violations(spec: dict[str, Any]) -> list[str]:
    """What of a pod breaks the restricted Pod Security Standard (Kubernetes 1.31, all of its controls)."""
    whole = spec.get("securityContext", {})
    allowed = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim"}
    kinds = allowed | {"projected", "secret"}
    found = [name for name in ("hostNetwork", "hostPID", "hostIPC") if spec.get(name)]
    found += [f"volume {v['name']}" for v in spec.get("volumes", []) if not set(v) - {"name"} <= kinds]
    for container in (*spec["containers"], *spec.get("initContainers", [])):
        own = container.get("securityContext", {})
        capabilities = own.get("capabilities", {})
        seccomp = own.get("seccompProfile", whole.get("seccompProfile", {})).get("type")
        checks = {
            "privileged": own.get("privileged", False),
            "allowPrivilegeEscalation": own.get("allowPrivilegeEscalation") is not False,
            "capabilities.drop": "ALL" not in capabilities.get("drop", []),
            "capabilities.add": bool(set(capabilities.get("add", [])) - {"NET_BIND_SERVICE"}),
            "runAsNonRoot": own.get("runAsNonRoot", whole.get("runAsNonRoot")) is not True,
            "runAsUser": own.get("runAsUser", whole.get("runAsUser")) == 0,
            "seccompProfile": seccomp not in ("RuntimeDefault", "Localhost"),
            "procMount": own.get("procMount", "Default") != "Default",
            "hostPort": any(port.get("hostPort") for port in container.get("ports", [])),
        }
        found += [name for name, broken in checks.items() if broken]
    return found


@pytest.mark.parametrize(
    ("spoil", "control"),
    [
        (lambda s: s.update(hostNetwork=True), "hostNetwork"),
        (lambda s: s["volumes"].append({"name": "root", "hostPath": {"path": "/"}}), "volume root"),
        (lambda s: s["containers"][0]["securityContext"].update(privileged=True), "privileged"),
        (lambda s: s["containers"][0]["securityContext"].pop("capabilities"), "capabilities.drop"),
        (
            lambda s: s["containers"][0]["securityContext"].pop("allowPrivilegeEscalation"),
            "allowPrivilegeEscalation",
        ),
        (lambda s: s["containers"][0]["securityContext"].update(runAsUser=0), "runAsUser"),
    ],
)
def test_a_pod_that_breaks_the_restricted_standard_is_seen(
    spoil: Callable[[dict[str, Any]], object], control: str
) -> None:
    spec = copy.deepcopy(pod(default()))
    spoil(spec)
    assert restricted_violations(spec) == [control]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ((), "config.prometheus.url: is missing"),
        (("--set", URL, "--set", "replica=3"), "replica"),
        (("--set", URL, "--set", "tls.enabled=true"), "tls.existingSecret: is missing"),
        (("--set", URL, "--set", "image.digest=latest"), "digest"),
        (("--set", URL, "--set", "config.workload=x"), "workload"),
        (
            ("--set", f"{URL},monitoring.serviceMonitor.enabled=true,monitoring.podMonitor.enabled=true"),
            "scraped twice",
        ),
        (
            ("--set", f"{URL},tls.enabled=true,tls.certManager.enabled=true"),
            "tls.certManager.issuerRef.name: is missing",
        ),
        (("--set", f"{URL},tls.clientAuth=true"), "tls.enabled: is false"),
        (("--set", f"{URL},tls.existingSecret=grpc"), "tls.enabled: is false"),
        (("--set", f"{URL},tls.certManager.enabled=true"), "tls.enabled: is false"),
        (("--set", f"{URL},config.grpc.port=7000"), "set service.grpc.port"),
        (("--set", f"{URL},config.http.port=9090"), "set service.http.port"),
        (("--set", f"{URL},config.metrics.port=9000"), "config.metrics.port: is 9000"),
        (("--set", f"{URL},config.grpc.tls.cert_file=/a,config.grpc.tls.key_file=/b"), "set tls.enabled"),
    ],
)
def test_wrong_values_are_refused_in_words(given: tuple[str, ...], told: str) -> None:
    done = helm("helm4", "template", "ps", CHART, *given)
    assert done.returncode != 0
    assert told in done.stderr


@pytest.mark.parametrize("values", SETS, ids=lambda values: values.stem)
def test_the_services_file_in_the_chart_is_one_that_the_service_takes(values: Path, tmp_path: Path) -> None:
    document = service_file(rendered("--values", values))
    file = tmp_path / "predictscale.yaml"
    file.write_text(yaml.safe_dump(document))
    done = subprocess.run([CLI, "check", file], check=False, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_an_owner_writes_wins_and_long_numbers_stay_as_they_are() -> None:
    everything = rendered("--values", ROOT / "tests/deploy/values/everything.yaml")
    document = service_file(everything)
    assert document["workloads"][0]["budget"]["per_month"] == 60_000_000
    assert document["limits"]["max_metadata_bytes"] == 1_048_576
    mine = rendered("--set", f"{URL},config.cache.path=/elsewhere/history.sqlite")
    assert service_file(mine)["cache"]["path"] == "/elsewhere/history.sqlite"


def test_ports_and_paths_of_the_file_are_those_of_the_pod() -> None:
    manifests = rendered("--values", ROOT / "tests/deploy/values/everything.yaml")
    spec, document = pod(manifests), service_file(manifests)
    (container,) = spec["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports == {
        "grpc": document["grpc"]["port"],
        "http": document["http"]["port"],
        "metrics": document["metrics"]["port"],
    }
    mounts = [mount["mountPath"] for mount in container["volumeMounts"]]
    files = [
        document["cache"]["path"],
        document["archive"]["path"],
        document["events"]["path"],
        document["overrides"]["path"],
        document["http"]["audit_path"],
        document["http"]["write_token_file"],
        document["grpc"]["tls"]["cert_file"],
    ]
    for file in files:
        assert any(file.startswith(f"{mount}/") for mount in mounts), file
    assert one(manifests, "Service")["spec"]["clusterIP"] == "None", "KEDA must know every replica"


def test_a_change_of_the_file_rolls_the_pods_and_nothing_else_does() -> None:
    def checksum(*more: str) -> str:
        manifest = one(rendered("--set", URL, *more), "Deployment")
        found: str = manifest["spec"]["template"]["metadata"]["annotations"]["checksum/config"]
        return found

    assert checksum() == checksum("--set", "replicas=3")
    assert checksum() != checksum("--set", "config.defaults.lead_time_s=9m")


def test_the_grace_is_longer_than_the_drain_and_a_drained_node_leaves_a_replica() -> None:
    from predictscale.config.settings import GrpcSettings

    manifests, grpc_settings = default(), GrpcSettings()
    drain_s = grpc_settings.drain_s + grpc_settings.grace_s
    assert pod(manifests)["terminationGracePeriodSeconds"] > 2 * drain_s
    replicas = one(manifests, "Deployment")["spec"]["replicas"]
    assert replicas - one(manifests, "PodDisruptionBudget")["spec"]["maxUnavailable"] >= 1


def test_replicas_of_the_service_share_no_volume_but_the_one_that_is_made_for_it() -> None:
    manifests = rendered("--values", ROOT / "tests/deploy/values/persistent.yaml")
    (claim,) = one(manifests, "StatefulSet")["spec"]["volumeClaimTemplates"]
    assert claim["metadata"]["name"] == "cache"
    shared = [v for v in pod(manifests)["volumes"] if "persistentVolumeClaim" in v]
    assert [v["name"] for v in shared] == ["shared"]
    document = service_file(manifests)
    assert document["cache"]["path"].startswith("/var/lib/predictscale/")
    assert document["events"]["path"].startswith("/var/lib/predictscale-shared/")


def test_an_archive_that_is_full_does_not_evict_the_pod() -> None:
    manifests = default()
    (limit,) = [v["emptyDir"]["sizeLimit"] for v in pod(manifests)["volumes"] if v["name"] == "cache"]
    archive = ArchiveSettings(**service_file(manifests)["archive"])
    assert limit.endswith("Gi")
    assert float(limit.removesuffix("Gi")) * 2**30 >= archive.max_bytes + 2**30, "history takes its part too"


def test_a_reader_stays_with_the_replica_that_has_his_replays_and_keda_does_not() -> None:
    manifests = default()
    assert one(manifests, "Service", "-http")["spec"]["sessionAffinity"] == "ClientIP"
    assert "sessionAffinity" not in one(manifests, "Service")["spec"]


def test_only_keda_and_prometheus_come_in_from_other_namespaces() -> None:
    policy = one(default(), "NetworkPolicy")["spec"]
    by_port = {rule["ports"][0]["port"]: rule["from"] for rule in policy["ingress"]}
    assert by_port["grpc"] == [
        {
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "keda"}},
            "podSelector": {"matchLabels": {"app": "keda-operator"}},
        }
    ]
    assert by_port["http"] == [{"podSelector": {}}], "the page is read from the namespace itself"
    goes_to = [
        peer["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"]
        for rule in policy["egress"]
        for peer in rule["to"]
    ]
    assert goes_to == ["monitoring", "kube-system"]


def test_the_pod_has_no_right_and_no_token() -> None:
    manifests = default()
    assert pod(manifests)["automountServiceAccountToken"] is False
    assert one(manifests, "ServiceAccount")["automountServiceAccountToken"] is False


def test_rules_and_dashboards_are_those_of_the_repository() -> None:
    manifests = rendered("--values", ROOT / "tests/deploy/values/everything.yaml")
    rules = yaml.safe_load((ROOT / "deploy/prometheus/rules.yaml").read_text())
    assert one(manifests, "PrometheusRule")["spec"] == rules
    told = {
        name: json.loads(text)
        for manifest in manifests
        if manifest["kind"] == "ConfigMap" and "grafana_dashboard" in manifest["metadata"]["labels"]
        for name, text in manifest["data"].items()
    }
    there = {
        f"predictscale-{file.name}": json.loads(file.read_text())
        for file in (ROOT / "deploy/grafana").glob("*.json")
    }
    assert told == there
    assert len(there) >= 6


def test_links_to_the_runbook_lead_where_it_is_published() -> None:
    there = (
        "--set",
        f"{URL},monitoring.rules.enabled=true,monitoring.rules.runbook=https://wiki.example/runbook",
    )
    groups = one(rendered(*there), "PrometheusRule")["spec"]["groups"]
    links = [
        rule["annotations"]["runbook_url"] for group in groups for rule in group["rules"] if "alert" in rule
    ]
    assert len(links) > 10
    assert all(link.startswith("https://wiki.example/runbook#predictscale") for link in links)


def test_the_base_of_kustomize_is_what_the_chart_makes_and_builds() -> None:
    script = ROOT / "scripts" / "generate-kustomize"
    fresh = subprocess.run(
        [sys.executable, script, "--check"], check=False, capture_output=True, text=True, timeout=180
    )
    assert fresh.returncode == 0, fresh.stderr
    for folder, namespace in (("base", "predictscale"), ("overlays/example", "autoscaling")):
        built = subprocess.run(
            [TOOLS / "kubectl", "kustomize", ROOT / "deploy" / "kustomize" / folder],
            check=True,
            capture_output=True,
            text=True,
            timeout=180,
        )
        manifests = [found for found in yaml.safe_load_all(built.stdout) if found]
        assert {m["kind"] for m in manifests} == {m["kind"] for m in default()}
        assert {m["metadata"]["namespace"] for m in manifests} == {namespace}
        for manifest in manifests:
            kubernetes_validate.validate(manifest, KUBERNETES, strict=True)
        (config,) = [m for m in manifests if m["kind"] == "ConfigMap"]
        mounted = [v for v in pod(manifests)["volumes"] if v["name"] == "config"]
        assert mounted == [{"name": "config", "configMap": {"name": config["metadata"]["name"]}}]


@pytest.mark.e2e
@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("setpriv") is None, reason="only root may become another user"
)
def test_the_pods_process_serves_as_nobody_with_two_folders_that_it_may_write(tmp_path: Path) -> None:
    """The chart's own file, moved to folders of this machine; no rights, no home, no capabilities."""
    manifests = rendered("--set", URL)
    user = pod(manifests)["securityContext"]["runAsUser"]
    document = service_file(manifests)
    state, scratch = tmp_path / "state", tmp_path / "tmp"
    for folder in (state, scratch):
        folder.mkdir()
        os.chown(folder, user, user)
    for section in ("cache", "archive"):
        document[section]["path"] = str(state / Path(document[section]["path"]).name)
    del document["prometheus"]
    document["replay"] = {"series": {"shop": "synthetic:shop"}}
    shop = {
        "namespace": "web",
        "name": "shop",
        "query": "shop",
        "capacity_per_replica": 80,
        "max_replicas": 40,
    }
    document["workloads"] = [shop]
    file = tmp_path / "predictscale.yaml"
    file.write_text(yaml.safe_dump(document))
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_mode & 0o005 != 0o005:
            folder.chmod(folder.stat().st_mode | 0o005)
    service = ServiceProcess(
        ["serve", "--config", str(file)],
        log=tmp_path / "log",
        environment={"TMPDIR": str(scratch), "HOME": "/nonexistent", "PYTHONDONTWRITEBYTECODE": "1"},
    )
    dropped = ("--reuid", str(user), "--regid", str(user), "--clear-groups", "--bounding-set=-all")
    service.command = ["setpriv", *dropped, "--no-new-privs", *service.command]
    with service:
        assert service.get("/readyz").status_code == 200
        until(lambda: service.get("/api/v1/workloads/web/shop/decision").status_code == 200)
        with grpc.insecure_channel(service.grpc_address) as channel:
            stub: Any = health_pb2_grpc.HealthStub(channel)
            told = stub.Check(health_pb2.HealthCheckRequest(service=""), timeout=60)
        assert told.status == health_pb2.HealthCheckResponse.SERVING
        assert service.terminate() == 0
    assert {path.suffix for path in state.iterdir()} >= {".sqlite"}
    written = {path.stat().st_uid for path in state.iterdir()}
    assert written == {user}
