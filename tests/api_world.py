"""The demo's world at a fixed instant, with all that the API can tell of, on real ports.

Demand, fleets and seeds are the demo's; the clock is moved by hand, so the same calls find the same
numbers. Beside the demo's settings its endpoints have prices, floors, planned events and a file of
tokens. Measured starts of pods, and a workload with pools that tunes itself, are laid in: the demo's
fleets have neither pods nor nodes, and a choice of settings takes minutes.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from patience import WITHIN_S
from predictscale.bootstrap import Service, replay_signals
from predictscale.clock import ManualClock
from predictscale.config.load import load_service
from predictscale.control.leads import LeadState
from predictscale.control.step import StepMemory, step
from predictscale.control.tracker import Tracker
from predictscale.core.demand import WorkloadId
from predictscale.core.knobs import Knobs
from predictscale.core.leadtime import Delays, lead_time
from predictscale.core.plan import Decision
from predictscale.core.podstarts import PodStart
from predictscale.core.pools import Pool, PoolKind, PoolPolicy, Pools, PoolsSeen, ZoneSeen
from predictscale.core.slo import Slo
from predictscale.core.tuned import Choice, Score, Tuning
from predictscale.demo import ENDPOINTS, NAMESPACE, START, World
from predictscale.sources.replay import ReplaySource
from worlds import flat_forecast, policy, seen

TOKEN = "an-example-that-opens-nothing"  # noqa: S105 - good in this world alone
TICK_S = 15.0
TICKS = 24
"""Ticks that pass before anything is asked: six minutes."""
CHAT, SHOP, CODE = (WorkloadId(NAMESPACE, name) for name in ("chat", "shop", "code"))

_QUICK = ["native", "seasonal-naive-day", "last-value"]
_MORE: dict[str, dict[str, Any]] = {
    "chat": {
        "forecasters": _QUICK,
        "price": {
            "per_replica_hour": 9.8,
            "currency": "EUR",
            "gpus_per_replica": 4,
            "watts_per_gpu": 600,
            "grid": {"constant_g_per_kwh": 380},
        },
        "labels": {"team": "assistants"},
        "budget": {"per_month": 60000},
        "events": [
            {"name": "launch", "start": "2026-03-05T09:00", "end": "2026-03-05T12:00", "multiplier": 2}
        ],
    },
    "shop": {
        "forecasters": ["seasonal-naive-day", "last-value"],
        "price": {"per_replica_hour": 0.4, "currency": "EUR"},
        "labels": {"team": "storefront"},
        "floors": [
            {"name": "office hours", "days": "mon-fri", "from": "07:30", "to": "19:00", "replicas": 4}
        ],
    },
}


@asynccontextmanager
async def api_world(
    tmp_path: Path, *, ticks: int = TICKS, clock: ManualClock | None = None
) -> AsyncIterator[Service]:
    """The service of that world, on free ports of this machine.

    Args:
        tmp_path: Where its file of tokens goes.
        ticks: How many pass before anything is asked.
        clock: One that stands at the world's beginning; its own if None.
    """
    clock = clock or ManualClock(START)
    worlds = [World(endpoint, start=START) for endpoint in ENDPOINTS]
    series = {name: one for world in worlds for name, one in world.series().items()}
    tokens = tmp_path / "tokens"
    tokens.write_text(f"docs {TOKEN}\n")
    local = {part: {"host": "127.0.0.1", "port": 0} for part in ("grpc", "http", "metrics")}
    settings = load_service(
        env={},
        overrides={
            **local,
            "http": {**local["http"], "write_token_file": str(tokens)},
            "loop": {"tick_s": TICK_S, "step_s": 60, "history_s": 10 * 86400},
            "workloads": [endpoint.settings() | _MORE[endpoint.name] for endpoint in ENDPOINTS],
        },
    )
    source = ReplaySource(series, clock=clock)
    service = Service(settings, clock=clock, source=source, signals=replay_signals(series))
    await service.start()
    try:
        await _decided(service, worlds)
        for _ in range(ticks):
            await _live(service, clock, worlds)
        _lay_in(service)
        yield service
    finally:
        await service.stop()


async def _live(service: Service, clock: ManualClock, worlds: list[World]) -> None:
    """One tick: fleets serve, workloads decide, fleets are scaled to what was decided."""
    for world in worlds:
        world.advance(clock.now() + timedelta(seconds=TICK_S))
    clock.advance(TICK_S)
    await _decided(service, worlds)
    for world in worlds:
        decided = service.store.latest(WorkloadId(NAMESPACE, world.endpoint.name))
        if decided is not None:
            world.fleet.scale(decided.answer.published, clock.now())


async def _decided(service: Service, worlds: list[World]) -> None:
    """Return once all workloads have decided for the present instant, and what is due is fitted."""
    async with asyncio.timeout(WITHIN_S):
        for world in worlds:
            workload = WorkloadId(NAMESPACE, world.endpoint.name)
            while (newest := service.store.latest(workload)) is None or newest.seen.now < service.clock.now():
                await asyncio.sleep(0.002)
            # The tick itself ends a moment after its decision is told.
            await asyncio.sleep(0.002)
            tracker = service.loop.tracker(workload)
            assert isinstance(tracker, Tracker)
            await tracker.fitted()


def _lay_in(service: Service) -> None:
    """What the demo's fleets cannot tell: starts of pods, and pools on spot."""
    now = service.clock.now()
    pods = [
        PodStart(
            uid=f"chat-{number}",
            created=now - timedelta(seconds=600 * (number + 1)),
            scheduled=now - timedelta(seconds=600 * (number + 1) - (70 if number % 5 == 0 else 1)),
            ready=now - timedelta(seconds=600 * (number + 1) - 150 - 4 * number),
        )
        for number in range(20)
    ]
    lead = lead_time(pods, now=now, delays=Delays(scrape_s=30, sync_s=15), configured_s=240)
    service._leads.put(CHAT, LeadState(in_force_s=240, lead=lead, at=now, problem=""))
    service.store.put(_pooled(service))


def _pooled(service: Service) -> Decision:
    now = service.clock.now()
    pools = Pools(
        pools=(
            Pool(name="on-demand", kind=PoolKind.ON_DEMAND, max_replicas=30),
            Pool(name="spot", kind=PoolKind.SPOT, max_replicas=40, zones=("eu-west-1a", "eu-west-1b")),
        ),
        rule=PoolPolicy(availability=0.995, lead_time_s=300),
    )
    there = PoolsSeen(
        on_demand_ready=1,
        on_demand_pending=0,
        zones=(
            ZoneSeen(zone="eu-west-1a", ready=3, pending=1, noticed=1, rebalanced=1),
            ZoneSeen(zone="eu-west-1b", ready=4, pending=0),
        ),
    )
    watched = replace(seen(25, now=now, replicas=8), pools=there)
    forecast = flat_forecast(50, now=now)
    obeyed = replace(policy(), pools=pools)
    made, _ = step(CODE, watched, forecast, obeyed, StepMemory(), unit="tokens/s")
    return replace(made, tuning=_tuning(now))


def _tuning(now: datetime) -> Tuning:
    chosen = Knobs(level=0.9, hold_s=300.0)
    because = "the cheapest of 195 that would do"
    choice = Choice(
        knobs=chosen,
        at=now - timedelta(minutes=20),
        because=because,
        asked=0.006,
        replayed_s=432000.0,
        compared=195,
        scores=(
            Score(knobs=chosen, violation=0.003, replica_hours=800.0),
            Score(knobs=Knobs(level=0.95, hold_s=300.0), violation=0.001, replica_hours=860.0),
        ),
    )
    return Tuning(
        slo=Slo(max_violation=0.005, wait_s=30.0),
        choice=choice,
        knobs=chosen.careful(1),
        since=now - timedelta(hours=3),
        because=f"{because}; 1 more careful for now",
        notches=1,
        violation=0.004,
        spent=0.2,
        known_s=7 * 86400.0,
        every_s=3600.0,
        next_at=now + timedelta(minutes=40),
    )
