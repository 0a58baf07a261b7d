"""What models cost on one core: a fit of 14 days of minutes, the next forecast, what a fit keeps.

Models take turns, the order reversed each round, so that a drift of the machine hits all;
medians over rounds, and ratios to the reference of the same round. A forecast is the
whole of what a tick pays: the window of the service's history that ends a minute later
than the last one, all levels, half an hour of steps. At last a thousand workloads of our
own model are stepped together, their fits up to an hour old. Refuses to compare with
numbers of another run.
"""

import argparse
import copy
import dataclasses
import logging
import os
import resource
import statistics
import sys
import time
import tracemalloc
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
from benchmarks.common import write_report

from predictscale.core.forecast import Forecast
from predictscale.core.series import Floats, MetricWindow
from predictscale.errors import TryNextForecaster
from predictscale.forecasters.base import Fitted
from predictscale.forecasters.codec import encode
from predictscale.forecasters.native import Ask, Native, NativeFitted, predict_together
from predictscale.forecasters.registry import FORECASTERS
from predictscale.sources.synthetic import shop_requests

STEP_S = 60.0
DAYS = 14
STEPS = 30
WORKLOADS = 1000
DISTINCT = 20
REFIT_MINUTES = 60
_MONDAY = datetime(2026, 3, 2, tzinfo=UTC)
_PACKAGES = ("numpy", "prophet", "statsmodels")

Numbers = dict[str, float]


def history(minutes_later: int = 0, *, seed: int = 12, longer_s: float = DAYS * 86_400.0) -> MetricWindow:
    """Fourteen days of a synthetic shop, ending so many minutes after the first ones did."""
    start = _MONDAY + timedelta(minutes=minutes_later)
    return shop_requests(seed=seed).values(start, start + timedelta(seconds=longer_s), STEP_S)


def cpu_s() -> float:
    """Processor time of this process and of those it has waited for; Prophet's optimiser is one [s]."""
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Wall and processor time of one call [s]."""
    before_s, start_s = cpu_s(), time.perf_counter()
    work()
    return time.perf_counter() - start_s, cpu_s() - before_s


def measure(name: str, windows: Sequence[MetricWindow]) -> Numbers:
    """One round of one model: a fit on the first window, a forecast from each of the others."""
    fits: list[Fitted] = []
    fit_s, fit_cpu_s = timed(lambda: fits.append(FORECASTERS[name].fit(windows[0])))
    (fitted,) = fits
    took_s = [timed(lambda w=window: fitted.predict(w, steps=STEPS))[0] for window in windows[1:]]  # type: ignore[misc]
    return {
        "fit_s": fit_s,
        "fit_cpu_s": fit_cpu_s,
        "forecast_ms": statistics.median(took_s) * 1e3,
        "kept_bytes": float(len(encode(fitted))),
    }


def stock_prophet(windows: Sequence[MetricWindow]) -> Numbers:
    """Prophet with nothing set, on the minutes themselves, as tutorials use it; one fit, one forecast."""
    from prophet import Prophet  # noqa: PLC0415 - slow to import, and nobody else does
    from prophet.serialize import model_to_json  # noqa: PLC0415 - the same

    logging.getLogger("cmdstanpy").disabled = True
    window = windows[0]
    frame = pd.DataFrame({"ds": _naive_utc(window.stamps_s), "y": window.values})  # noqa: PD011 - ours, not pandas'
    ahead = pd.DataFrame({"ds": _naive_utc(window.stamps_s[-1] + STEP_S * np.arange(1, STEPS + 1))})
    model = Prophet()
    fit_s, fit_cpu_s = timed(lambda: model.fit(frame, seed=1))
    forecast_s, _ = timed(lambda: model.predict(ahead))
    return {
        "fit_s": fit_s,
        "fit_cpu_s": fit_cpu_s,
        "forecast_ms": forecast_s * 1e3,
        "kept_bytes": float(len(model_to_json(model))),
    }


def _naive_utc(stamps_s: Floats) -> pd.DatetimeIndex:
    """Stamps as Prophet wants them: without a zone, and ours are UTC."""
    return pd.to_datetime(stamps_s, unit="s")


def together(*, workloads: int, distinct: int, rounds: int) -> dict[str, object]:
    """A thousand workloads, each with a history and a fit of its own, asked each minute in one call.

    Fits are of as many different series as `distinct`, and of an age that differs by workload, as where
    each is fitted anew every hour.
    """
    longer_s = DAYS * 86_400.0 + REFIT_MINUTES * 60.0
    series = [history(seed=100 + one, longer_s=longer_s) for one in range(distinct)]
    fits = [Native().fit(one.between(_MONDAY, _MONDAY + timedelta(days=DAYS))) for one in series]
    # Copies, for no two workloads share memory.
    pairs = list(zip(fits, series, strict=True))
    kept = [copy.deepcopy(pairs[one % distinct]) for one in range(workloads)]

    def step(minute: int) -> None:
        ends = [
            _MONDAY + timedelta(days=DAYS, minutes=(one + minute) % REFIT_MINUTES) for one in range(workloads)
        ]
        held = zip(kept, ends, strict=True)
        asks = [Ask(fit, whole.between(end - timedelta(days=DAYS), end), STEPS) for (fit, whole), end in held]
        answers = predict_together(asks)
        assert all(isinstance(answer, Forecast) for answer in answers)  # noqa: S101 - else nothing was measured

    step(0)
    took = [timed(lambda m=minute: step(m)) for minute in range(1, rounds + 1)]  # type: ignore[misc]
    tracemalloc.start()
    step(0)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    fit, whole = kept[0]
    return {
        "model": f"{Native.name}, {workloads} together",
        "workloads": workloads,
        "forecast_ms": statistics.median(wall_s for wall_s, _ in took) * 1e3 / workloads,
        "forecast_cpu_ms": statistics.median(cpu for _, cpu in took) * 1e3 / workloads,
        "memory_bytes_per_workload": held_bytes(fit, whole),
        "passing_bytes": peak_bytes,
    }


def held_bytes(fit: NativeFitted, window: MetricWindow) -> int:
    """What the arrays of a fit and of its history take in memory."""
    learned: list[Floats] = [getattr(fit.learned, one.name) for one in dataclasses.fields(fit.learned)]
    return sum(array.nbytes for array in (*learned, fit.limits, window.values))  # noqa: PD011 - ours, not pandas'


def medians(rounds: Sequence[Numbers]) -> Numbers:
    """The median of each number."""
    return {name: statistics.median(each[name] for each in rounds) for name in rounds[0]}


def run(names: Sequence[str], *, rounds: int, forecasts: int, stock: bool) -> list[dict[str, object]]:
    """All models in turns; ratios are to the first of the names. Stock Prophet, if asked for, once."""
    windows = [history(minute) for minute in range(forecasts + 1)]
    for name in names:  # imports and first compilations are nobody's fit
        try:
            FORECASTERS[name].fit(windows[0].last(4 * 86_400.0))
        except TryNextForecaster:
            FORECASTERS[name].fit(windows[0])
    found: dict[str, list[Numbers]] = {name: [] for name in names}
    for turn in range(rounds):
        for name in names if turn % 2 == 0 else reversed(names):
            found[name].append(measure(name, windows))
    results: list[dict[str, object]] = []
    for name in names:
        pairs = zip(found[names[0]], found[name], strict=True)
        ratio = medians([{key: own[key] / first[key] for key in own} for first, own in pairs])
        results.append({"model": name, **medians(found[name]), "ratio": ratio})
    if stock:
        once, first = stock_prophet(windows), medians(found[names[0]])
        ratio = {key: once[key] / first[key] for key in once}
        results.append({"model": "prophet as it comes", **once, "ratio": ratio})
    return results


def table(results: Sequence[dict[str, object]]) -> str:
    """The results for people."""
    columns = {"fit_s": ".4f", "fit_cpu_s": ".4f", "forecast_ms": ".3f", "kept_bytes": ".0f"}
    lines = [f"{'':22}" + "".join(f"{name:>14}{'ratio':>10}" for name in columns)]
    for result in results:
        ratio = result["ratio"]
        assert isinstance(ratio, dict)  # noqa: S101 - of our own making
        cells = "".join(f"{result[name]:>14{form}}{ratio[name]:>10.2f}" for name, form in columns.items())
        lines.append(f"{result['model']:22}{cells}")
    return "\n".join(lines)


def told(batch: dict[str, object]) -> str:
    """The thousand workloads for people."""
    return (
        f"{batch['model']}: {batch['forecast_ms']:.3f} ms each "
        f"({batch['forecast_cpu_ms']:.3f} ms of processor), "
        f"{batch['memory_bytes_per_workload']} bytes kept each, history included, "
        f"{batch['passing_bytes']} bytes in passing for all"
    )


def main(words: Sequence[str]) -> None:
    """Measure, print, and write what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--models", help="only these, joined by commas; ratios are to the first")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--forecasts", type=int, default=60, help="in each round, a minute apart")
    parser.add_argument("--quick", action="store_true", help="two rounds, without Prophet on minutes")
    parser.add_argument("--out", type=Path, help="where to write JSON")
    options = parser.parse_args(words)
    order = sorted(FORECASTERS, key=lambda name: name != "native")
    names = options.models.split(",") if options.models else order
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # threads of libraries share it
    rounds = 2 if options.quick else options.rounds
    results = run(names, rounds=rounds, forecasts=options.forecasts, stock=not options.quick)
    batch = together(workloads=WORKLOADS, distinct=DISTINCT, rounds=2 * rounds)
    print(table(results))
    print(told(batch))
    if options.out is not None:
        settings = {
            "days": DAYS,
            "step_s": STEP_S,
            "steps": STEPS,
            "rounds": rounds,
            "forecasts": options.forecasts,
            "workloads_together": WORKLOADS,
            "distinct_series": DISTINCT,
            "refit_minutes": REFIT_MINUTES,
            "cores_used": 1,
        }
        write_report(
            options.out,
            benchmark="forecast-cost",
            packages=_PACKAGES,
            settings=settings,
            results=[*results, batch],
        )


if __name__ == "__main__":
    main(sys.argv[1:])
