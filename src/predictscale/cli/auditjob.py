"""What `audit` finds out about one workload, in a worker process: kind, forecast, replay, savings.

A job is everything that was read of it; the answer is a tree of plain numbers and words, which is the JSON
that is written and all that tables and pages are made of. A part that cannot be told says why, and the
others are told. Refuses to pass an estimate for what its owner said.
"""

import asyncio
import math
import shlex
import signal
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any, Final

import numpy as np

from predictscale.bootstrap import configure_logging
from predictscale.cli.auditplots import plots_of
from predictscale.cli.backtested import report_of
from predictscale.cli.simulated import QUICK_CHAIN, Served, by_numbers, of_window, past_of, trial_of
from predictscale.cli.told import instant
from predictscale.control.context import context_of
from predictscale.core.calendar import Calendar
from predictscale.core.kinds import Kind, classify
from predictscale.core.series import MetricWindow
from predictscale.core.slo import Slo
from predictscale.errors import AskOwner, PredictscaleError
from predictscale.forecasters.naive import LastValue
from predictscale.forecasters.registry import Context, resolve
from predictscale.simulate.actuation import Actuation
from predictscale.simulate.audit import OURS, Outcome, at_equal_lateness, frontier, lived, outcome
from predictscale.simulate.backtest import Trial
from predictscale.simulate.forecastable import forecastable

REPLAYED: Final = (OURS, "static", "stock-reactive", "tuned-reactive", "clairvoyant")
"""Who lives through each past."""
FAMILIES: Final = ("static", "stock-reactive", "tuned-reactive")
"""Whose best settings in hindsight stand beside what was achieved."""

_DAY_S = 86_400.0
_LEAST_RATIOS = 50
_ESTIMATED_AT = 0.95
_GUESS_DIGITS = 4

ADVICE: Final[Mapping[Kind, str]] = {
    Kind.ALWAYS_ON: (
        "Steady day and night. A fixed fleet with a small margin does as well; look at what each replica "
        "costs before looking at scaling."
    ),
    Kind.SCHEDULED: (
        "The clock tells when it comes, which is what forecasts are for. Run it in shadow mode for a week, "
        "then switch it on."
    ),
    Kind.EVENT_DRIVEN: (
        "Quiet until something happens, and no clock tells when. A forecast does not see the onset: keep a "
        "warm floor for the first minutes, announce what you know beforehand with `predictscale events`, and "
        "look at scale to zero."
    ),
    Kind.UNPREDICTABLE: (
        "It moves much and in no pattern that was found. What a quantile of the near future gains over plain "
        "reactive scaling is in the replay; decide by that, in shadow mode first."
    ),
    Kind.UNKNOWN: "Too little is known to say. Ask again when there are two weeks of history.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What every workload of an audit is replayed with, unless its settings say otherwise.

    Args:
        slo: The share of demand that may be late, and how long it may wait.
        min_replicas: Never fewer.
        max_replicas: Never more.
        forecasters: The chain; None for the workload's own, or the quick one.
        replay_days: How much is scored, from the end [d]; None for the last 35 %.
        price_per_hour: Of a replica; None if it is not known.
        currency: Of the price.
        calendar: By whose clock people live whose settings say no other.
    """

    slo: Slo
    min_replicas: int = 1
    max_replicas: int = 1000
    forecasters: tuple[str, ...] | None = None
    replay_days: float | None = None
    price_per_hour: float | None = None
    currency: str = ""
    calendar: Calendar = Calendar()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Job:
    """All that was read of one workload.

    Args:
        workload: NAMESPACE/NAME.
        about: What is told of it unchanged: backend, deployment, unit, what was seen, its trigger.
        demand: Its history, from the first bin that is known on.
        replicas: Of its Deployment, on the same bins; None if nobody told.
        ready: The same of those that serve.
        unread: Why its fleet could not be read; empty if it could, or was never recorded.
        calendar: By whose clock its people live.
        capacity: What a replica serves per second; None to estimate it.
        lead: `seconds`, `source` and `because` of the lead time.
        served: Its settings in the service's file, if it has any that say a capacity; they come before all.
        asked: The rest.
    """

    workload: str
    about: Mapping[str, Any]
    demand: MetricWindow
    replicas: MetricWindow | None
    ready: MetricWindow | None
    capacity: float | None
    lead: Mapping[str, Any]
    served: Served | None
    asked: Asked
    unread: str = ""
    calendar: Calendar = Calendar()


def begin() -> None:
    """Make this process a worker."""
    # Both are the parent's to answer, which ends its workers; a terminal, or `timeout`, sends them to all.
    for told in (signal.SIGINT, signal.SIGTERM):
        signal.signal(told, signal.SIG_IGN)
    configure_logging(level="error", as_json=False)


def work(job: Job) -> dict[str, Any]:
    """Everything about one workload, as JSON holds it."""
    begin()
    return examine(job)


def examine(job: Job) -> dict[str, Any]:
    """The same in this process."""
    window = job.demand
    found = classify(window, job.calendar)
    known = window.values[window.known]
    told: dict[str, Any] = {
        "workload": job.workload,
        **job.about,
        "history": {
            "from": instant(window.start),
            "until": instant(window.end),
            "days": window.duration_s / _DAY_S,
            "step_s": window.step_s,
            "known_share": window.known_s / window.duration_s if len(window) else 0.0,
            "mean": float(known.mean()) if known.size else None,
            "highest": float(known.max()) if known.size else None,
        },
        "time_zone": job.calendar.zone,
        "kind": {
            "kind": found.kind.value,
            "confidence": found.confidence,
            "because": list(found.because),
            "habits": None if found.habits is None else asdict(found.habits),
        },
        "lead_time": dict(job.lead),
        "next": {"advice": ADVICE[found.kind]},
    }
    try:
        told["forecast"] = _forecast(job)
    except (PredictscaleError, ValueError) as wrong:
        told["forecast"] = {"why_not": str(wrong)}
    try:
        told |= _replay(job)
    except (PredictscaleError, ValueError) as wrong:
        told["replay"] = {"why_not": str(wrong)}
        told["plots"] = plots_of(window, job.calendar, None, None, {})
    plain: dict[str, Any] = _plain(told)
    return plain


def estimated_capacity(demand: MetricWindow, ready: MetricWindow | None, *, unread: str = "") -> float:
    """What a ready replica was seen to carry, not what it can: 95 % of the work was done at no more each.

    Of the work and not of the time: where bursts are most of the work and little of the time, quiet hours
    would be told for what a replica carries.

    Args:
        demand: Its history.
        ready: Its ready replicas on the same bins; None if they are not known.
        unread: Why they are not, for the message.

    Raises:
        AskOwner: The two were hardly ever known together.
    """
    wanted = "give --capacity, or capacity_per_replica in the settings of --config"
    if ready is None:
        why = f"its fleet could not be read ({unread})" if unread else "no fleet recorded to estimate it from"
        raise AskOwner(f"no capacity is given, and {why}; {wanted}")
    served, of = demand.values, ready.values
    # A comparison with NaN is false.
    both = (served > 0) & (of >= 1)
    if int(both.sum()) < _LEAST_RATIOS:
        raise AskOwner(
            f"no capacity is given, and demand and ready replicas are known together in {int(both.sum())} "
            f"bins of the {_LEAST_RATIOS} that an estimate needs; {wanted}"
        )
    each = served[both] / of[both]
    order = np.argsort(each)
    work = np.cumsum(served[both][order])
    seen = float(each[order][int(np.searchsorted(work, _ESTIMATED_AT * work[-1]))])
    return float(f"{seen:.{_GUESS_DIGITS}g}")


def _forecast(job: Job) -> dict[str, Any]:
    names = _chain(job)
    lead_s = float(job.lead["seconds"])
    found = forecastable(job.demand, _judged(names, job), lead_s=lead_s)
    if found is None:
        return {
            "why_not": "the history is too short, or has too many gaps, to score forecasts on its last third"
        }
    return {
        "lead_s": found.lead_s,
        "forecaster": found.first,
        "skill": found.skill,
        "losses": found.losses,
        "origins": found.origins,
        "coverage": {f"{level:g}": share for level, share in zip(found.levels, found.coverage, strict=True)},
    }


def _judged(names: tuple[str, ...], job: Job) -> Any:
    """The forecasters of the chain but the last value, which all are compared with, told what ours are."""
    context = Context(calendar=job.calendar) if job.served is None else context_of(job.served.settings)
    return resolve(
        [name for name in names if name != LastValue.name] or [LastValue.name],
        context=context.around(job.demand.start, job.demand.end),
    )


def _chain(job: Job) -> tuple[str, ...]:
    if job.asked.forecasters is not None:
        return job.asked.forecasters
    return QUICK_CHAIN if job.served is None else job.served.settings.forecasters


def _replay(job: Job) -> dict[str, Any]:
    """The parts `replay`, `capacity` and `plots`.

    Raises:
        AskOwner: Something is missing.
    """
    capacity, source, because = _capacity(job)
    lead_s = float(job.lead["seconds"])
    served = job.served
    if served is None:
        served = by_numbers(
            capacity_per_replica=capacity,
            lead_time_s=lead_s,
            slo=job.asked.slo,
            quantile=0.95,
            wait_s=job.asked.slo.wait_s,
            min_replicas=job.asked.min_replicas,
            max_replicas=job.asked.max_replicas,
            calendar=job.calendar,
        )
    recorded = of_window(job.demand, served, bridge=False, where=job.workload)
    slo = served.settings.slo
    trial = trial_of(
        served,
        recorded.demand,
        train_until=_train_until(job),
        wait_s=job.asked.slo.wait_s if slo is None else slo.wait_s,
        actuation=Actuation.HPA_EXACT,
        nodes=None,
    )
    past = past_of(served, recorded, forecasters=job.asked.forecasters)
    done = asyncio.run(lived(trial, past, REPLAYED))
    came = outcome(trial, done.plans, replicas=job.replicas)
    curves = {family: frontier(trial, family) for family in FAMILIES}
    report = report_of(trial, past, done.plans, done.ours)
    mine = next(row for row in report["policies"] if row["policy"] == OURS)
    return {
        "capacity": {"per_replica": capacity, "source": source, "because": because},
        "replay": {
            **report,
            "days": trial.steps * trial.demand.step_s / _DAY_S,
            "samples": recorded.note,
            "as_it_was": _as_it_was(came, job),
            "savings": [_saved(asdict(each), trial, job.asked) for each in came.savings],
            "at_equal_lateness": {
                family: at_equal_lateness(curve, violation=mine["violation"])
                for family, curve in curves.items()
            },
            "frontier": {
                family: [[*pair] for pair in zip(*curve, strict=True)] for family, curve in curves.items()
            },
            "command": _command(job, capacity),
        },
        "plots": plots_of(
            job.demand, job.calendar, trial, came, {name: place for place, name in enumerate(done.plans)}
        ),
    }


def _capacity(job: Job) -> tuple[float, str, str]:
    if job.served is not None and job.served.settings.capacity_per_replica is not None:
        return job.served.settings.capacity_per_replica, "settings", "as its settings say"
    if job.capacity is not None:
        return job.capacity, "given", "as given for the audit"
    seen = estimated_capacity(job.demand, job.ready, unread=job.unread)
    because = (
        "an estimate: 95 % of the work was done at no more than this for each ready replica. It is what a "
        "replica was seen to carry: too low where fleets were too large, and every policy looks dearer than "
        "it would be; too high where they were too small, and every policy looks cheaper"
    )
    return seen, "estimated", because


def _train_until(job: Job) -> str | None:
    """When scoring begins; None for the default.

    Raises:
        AskOwner: Its history is no longer than what is to be replayed.
    """
    if job.asked.replay_days is None:
        return None
    days = job.demand.duration_s / _DAY_S
    if job.asked.replay_days >= days:
        raise AskOwner(
            f"needs more than {job.asked.replay_days:g} days of history to replay so many, has {days:.1f}; "
            "something must come before, which the first decisions learn from"
        )
    return instant(job.demand.end - timedelta(days=job.asked.replay_days))


def _as_it_was(came: Outcome, job: Job) -> dict[str, Any]:
    if came.recorded_hours is None:
        why = "was recorded for too little of the time"
        if job.replicas is None:
            why = f"could not be read: {job.unread}" if job.unread else "was not recorded"
        return {"replica_hours": None, "why_not": f"its fleet {why}"}
    return {"replica_hours": came.recorded_hours}


def _saved(saving: dict[str, Any], trial: Trial, asked: Asked) -> dict[str, Any]:
    """A saving with what it is in a month of 30 days, and in money."""
    months = trial.steps * trial.demand.step_s / _DAY_S / 30
    amounts = {name: saving[name] for name in ("replica_hours", "low", "high")}
    month = {name: None if value is None else value / months for name, value in amounts.items()}
    price = asked.price_per_hour
    money = None
    if price is not None:
        money = {name: None if value is None else value * price for name, value in month.items()}
    return {**saving, "per_30_days": month, "money_per_30_days": money, "currency": asked.currency}


def _command(job: Job, capacity: float) -> str:
    """What gives the same replica-hours again, from the trace that --traces writes."""
    words = ["predictscale", "backtest", "--trace", f"{trace_name(job.workload)}"]
    if job.served is not None:
        words += ["--workload", "FILE", "--name", str(job.served.settings.workload)]
    else:
        slo = job.asked.slo
        words += ["--capacity-per-replica", repr(capacity), "--lead-time-s", repr(float(job.lead["seconds"]))]
        words += ["--slo-violation", repr(slo.max_violation), "--wait-s", repr(slo.wait_s)]
        words += ["--min", str(job.asked.min_replicas), "--max", str(job.asked.max_replicas)]
        if job.calendar != Calendar():
            words += ["--time-zone", job.calendar.zone]
    if (until := _train_until(job)) is not None:
        words += ["--train-until", until]
    if job.asked.forecasters is not None:
        words += ["--forecasters", ",".join(job.asked.forecasters)]
    words += ["--policies", ",".join(REPLAYED)]
    return shlex.join(words)


def trace_name(workload: str) -> str:
    """The file in which a workload's trace is written."""
    return f"{workload.replace('/', '_')}.csv"


def _plain(value: Any) -> Any:
    """As JSON holds it: what is not a number is null."""
    match value:
        case Mapping():
            return {str(name): _plain(part) for name, part in value.items()}
        case list() | tuple():
            return [_plain(part) for part in value]
        case np.ndarray():
            return _plain(value.tolist())
        case np.generic():
            return _plain(value.item())
        case float():
            return value if math.isfinite(value) else None
        case _:
            return value
