"""What a GetMetrics call costs, beside a gRPC server that does nothing.

Absolute numbers belong to a machine and its neighbours of that minute, so both
servers run in one session, in turns, and ratios are what counts. The load
generator is a process of its own and as costly as a server: at 50 calls in
flight it is the queue, which is why the servers' own CPU time per call is
reported too. Refuses to compare with numbers of another run.
"""

import argparse
import asyncio
import multiprocessing
import os
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path

import grpc
import numpy as np
from benchmarks.common import write_report

from predictscale._proto import externalscaler_pb2 as pb
from predictscale._proto.externalscaler_pb2_grpc import (
    ExternalScalerServicer,
    add_ExternalScalerServicer_to_server,
)
from predictscale.clock import SystemClock
from predictscale.config.load import load_service
from predictscale.config.metadata import parse_trigger
from predictscale.config.presets import load_presets
from predictscale.config.settings import WorkloadSettings
from predictscale.control.desk import Desk, Following
from predictscale.control.step import StepMemory, step
from predictscale.control.store import DecisionStore
from predictscale.core.demand import Observation
from predictscale.meters import Meters
from predictscale.serving.grpc import METRIC_NAME, SERVICE, ScalerServer

METHOD = f"/{SERVICE}/GetMetrics"
SERVERS = ("bare", "ours")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How long to measure what."""

    workloads: tuple[int, ...] = (1, 100, 1000)
    in_flight: tuple[int, ...] = (1, 50)
    rounds: int = 16
    round_s: float = 1.5
    warm_s: float = 1.5


QUICK = Plan(rounds=2, round_s=1.0, warm_s=0.3)
# The first calls of a round all start at once, which no KEDA does; a p99 would be made of them.
RAMP_S = 0.2


def desk_of_decisions() -> Desk:
    """The service's own desk, before a store where each workload has a decision that stays."""
    presets = load_presets()
    service = load_service(overrides={"prometheus": {"url": "http://127.0.0.1:9090"}})
    store = DecisionStore()

    def decide_once(settings: WorkloadSettings) -> None:
        now = datetime.now(UTC)
        seen = Observation(now=now, demand=20 * settings.policy().capacity.per_replica, demand_at=now)
        decision, _ = step(settings.workload, seen, None, settings.policy(), StepMemory(), unit=settings.unit)
        store.put(decision)

    return Desk(
        parse=lambda ref: parse_trigger(ref.namespace, ref.name, ref.metadata, service, presets),
        store=store,
        following=Following(decide_once, store.forget),
        clock=SystemClock(),
        max_registrations=10_000,
        expire_after_s=86400,
    )


class Bare(ExternalScalerServicer):
    """The least that a grpc.aio server can do: a constant."""

    answer = pb.GetMetricsResponse(
        metricValues=[pb.MetricValue(metricName=METRIC_NAME, metricValue=7, metricValueFloat=7.0)]
    )

    async def GetMetrics(self, request: object, context: object) -> pb.GetMetricsResponse:  # noqa: ARG002, N802 - generated
        """The constant."""
        return self.answer


def _request(index: int) -> bytes:
    """What KEDA sends for one of many ScaledObjects: a dozen keys, its own among them."""
    metadata = {
        "scalerAddress": "predictscale.predictscale.svc:6000",
        "enableTLS": "false",
        "backend": "vllm",
        "selector": f'model_name="llama-{index}"',
        "target": f"chat-{index}",
        "capacityPerReplica": f"{900 + index}",
        "leadTime": "4m",
        "quantile": "0.95",
        "minReplicas": "1",
        "maxReplicas": "40",
        "onStale": "hold",
        "staleAfter": "1d",
        "landing": "exact",
    }
    ref = pb.ScaledObjectRef(name=f"chat-{index}", namespace=f"team-{index % 20}", scalerMetadata=metadata)
    return pb.GetMetricsRequest(scaledObjectRef=ref, metricName=METRIC_NAME).SerializeToString()


async def _serve(kind: str, parent: Connection) -> None:
    """Serve until the parent hangs up."""
    if kind == "bare":
        server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        add_ExternalScalerServicer_to_server(Bare(), server)  # type: ignore[abstract]
        parent.send(server.add_insecure_port("127.0.0.1:0"))
        await server.start()
        stop = server.stop(None)
    else:
        ours = ScalerServer(desk_of_decisions(), meters=Meters(), host="127.0.0.1", port=0)
        await ours.start()
        parent.send(ours.port)
        stop = ours.stop()
    hung_up = asyncio.Event()
    asyncio.get_running_loop().add_reader(parent.fileno(), hung_up.set)
    await hung_up.wait()
    await stop


def _server_process(kind: str, parent: Connection) -> None:
    asyncio.run(_serve(kind, parent))


@contextmanager
def server(kind: str) -> Iterator[tuple[int, int]]:
    """A server in a process of its own: (pid, port)."""
    spawn = multiprocessing.get_context("spawn")
    here, there = spawn.Pipe()
    process = spawn.Process(target=_server_process, args=(kind, there), daemon=True)
    process.start()
    try:
        if not here.poll(30):
            raise TimeoutError(f"the {kind} server did not start within 30 s")
        assert process.pid is not None  # noqa: S101 - it has started
        yield process.pid, here.recv()
    finally:
        here.send(None)
        process.join(10)


def cpu_s(pid: int) -> float:
    """The processor time that a process has used so far [s]."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


Round = dict[str, float]


def summary(latencies_s: Sequence[float], *, wall_s: float, used_cpu_s: float) -> Round:
    """What is reported of one round."""
    calls = len(latencies_s)
    p50_s, p99_s = np.percentile(latencies_s, (50, 99))
    return {
        "p50_ms": float(p50_s) * 1e3,
        "p99_ms": float(p99_s) * 1e3,
        "calls_per_s": calls / wall_s,
        "server_cpu_us_per_call": used_cpu_s / calls * 1e6,
    }


def medians(rounds: Sequence[Round]) -> Round:
    """The median of each number: a round that the machine spoiled counts once, not for its length."""
    return {name: statistics.median(each[name] for each in rounds) for name in rounds[0]}


async def load(port: int, pid: int, requests: Sequence[bytes], *, in_flight: int, for_s: float) -> Round:
    """Keep `in_flight` calls going on one connection, each followed by the next, for `for_s` seconds.

    Raises:
        grpc.aio.AioRpcError: A call failed; a benchmark of errors says nothing.
    """
    latencies_s: list[float] = []
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(METHOD)
        for request in requests:  # every workload is known before the clock starts
            await call(request)

        until_s = time.perf_counter() + RAMP_S + for_s

        async def caller(first: int) -> None:
            turn = first
            while (sent_s := time.perf_counter()) < until_s:
                await call(requests[turn % len(requests)])
                latencies_s.append(time.perf_counter() - sent_s)
                turn += in_flight

        async with asyncio.TaskGroup() as callers:
            for first in range(in_flight):
                callers.create_task(caller(first))
            await asyncio.sleep(RAMP_S)
            latencies_s.clear()
            cpu_before_s, start_s = cpu_s(pid), time.perf_counter()
        wall_s = time.perf_counter() - start_s
    return summary(latencies_s, wall_s=wall_s, used_cpu_s=cpu_s(pid) - cpu_before_s)


async def compare(plan: Plan, *, workloads: int, in_flight: int) -> dict[str, object]:
    """Both servers in turns, the order reversed each round, so that a drift of the machine hits both."""
    requests = [_request(index) for index in range(workloads)]
    rounds: dict[str, list[Round]] = {kind: [] for kind in SERVERS}
    with server("bare") as bare, server("ours") as ours:
        where = {"bare": bare, "ours": ours}
        for pid, port in where.values():
            await load(port, pid, requests, in_flight=in_flight, for_s=plan.warm_s)
        for turn in range(plan.rounds):
            for kind in SERVERS if turn % 2 == 0 else SERVERS[::-1]:
                pid, port = where[kind]
                rounds[kind].append(await load(port, pid, requests, in_flight=in_flight, for_s=plan.round_s))
    pairs = zip(rounds["bare"], rounds["ours"], strict=True)
    ratio = medians([{name: ours[name] / bare[name] for name in bare} for bare, ours in pairs])
    numbers = {kind: medians(rounds[kind]) for kind in SERVERS}
    return {"workloads": workloads, "in_flight": in_flight, **numbers, "ratio": ratio}


def table(results: Sequence[dict[str, object]]) -> str:
    """The results for people."""
    columns = ("p50_ms", "p99_ms", "calls_per_s", "server_cpu_us_per_call")
    lines = [f"{'workloads':>9} {'in flight':>9}  {'':5}" + "".join(f"{name:>24}" for name in columns)]
    for result in results:
        for kind in (*SERVERS, "ratio"):
            numbers = result[kind]
            assert isinstance(numbers, dict)  # noqa: S101 - of our own making
            cells = "".join(f"{numbers[name]:>24.3f}" for name in columns)
            lines.append(f"{result['workloads']:>9} {result['in_flight']:>9}  {kind:5}{cells}")
    return "\n".join(lines)


async def run(plan: Plan) -> list[dict[str, object]]:
    """Every pair of settings, one after the other."""
    return [
        await compare(plan, workloads=workloads, in_flight=in_flight)
        for in_flight in plan.in_flight
        for workloads in plan.workloads
    ]


def main(words: Sequence[str]) -> None:
    """Measure, print, and write what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--quick", action="store_true", help="seconds instead of minutes; numbers to glance at"
    )
    parser.add_argument("--out", type=Path, help="where to write JSON")
    options = parser.parse_args(words)
    plan = QUICK if options.quick else Plan()
    results = asyncio.run(run(plan))
    print(table(results))
    if options.out is not None:
        write_report(
            options.out, benchmark="rpc", packages=["grpcio"], settings=asdict(plan), results=results
        )


if __name__ == "__main__":
    main(sys.argv[1:])
