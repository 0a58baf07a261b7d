"""One page that answers "why 14?" without any script. It reads decisions and escapes everything."""

from collections.abc import Sequence
from datetime import datetime
from html import escape

from predictscale.core.plan import Decision, Mode, ReplicaPlan
from predictscale.serving.tuned import tuning_line
from predictscale.serving.views import RefusedView, is_told

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'"
)

_STYLE = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { margin: 0 auto; max-width: 70rem; padding: 1rem; }
h1 { font-size: 1.3rem; } h2 { font-size: 1.1rem; margin: 2rem 0 0.25rem; }
p { margin: 0.25rem 0; } .number { font-variant-numeric: tabular-nums; text-align: right; }
table { border-collapse: collapse; width: 100%; } th { text-align: left; font-weight: 600; }
th, td { border-bottom: 1px solid color-mix(in srgb, currentColor 20%, transparent); padding: 0.3rem 0.6rem; }
.state { border: 1px solid; border-radius: 0.3rem; padding: 0 0.4rem; font-size: 0.85rem; }
.wrap { overflow-x: auto; }
"""


def render_page(decisions: Sequence[Decision], refused: Sequence[RefusedView], *, now: datetime) -> str:
    """The fleet as HTML: each workload, its numbers, and the staircase of its decision."""
    parts = [_workload(d, now=now) for d in sorted(decisions, key=lambda d: d.workload)]
    if not parts:
        parts = ["<p>No workload has a decision yet.</p>"]
    if refused:
        rows = "".join(
            f"<li>{escape(r.namespace)}/{escape(r.scaled_object)}: {escape('; '.join(r.problems))}</li>"
            for r in refused
        )
        parts.append(f"<h2>Refused triggers</h2><ul>{rows}</ul>")
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta http-equiv="refresh" content="5">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><title>predictscale</title>'
        f"<style>{_STYLE}</style></head><body><h1>predictscale</h1>"
        f"<p>{now:%Y-%m-%d %H:%M:%S} UTC on the service's clock. This page renews itself every 5 s.</p>"
        f"<main>{''.join(parts)}</main></body></html>"
    )


def _workload(decision: Decision, *, now: datetime) -> str:
    fleet = decision.seen.fleet
    published = str(decision.answer.published) if is_told(decision, now=now) else "unavailable"
    numbers = (
        f"published <b>{published}</b>, reactive {decision.reactive.target}, "
        f"replicas {_or_unknown(fleet.replicas)}, ready {_or_unknown(fleet.ready)}"
    )
    model = decision.forecast.model if decision.forecast is not None else "none"
    tuned = f"<p>{escape(tuning_line(decision.tuning))}</p>" if decision.tuning is not None else ""
    notes = "".join(f"<p>Note: {escape(note)}</p>" for note in decision.notes)
    stairs = _staircase(decision.answer)
    if decision.policy.mode is Mode.SHADOW:
        stairs += f"<p>With the forecast, which is only recorded:</p>{_staircase(decision.plan)}"
    return (
        f"<section><h2>{escape(str(decision.workload))} "
        f'<span class="state">{escape(decision.plan.health)}</span></h2>'
        f"<p>{numbers}; model {escape(model)}; mode {escape(decision.policy.mode)}</p>"
        f"{tuned}{notes}{stairs}</section>"
    )


def _staircase(plan: ReplicaPlan) -> str:
    rows = "".join(
        f'<tr><td>{escape(s.stage)}</td><td class="number">{s.value:,.6g}</td><td>{escape(s.unit)}</td>'
        f"<td>{escape(s.because)}</td></tr>"
        for s in plan.steps
    )
    return (
        '<div class="wrap"><table><thead><tr><th>Stage</th><th class="number">After it</th><th>Unit</th>'
        f"<th>Because</th></tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _or_unknown(count: int | None) -> str:
    return "unknown" if count is None else str(count)
