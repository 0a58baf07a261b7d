"""Settings for a workload that is not served yet, from a trace of its demand.

The last days are forecast again as they would have been lived, and all candidates replayed, by the same
functions that tune the live service. Refuses to pick on days that were not forecast: what
comes before them is what forecasters learnt from.
"""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from predictscale.control.asks import Ask, Retelling
from predictscale.core.knobs import ANY_LEVEL, Kind
from predictscale.core.plan import Policy
from predictscale.core.series import MetricWindow
from predictscale.core.slo import DAY_S, Slo
from predictscale.core.tuned import Choice, Score
from predictscale.errors import NotEnoughHistory
from predictscale.forecasters.registry import Context
from predictscale.simulate.retell import retell
from predictscale.simulate.tune import RULE, compared, pick
from predictscale.simulate.world import demand_grid

_BIN_S = 60.0
_TICK_S = 15.0
_REPLAYED_S = 5 * DAY_S
_LEARNT_S = DAY_S
"""So much of the trace is left to learn from, at least."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recommendation:
    """What to set, and all that was compared.

    Args:
        choice: The settings.
        scores: Every candidate's.
        allowed: The share of demand that may have been late in the replay.
    """

    choice: Choice
    scores: tuple[Score, ...]
    allowed: float


def recommend(
    trace: MetricWindow, *, policy: Policy, slo: Slo, forecasters: tuple[str, ...]
) -> Recommendation:
    """The settings that would have met the objective most cheaply in the last days of a trace.

    Args:
        trace: Demand per second; coarser bins than a minute are held throughout.
        policy: All settings that are not chosen.
        slo: The objective.
        forecasters: The chain that forecasts.

    Raises:
        NotEnoughHistory: Less than three days: a choice takes two, forecasts another.
    """
    demand = demand_grid(trace, _BIN_S)
    need_s = _LEARNT_S + RULE.least * 3600.0
    if demand.duration_s < need_s:
        raise NotEnoughHistory(need_s=need_s, have_s=demand.duration_s)
    bins = round(min(_REPLAYED_S, demand.duration_s - _LEARNT_S) // 3600 * 3600 / _BIN_S)
    told = retell(
        Retelling(
            demand=demand,
            start=demand.end - timedelta(seconds=bins * _BIN_S),
            bins=bins,
            span_s=policy.lead_time_s + _BIN_S - _TICK_S,
            forecasters=forecasters,
            context=Context(),
            events=(),
            history_s=28 * DAY_S,
        )
    )
    ask = Ask(
        demand=demand, peaks=told, policy=policy, slo=slo, asked=slo.max_violation, tick_s=_TICK_S,
        bounds=ANY_LEVEL,
    )  # fmt: skip
    knobs, outcome, rule = compared(ask)
    scores = zip(knobs, outcome.violation.tolist(), outcome.replica_hours.tolist(), strict=True)
    return Recommendation(
        choice=pick(outcome, knobs, rule=rule),
        scores=tuple(Score(knobs=each, violation=late, replica_hours=hours) for each, late, hours in scores),
        allowed=rule.allowed,
    )


def draw(found: Recommendation, slo: Slo, file: Path) -> None:
    """The frontier: what each candidate costs and how late it would have been."""
    import matplotlib as mpl  # noqa: PLC0415 - only who draws needs it

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415 - the backend is chosen first

    figure, axis = plt.subplots(figsize=(9, 6))
    least = 1e-5
    for kind in Kind:
        mine = [score for score in found.scores if score.knobs.kind is kind]
        late = [100 * max(score.violation, least) for score in mine]
        axis.plot(late, [score.replica_hours for score in mine], "o", ms=4, alpha=0.6, label=kind.value)
    chosen = next(score for score in found.scores if score.knobs == found.choice.knobs)
    axis.plot(100 * max(chosen.violation, least), chosen.replica_hours, "k*", ms=14, label="recommended")
    axis.axvline(100 * slo.max_violation, color="k", lw=0.8, label="asked")
    axis.axvline(100 * found.allowed, color="k", lw=0.8, ls="--", label="allowed in the replay")
    axis.set(xscale="log", xlabel="demand late [%]", ylabel="replica-hours", title=str(found.choice.knobs))
    axis.grid(alpha=0.3)
    axis.legend()
    figure.tight_layout()
    figure.savefig(file, dpi=110)
    plt.close(figure)
