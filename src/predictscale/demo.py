"""The whole path alive on one machine: the service on synthetic demand, and stand-ins around it.

The stand-ins are KEDA and the HPA, which ask the service's own gRPC port as they
would in a cluster, and a fleet that boots slowly and queues what it cannot serve.
What they measure comes back to the service as its queue and fleet signals.
"""

import asyncio
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import grpc

from predictscale.bootstrap import Service, configure_logging, replay_signals
from predictscale.clock import Clock, ReplayClock
from predictscale.config.load import load_service
from predictscale.core.demand import SignalName, WorkloadId
from predictscale.core.hpa import exact_behavior
from predictscale.core.plan import Decision
from predictscale.core.series import floor_to_grid
from predictscale.simulate.fleet import BootTime, FleetStats, SimulatedFleet
from predictscale.simulate.keda import Change, KedaStandIn, ScaledObject
from predictscale.sources.replay import Recorded, ReplaySource
from predictscale.sources.synthetic import SyntheticDemand, chat_tokens, shop_requests

NAMESPACE = "demo"
START = datetime(2026, 3, 2, 6, 30, tzinfo=UTC)
"""A Monday morning before the ramp."""

_TICK_S = 15.0
_HISTORY_S = 21 * 86400.0
_SHOWN_EVERY_S = 300.0
_REMEMBERED_S = 60.0
"""Between counts of the fleet before the start [s]."""
_Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One synthetic workload and how it is served."""

    name: str
    demand: SyntheticDemand
    unit: str
    per_replica: float
    lead_time_s: float
    max_replicas: int
    forecasters: tuple[str, ...]
    owner: Mapping[str, object] = field(default_factory=dict)
    """What else its owner has written down."""

    def settings(self) -> dict[str, object]:
        """Its entry in the service's file."""
        return {
            "name": self.name,
            "namespace": NAMESPACE,
            "query": f"{self.name}_demand",
            "queue_query": f"{self.name}_queue",
            "unit": self.unit,
            "capacity_per_replica": self.per_replica,
            "lead_time_s": self.lead_time_s,
            "max_replicas": self.max_replicas,
            "forecasters": list(self.forecasters),
            **self.owner,
        }


ENDPOINTS = (
    Endpoint(
        name="chat",
        # Its users come to work at nine: where a replica takes six minutes, reacting is late each morning.
        demand=replace(chat_tokens(), level=11_000.0, shift=0.7),
        unit="tokens/s",
        per_replica=1200,
        lead_time_s=360,
        max_replicas=60,
        forecasters=("auto", "native", "last-value"),
        owner={
            "time_zone": "Europe/Berlin",
            "price": {
                "per_replica_hour": 9.8,
                "currency": "EUR",
                "gpus_per_replica": 4,
                "watts_per_gpu": 600,
                "grid": {"constant_g_per_kwh": 380},
            },
            "budget": {"per_month": 250_000},
            "labels": {"team": "assistants"},
            "floors": [
                {"name": "office hours", "days": "mon-fri", "from": "07:30", "to": "19:00", "replicas": 4}
            ],
        },
    ),
    Endpoint(
        name="shop",
        demand=shop_requests(),
        unit="requests/s",
        per_replica=80,
        lead_time_s=90,
        max_replicas=40,
        forecasters=("auto", "native", "last-value"),
        owner={
            "time_zone": "Europe/Berlin",
            "price": {"per_replica_hour": 0.34, "currency": "EUR"},
            "labels": {"team": "storefront"},
            "events": [
                {
                    "name": "evening sale",
                    "start": "2026-03-02T19:00",
                    "end": "2026-03-02T21:00",
                    "multiplier": 1.5,
                    "repeat": "weekly",
                }
            ],
        },
    ),
)


class World:
    """An endpoint's fleet, and what it looks like from outside."""

    def __init__(self, endpoint: Endpoint, *, start: datetime) -> None:
        self.endpoint = endpoint
        self.recorded = {name: Recorded() for name in SignalName if name is not SignalName.DEMAND}
        self._remember(start)
        self.fleet = SimulatedFleet(
            per_replica=endpoint.per_replica,
            boot=BootTime(median_s=endpoint.lead_time_s * 0.8, spread=0.1),
            replicas=self._owned(self._demand(start)),
            seed=1,
        )
        self.stats: FleetStats | None = None

    def _remember(self, start: datetime) -> None:
        """The fleet since the month began, as its owners had it: a budget counts the whole month."""
        step = timedelta(seconds=_REMEMBERED_S)
        at = start.replace(day=1, hour=0, minute=0)
        for demand in self.endpoint.demand.values(at, start, _REMEMBERED_S).values.tolist():
            at += step
            for name in (SignalName.REPLICAS, SignalName.READY):
                self.recorded[name].record(at, self._owned(demand))

    def _owned(self, demand: float) -> int:
        """Replicas that its owners had for a demand: one more than it takes."""
        return max(1, round(demand / self.endpoint.per_replica) + 1)

    def series(self) -> dict[str, Recorded | SyntheticDemand]:
        """What a source can tell of it, by name."""
        name = self.endpoint.name
        return {
            f"{name}_demand": self.endpoint.demand,
            **{f"{name}_{s}": r for s, r in self.recorded.items()},
        }

    def advance(self, at: datetime) -> None:
        """Serve the step that ends at `at`."""
        self.stats = self.fleet.advance(at - timedelta(seconds=_TICK_S), self._demand(at), _TICK_S)
        self.recorded[SignalName.QUEUE].record(at, self.stats.queued)
        self.recorded[SignalName.REPLICAS].record(at, self.stats.fleet.replicas or 0)
        self.recorded[SignalName.READY].record(at, self.stats.fleet.ready or 0)

    def _demand(self, at: datetime) -> float:
        window = self.endpoint.demand.values(at - timedelta(seconds=_TICK_S), at, _TICK_S)
        return window.newest[1] if window.newest is not None else 0.0


async def run_demo(
    ports: Mapping[str, Mapping[str, int]], *, speed: float, stop_after_h: float | None, tell: _Tell
) -> None:
    """Run until SIGTERM or SIGINT, or for `stop_after_h` replayed hours.

    Args:
        ports: Settings that override the default ports.
        speed: Replayed seconds per second of life.
        stop_after_h: Replayed hours to run once every workload has its first decision, or None.
        tell: Where lines for a person go.
    """
    configure_logging(level="warning", as_json=False)
    clock = ReplayClock(start=START, speed=speed)
    worlds = [World(endpoint, start=START) for endpoint in ENDPOINTS]
    series = {name: one for world in worlds for name, one in world.series().items()}
    local = {part: {"host": "127.0.0.1", **ports.get(part, {})} for part in ("grpc", "http", "metrics")}
    settings = load_service(
        env=os.environ,
        overrides={
            **local,
            "loop": {"tick_s": _TICK_S, "step_s": 60, "history_s": _HISTORY_S},
            "workloads": [endpoint.settings() for endpoint in ENDPOINTS],
        },
    )
    source = ReplaySource(series, clock=clock)
    service = Service(settings, clock=clock, source=source, signals=replay_signals(series))
    await service.start()
    tell(f"synthetic demand, seeded; {speed:g} times faster than life, from {START:%A %H:%M} UTC")
    for line in service.addresses():
        tell(line)
    tell(
        f"try: {sys.argv[0]} plan {NAMESPACE}/{ENDPOINTS[0].name} --url http://127.0.0.1:{service.http_port}"
    )
    # A proxy that the environment names does not know this machine's own ports.
    direct = (("grpc.enable_http_proxy", 0),)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{service.grpc.port}", options=direct) as channel:
        stand_ins = [_stand_in(world, channel, clock, tell) for world in worlds]
        loops = [_live(worlds, clock), _show(worlds, service, tell), *(keda.run() for keda in stand_ins)]
        around = [asyncio.create_task(loop) for loop in loops]
        end = asyncio.create_task(service.run_until_told())
        if stop_after_h is not None:
            around.append(asyncio.create_task(_last(worlds, service, timedelta(hours=stop_after_h))))
        await asyncio.wait([end, *around], return_when=asyncio.FIRST_COMPLETED)
        for task in around:
            task.cancel()
        results = await asyncio.gather(*around, return_exceptions=True)
        if not end.done():
            end.cancel()
            await service.stop()
    for failed in results:
        if isinstance(failed, Exception):
            raise failed


async def _last(worlds: list[World], service: Service, time: timedelta) -> None:
    """Return so long after every workload has a decision: before that there is nothing to show."""
    for world in worlds:
        async for _ in service.store.changes(WorkloadId(NAMESPACE, world.endpoint.name)):
            break
    await service.clock.wait_until(service.clock.now() + time)


async def _live(worlds: list[World], clock: Clock) -> None:
    """Let every fleet serve, step by step."""
    at = floor_to_grid(clock.now(), _TICK_S)
    while True:
        for world in worlds:
            world.advance(at)
        at += timedelta(seconds=_TICK_S)
        await clock.wait_until(at)


def _stand_in(world: World, channel: grpc.aio.Channel, clock: Clock, tell: _Tell) -> KedaStandIn:
    endpoint = world.endpoint
    scaled_object = ScaledObject(
        namespace=NAMESPACE,
        name=endpoint.name,
        metadata={"scalerAddress": "predictscale.demo:6000", "workload": endpoint.name},
        min_replicas=1,
        max_replicas=endpoint.max_replicas,
        behavior=exact_behavior(max_replicas=endpoint.max_replicas),
    )

    def told(change: Change) -> None:
        tell(f"{change.at:%a %H:%M:%S}  {endpoint.name:<5} HPA: {change.before} -> {change.after}")

    return KedaStandIn(scaled_object, channel=channel, fleet=world.fleet, clock=clock, on_change=told)


async def _show(worlds: list[World], service: Service, tell: _Tell) -> None:
    """One line for each workload, now and then."""
    at = floor_to_grid(service.clock.now(), _SHOWN_EVERY_S)
    while True:
        at += timedelta(seconds=_SHOWN_EVERY_S)
        await service.clock.wait_until(at)
        for world in worlds:
            decision = service.store.latest(WorkloadId(NAMESPACE, world.endpoint.name))
            if decision is not None and world.stats is not None:
                tell(_line(decision, world.stats))


def _line(decision: Decision, stats: FleetStats) -> str:
    seen, policy = decision.seen, decision.policy
    expects = "no forecast"
    if decision.forecast is not None:
        until = seen.now + timedelta(seconds=policy.lead_time_s)
        peak = decision.forecast.peak(level=policy.level, since=seen.now, until=until)
        expects = f"expects up to {peak:,.0f} in {policy.lead_time_s:.0f} s ({decision.forecast.model})"
    ready, replicas = stats.fleet.ready or 0, stats.fleet.replicas or 0
    demand = "unknown" if seen.demand is None else f"{seen.demand:,.0f}"
    return (
        f"{seen.now:%a %H:%M:%S}  {decision.workload.name:<5} demand {demand} {decision.unit}; {expects}; "
        f"target {decision.plan.target} (reactive {decision.reactive.target}); "
        f"fleet {ready} ready + {replicas - ready} pending; {stats.queued:,.0f} wait"
    )
