"""What every policy costs on real traces, through a cold start and an HPA, at equal lateness.

Rivals show their best frontier, knobs chosen in hindsight; beside it stands honest operation,
in which every family chooses hourly from the past alone. Refuses to choose anything on what
is scored: the rule of the choice is fixed with --development, which ends every trace where its
training part ends.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.closed_loop import plots, traces
from benchmarks.closed_loop.families import OURS, UNIONS, Means, compete, names
from benchmarks.closed_loop.field import (
    DRAWS,
    SEED,
    WAIT_S,
    Field,
    bounds,
    hindsight,
    honest,
    operated,
    other_days,
    run_all,
    spread,
)
from benchmarks.closed_loop.ours import LEADS_S
from benchmarks.closed_loop.summary import goals, summarise, tables
from benchmarks.common import write_report
from benchmarks.forecast.traces import find

from predictscale.simulate.actuation import Actuation
from predictscale.simulate.honest import Rule
from predictscale.simulate.scoring import SLOS

ASKED = (0.01, 0.005)
_PACKAGES = ("numpy",)


def examine(field: Field, rules: Sequence[Rule], *, with_bounds: bool) -> dict[str, Any]:
    """One trace at one cold start, as plain numbers."""
    drawn = other_days(field)
    report: dict[str, Any] = {
        "trace": field.case.name,
        "lead_time_s": field.lead_steps * traces.STEP_S,
        "synthetic": field.case.synthetic,
        "drawn": field.case.drawn,
        "days": round(field.case.scored_days, 3),
        "clairvoyant_replica_hours": field.clairvoyant_h,
        "static_peak": field.static_h / field.clairvoyant_h,
        "families": {name: {"hindsight": hindsight(field, name, drawn), "honest": {}} for name in field.rows},
    }
    plans, served = {}, {}
    for name in field.rows:
        for rule in rules:
            key = f"{name} {rule.asked:g}"
            members = [member for member in UNIONS.get(name, (name,)) if member in field.rows]
            plans[key], chosen, rows = honest(field, members, rule)
            hours = [field.labels[rows[who]].split(" ")[0] for who in chosen[-field.scored_hours :]]
            served[key] = {member: hours.count(member) / len(hours) for member in members}
    found, _ = operated(field, plans)
    for name in field.rows:
        for rule in rules:
            score = found[f"{name} {rule.asked:g}"]
            report["families"][name]["honest"][f"{rule.asked:g}"] = {
                "violation": score.violation,
                "cost": score.to_clairvoyant,
                "to_static": score.to_static,
                "replica_hours": score.replica_hours,
                "scale_events": score.scale_events,
                "served": served[f"{name} {rule.asked:g}"],
            }
    if with_bounds:
        report["bounds"] = bounds(field)
    return report


def written(report: dict[str, Any]) -> dict[str, Any]:
    """The report without its draws, of which the interval stays."""
    families = {}
    for name, family in report["families"].items():
        seen = family["hindsight"]
        kept = {"cost": seen["cost"], "area": seen["area"]}
        kept["interval"] = {slo: spread(draws) for slo, draws in seen["draws"].items()}
        families[name] = {**family, "hindsight": kept}
    return {**report, "families": families}


def main(words: Sequence[str]) -> None:
    """Run, print, draw, and write what was measured."""
    options = _options(words)
    folder, why = find(options.data)
    if folder is None:
        print(f"real traces are skipped: {why}; two synthetic series stand in")
    found = traces.names(folder, everything=options.all, quick=options.quick)
    found = traces.listed(
        found
        if options.traces is None or folder is None
        else traces.names(folder, everything=True, quick=False),
        options.traces,
    )
    only = (
        None if options.policies is None else traces.listed(names(prophet=options.prophet), options.policies)
    )
    cache = (
        options.cache if options.cache is None or not options.development else options.cache / "development"
    )
    means = Means(cache=cache, prophet=options.prophet)
    rules = [Rule(asked=asked, aim=options.aim) for asked in ASKED]
    actuation = Actuation(options.actuation)
    leads_s = [float(lead) for lead in options.leads.split(",")]
    start_s, reports, skipped = time.monotonic(), [], []
    for name in found:
        case = traces.load(folder, name, development=options.development)
        if case is None:
            skipped.append(name)
            continue
        for lead_s in leads_s:
            families = compete(case, lead_s, means, only=only)
            field = run_all(case, families, lead_time_s=lead_s, actuation=actuation)
            reports.append(examine(field, rules, with_bounds=not options.quick))
            if options.plots is not None:
                plots.draw(field, reports[-1], rules[0], out=options.plots)
        print(f"{name} after {time.monotonic() - start_s:.0f} s", file=sys.stderr, flush=True)
    summary = summarise(reports, ASKED)
    print(tables(reports, summary))
    lines = goals(summary, reports) if OURS in reports[0]["families"] else []
    print("\n".join(["", *lines, *(f"too short: {name}" for name in skipped)]))
    if options.out is not None:
        settings = {
            "actuation": actuation.value,
            "wait_s": WAIT_S,
            "trained": traces.TRAINED,
            "scored_days_at_most": traces.SCORED_DAYS,
            "record_days": traces.RECORD_DAYS,
            "history_days_at_most": traces.HISTORY_DAYS,
            "replicas_for_quantile_of_training_part": [traces.REPLICAS, traces.QUANTILE],
            "slos": SLOS,
            "rules": [
                {name: getattr(rule, name) for name in ("asked", "aim", "record", "least", "keep")}
                for rule in rules
            ],
            "draws": DRAWS,
            "seed": SEED,
            "development": options.development,
            "synthetic": folder is None,
            "skipped": skipped,
        }
        results = {"goals": lines, "summary": summary, "traces": [written(report) for report in reports]}
        write_report(
            options.out, benchmark="closed_loop", packages=_PACKAGES, settings=settings, results=results
        )


def _options(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of traces; else as the forecast benchmark finds it")
    parser.add_argument("--traces", help="only these, joined by commas")
    parser.add_argument("--all", action="store_true", help="every demand trace of the folder")
    parser.add_argument("--quick", action="store_true", help="three traces, no bounds")
    parser.add_argument("--policies", help="only these families, joined by commas")
    parser.add_argument("--prophet", action="store_true", help="let Prophet take part; slow without a cache")
    parser.add_argument("--leads", default=",".join(f"{lead:g}" for lead in LEADS_S), help="cold starts [s]")
    parser.add_argument("--actuation", default="hpa-exact", choices=[mode.value for mode in Actuation])
    parser.add_argument("--aim", type=float, default=Rule(asked=0.01).aim, help="part of the asked violation")
    parser.add_argument("--development", action="store_true", help="the first 65 %% of each trace only")
    parser.add_argument("--cache", type=Path, help="folder in which forecasts are kept between runs")
    parser.add_argument("--plots", type=Path, help="folder of pictures")
    parser.add_argument("--out", type=Path, help="where to write JSON")
    return parser.parse_args(words)


if __name__ == "__main__":
    main(sys.argv[1:])
