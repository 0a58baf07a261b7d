"""How good every model is on real traces, at the leads that matter, by rolling origins.

The first 60 % of a trace is for development and not scored; with --development it is all there is, and
its own last half is scored. Every model is asked at the same
origins, on windows that end there. Refuses to compare with numbers of another run.
"""

import argparse
import multiprocessing
import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks.common import write_report
from benchmarks.forecast import traces
from benchmarks.forecast.judge import LEVELS, Judgement, Task, judge
from benchmarks.forecast.models import SLOW, entries
from benchmarks.forecast.summary import goals, summarise

_PACKAGES = ("numpy", "prophet", "statsmodels")
_QUICK_TRACES = 6
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


def run(tasks: Sequence[Task], *, processes: int) -> tuple[list[Judgement], list[str]]:
    """All tasks, the slow ones first so that none is left over at the end; in the order given.

    Returns:
        The judgements, and what went wrong: a bug in one model must not cost the others' results.
    """
    os.environ.update(_ONE_THREAD)  # workers inherit it; two of them have a core each
    spawn = multiprocessing.get_context("spawn")
    order = sorted(range(len(tasks)), key=lambda place: tasks[place].model not in SLOW)
    start_s, done = time.monotonic(), 0
    with ProcessPoolExecutor(processes, mp_context=spawn) as pool:
        under_way = {place: pool.submit(judge, tasks[place]) for place in order}
        found: dict[int, Judgement | None] = {}
        errors = []
        for place in order:
            try:
                found[place] = under_way[place].result()
            except Exception as error:  # noqa: BLE001 - whatever it is, it is told
                task = tasks[place]
                errors.append(f"{task.model} on {task.trace}: {type(error).__name__}: {error}")
            done += 1
            if done % 10 == 0:
                took_s = time.monotonic() - start_s
                print(f"{done} of {len(tasks)} after {took_s:.0f} s", file=sys.stderr, flush=True)
    return [one for place in range(len(tasks)) if (one := found.get(place)) is not None], errors


def tables(summary: dict[str, Any]) -> str:
    """The results for people."""
    models = list(summary["all"])
    widths = [max(len(model), 7) + 2 for model in models]

    def line(name: str, cells: Sequence[str]) -> str:
        return f"{name:34}" + "".join(f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True))

    def ratios(row: dict[str, float | None]) -> list[str]:
        return ["–" if (value := row[model]) is None else f"{value:.3f}" for model in models]

    lines = ["WQL relative to the last value, geometric mean over targets and leads", line("", models)]
    lines += [line(trace, ratios(row)) for trace, row in summary["traces"].items()]
    lines += ["", *(line(f"all traces, {cell} s", ratios(row)) for cell, row in summary["leads"].items())]
    lines += [line("all", ratios(summary["all"])), "", "Coverage of the peak, mean over traces and leads"]
    for place, level in enumerate(LEVELS[1:]):
        shares = [f"{summary['peak_coverage'][model]['mean'][place]:.3f}" for model in models]
        lines.append(line(f"{level:g}", shares))
    lines += ["", "Cost, beside another process"]
    for name, form in (("fit_s", ".3f"), ("predict_ms", ".2f"), ("memory_bytes", ".0f"), ("failures", "d")):
        costs = [summary["costs"][model][name] for model in models]
        lines.append(line(name, ["–" if cost is None else f"{cost:{form}}" for cost in costs]))
    return "\n".join(lines)


def main(words: Sequence[str]) -> None:
    """Judge, print, and write what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, help=f"folder of traces; else {traces.VARIABLE}, ../shared/data")
    parser.add_argument("--origins", type=int, default=1000, help="of each trace, if it has room")
    parser.add_argument("--models", help="only these, joined by commas; last-value joins them")
    parser.add_argument("--traces", help="only these, joined by commas")
    parser.add_argument("--quick", action="store_true", help="some traces, 100 origins, no slow models")
    parser.add_argument("--development", action="store_true", help="the first 60 %% of each trace only")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--out", type=Path, help="where to write JSON")
    options = parser.parse_args(words)
    folder, why = traces.find(options.data)
    if folder is None:
        print(f"real traces are skipped: {why}; two synthetic series stand in")
    found = traces.names(folder) if folder is not None else list(traces.SYNTHETIC)
    if options.quick:
        found = traces.spread_out(found, _QUICK_TRACES)
    found = options.traces.split(",") if options.traces else found
    known = list(entries(quick=options.quick))
    chosen = known if options.models is None else ["last-value", *options.models.split(",")]
    if unknown := set(chosen) - set(known):
        parser.error(f"--models: {', '.join(sorted(unknown))}; must be among {', '.join(known)}")
    origins = min(options.origins, 100) if options.quick else options.origins
    tasks = [
        Task(
            folder=folder,
            trace=trace,
            model=model,
            origins=origins,
            quick=options.quick,
            development=options.development,
        )
        for trace in found
        for model in dict.fromkeys(chosen)
    ]
    judgements, errors = run(tasks, processes=options.processes)
    summary = summarise(judgements)
    print(tables(summary))
    lines = goals(summary)
    print("\n".join(["", *lines, *(f"ERROR  {error}" for error in errors)]))
    if options.out is not None:
        settings = {
            "origins": origins,
            "leads_s": traces.LEADS_S,
            "levels": LEVELS,
            "scored_share": traces.DEVELOPED if options.development else traces.SCORED,
            "refit_s": {name: entry.refit_s for name, entry in entries(quick=options.quick).items()},
            "synthetic": folder is None,
            "quick": options.quick,
            "development": options.development,
        }
        results = {"summary": summary, "goals": lines, "errors": errors, "judgements": judgements}
        write_report(
            options.out, benchmark="forecast", packages=_PACKAGES, settings=settings, results=results
        )


if __name__ == "__main__":
    main(sys.argv[1:])
