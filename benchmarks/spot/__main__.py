"""Spot on real preemption traces: time short and cost of every policy, as frontiers.

Which traces are for choosing knobs and which are scored is fixed by the order of their names,
in `cases`, and was before any policy was run; the choice is made here, by a rule, on the former
alone. Returning spot takes a cold start to serve. Refuses a single point: every setting of
every family is reported on every case, and what was chosen is marked.
"""

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.common import write_report
from benchmarks.forecast.traces import find
from benchmarks.spot import plots
from benchmarks.spot.cases import LEAD_S, STEP_S, Case, load
from benchmarks.spot.families import (
    GOAL_COST,
    GOAL_SHORT,
    OURS,
    SPOT_PRICE,
    WARM_UP_STEPS,
    Entry,
    cheapest_within,
    chosen,
    compete,
    entries,
    plain,
    scored,
)

from predictscale.simulate.pools import PoolScore, clairvoyant

NOTICE_S = 120.0


def examine(
    case: Case, among: Sequence[Entry], scores: Sequence[PoolScore], picked: dict[str, Entry]
) -> dict[str, Any]:
    """One case, as plain numbers."""
    families: dict[str, Any] = {}
    for entry, one in zip(among, scores, strict=True):
        family = families.setdefault(entry.family, {"points": []})
        family["points"].append({"knobs": dict(entry.knobs), **plain(one)})
        if picked[entry.family] is entry:
            family["chosen"] = {"knobs": dict(entry.knobs), **plain(one)}
    for name, family in families.items():
        family["cost_within_goal_in_hindsight"] = cheapest_within(among, scores, name)
        if not case.choosing:
            family["with_notice"] = plain(scored(case.noticed(NOTICE_S), picked[name]))
            family["spot_back_at_once"] = plain(scored(case.prompt(), picked[name]))
    return {
        "case": case.name,
        "traces": case.traces,
        "choosing": case.choosing,
        "synthetic": case.synthetic,
        "need": case.need,
        "days": round(case.days, 2),
        "clairvoyant_cost": round(clairvoyant(case.world, spot_price=SPOT_PRICE), 4),
        "families": families,
    }


def table(report: dict[str, Any]) -> str:
    """One case for people."""
    what = "for choosing" if report["choosing"] else "scored"
    head = f"{report['case']} ({what}): need {report['need']}, {report['days']:.1f} days, "
    bound = f"clairvoyant {report['clairvoyant_cost']:.1%}"
    lines = [f"{head}{bound}; last: cheapest within {GOAL_SHORT:.0%} in hindsight"]
    lines.append(f"  {'':26}{'chosen':>30}{'short':>8}{'cost':>8}{'moves':>7}")
    for name, family in report["families"].items():
        one, best = family["chosen"], family["cost_within_goal_in_hindsight"]
        knobs = " ".join(f"{knob}={value:.4g}" for knob, value in one["knobs"].items())
        reached = "-" if best is None else f"{best:.1%}"
        lines.append(
            f"  {name:26}{knobs:>30}{one['time_short']:8.2%}{one['cost']:8.1%}{one['moves']:7d}   {reached}"
        )
    return "\n".join(lines)


def goals(reports: Sequence[dict[str, Any]]) -> list[str]:
    """Whether ours kept the goal on what is scored, and by how much not."""
    lines = []
    for report in reports:
        if report["choosing"]:
            continue
        family = report["families"][OURS]
        one, best = family["chosen"], family["cost_within_goal_in_hindsight"]
        kept = one["time_short"] <= GOAL_SHORT and one["cost"] <= GOAL_COST
        bound = report["clairvoyant_cost"]
        text = (
            f"{report['case']}: {'kept' if kept else 'missed'}: {one['time_short']:.2%} short at "
            f"{one['cost']:.1%} (goal {GOAL_SHORT:.0%} at {GOAL_COST:.0%}); in hindsight "
            f"{'never within' if best is None else f'{best:.1%} within'} {GOAL_SHORT:.0%}"
        )
        lines.append(text + (f"; even a clairvoyant pays {bound:.1%}" if bound > GOAL_COST else ""))
    return lines


def main(words: Sequence[str]) -> None:
    """Run, print, draw, and write what was measured."""
    options = _options(words)
    folder, why = find(options.data)
    cases = load(folder, quick=options.quick)
    if cases[0].synthetic:
        print(f"real traces are skipped: {why or 'the folder has no spot_*.csv'}; made-up zones stand in")
    os.nice(5)
    among, begun_s = entries(quick=options.quick), time.monotonic()
    results = {}
    for case in cases:
        results[case.name] = compete(case, among)
        print(f"{case.name} after {time.monotonic() - begun_s:.0f} s", file=sys.stderr, flush=True)
    picked = chosen(among, [results[case.name] for case in cases if case.choosing])
    reports = [examine(case, among, results[case.name], picked) for case in cases]
    print("\n\n".join(table(report) for report in reports))
    print("\n".join(["", *goals(reports)]))
    if options.plots is not None:
        for case, report in zip(cases, reports, strict=True):
            plots.draw(case, report, picked, out=options.plots)
    if options.out is not None:
        settings = {
            "step_s": STEP_S,
            "lead_time_s": LEAD_S,
            "spot_price": SPOT_PRICE,
            "notice_s_of_the_variant": NOTICE_S,
            "warm_up_steps": WARM_UP_STEPS,
            "goal": {"time_short": GOAL_SHORT, "cost": GOAL_COST},
            "quick": options.quick,
            "synthetic": cases[0].synthetic,
        }
        write_report(
            options.out,
            benchmark="spot",
            packages=("numpy",),
            settings=settings,
            results={"goals": goals(reports), "cases": reports},
        )


def _options(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of traces; else as the forecast benchmark finds it")
    parser.add_argument("--quick", action="store_true", help="four days of each trace, fewer settings")
    parser.add_argument("--plots", type=Path, help="folder of pictures")
    parser.add_argument("--out", type=Path, help="where to write JSON")
    return parser.parse_args(words)


if __name__ == "__main__":
    main(sys.argv[1:])
