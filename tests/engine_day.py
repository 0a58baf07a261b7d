"""A day of a simulated vLLM fleet that the service scales, faster than life, for tests.

Two fleets get the same requests. Of both a real Prometheus is told scrape by scrape, with the
simulation's instants; the service reads it, answers over gRPC, and what KEDA and the HPA make of
the answers moves each fleet. Of the one the answer is the forecast's, of the other that of
`mode: shadow`: what would have been without. Until the service starts, a schedule moves them alike.
"""

import asyncio
import math
import os
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc.aio
import httpx2
import numpy as np

from made_series import shop
from patience import WITHIN_S
from predictscale.bootstrap import Service
from predictscale.clock import ManualClock
from predictscale.config.load import load_service
from predictscale.control.refit import FitPool
from predictscale.control.tracker import Tracker
from predictscale.core.demand import WorkloadId
from predictscale.core.hpa import exact_behavior
from predictscale.core.plan import Decision
from predictscale.simulate.engine import kubernetes
from predictscale.simulate.engine.deployment import Names
from predictscale.simulate.engine.exposition import pod_families
from predictscale.simulate.engine.fleet import Fleet
from predictscale.simulate.engine.pods import Pod, PodBoot
from predictscale.simulate.engine.spec import EngineSpec
from predictscale.simulate.engine.traffic import CHAT, Mix
from predictscale.simulate.fleet import BootTime
from predictscale.simulate.keda import KedaStandIn, ScaledObject
from prometheus_server import PrometheusServer
from remote_write import Scraped, relabelled, write

ORIGIN = datetime(2025, 9, 8, 7, 0, tzinfo=UTC)
"""A Monday. Nothing of a day depends on when it is run."""
TICK_S = 30.0
"""Between scrapes, between decisions, and between the HPA's syncs."""
ITL_S, TTFT_S = 0.2, 3.0
"""What is promised: the mean time between tokens, and 95 % of the times to first token."""
GRACE_S = 30.0
"""A pod that is deleted may finish its requests for so long."""
PODS_MOST = 16
DEPLOYMENT = "chat"

# The usual engine, eight times slower: as much happens in it, in an eighth of the iterations.
_SLOW = 8
SLOW_ENGINE = EngineSpec(
    iteration_s=8e-3 * _SLOW, decode_s=8e-5 * _SLOW, prefill_token_s=3.5e-5 * _SLOW, kv_token_s=1e-7 * _SLOW
)
BOOT = PodBoot(
    schedule=BootTime(median_s=1.0),
    pull=BootTime(median_s=60.0, spread=0.2),
    load=BootTime(median_s=200.0, spread=0.1),
)
"""Four to five minutes until a pod serves."""

_HOURS = (0.0, 6.0, 7.5, 8.5, 8.75, 10.0, 12.0, 13.5, 17.0, 20.0, 24.0)
_RPS = (1.0, 1.0, 2.5, 3.0, 10.0, 9.0, 5.0, 6.0, 5.0, 2.0, 1.0)
RAMP = ORIGIN.replace(hour=8, minute=30)
"""When the first day's requests begin to become three times as many, within a quarter of an hour."""

# Nobody asks for these here.
_DROPPED = ("vllm:e2e_request_latency_seconds", "vllm:request_time_per_output_token_seconds")


def rate_rps(at_s: float) -> float:
    """Requests per second so long after the origin; each day is a tenth busier than the one before."""
    day, hour = divmod(at_s / 3600.0 + ORIGIN.hour, 24.0)
    return float(1.1**day * np.interp(hour, _HOURS, _RPS))


def scheduled(at_s: float) -> int:
    """Replicas of the schedule that moves the fleet before the service does: it looks ten minutes ahead."""
    return max(1, math.ceil(max(rate_rps(at_s), rate_rps(at_s + 600.0)) / 1.1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """One tick of one fleet."""

    decision: Decision
    spec: int
    """`spec.replicas` after the HPA's sync."""
    ready: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What a stretch of the day was like for those who asked, and what it took.

    Args:
        broken: Share of the minutes in which one of the promises was broken.
        late: Share of the requests whose first token came later than promised.
        itl_s: The mean time between tokens [s].
        replica_hours: Pods that existed, over time [h].
        most: The most that were wanted at a time.
    """

    broken: float
    late: float
    itl_s: float
    replica_hours: float
    most: int


class Arm:
    """One fleet, and what is told of it."""

    def __init__(self, namespace: str, *, seed: int) -> None:
        self.namespace = namespace
        self.workload = WorkloadId(namespace, DEPLOYMENT)
        self.fleet = Fleet(
            spec=SLOW_ENGINE,
            streams=Mix.only(CHAT).streams(rate_rps),
            pods=scheduled(0.0),
            boot=BOOT,
            grace_s=GRACE_S,
            origin=ORIGIN,
            bin_s=TICK_S,
            names=Names(namespace=namespace, deployment=DEPLOYMENT),
            seed=seed,
        )
        self.scraped = Scraped(drop=_DROPPED)
        self.moments: list[Moment] = []
        self.shown: dict[str, Any] = {}
        """What REST told at the end, by the last part of the path."""

    def scrape(self, at: datetime) -> None:
        """Let the fleet live until `at`, and look at it."""
        self.fleet.run(at)
        families = pod_families(self.fleet, engine="vllm", names="new")
        kubernetes.tell(families, self.fleet)
        self.scraped.look(at, families)

    def pods(self, at: datetime, *, drained_s: float = 0.0) -> list[Pod]:
        """Pods that served, or whose deletion was asked for no longer before than `drained_s`."""
        now_s, every = after_s(at), (*self.fleet.pods, *self.fleet.past_pods)
        return [pod for pod in every if pod.booted(now_s) and pod.deleted_s >= now_s - drained_s]

    def judged(self, since: datetime, until: datetime) -> Judged:
        """How it went in between, where the service moved it."""
        minutes = [since + timedelta(minutes=m) for m in range(round((until - since).total_seconds() / 60))]
        truths = [self.fleet.truth(at, at + timedelta(minutes=1)) for at in minutes]
        broken = [truth.mean_itl_s > ITL_S or truth.ttft_quantile_s(0.95) > TTFT_S for truth in truths]
        whole = self.fleet.truth(since, until)
        moved = [m for m in self.moments if since <= m.decision.seen.now < until]
        pods = (*self.fleet.pods, *self.fleet.past_pods)
        existed = [(max(after_s(since), p.birth.created_s), min(after_s(until), p.deleted_s)) for p in pods]
        return Judged(
            broken=float(np.mean(broken)),
            late=float(np.mean(whole.ttft_s > TTFT_S)),
            itl_s=whole.mean_itl_s,
            replica_hours=sum(max(0.0, ends - begins) for begins, ends in existed) / 3600.0,
            most=max(m.spec for m in moved),
        )


def after_s(at: datetime) -> float:
    """An instant as a fleet counts it [s]."""
    return (at - ORIGIN).total_seconds()


class EngineDay:
    """Two fleets under the same requests, and the Prometheus that is told of them."""

    def __init__(self, server: PrometheusServer, *, seed: int = 0) -> None:
        self.server = server
        self.live, self.shadow = Arm("prod", seed=seed), Arm("shadow", seed=seed)
        self.now = ORIGIN

    @property
    def arms(self) -> tuple[Arm, Arm]:
        """With the forecast, and without."""
        return self.live, self.shadow

    def live_by_schedule(self, until: datetime, *, at_once: int = 60) -> None:
        """Let the schedule move both fleets until then; `at_once` scrapes are written together."""
        scrapes = 0
        while self.now < until:
            self.now += timedelta(seconds=TICK_S)
            # Until they are moved apart the fleets are one, so one of them is looked at.
            self.live.scrape(self.now)
            for arm in self.arms:
                arm.fleet.scale(scheduled(after_s(self.now)), self.now)
            scrapes += 1
            if scrapes % at_once == 0 or self.now >= until:
                seen = self.live.scraped.take()
                write(self.server.url, seen, relabelled(seen, namespace=self.shadow.namespace))

    def tick(self) -> None:
        """Let both fleets live for a tick, and tell Prometheus."""
        self.now += timedelta(seconds=TICK_S)
        for arm in self.arms:
            arm.scrape(self.now)
        write(self.server.url, *(arm.scraped.take() for arm in self.arms))

    async def live_by_decision(self, file: Path, until: datetime) -> None:
        """Let the service move both fleets until then; what it shows at the end is kept with each.

        Args:
            file: The service's settings; both workloads are named in them.
            until: When to stop.
        """
        clock = ManualClock(self.now)
        async with (
            served(file, clock) as service,
            grpc.aio.insecure_channel(f"127.0.0.1:{service.grpc.port}") as channel,
        ):
            kedas = [_keda(arm, channel, clock) for arm in self.arms]
            while True:
                for arm, keda in zip(self.arms, kedas, strict=True):
                    decision = await _decided(service, arm.workload, self.now)
                    await keda.sync_once(self.now)
                    assert keda.trouble is None
                    ready = arm.fleet.ready(self.now)
                    arm.moments.append(Moment(decision=decision, spec=arm.fleet.spec, ready=ready))
                if self.now >= until:
                    break
                self.tick()
                clock.advance(TICK_S)
            for arm in self.arms:
                arm.shown = await _shown(service, arm.workload)


async def _decided(service: Service, workload: WorkloadId, at: datetime) -> Decision:
    """The decision for the tick at `at`; what it started in the background has ended."""
    tracker = service.loop.tracker(workload)
    assert isinstance(tracker, Tracker)
    # Of life, and only so that a tick that failed is not waited for.
    async with asyncio.timeout(WITHIN_S):
        async for decision in service.store.changes(workload):
            if decision.seen.now == at:
                await tracker.fitted()
                return decision
    raise AssertionError("changes never end")


async def _shown(service: Service, workload: WorkloadId) -> dict[str, Any]:
    base = f"http://127.0.0.1:{service.http_port}/api/v1/workloads/{workload.namespace}/{workload.name}"
    shown = {}
    async with httpx2.AsyncClient(trust_env=False, timeout=WITHIN_S) as rest:
        for path in ("decision", "capacity", "lead-time"):
            answer = await rest.get(f"{base}/{path}")
            assert answer.status_code == 200, answer.text
            shown[path] = answer.json()
    shown["printed"] = await _printed(service, workload)
    return shown


async def _printed(service: Service, workload: WorkloadId) -> str:
    """What `predictscale capacity` prints of it."""
    cli = Path(sys.executable).parent / "predictscale"
    environment = {**os.environ, "COLUMNS": "160", "NO_COLOR": "1"}
    url = f"http://127.0.0.1:{service.http_port}"
    command = await asyncio.create_subprocess_exec(
        cli, "capacity", str(workload), "--url", url, stdout=PIPE, stderr=PIPE, env=environment
    )
    out, err = await command.communicate()
    assert command.returncode == 0, err.decode()
    return out.decode()


def _keda(arm: Arm, channel: grpc.aio.Channel, clock: ManualClock) -> KedaStandIn:
    scaled_object = ScaledObject(
        namespace=arm.namespace,
        name=DEPLOYMENT,
        metadata={"scalerAddress": "predictscale:6000", "workload": DEPLOYMENT},
        min_replicas=1,
        max_replicas=PODS_MOST,
        behavior=exact_behavior(max_replicas=PODS_MOST),
    )
    return KedaStandIn(scaled_object, channel=channel, fleet=arm.fleet, clock=clock, rpc_timeout_s=WITHIN_S)


@asynccontextmanager
async def served(file: Path, clock: ManualClock) -> AsyncIterator[Service]:
    """The service, started; its worker process is warm, so that no first answer waits for it."""
    service = Service(load_service(file), clock=clock)
    service._fits = FitPool(meters=service.meters, deadline_s=WITHIN_S, quick_deadline_s=WITHIN_S)
    await service._fits.fit(("last-value",), shop(days=1), quick_only=True)
    await service.start()
    try:
        yield service
    finally:
        await service.stop()


def settings(url: str, workload: Mapping[str, Any]) -> dict[str, Any]:
    """The service's, with both workloads.

    Args:
        url: Of Prometheus.
        workload: What both have in common.
    """
    modes = {"prod": "live", "shadow": "shadow"}
    loopback = {"host": "127.0.0.1", "port": 0}
    return {
        # Of life, which a busy machine has little of; and the day is to be the same on any.
        "prometheus": {"url": url, "timeout_s": WITHIN_S},
        "loop": {"tick_s": TICK_S, "history_s": "2d"},
        "grpc": {**loopback, "timeout_s": 30},
        "http": loopback,
        "metrics": loopback,
        "workloads": [
            {"namespace": namespace, "name": DEPLOYMENT, "mode": mode, "max_replicas": PODS_MOST, **workload}
            for namespace, mode in modes.items()
        ],
    }
