"""The numbers of one decision, as its archive and the charts want them.

Refuses to pass off what is old as the present: demand that was not fresh, or not all of it, is unknown,
and so is a forecast that does not reach the lead time or has no such level. Refuses to tell a number that
KEDA was not told.
"""

from datetime import timedelta

from predictscale.core.forecast import Forecast
from predictscale.core.plan import Decision
from predictscale.core.state import marks_of
from predictscale.sources.archivefile import Line, us

_LEVELS = (0.5, 0.9, 0.95, 0.99)


def line_of(decision: Decision, *, plain: int | None = None) -> Line:
    """One decision in numbers.

    Args:
        decision: Which.
        plain: What a plain HPA asks for at that instant; None if nobody knows.
    """
    seen, policy, forecast, answer = decision.seen, decision.policy, decision.forecast, decision.answer
    due = seen.now + timedelta(seconds=policy.lead_time_s)
    step = None if forecast is None else int((due - forecast.origin).total_seconds() // forecast.step_s)
    median, p90, p95, p99, high = (_at(forecast, step, level) for level in (*_LEVELS, policy.level))
    return Line(
        at_us=us(seen.now),
        demand=seen.demand if seen.age_s <= policy.fresh_s and not seen.partial else None,
        target=decision.plan.target,
        published=answer.published if answer.available else None,
        reactive=decision.reactive.target,
        plain=plain,
        replicas=seen.fleet.replicas,
        ready=seen.fleet.ready,
        health=decision.plan.health.value,
        lead_s=policy.lead_time_s,
        level=policy.level,
        median=median,
        p90=p90,
        p95=p95,
        p99=p99,
        high=high,
        marks=",".join(marks_of(decision)),
    )


def _at(forecast: Forecast | None, step: int | None, level: float) -> float | None:
    """The quantile at a step; None where the forecast does not tell it."""
    if forecast is None or step is None or not 0 <= step < forecast.steps:
        return None
    if not forecast.levels[0] <= level <= forecast.levels[-1]:
        return None
    return float(forecast.quantile(level)[step])
