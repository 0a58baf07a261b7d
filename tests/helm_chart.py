"""The chart as Helm renders it, read as strictly as a cluster reads it."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
CHART = ROOT / "deploy" / "chart" / "predictscale"
TOOLS = ROOT / ".tools"
URL = "config.prometheus.url=http://prometheus.monitoring:9090"
SETS = sorted((ROOT / "tests" / "deploy" / "values").glob("*.yaml"))
KUBERNETES = "1.31"
MAJORS = ("helm3", "helm4")

Manifest = dict[str, Any]


class OneOfEachKey(yaml.SafeLoader):
    """Refuses what a server refuses too: a mapping in which a key stands twice."""


def _mapping(loader: OneOfEachKey, node: yaml.MappingNode) -> dict[Any, Any]:
    keys = [key.value for key, _ in node.value]
    assert len(keys) == len(set(keys)), (
        f"twice in one mapping: {sorted({k for k in keys if keys.count(k) > 1})}"
    )
    return dict(loader.construct_pairs(node, deep=True))


OneOfEachKey.add_constructor("tag:yaml.org,2002:map", _mapping)


def documents(text: str) -> list[Manifest]:
    return [found for found in yaml.load_all(text, OneOfEachKey) if found]


needs_helm = pytest.mark.skipif(
    not all((TOOLS / tool).is_file() for tool in (*MAJORS, "kubectl")),
    reason="no Helm here: scripts/install-deploy-tools brings it, where there is npm",
)


def helm(major: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [str(TOOLS / major), *map(str, arguments)]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=180)


def rendered(*arguments: object, major: str = "helm4") -> list[Manifest]:
    done = helm(major, "template", "ps", CHART, "--namespace", "scaling", *arguments)
    assert done.returncode == 0, done.stderr
    return documents(done.stdout)


def default() -> list[Manifest]:
    return rendered("--set", URL)


def one(manifests: list[Manifest], kind: str, suffix: str = "") -> Manifest:
    (found,) = [
        m
        for m in manifests
        if m["kind"] == kind and m["metadata"]["name"] in (f"ps-predictscale{suffix}", f"scaler{suffix}")
    ]
    return found


def pod(manifests: list[Manifest]) -> dict[str, Any]:
    (found,) = [m for m in manifests if m["kind"] in ("Deployment", "StatefulSet")]
    spec: dict[str, Any] = found["spec"]["template"]["spec"]
    return spec


def service_file(manifests: list[Manifest]) -> dict[str, Any]:
    text = one(manifests, "ConfigMap")["data"]["predictscale.yaml"]
    document: dict[str, Any] = yaml.safe_load(text)
    return document
