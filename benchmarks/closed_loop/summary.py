"""What the traces say together: costs at equal SLO, honest operation, goals.

Costs are relative to clairvoyant on each trace; over traces the mean is geometric, and it is taken
only where a family reached the SLO on all of them. Refuses to average what is missing.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.closed_loop.families import CAREFUL, OURS
from benchmarks.closed_loop.field import spread

from predictscale.forecasters.scoring import geometric_mean

Report = dict[str, Any]

_GOAL_LEAD_S = 240.0
_GOAL_COST = {"0.01": 1.17, "0.005": 1.23}


def summarise(reports: Sequence[Report], asked: Sequence[float]) -> list[dict[str, Any]]:
    """One entry for each cold start: means over traces by family and SLO."""
    found = []
    for lead_s in dict.fromkeys(report["lead_time_s"] for report in reports):
        own = [report for report in reports if report["lead_time_s"] == lead_s]
        names = list(own[0]["families"])
        found.append(
            {
                "lead_time_s": lead_s,
                "traces": [report["trace"] for report in own],
                "static_peak": geometric_mean([report["static_peak"] for report in own]),
                "hindsight": {name: _hindsight(own, name) for name in names},
                "honest": {
                    name: {f"{slo:g}": _honest(own, name, f"{slo:g}") for slo in asked} for name in names
                },
            }
        )
    return found


def _hindsight(own: Sequence[Report], name: str) -> dict[str, Any]:
    rows = [report["families"][name]["hindsight"] for report in own]
    result = {}
    for slo in rows[0]["cost"]:
        costs = [row["cost"][slo] for row in rows]
        known = [cost for cost in costs if cost is not None]
        result[slo] = {
            "mean": geometric_mean(known) if len(known) == len(costs) else None,
            "reached": len(known),
            "interval": _interval([row["draws"][slo] for row in rows]) if slo in rows[0]["draws"] else None,
        }
    return result


def _interval(draws: Sequence[Sequence[float | None]]) -> list[float] | None:
    """Of the mean over traces, had other days come on each of them."""
    together = zip(*draws, strict=True)
    return spread(
        [None if None in each else geometric_mean([c for c in each if c is not None]) for each in together]
    )


def _honest(own: Sequence[Report], name: str, asked: str) -> dict[str, Any]:
    rows = [report["families"][name]["honest"][asked] for report in own]
    achieved = [row["violation"] for row in rows]
    return {
        "violation": sum(achieved) / len(achieved),
        "cost": geometric_mean([row["cost"] for row in rows]),
        "within": sum(late <= float(asked) for late in achieved),
        "traces": len(rows),
        "worst": max(achieved),
    }


def tables(reports: Sequence[Report], summary: Sequence[Mapping[str, Any]]) -> str:
    """The results for people."""
    lines: list[str] = []
    for entry in summary:
        cold = f"cold start {entry['lead_time_s']:g} s"
        own = [report for report in reports if report["lead_time_s"] == entry["lead_time_s"]]
        for slo in next(iter(entry["hindsight"].values())):
            lines += [
                "",
                f"{cold}, {float(slo):.1%} late: cost / clairvoyant, best knobs in hindsight",
                *_equal_slo(own, entry, slo),
            ]
        for asked in next(iter(entry["honest"].values())):
            lines += [
                "",
                f"{cold}, asked {float(asked):.1%}: achieved % / cost, chosen hourly from the past",
                *_operated(own, entry, asked),
            ]
    return "\n".join(lines[1:])


def _equal_slo(own: Sequence[Report], entry: Mapping[str, Any], slo: str) -> list[str]:
    lines = [_line("", [report["trace"][:9] for report in own], "mean", "95 %")]
    lines.append(
        _line(
            "static peak", [_ratio(report["static_peak"]) for report in own], _ratio(entry["static_peak"]), ""
        )
    )
    for name, means in entry["hindsight"].items():
        cells = [_ratio(report["families"][name]["hindsight"]["cost"][slo]) for report in own]
        found = means[slo]
        mean = _ratio(found["mean"]) if found["mean"] else f"{found['reached']}/{len(own)}"
        around = found["interval"]
        lines.append(_line(name, cells, mean, f"{around[0]:.2f}-{around[1]:.2f}" if around else ""))
    best = [_best_rival(report, slo) for report in own]
    known = [cost for cost in best if cost is not None]
    mean = _ratio(geometric_mean(known)) if len(known) == len(best) else f"{len(known)}/{len(own)}"
    lines.append(_line("best rival of each", [_ratio(cost) for cost in best], mean, ""))
    if all("bounds" in report for report in own):
        cells = [_ratio(report["bounds"]["frontier"][slo]) for report in own]
        lines.append(_line("clairvoyant, same lateness", cells, "", ""))
    return lines


def _operated(own: Sequence[Report], entry: Mapping[str, Any], asked: str) -> list[str]:
    lines = [_line("", [report["trace"][:9] for report in own], "mean", "within")]
    for name, means in entry["honest"].items():
        cells = []
        for report in own:
            row = report["families"][name]["honest"][asked]
            cells.append(f"{row['violation'] * 100:.2f}/{row['cost']:.2f}")
        found = means[asked]
        mean = f"{found['violation'] * 100:.2f}/{found['cost']:.3f}"
        lines.append(_line(name, cells, mean, f"{found['within']}/{found['traces']}"))
    return lines


def _best_rival(report: Report, slo: str) -> float | None:
    costs = [family["hindsight"]["cost"][slo] for name, family in report["families"].items() if name != OURS]
    return min((cost for cost in costs if cost is not None), default=None)


def goals(summary: Sequence[Mapping[str, Any]], reports: Sequence[Report]) -> list[str]:
    """What was promised of our policy at a cold start of 240 s, and what came of it, one line each."""
    entry = next((entry for entry in summary if entry["lead_time_s"] == _GOAL_LEAD_S), None)
    if entry is None or OURS not in entry["hindsight"]:
        return []
    own = [report for report in reports if report["lead_time_s"] == _GOAL_LEAD_S]
    lines = []
    for asked, most in _GOAL_COST.items():
        if asked not in entry["honest"][OURS]:
            continue
        found = entry["honest"][OURS][asked]
        lines.append(
            _goal(
                met=found["violation"] <= float(asked) and found["cost"] <= most,
                text=f"asked for {float(asked):.1%}: {found['violation']:.2%} late at {found['cost']:.3f} "
                f"(goal {most}); {_by_grain(own, asked)}",
            )
        )
        lines.append(
            _goal(
                met=found["within"] >= 0.8 * found["traces"],
                text=f"asked for {float(asked):.1%}: within on {found['within']} of {found['traces']} traces "
                f"(goal 80 %); beyond it: {_listed(_beyond(own, asked))}",
            )
        )
    return lines + _beside_rivals(entry, own)


def _by_grain(own: Sequence[Report], asked: str) -> str:
    """The same apart for traces recorded by the minute and for those whose minutes are drawn."""
    told = []
    for drawn, name in ((False, "recorded by the minute"), (True, "minutes drawn")):
        rows = [report for report in own if report["drawn"] is drawn]
        if rows:
            found = _honest(rows, OURS, asked)
            told.append(f"{name} ({len(rows)}): {found['violation']:.2%} at {found['cost']:.3f}")
    return ", ".join(told)


def _beside_rivals(entry: Mapping[str, Any], own: Sequence[Report]) -> list[str]:
    lines = []
    for slo in ("0.01", "0.005"):
        dearer = {}
        for report in own:
            ours, tuned = (
                report["families"][name]["hindsight"]["cost"][slo] if name in report["families"] else None
                for name in (OURS, "tuned-reactive")
            )
            if tuned is not None and (ours is None or ours > 1.02 * tuned):
                dearer[report["trace"]] = "not reached" if ours is None else f"{ours / tuned:.3f}"
        lines.append(
            _goal(
                met=not dearer,
                text=f"at {float(slo):.1%}, more than 2 % dearer than tuned reactive: {_listed(dearer)}",
            )
        )
    means = {name: found["0.01"]["mean"] for name, found in entry["hindsight"].items()}
    ours, rivals = means.pop(OURS), {name: mean for name, mean in means.items() if mean is not None}
    if rivals and ours is not None:
        cheapest = min(rivals.values())
        beside = [
            _beside(f"the best {kind}", ours, {name: rivals[name] for name in rivals if name in names})
            for kind, names in (("rival", set(rivals)), ("that predicts", set(rivals) - set(CAREFUL)))
        ]
        text = (
            f"at 1.0%, best settings in hindsight: {ours:.3f}; {'; '.join(filter(None, beside))} (goal -8 %)"
        )
        lines.append(_goal(met=ours <= 0.92 * cheapest, text=text))
    return lines


def _beside(what: str, ours: float, rivals: Mapping[str, float]) -> str:
    """How ours compares with the cheapest of some that get there on all traces; empty without any."""
    if not rivals:
        return ""
    best = min(rivals, key=lambda name: rivals[name])
    return f"{what}, {best}, {rivals[best]:.3f}: {ours / rivals[best] - 1:+.1%}"


def _beyond(own: Sequence[Report], asked: str) -> dict[str, str]:
    rows = {report["trace"]: report["families"][OURS]["honest"][asked]["violation"] for report in own}
    return {trace: f"{late:.2%}" for trace, late in rows.items() if late > float(asked)}


def _goal(*, met: bool, text: str) -> str:
    return f"{'met   ' if met else 'MISSED'} {text}"


def _listed(found: Mapping[str, str]) -> str:
    return ", ".join(f"{trace} {what}" for trace, what in found.items()) or "none"


def _ratio(cost: float | None) -> str:
    return "–" if cost is None else f"{cost:.2f}"


def _line(name: str, cells: Sequence[str], mean: str, last: str) -> str:
    return f"{name:27}" + "".join(f"{cell:>11}" for cell in cells) + f"{mean:>12}{last:>11}"
