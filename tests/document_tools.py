"""helm, kubectl and make as the documents' commands find them: no cluster, nothing that takes minutes.

Each call either does what it can without a cluster, or fails. `document_scene` says what stands in for what.
"""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Never

import yaml

from patience import WITHIN_S

ROOT = Path(__file__).resolve().parent.parent
TOOLS = ROOT / ".tools"
BIN = Path(sys.executable).parent


def main() -> None:
    """The tool that is named first, with its arguments."""
    tool, *arguments = sys.argv[1:]
    {"helm": helm, "kubectl": kubectl, "make": make}[tool](arguments)


def refuse(words: str) -> Never:
    """End with an error."""
    sys.exit(f"the documents' tools: {words}")


def make(arguments: Sequence[str]) -> None:
    """Say what would be done; a target that does not exist is an error."""
    _run("/usr/bin/make", "--dry-run", *arguments)


def helm(arguments: Sequence[str]) -> None:
    """Render what would be installed or upgraded, strictly; any other command as it is."""
    if arguments[0] in ("install", "upgrade"):
        kept = [one for one in arguments[1:] if one not in ("--install", "--create-namespace", "--wait")]
        arguments = ["template", *kept]
    sys.stdout.write(_run(str(TOOLS / "helm4"), *arguments))


def kubectl(arguments: Sequence[str]) -> None:
    """Find out whether what is applied is good and whether what is named exists."""
    words = [one for one in arguments if one != "--dry-run=client"]
    if words[:1] in (["-n"], ["--namespace"]):
        words = words[2:]
    match words:
        case ["apply", "-k", folder]:
            _kinds(_run(str(TOOLS / "kubectl"), "kustomize", folder))
        case ["create", "namespace", name]:
            _namespace(name)
        case ["apply", "-f", "-"]:
            _apply(sys.stdin.read())
        case ["apply", "-f", file]:
            _apply(Path(file).read_text())
        case ["port-forward", service, ports]:
            _exists(service.removeprefix("svc/"), int(ports.split(":")[-1]))
        case ["kustomize", *_]:
            sys.stdout.write(_run(str(TOOLS / "kubectl"), *words))
        case _:
            refuse(f"kubectl {' '.join(arguments)}: nothing stands in for it")


def _run(*command: str) -> str:
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=2 * WITHIN_S)
    if done.returncode:
        refuse(f"{' '.join(command)}:\n{done.stdout}{done.stderr}")
    return done.stdout


def _kinds(manifests: str) -> list[dict[str, Any]]:
    found = [document for document in yaml.safe_load_all(manifests) if document]
    if not found or not all({"apiVersion", "kind", "metadata"} <= set(one) for one in found):
        refuse("applied: no manifests")
    return found


def _namespace(name: str) -> None:
    """Whether something is applied into such a one afterwards: an overlay of the checkout names it."""
    overlays = (ROOT / "deploy" / "kustomize" / "overlays").glob("*/kustomization.yaml")
    if name not in {yaml.safe_load(overlay.read_text())["namespace"] for overlay in overlays}:
        refuse(f"kubectl create namespace {name}: no overlay names it")
    sys.stdout.write(f"namespace/{name} created\n")


def _apply(manifests: str) -> None:
    """What the API server and KEDA would do first: read it, and ask the service for each trigger."""
    found = _kinds(manifests)
    for one in found:
        if one["kind"] == "ScaledObject":
            for trigger in one["spec"]["triggers"]:
                if trigger["type"].startswith("external"):
                    asyncio.run(_asked(one["metadata"], trigger["metadata"]))
        sys.stdout.write(f"{one['kind'].lower()}/{one['metadata']['name']} applied\n")


async def _asked(named: dict[str, str], metadata: dict[str, str]) -> None:
    """The service is asked until it has decided, as KEDA asks."""
    from keda_client import ScaledObject, keda  # slow to import, and most calls do not ask

    scaled = ScaledObject(name=named["name"], namespace=named["namespace"], metadata=metadata)
    async with keda(os.environ["DOCUMENTS_GRPC"]) as client:
        last: object = "never asked"
        deadline_s = time.monotonic() + WITHIN_S
        while time.monotonic() < deadline_s:
            try:
                samples = await client.poll(scaled)
            except Exception as error:  # noqa: BLE001 - the last one is told
                last = error
            else:
                if samples:
                    return
                last = "no samples"
            await asyncio.sleep(0.1)
    refuse(f"{scaled.namespace}/{scaled.name} is not answered: {last}")


def _exists(name: str, port: int) -> None:
    """Whether the chart makes such a Service by its default name, or Prometheus' operator does."""
    if (name, port) == ("prometheus-operated", 9090):
        return
    url = "config.prometheus.url=http://prometheus:9090"
    told = _run(
        str(TOOLS / "helm4"),
        "template",
        "predictscale",
        str(ROOT / "deploy/chart/predictscale"),
        "--set",
        url,
    )
    ports = [
        entry["port"]
        for one in _kinds(told)
        if one["kind"] == "Service" and one["metadata"]["name"] == name
        for entry in one["spec"]["ports"]
    ]
    if port not in ports:
        refuse(f"service {name}:{port} is not of the chart, which has ports {ports} there")


if __name__ == "__main__":
    main()
