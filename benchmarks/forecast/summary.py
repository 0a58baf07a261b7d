"""What the judgements say together: relative losses, coverage, goals.

Losses are compared within one trace, lead and target, as ratios to the last value; over
those the mean is geometric. Refuses to average losses of traces of different units.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from benchmarks.forecast.judge import LEVELS, Judgement
from benchmarks.forecast.models import RIVALS

from predictscale.forecasters.scoring import geometric_mean
from predictscale.forecasters.tournament import AUTO

REFERENCE = "last-value"
_MANY = 1000
_Key = tuple[str, str, str, float]  # trace, model, target, lead_s


def ratios(judgements: Sequence[Judgement]) -> dict[_Key, float]:
    """WQL relative to the last value, where both are known and the last value is not perfect."""
    losses = {
        (each["trace"], each["model"], one["target"], one["lead_s"]): one["wql"]
        for each in judgements
        for one in each["scores"]
    }
    found = {}
    for (trace, model, target, lead_s), loss in losses.items():
        reference = losses.get((trace, REFERENCE, target, lead_s))
        if loss is not None and reference:
            found[trace, model, target, lead_s] = loss / reference
    return found


def summarise(judgements: Sequence[Judgement]) -> dict[str, Any]:
    """Geometric means by trace, by lead and target, in all; coverage of the peak; costs."""
    found = ratios(judgements)
    models = list(dict.fromkeys(each["model"] for each in judgements))
    names = list(dict.fromkeys(each["trace"] for each in judgements))
    cells = sorted({(target, lead_s) for _, _, target, lead_s in found})
    return {
        "traces": {
            trace: {model: _mean(found, lambda k, t=trace, m=model: k[:2] == (t, m)) for model in models}  # type: ignore[misc]
            for trace in names
        },
        "leads": {
            f"{target} {lead_s:g}": {
                model: _mean(found, lambda k, m=model, c=(target, lead_s): k[1] == m and k[2:] == c)  # type: ignore[misc]
                for model in models
            }
            for target, lead_s in cells
        },
        "all": {model: _mean(found, lambda k, m=model: k[1] == m) for model in models},  # type: ignore[misc]
        "peak_coverage": {model: _coverage(judgements, model) for model in models},
        "costs": {model: _costs(judgements, model) for model in models},
    }


def goals(summary: dict[str, Any]) -> list[str]:
    """What was promised of `auto`, and what came of it, one line each."""
    everything, traces = summary["all"], summary["traces"]
    if AUTO not in everything:
        return []
    rivals = [name for name in RIVALS if name in everything]
    best = min(rivals, key=lambda name: everything[name])
    worse = {
        trace: row[AUTO] / min(row[name] for name in rivals if row[name] is not None)
        for trace, row in traces.items()
        if row[AUTO] is not None
    }
    losing = {trace: row[AUTO] for trace, row in traces.items() if row[AUTO] is not None and row[AUTO] > 1}
    over = {trace: ratio for trace, ratio in worse.items() if ratio > 1.05}
    off = {
        (trace, level): miss
        for trace, shares in summary["peak_coverage"][AUTO]["traces"].items()
        for level, miss in zip(LEVELS[1:], shares["missed"], strict=True)
        if shares["origins"] >= _MANY and abs(miss) > 0.04
    }
    mean = summary["peak_coverage"][AUTO]["mean"]
    return [
        _goal(
            everything[AUTO] <= 0.9 * everything[best],
            f"auto {everything[AUTO]:.3f}, best single rival {best} {everything[best]:.3f}: "
            f"{everything[AUTO] / everything[best] - 1:+.1%} (goal -10 %)",
        ),
        _goal(not over, f"traces more than 5 % worse than the best of them: {_listed(over)}"),
        _goal(not losing, f"traces worse than the last value: {_listed(losing)}"),
        _goal(
            all(abs(share - level) <= 0.015 for share, level in zip(mean, LEVELS[1:], strict=True)),
            "mean coverage of the peak at 0.9, 0.95, 0.99: " + ", ".join(f"{share:.3f}" for share in mean),
        ),
        _goal(
            not off,
            f"traces of {_MANY} or more origins and levels more than 4 points off: "
            + (", ".join(f"{t} {level:g} {miss:+.3f}" for (t, level), miss in off.items()) or "none"),
        ),
    ]


def _goal(met: bool, text: str) -> str:  # noqa: FBT001 - a private formatter
    return f"{'met   ' if met else 'MISSED'} {text}"


def _listed(found: dict[str, float]) -> str:
    return ", ".join(f"{trace} {ratio:.3f}" for trace, ratio in found.items()) or "none"


def _mean(found: dict[_Key, float], wanted: Callable[[_Key], bool]) -> float | None:
    values = [ratio for key, ratio in found.items() if wanted(key)]
    return geometric_mean(values) if values else None


def _coverage(judgements: Iterable[Judgement], model: str) -> dict[str, Any]:
    """Coverage of the peak above the median, over leads: each trace, and the mean of traces."""
    rows = {}
    for each in judgements:
        if each["model"] != model:
            continue
        peaks = [one["coverage"][1:] for one in each["scores"] if one["target"] == "peak"]
        shares = [sum(column) / len(column) for column in zip(*peaks, strict=True)]
        missed = [share - level for share, level in zip(shares, LEVELS[1:], strict=True)]
        rows[each["trace"]] = {"origins": each["origins"], "shares": shares, "missed": missed}
    columns = zip(*(row["shares"] for row in rows.values()), strict=True)
    return {"mean": [sum(column) / len(rows) for column in columns], "traces": rows}


def _costs(judgements: Iterable[Judgement], model: str) -> dict[str, float | int | None]:
    """Means over traces; these were measured beside another process, so they are for scale only."""
    own = [each for each in judgements if each["model"] == model]

    def mean(name: str) -> float | None:
        known = [each[name] for each in own if each[name] is not None]
        return sum(known) / len(known) if known else None

    return {
        "fit_s": mean("fit_s"),
        "predict_ms": mean("predict_ms"),
        "memory_bytes": mean("memory_bytes"),
        "failures": sum(each["failures"] for each in own),
        "asked": sum(each["origins"] for each in own),
    }
