"""A ScaledObject that lands where predictscale says, for given trigger metadata.

What KEDA and predictscale must agree on is written from one source. The HPA's
behavior is set so that a target is reached exactly and at once: no dead band
(Kubernetes 1.35 and KEDA 2.18 or newer), no ramp on the way up, two minutes of
patience on the way down. It refuses metadata that the service would refuse.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import yaml

from predictscale.config.metadata import parse_trigger, pool_of
from predictscale.config.presets import Presets
from predictscale.config.settings import ServiceSettings
from predictscale.config.workload import WorkloadSettings
from predictscale.core.plan import Landing, OnStale
from predictscale.errors import Problem, SettingsError

DEFAULT_ADDRESS = "predictscale.predictscale.svc.cluster.local:6000"
"""Where the chart's Service answers, if it was installed into a namespace of its own name."""

_PERIOD_S = 15
_DOWN_WINDOW_S = 120


def render_scaled_object(
    *,
    namespace: str,
    name: str,
    metadata: Mapping[str, str],
    service: ServiceSettings,
    presets: Presets,
    target: str | None = None,
    scaler_address: str = DEFAULT_ADDRESS,
    polling_s: int = 30,
) -> str:
    """YAML of a ScaledObject with one external trigger.

    Args:
        namespace: Where it lives.
        name: What it is called.
        metadata: The trigger's, without scalerAddress; checked as the service will.
        service: The service that will read it.
        presets: The backends there are.
        target: The Deployment to scale; by default the one that the settings know. A trigger that
            describes its workload is told it too, so that lead times and fleets can be measured.
        scaler_address: Host and port of the service.
        polling_s: KEDA's pollingInterval [s].

    Raises:
        SettingsError: The metadata would be refused, or no Deployment is known.
    """
    if resolved_later := [key for key in metadata if key.endswith("FromEnv")]:
        wants = "give values; what KEDA looks up in a container is not known here"
        raise SettingsError([Problem("metadata", f"holds {', '.join(resolved_later)}", wants)])
    if target is not None and "workload" not in metadata:
        metadata = {"target": target, **metadata}
    settings = _of_pool(parse_trigger(namespace, name, metadata, service, presets), pool_of(metadata))
    deployment = target or settings.target
    if deployment is None:
        raise SettingsError([Problem("target", "is missing", "name the Deployment that is scaled")])
    manifest = {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": {"name": name, "namespace": namespace},
        "spec": _spec(settings, deployment, metadata, scaler_address, polling_s),
    }
    return yaml.safe_dump(manifest, sort_keys=False, allow_unicode=True, width=1000)


def _of_pool(settings: WorkloadSettings, name: str | None) -> WorkloadSettings:
    """A workload with the Deployment and the bounds of the pool that asks, if one does."""
    pool = None if name is None else settings.pool(name)
    if pool is None:
        return settings
    # How many always stay is part of the decision.
    most = pool.pool(most=settings.max_replicas).max_replicas
    return replace(settings, target=pool.target, min_replicas=0, max_replicas=most)


def _spec(
    settings: WorkloadSettings, deployment: str, metadata: Mapping[str, str], address: str, polling_s: int
) -> dict[str, Any]:
    trigger = {
        "type": "external",
        "metricType": "AverageValue",
        "metadata": {"scalerAddress": address, **_metadata(settings, metadata)},
    }
    spec: dict[str, Any] = {
        "scaleTargetRef": {"name": deployment},
        "pollingInterval": polling_s,
        "cooldownPeriod": int(settings.cooldown_s),
        "minReplicaCount": settings.min_replicas,
        "maxReplicaCount": settings.max_replicas,
    }
    if settings.on_stale is OnStale.UNAVAILABLE:
        # Asked for by this mode: KEDA acts only on a fallback that it was given.
        spec["fallback"] = {
            "failureThreshold": 3,
            "replicas": max(settings.min_replicas, settings.warm_replicas, 1),
            "behavior": "currentReplicasIfHigher",
        }
    spec["advanced"] = {"horizontalPodAutoscalerConfig": {"behavior": _behavior(settings)}}
    spec["triggers"] = [trigger]
    return spec


def _metadata(settings: WorkloadSettings, metadata: Mapping[str, str]) -> dict[str, str]:
    """The trigger's metadata; what KEDA must agree with is said even where it is a default."""
    if "workload" in metadata:
        return dict(metadata)
    bounds = {"minReplicas": str(settings.min_replicas), "maxReplicas": str(settings.max_replicas)}
    return {**metadata, **{key: text for key, text in bounds.items() if key not in metadata}}


def _behavior(settings: WorkloadSettings) -> dict[str, Any]:
    # hold and overshoot plan around the HPA's own tolerance; taking it away would mislead them.
    tolerance = {"tolerance": "0"} if settings.landing is Landing.EXACT else {}
    up = {"type": "Pods", "value": settings.max_replicas, "periodSeconds": _PERIOD_S}
    down = {"type": "Percent", "value": 100, "periodSeconds": _PERIOD_S}
    return {
        "scaleUp": {**tolerance, "stabilizationWindowSeconds": 0, "policies": [up]},
        "scaleDown": {**tolerance, "stabilizationWindowSeconds": _DOWN_WINDOW_S, "policies": [down]},
    }
