"""A month under self-tuning, with two changes of regime: whether the objective holds, and at what cost.

The pieces are the live service's own: the tracker with its fits, record, budget and choices,
ticking once a minute on a manual clock beside a simulated fleet, whose ready replicas and queue
it reads as it would read them from Prometheus. Only the worker processes are left out:
fits and replays run here. Demand is synthetic and says so. On the tenth day it triples
at once, on the twentieth its daily pattern is another's.

For comparison, the same month under each fixed setting, by replay of what was forecast: the cheapest
one that met the objective is known in hindsight alone.

Run: python -m benchmarks.self_tuning [--days 30] [--violation 0.005] [--plot FILE] [--out FILE]
"""

import argparse
import asyncio
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from benchmarks.common import write_report

from predictscale.clock import ManualClock
from predictscale.config.settings import WorkloadSettings
from predictscale.control.asks import Ask, Goal, Retelling, Subject
from predictscale.control.context import context_of
from predictscale.control.said import Peaks
from predictscale.control.shelf import ModelShelf
from predictscale.control.tracker import Grid, Tracker
from predictscale.control.tuning import SelfTuning
from predictscale.control.tuningshelf import TuningShelf
from predictscale.core.demand import Signal, SignalName, WorkloadId
from predictscale.core.knobs import ANY_LEVEL, Kind
from predictscale.core.plan import Decision
from predictscale.core.series import Floats, MetricWindow
from predictscale.core.slo import DAY_S, Slo
from predictscale.core.track import TRACKED_LEVELS, Track, told_peaks
from predictscale.core.tuned import Choice, Score, Tuning
from predictscale.forecasters.base import Fitted
from predictscale.forecasters.chain import ChainResult, fit_chain, following, quick_ones
from predictscale.forecasters.registry import Context, resolve
from predictscale.meters import Meters
from predictscale.simulate.plant import Boot, Plant
from predictscale.simulate.retell import retell
from predictscale.simulate.tune import RULE, candidates, replay, tune
from predictscale.sources.cached import CachedSource
from predictscale.sources.history import History
from predictscale.sources.replay import Recorded, ReplaySource
from predictscale.sources.synthetic import SyntheticDemand

MINUTE_S = 60.0
START = datetime(2026, 3, 16, tzinfo=UTC)
BEFORE_DAYS = 14
TRIPLES_ON_DAY, TURNS_ON_DAY = 10, 20
PER_REPLICA = 20.0
LEAD_TIME_S = 240.0
MAX_REPLICAS = 1000
WORKLOAD = WorkloadId("month", "shop")
GRID = Grid(tick_s=MINUTE_S, step_s=MINUTE_S, history_s=28 * DAY_S, refit_s=3600.0)
SIGNALS = {
    SignalName.DEMAND: Signal(SignalName.DEMAND, "demand", "requests/s"),
    SignalName.QUEUE: Signal(SignalName.QUEUE, "queue", "requests"),
    SignalName.REPLICAS: Signal(SignalName.REPLICAS, "replicas", "replicas"),
    SignalName.READY: Signal(SignalName.READY, "ready", "replicas"),
}


def month(days: int, *, seed: int = 11) -> MetricWindow:
    """Demand by minutes, with two weeks before it."""
    start, end = START - timedelta(days=BEFORE_DAYS), START + timedelta(days=days)
    first = SyntheticDemand(seed=seed, level=500.0, jitter=0.06, bursts_per_day=2.0, noise=0.08)
    other = SyntheticDemand(
        seed=seed + 1, level=1500.0, amplitude=0.85, evening=0.0, weekend=0.5, jitter=0.1, noise=0.12,
        bursts_per_day=4.0, time_zone="Asia/Tokyo",
    )  # fmt: skip
    values = first.values(start, end, MINUTE_S).values.copy()
    day, minute = 1440, np.arange(values.size)
    # Jobs at the full hour, as schedules make them: half as much again for ten minutes.
    values[(minute % 60 < 10) & (minute % day >= 6 * 60)] *= 1.5
    values[(BEFORE_DAYS + TRIPLES_ON_DAY) * day + 9 * 60 :] *= 3.0
    turns = (BEFORE_DAYS + TURNS_ON_DAY) * day + 9 * 60
    values[turns:] = other.values(start, end, MINUTE_S).values[turns:]
    return MetricWindow(start, MINUTE_S, values)


class Here:
    """Fits and replays in this process, one after another; counts what they cost."""

    def __init__(self) -> None:
        self.fit_s = self.tune_s = 0.0
        self.choices = 0

    async def fit(
        self,
        names: Sequence[str],
        window: MetricWindow,
        *,
        quick_only: bool = False,
        context: Context = Context(),  # noqa: B008 - frozen
        previous: Fitted | None = None,
    ) -> ChainResult:
        """See `FitPool.fit`."""
        began_s = time.process_time()
        forecasters = following(resolve(names, context=context), previous)
        result = fit_chain(quick_ones(forecasters) if quick_only else forecasters, window)
        self.fit_s += time.process_time() - began_s
        return result

    async def tune(self, ask: Ask) -> Choice:
        """See `Tuner.tune`."""
        began_s = time.process_time()
        choice = tune(ask)
        self.tune_s += time.process_time() - began_s
        self.choices += 1
        return choice

    async def retell(self, asked: Retelling) -> Peaks:
        """See `Tuner.retell`."""
        return retell(asked)


@dataclass(frozen=True, slots=True, kw_only=True)
class Minute:
    """What is kept of one minute."""

    tuning: Tuning
    held: int
    ready: int
    arrived: float
    late: float
    peaks: list[float] | None


@dataclass(slots=True)
class Month:
    """A tracker and the fleet that it sizes."""

    demand: MetricWindow
    slo: Slo
    forecasters: tuple[str, ...] = ("native", "last-value")
    minutes: list[Minute] = field(default_factory=list)
    here: Here = field(default_factory=Here)

    @property
    def settings(self) -> WorkloadSettings:
        """What the owner wrote, apart from the objective."""
        return WorkloadSettings(
            workload=WORKLOAD,
            query="demand",
            capacity_per_replica=PER_REPLICA,
            max_replicas=MAX_REPLICAS,
            min_replicas=1,
            lead_time_s=LEAD_TIME_S,
            drain_s=60.0,
            forecasters=self.forecasters,
        )

    async def live(self, days: int) -> None:
        """Let the days pass."""
        clock = ManualClock(START)
        gauges = {name: Recorded() for name in ("queue", "replicas", "ready")}
        source = ReplaySource({"demand": self.demand, **gauges}, clock=clock)
        tracker, first = self._tracker(source, clock), self.demand.between(START, START + timedelta(hours=1))
        plant = Plant(
            fleets=1,
            per_replica=PER_REPLICA,
            step_s=MINUTE_S,
            boot=Boot.fixed(LEAD_TIME_S),
            wait_s=self.slo.wait_s,
            replicas=round(float(first.values[0]) / PER_REPLICA * 1.3),
        )
        held = int(plant.ready[0])
        coming = self.demand.between(START, START + timedelta(days=days)).values
        for number, demand in enumerate(coming):
            now = clock.now()
            for name, value in (("queue", plant.queue[0]), ("replicas", held), ("ready", plant.ready[0])):
                gauges[name].record(now, float(value))
            decision = await tracker.tick(now)
            await tracker.fitted()
            held = decision.answer.published
            served = plant.advance(np.array([demand]), np.array([[held]]))
            self._keep(decision, held, int(served.ready[0, 0]), served.arrived[0], served.late[0, 0])
            clock.advance(MINUTE_S)
            if number % 1440 == 0:
                print(f"day {number // 1440}: {self.minutes[-1].tuning.knobs}", file=sys.stderr, flush=True)
        await tracker.stop()

    def _tracker(self, source: ReplaySource, clock: ManualClock) -> Tracker:
        settings = self.settings
        history = History(path=None, meters=Meters())
        tuning = SelfTuning(
            Subject(
                workload=WORKLOAD,
                policy=settings.policy(),
                key=f"{WORKLOAD}#{settings.fingerprint()}",
                forecasters=settings.forecasters,
                context=context_of(settings),
                events=settings.events,
                tick_s=GRID.tick_s,
                step_s=GRID.step_s,
                history_s=GRID.history_s,
            ),
            Goal(slo=self.slo),
            tuner=self.here,
            shelf=TuningShelf(history),
        )
        return Tracker(
            settings,
            SIGNALS,
            source=source,
            archive=CachedSource(source, history=history, workload=str(WORKLOAD), clock=clock),
            fits=self.here,
            shelf=ModelShelf(history, step_s=GRID.step_s),
            grid=GRID,
            turn=asyncio.Lock(),
            tuning=tuning,
        )

    def _keep(self, decision: Decision, held: int, ready: int, arrived: float, late: float) -> None:
        if decision.tuning is None:
            raise RuntimeError("the tracker was given self-tuning, and its decision lacks it")
        peaks = None
        if decision.forecast is not None:
            peaks = told_peaks(decision.forecast, at=decision.seen.now, span_s=LEAD_TIME_S)
        self.minutes.append(
            Minute(tuning=decision.tuning, held=held, ready=ready, arrived=arrived, late=late, peaks=peaks)
        )

    def fixed(self) -> list[Score]:
        """The same month under fixed settings, by replay of what was forecast."""
        n, policy = len(self.minutes), self.settings.policy()
        known = self.demand.values[: BEFORE_DAYS * 1440 + n]
        highest = np.array(
            [np.nanmax(known[max(0, i - 7200) : i]) for i in range(known.size - n, known.size)]
        )
        nothing = [float("nan")] * len(TRACKED_LEVELS)
        track = Track(
            start=START,
            step_s=MINUTE_S,
            demand=known[-n:],
            peaks=np.array([minute.peaks or nothing for minute in self.minutes], dtype=np.float32),
            highest=highest,
            before=float(known[-n - 1]),
        )
        knobs = candidates(policy, ANY_LEVEL)
        outcome = replay(track, knobs, policy, wait_s=self.slo.wait_s)
        told = zip(knobs, outcome.violation.tolist(), outcome.replica_hours.tolist(), strict=True)
        return [Score(knobs=each, violation=late, replica_hours=hours) for each, late, hours in told]

    def daily(self, what: str) -> Floats:
        """Sums of a column by days."""
        column = np.array([getattr(minute, what) for minute in self.minutes], dtype=float)
        sums: Floats = np.add.reduceat(column, np.arange(0, column.size, 1440))
        return sums


def main() -> None:
    """Live the month, print what became of it, and draw it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--violation", type=float, default=0.005)
    parser.add_argument("--wait-s", type=float, default=5.0)
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    slo = Slo(max_violation=asked.violation, wait_s=asked.wait_s)
    lived = Month(month(asked.days), slo)
    began_s = time.process_time()
    asyncio.run(lived.live(asked.days))
    took_s = time.process_time() - began_s
    result = summary(lived, took_s)
    for name, value in result.items():
        print(f"{name}: {value}")
    if asked.plot is not None:
        draw(lived, asked.plot)
    if asked.out is not None:
        write_report(
            asked.out,
            benchmark="self_tuning",
            packages=("numpy",),
            settings={
                "days": asked.days,
                "max_violation": slo.max_violation,
                "wait_s": slo.wait_s,
                "rule": {"aim": RULE.aim, "hours": RULE.record, "least_hours": RULE.least, "keep": RULE.keep},
            },
            results=result,
        )


def summary(lived: Month, took_s: float) -> dict[str, object]:
    """The month in numbers."""
    arrived, late = lived.daily("arrived"), lived.daily("late")
    hours = float(sum(minute.held for minute in lived.minutes)) / 60
    last = lived.minutes[-1].tuning
    fixed = lived.fixed()
    good = sorted((s for s in fixed if s.violation <= lived.slo.max_violation), key=lambda s: s.replica_hours)
    reactive = [s for s in good if s.knobs.kind is Kind.REACTIVE]
    static = [s for s in good if s.knobs.kind is Kind.STATIC]

    def told(scores: list[Score]) -> dict[str, object] | None:
        if not scores:
            return None
        best = scores[0]
        return {
            "knobs": str(best.knobs),
            "violation": round(best.violation, 6),
            "tuned_costs_times": round(hours / best.replica_hours, 4),
        }

    return {
        "asked": lived.slo.max_violation,
        "achieved": round(float(late.sum() / arrived.sum()), 6),
        "replica_hours": round(hours, 1),
        "budget_spent_as_the_service_knows": round(last.spent, 4),
        "days_worse_than_asked": int((late / arrived > lived.slo.max_violation).sum()),
        "choices": lived.here.choices,
        "changes_of_settings": sum(
            a.tuning.knobs != b.tuning.knobs for a, b in zip(lived.minutes, lived.minutes[1:], strict=False)
        ),
        "best_fixed_in_hindsight": told(good),
        "best_fixed_reactive_in_hindsight": told(reactive),
        "best_fixed_static_in_hindsight": told(static),
        "cpu_s": {
            "all": round(took_s, 1),
            "fits": round(lived.here.fit_s, 1),
            "choices": round(lived.here.tune_s, 1),
        },
    }


def draw(lived: Month, file: Path) -> None:
    """Demand and fleet, lateness and budget, settings, cost; against time."""
    import matplotlib as mpl  # noqa: PLC0415 - only who draws needs it

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415 - the backend is chosen first

    days = np.arange(len(lived.minutes)) / 1440
    arrived = np.array([m.arrived for m in lived.minutes])
    late = np.array([m.late for m in lived.minutes])
    share = np.cumsum(late) / np.maximum(np.cumsum(arrived), 1e-9)
    figure, axes = plt.subplots(5, 1, figsize=(13, 15), sharex=True)
    axes[0].plot(days, [m.held for m in lived.minutes], lw=0.7, label="replicas held")
    axes[0].plot(days, arrived / MINUTE_S / PER_REPLICA, lw=0.5, label="demand in replicas")
    axes[0].legend(loc="upper left")
    axes[1].plot(days, share * 100, label="late since the beginning [%]")
    axes[1].plot(days, [m.tuning.violation * 100 for m in lived.minutes], label="as the service knows [%]")
    axes[1].axhline(lived.slo.max_violation * 100, color="k", ls="--", lw=0.8, label="objective")
    axes[1].set_ylim(0, max(2.5 * lived.slo.max_violation * 100, 0))
    axes[1].legend(loc="upper left")
    axes[2].plot(days, [m.tuning.spent for m in lived.minutes], label="budget spent")
    asked = [np.nan if m.tuning.choice is None else m.tuning.choice.asked for m in lived.minutes]
    axes[2].plot(days, np.array(asked) / lived.slo.max_violation, label="asked, times the objective")
    axes[2].plot(days, [m.tuning.notches / 4 for m in lived.minutes], lw=0.6, label="notches / 4")
    axes[2].plot(days, days / (lived.slo.window_s / DAY_S), "k:", lw=0.8, label="even pace")
    axes[2].legend(loc="upper left")
    kinds = {Kind.PREDICTIVE: "tab:blue", Kind.REACTIVE: "tab:orange", Kind.STATIC: "tab:green"}
    for kind, colour in kinds.items():
        there = np.array([m.tuning.knobs.kind is kind for m in lived.minutes])
        value = [m.tuning.knobs.level if kind is Kind.PREDICTIVE else 1 / m.tuning.knobs.headroom
                 if kind is Kind.REACTIVE else 0.5 for m in lived.minutes]  # fmt: skip
        axes[3].plot(days[there], np.array(value)[there], ".", ms=2, color=colour, label=kind.value)
    axes[3].set_ylabel("level, or utilisation")
    axes[3].legend(loc="lower left")
    cost = lived.daily("held") / 60
    need = np.add.reduceat(np.ceil(arrived / MINUTE_S / PER_REPLICA), np.arange(0, arrived.size, 1440)) / 60
    axes[4].step(np.arange(cost.size), cost / need, where="post", label="replica-hours over demand's own")
    axes[4].legend(loc="upper left")
    for axis in axes:
        for day in (TRIPLES_ON_DAY, TURNS_ON_DAY):
            axis.axvline(day + 9 / 24, color="r", lw=0.6, ls=":")
        axis.grid(alpha=0.3)
    axes[4].set_xlabel("days")
    figure.suptitle("Synthetic demand; it triples on day 10, turns into another's on day 20")
    figure.tight_layout()
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=90)


if __name__ == "__main__":
    main()
