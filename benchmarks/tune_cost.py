"""What self-tuning costs: the hourly replay of a workload, and telling its past again after a loss.

A thousand workloads' hourly replays must fit into a fifth of one core, which is 0.72 s of CPU for each.
Demand is synthetic. Besides, how much the replay's simplifications change what candidates
come to: demand known by minutes instead of ticks of 15 s, and the queue that is left out.

Run: python -m benchmarks.tune_cost [--quick] [--out FILE]
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from benchmarks.common import write_report

from predictscale.control.asks import Ask, Retelling
from predictscale.core.capacity import CapacityModel
from predictscale.core.forecast import Forecast
from predictscale.core.knobs import ANY_LEVEL, Knobs
from predictscale.core.plan import Policy
from predictscale.core.series import MetricWindow, floor_to_grid
from predictscale.core.slo import Slo
from predictscale.core.track import TRACKED_LEVELS, Track
from predictscale.forecasters.registry import Context
from predictscale.simulate.actuation import Actuation
from predictscale.simulate.ours import PredictscalePolicy
from predictscale.simulate.plant import Boot
from predictscale.simulate.retell import retell
from predictscale.simulate.tune import candidates, replay, track_of, tune
from predictscale.simulate.world import World, play
from predictscale.sources.synthetic import shop_requests

START = datetime(2026, 3, 2, tzinfo=UTC)
DAYS = 19
SLO = Slo(max_violation=0.005, wait_s=5.0)
OWNER = Policy(
    capacity=CapacityModel(20.0),
    lead_time_s=240.0,
    level=0.95,
    min_replicas=1,
    max_replicas=200,
    hold_s=600.0,
)
ALLOWED_S = 0.2 * 3600 / 1000
MINUTE_S, TICK_S = 60.0, 15.0


def cpu_s(work: Callable[[], object], repeats: int) -> float:
    """The median CPU time of a call [s]."""
    took = []
    for _ in range(repeats):
        began_s = time.process_time()
        work()
        took.append(time.process_time() - began_s)
    return float(np.median(took))


def record(days: int) -> tuple[MetricWindow, Retelling]:
    """Demand by minutes, and the question what was said in its last days."""
    end = START + timedelta(days=DAYS)
    demand = shop_requests(seed=5).values(START, end, MINUTE_S)
    return demand, Retelling(
        demand=demand,
        start=end - timedelta(days=days),
        bins=days * 1440,
        span_s=OWNER.lead_time_s + MINUTE_S - TICK_S,
        forecasters=("native", "last-value"),
        context=Context(),
        events=(),
        history_s=28 * 86400.0,
    )


def simplified(track: Track, knobs: list[Knobs]) -> list[object]:
    """Each setting by the replay, and by the service's own step at ticks of 15 s with the queue in sight."""
    told = replay(track.finer(round(MINUTE_S / TICK_S)), knobs, OWNER, wait_s=SLO.wait_s)
    ticks = shop_requests(seed=5).values(track.start, track.end, TICK_S)
    rows: list[object] = []
    for place, each in enumerate(knobs):
        world = World(
            demand=ticks,
            per_replica=OWNER.capacity.per_replica,
            boot=Boot.fixed(OWNER.lead_time_s),
            wait_s=SLO.wait_s,
            max_replicas=OWNER.max_replicas,
            actuation=Actuation.DIRECT,
            before=float(ticks.values[0]),
        )
        run = play(world, PredictscalePolicy(_said(track), _always(OWNER.obeying(each))))
        rows.append(
            {
                "knobs": str(each),
                "violation": {"replay": float(told.violation[place]), "live": float(run.violation[0])},
                "replica_hours": {
                    "replay": float(told.replica_hours[place]),
                    "live": float(run.replica_hours[0]),
                },
            }
        )
    return rows


def _always(policy: Policy) -> Callable[[datetime], Policy]:
    return lambda _: policy


def _said(track: Track) -> Callable[[datetime], Forecast | None]:
    """The forecasts on record, as forecasts."""

    def at(now: datetime) -> Forecast | None:
        start = floor_to_grid(now, MINUTE_S)
        place = round((start - track.start).total_seconds() / MINUTE_S)
        path = np.repeat(track.peaks[place].astype(np.float64)[:, None], 12, axis=1)
        return None if np.isnan(path).any() else Forecast(start, MINUTE_S, TRACKED_LEVELS, path, model="said")

    return at


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="tell two days again instead of five, once")
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    days = 2 if asked.quick else 5
    demand, retelling = record(days)
    peaks = retell(retelling)
    retell_s = cpu_s(lambda: retell(retelling), 1)
    whole = np.tile(peaks, (-(-5 // days), 1))[: 5 * 1440]
    ask = Ask(
        demand=demand.last(10 * 86400.0),
        peaks=whole,
        policy=OWNER,
        slo=SLO,
        asked=SLO.max_violation,
        tick_s=TICK_S,
    )
    replay_s = cpu_s(lambda: tune(ask), 3 if asked.quick else 10)
    knobs = candidates(OWNER, ANY_LEVEL)
    chosen = tune(ask)
    results = {
        "candidates": len(knobs),
        "replay_cpu_s": round(replay_s, 4),
        "allowed_cpu_s": ALLOWED_S,
        "share_of_a_core_for_1000_workloads": round(replay_s * 1000 / 3600, 4),
        "retell_days": days,
        "retell_cpu_s": round(retell_s, 2),
        "chosen": str(chosen.knobs),
    }
    if not asked.quick:
        track = track_of(replace(ask, peaks=peaks)).last(2 * 86400.0)
        compared = [
            Knobs(level=0.8, hold_s=60.0),
            Knobs(level=0.9, hold_s=300.0),
            Knobs(level=0.975, hold_s=600.0),
            Knobs(level=0.95, margin=0.0, headroom=1 / 0.7, hold_s=300.0),
        ]
        results["simplified"] = simplified(track, compared)
    for name, value in results.items():
        print(f"{name}: {value}")
    if asked.out is not None:
        write_report(
            asked.out,
            benchmark="tune_cost",
            packages=("numpy",),
            settings={"quick": asked.quick, "days": 5, "step_s": MINUTE_S},
            results=results,
        )


if __name__ == "__main__":
    main()
