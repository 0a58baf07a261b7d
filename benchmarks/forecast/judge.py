"""One model on one trace: what is measured, as plain numbers that a process can hand back.

Refuses to draw conclusions.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.forecast import traces
from benchmarks.forecast.models import entries

from predictscale.forecasters.codec import encode
from predictscale.forecasters.evaluate import rolling, score
from predictscale.forecasters.scoring import mean_change

LEVELS = (0.5, 0.9, 0.95, 0.99)

Judgement = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One model on one trace."""

    folder: Path | None
    trace: str
    model: str
    origins: int
    quick: bool
    development: bool = False


def judge(task: Task) -> Judgement | None:
    """Walk forward over the scored part; None if the trace is too short."""
    trace = traces.load(task.folder, task.trace, origins=task.origins, development=task.development)
    if trace is None:
        return None
    entry = entries(quick=task.quick)[task.model]
    said = rolling(
        entry.forecaster,
        trace.window,
        origins=trace.origins,
        leads_s=trace.leads_s,
        levels=LEVELS,
        refit_s=entry.refit_s,
    )
    scale = mean_change(trace.window.between(trace.window.start, trace.origins[0]).values)
    return {
        "trace": trace.name,
        "synthetic": trace.synthetic,
        "step_s": trace.window.step_s,
        "origins": len(trace.origins),
        "model": task.model,
        "fits": len(said.fit_s),
        "fit_s": float(said.fit_s.mean()),
        "predict_ms": float(said.predict_s.mean()) * 1e3 if said.predict_s.size else None,
        "memory_bytes": _size(said.fitted),
        "failures": len(said.failures),
        "first_failure": said.failures[0].reason if said.failures else None,
        "scores": [
            {
                "target": one.target,
                "lead_s": one.lead_s,
                "scored": one.origins,
                "wql": _known(one.wql),
                "mase": _known(one.mase),
                "pinball": [_known(loss) for loss in one.pinball],
                "coverage": [_known(share) for share in one.coverage],
            }
            for one in score(said, trace.window, scale=scale)
        ],
    }


def _size(fitted: Any) -> int | None:
    """Bytes of a fit on disk; None if the codec does not take it, as those that exist only here."""
    try:
        return len(encode(fitted))
    except (TypeError, ValueError):
        return None


def _known(value: float) -> float | None:
    return round(value, 8) if math.isfinite(value) else None
