"""How the offline commands tell their results: rows of CSV, JSON, a table.

What is not known stays empty or null. Refuses to round what a program will read.
"""

import csv
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, TextIO

from rich.table import Table

from predictscale.core.series import MetricWindow
from predictscale.forecasters.base import Fitted
from predictscale.forecasters.codec import encode
from predictscale.forecasters.evaluate import TARGETS, RollingForecasts, score
from predictscale.forecasters.scoring import mean_change

COLUMNS = ("origin", "lead_s", "target", "level", "value", "model")
"""The columns of a file of forecasts; an empty value is one that nobody could tell."""


def write_forecasts(file: TextIO, said: RollingForecasts) -> None:
    """One row for each origin, lead, target and level; `model` is who answered at that origin."""
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    for place, origin in enumerate(said.origins):
        for lead, lead_s in enumerate(said.leads_s):
            for row, target in enumerate(TARGETS):
                values = said.values[row, lead, place].tolist()
                writer.writerows(
                    (
                        instant(origin),
                        f"{lead_s:g}",
                        target,
                        f"{level:g}",
                        "" if math.isnan(value) else repr(value),
                        said.authors[place],
                    )
                    for level, value in zip(said.levels, values, strict=True)
                )


def judgement(name: str, window: MetricWindow, said: Sequence[RollingForecasts]) -> dict[str, Any]:
    """Every model's scores and costs on one trace, as JSON holds it: what is not a number is null."""
    origins = said[0].origins
    scale = mean_change(window.between(window.start, origins[0]).values)
    return {
        "trace": name,
        "step_s": window.step_s,
        "first_origin": instant(origins[0]),
        "last_origin": instant(origins[-1]),
        "origins": len(origins),
        "models": [
            {
                "model": one.model,
                "fits": len(one.fit_s),
                "fit_s": mean(one.fit_s.tolist()),
                "predict_s": mean(one.predict_s.tolist()),
                "memory_bytes": _size(one.fitted),
                "failures": len(one.failures),
                "scores": [_plain(asdict(each)) for each in score(one, window, scale=scale)],
            }
            for one in said
        ],
    }


def judgement_tables(report: dict[str, Any]) -> tuple[Table, Table]:
    """A judgement for people: losses, then honesty and cost; each fits a narrow terminal."""
    scores = report["models"][0]["scores"]
    losses = Table(
        title=f"{report['trace']}: {report['origins']} origins from {report['first_origin']} "
        f"to {report['last_origin']}. WQL by target and lead; the lowest is the best.",
        title_justify="left",
    )
    _head(losses, (f"{one['target']}\n{one['lead_s']:g} s" for one in scores))
    high = [place for place, level in enumerate(scores[0]["levels"]) if level >= 0.9]
    rest = Table(title="Peaks within each level, error, and cost.", title_justify="left")
    within = (f"{scores[0]['levels'][place]:g}" for place in high)
    _head(rest, (*within, "MASE", "fit\ns", "predict\nms", "KB", "failed"))
    for row in report["models"]:
        losses.add_row(row["model"], *(_shown(one["wql"]) for one in row["scores"]))
        peaks = [one for one in row["scores"] if one["target"] == "peak"]
        rest.add_row(
            row["model"],
            *(_shown(mean([one["coverage"][place] for one in peaks])) for place in high),
            _shown(mean([one["mase"] for one in row["scores"]])),
            _shown(row["fit_s"]),
            _shown(row["predict_s"], times=1e3),
            _shown(row["memory_bytes"], times=1e-3),
            str(row["failures"]),
        )
    return losses, rest


def _head(table: Table, headings: Iterable[str]) -> None:
    table.add_column("model", no_wrap=True)
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)


def instant(at: datetime) -> str:
    """An instant as trace files write it."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def mean(values: Sequence[float | None]) -> float | None:
    """The mean over the known ones; None if there is none."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _size(fitted: Fitted | None) -> int | None:
    """Bytes of a fit as it is kept on disk; None if there is none, or it cannot be kept."""
    try:
        return None if fitted is None else len(encode(fitted))
    except (TypeError, ValueError):
        return None


def _plain(value: Any) -> Any:
    match value:
        case dict():
            return {name: _plain(part) for name, part in value.items()}
        case tuple():
            return [_plain(part) for part in value]
        case float():
            return value if math.isfinite(value) else None
        case _:
            return value


def _shown(value: float | None, *, times: float = 1.0) -> str:
    return "–" if value is None else f"{value * times:.3g}"
