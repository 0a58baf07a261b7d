"""A past and a near future of many workloads in one Prometheus, for two replicas of the service to agree on.

Samples of the next minutes are there already; nobody sees them before their time, for a tick asks
for nothing after itself. So what differs between two replicas is theirs, and not the scrapes'.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from engine_fleets import backfill, chat_fleet
from predictscale.core.series import Floats, MetricWindow, floor_to_grid
from predictscale.simulate.engine.deployment import Names
from predictscale.simulate.engine.pods import PodBoot
from predictscale.simulate.engine.record import Recording, record
from predictscale.simulate.fleet import BootTime
from prometheus_server import BackfilledSeries, PrometheusServer

DAY_S = 86_400.0
PAST_S, AHEAD_S = 14 * DAY_S, 1650.0
"""Ahead lies more than a test takes on a slow machine: five minutes, and a cycle of the nodes of `_pods`."""
SAMPLE_S = 30.0
NODES = 6
ENGINES_S = 14_400.0
"""So long a past have the engines and their pods."""

_SHARED = {"lead_time_s": 300, "fresh_s": 45, "measure_lead_time": False, "stale_after_s": 60, "hold_s": 30}
_QUICK = ["native", "last-value"]
_PRICE = {"per_replica_hour": 4.0, "currency": "EUR"}


def workloads(now: datetime) -> dict[str, dict[str, Any]]:
    """What their owners want; each has something that another has not."""
    busy, night = ({"query": f'sum(demand_rps{{service="{name}"}})'} for name in ("busy", "night"))
    plain = {**busy, "capacity_per_replica": 10, "max_replicas": 500, "forecasters": _QUICK}
    alike = {
        f"plain-{n}": {**plain, "quantile": 0.8 + n / 100, "lead_time_s": 120 + 30 * n} for n in range(1, 16)
    }
    return {
        "plain": plain,
        "held": {**plain, "hold_s": 60, "lead_time_s": 600, "quantile": 0.99, "target": "held"},
        "auto": {**plain, "forecasters": ["auto", "last-value"]},
        "slo": {**plain, "slo": {"max_violation": "1%", "wait": "5s"}, "target": "held"},
        "learned": {
            "backend": "vllm-tokens",
            "target": "llm",
            "capacity": {"itl_s": 0.05, "ttft_p95_s": 1.0, "start_per_replica": 250},
            "max_replicas": 100,
            "forecasters": _QUICK,
        },
        "measured": {**plain, "target": "llm", "measure_lead_time": True},
        "pools": {
            **plain,
            "capacity_per_replica": 60,
            "pools": [
                {"name": "on-demand", "kind": "on-demand", "target": "chat"},
                {"name": "spot", "kind": "spot", "target": "chat-spot", "zones": ["a"]},
            ],
            "spot": {"availability": 0.9, "hold_s": 60, "avoid_s": 60},
        },
        "floors": {
            **night,
            "capacity_per_replica": 50,
            "max_replicas": 100,
            "forecasters": _QUICK,
            "floors": [{"name": "always", "from": "00:00", "to": "23:59", "replicas": 4}],
            "events": [_sale(now)],
        },
        "warm": {
            **night,
            "capacity_per_replica": 50,
            "max_replicas": 100,
            "min_replicas": 0,
            "forecasters": _QUICK,
            "price": _PRICE,
            "warmth": {"shortage_cost": 36.0, "cold_start_cost": 0.5, "seen_at_zero": True},
        },
        "budget": {**plain, "target": "held", "price": _PRICE, "budget": {"per_month": 100_000}},
        **alike,
    }


def _sale(now: datetime) -> dict[str, Any]:
    start, end = now - timedelta(hours=1), now + timedelta(hours=1)
    return {
        "name": "sale",
        "start": f"{start:%Y-%m-%dT%H:%MZ}",
        "end": f"{end:%Y-%m-%dT%H:%MZ}",
        "multiplier": 2,
    }


def settings(url: str, *, now: datetime, cache: Path | None, every_s: float) -> dict[str, Any]:
    """The service's; two replicas differ in where their cache lies, if they have one."""
    return {
        "prometheus": {"url": url},
        "cache": {"path": None if cache is None else str(cache)},
        "loop": {"tick_s": 1, "step_s": 120, "history_s": "14d"},
        "fit": {"every_s": every_s},
        "log": {"level": "info"},
        "workloads": [
            {**_SHARED, "namespace": "prod", "name": name, **owner} for name, owner in workloads(now).items()
        ],
    }


@contextmanager
def prometheus(folder: Path, now: datetime) -> Iterator[PrometheusServer]:
    """It runs, and knows everything until `AHEAD_S` after `now`."""
    end = floor_to_grid(now, SAMPLE_S) + timedelta(seconds=AHEAD_S)
    backfill(folder, [_engines(end)])
    with PrometheusServer(
        folder, series=sorted([*_demand(end), *_pods(end)], key=lambda one: one.name)
    ) as server:
        yield server


def _demand(end: datetime) -> list[BackfilledSeries]:
    count = round((PAST_S + AHEAD_S) / SAMPLE_S)
    start = end - timedelta(seconds=count * SAMPLE_S)
    hours = (start.timestamp() + np.arange(count) * SAMPLE_S) / 3600.0
    wave = 1.0 + 0.5 * np.sin(2 * np.pi * hours / 24.0) + 0.1 * np.sin(2 * np.pi * hours / 0.1)
    noise = np.random.default_rng(11).gamma(40.0, 1 / 40.0, size=count)
    quiet = np.where((hours % 3.0) < 1.0, 0.0, 1.0)
    told = {"busy": 300.0 * wave * noise, "night": 300.0 * wave * noise * quiet}
    made = [_gauge("demand_rps", {"namespace": "prod", "service": k}, start, v) for k, v in told.items()]
    fleet = np.ceil(30.0 * wave)
    return made + [
        _gauge(f"kube_deployment_{name}", {"namespace": "prod", "deployment": "held"}, start, fleet)
        for name in ("spec_replicas", "status_replicas", "status_replicas_ready")
    ]


def _gauge(name: str, labels: dict[str, str], start: datetime, values: Floats) -> BackfilledSeries:
    return BackfilledSeries(name, labels, MetricWindow(start, SAMPLE_S, values))


def _pods(end: datetime) -> list[BackfilledSeries]:
    """Spot nodes of a zone over two hours: every quarter of an hour one is lost and comes back."""
    count = round(7200.0 / SAMPLE_S)
    start = end - timedelta(seconds=count * SAMPLE_S)
    flat = np.ones(count)
    place = np.arange(count)
    up = np.array([(place + 13 * node) % 45 >= (4 if node < 2 else 0) for node in range(NODES)])
    ready = up.sum(axis=0).astype(np.float64)
    counts = {"chat": (flat * 0, flat * 0), "chat-spot": (flat * NODES, ready)}
    found = []
    for deployment, (held, serving) in counts.items():
        labels = {"namespace": "prod", "deployment": deployment}
        found += [
            _gauge("kube_deployment_spec_replicas", labels, start, held),
            _gauge("kube_deployment_status_replicas", labels, start, held),
            _gauge("kube_deployment_status_replicas_ready", labels, start, serving),
        ]
    owner = {
        "namespace": "prod",
        "replicaset": "chat-spot-1",
        "owner_kind": "Deployment",
        "owner_name": "chat-spot",
    }
    found.append(_gauge("kube_replicaset_owner", owner, start, flat))
    for number in range(NODES):
        node, pod = {"node": f"node-{number}"}, {"namespace": "prod", "pod": f"chat-spot-1-{number}"}
        found += [
            _gauge("kube_node_info", node, start, flat),
            _gauge("kube_node_labels", {**node, "label_topology_kubernetes_io_zone": "a"}, start, flat),
            _gauge("kube_pod_info", {**pod, **node}, start, flat),
            _gauge(
                "kube_pod_owner",
                {**pod, "owner_kind": "ReplicaSet", "owner_name": "chat-spot-1"},
                start,
                flat,
            ),
            _gauge(
                "kube_pod_status_ready", {**pod, "condition": "true"}, start, up[number].astype(np.float64)
            ),
        ]
    return found


def _engines(end: datetime) -> Recording:
    """Two engines and more under steady load, scaled up and down, so that pods start."""
    origin = end - timedelta(seconds=ENGINES_S + AHEAD_S)
    fleet = chat_fleet(
        1.5,
        pods=2,
        origin=origin,
        bin_s=60.0,
        boot=PodBoot(node_share=0.0, load=BootTime(median_s=60.0, spread=0.2)),
        names=Names(namespace="prod", deployment="llm"),
    )
    recording = Recording()
    for turn in range(int(ENGINES_S // 600)):
        fleet.scale(2 + 2 * (turn % 2), fleet.now)
        record(fleet, origin + timedelta(seconds=600.0 * (turn + 1)), into=recording)
    return record(fleet, end, into=recording)
