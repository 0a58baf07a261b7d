"""One workload: was the forecast right, what does it want, what does it get, and why so many."""

from dashboards.board import NAMESPACE, WORKLOAD, Board, Variable
from dashboards.panels import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    RED,
    YELLOW,
    Query,
    band,
    line,
    lines,
    number,
    spans,
    word,
)
from dashboards.queries import ONE, lead_time, one
from dashboards.states import COLOURS

LEAD = lead_time(one)

_AHEAD = Variable(
    name="lead",
    label="Lead time in seconds, to compare forecasts with what came",
    query=f"query_result(round({LEAD}))",
    regex=r"/.* (\d+)(?:\.\d+)? .*/",
    hidden=True,
)
_STATE = f"max by (state) (predictscale_state{{{ONE}}} == 1)"
_MODEL = f"max by (model) (predictscale_model{{{ONE}}})"


def board() -> Board:
    """The dashboard."""
    made = Board(
        "workload",
        title="Workload",
        about="One workload: forecast and what came, target and ready, every step of the decision, accuracy.",
        variables=(NAMESPACE, WORKLOAD, _AHEAD),
    )
    _head(made)
    _demand(made)
    _replicas(made)
    _accuracy(made)
    _lead_time(made)
    _data(made)
    return made


def _head(made: Board) -> None:
    made.row(
        word(
            "State",
            "ok: demand is fresh and the forecaster at home serves. Any other: see the runbook, or ask "
            "`predictscale explain`.",
            Query(_STATE, "{{state}}"),
            colours=COLOURS,
        ),
        number(
            "Target",
            "Replicas wanted, after the ceiling.",
            Query(one("predictscale_target_replicas"), "target"),
            unit="none",
            width=3,
        ),
        number(
            "Ready",
            "Replicas that serve.",
            Query(one("predictscale_ready_replicas"), "ready"),
            unit="none",
            width=3,
        ),
        number(
            "Demand",
            "Offered load per second, in the workload's own unit.",
            Query(one("predictscale_demand", "unit"), "{{unit}}"),
            unit="none",
            width=4,
            named=True,
            digits=1,
        ),
        number(
            "Lead time",
            "From a decision to replicas that serve, as decisions plan with it.",
            Query(LEAD, "lead time"),
            unit="s",
            width=3,
        ),
        number(
            "Age of demand",
            "Of the newest sample. Beyond stale_after the last good target is no longer held.",
            Query(one("predictscale_demand_age_seconds"), "age"),
            unit="s",
            width=3,
            steps=((None, GREEN), (120, YELLOW), (600, RED)),
        ),
        word(
            "Forecaster",
            "Who forecasts now.",
            Query(f"{_MODEL} == 1", "{{model}}"),
            colours={},
        ),
        height=4,
    )


def _demand(made: Board) -> None:
    made.heading("Demand")
    made.row(
        lines(
            "Forecast and what came",
            "Demand, and what had been forecast for the same moment a lead time before it. Demand should lie "
            "in the band four times of five, and above the 0.95 line once in twenty.",
            Query(one("predictscale_demand"), "demand"),
            Query(_told("0.9"), "0.9"),
            Query(_told("0.1"), "0.1"),
            Query(_told("0.5"), "median"),
            Query(_told("0.95"), "0.95"),
            unit="short",
            width=24,
            style={
                "demand": line(GREEN, bold=True),
                "0.9": band(BLUE, below_to="0.1"),
                "0.1": line(BLUE),
                "median": line(BLUE, dashed=True),
                "0.95": line(ORANGE, dashed=True),
            },
        ),
        height=10,
    )
    made.row(
        lines(
            "Forecast a lead time ahead",
            "What is expected for the moment at which a replica that is asked for now would serve.",
            Query(
                one("predictscale_forecast_demand", "level", where='level=~"0.5|0.9|0.95|0.99"'), "{{level}}"
            ),
            Query(one("predictscale_demand"), "demand now"),
            unit="short",
            style={"demand now": line(GREEN, bold=True)},
        ),
        lines(
            "Queue",
            "Work that waits, in the workload's unit. It is drained beside what comes, within drain_s.",
            Query(one("predictscale_queue"), "queue"),
            unit="short",
            style={"queue": line(RED)},
        ),
        height=8,
    )


def _told(level: str) -> str:
    """What had been forecast for now, a lead time ago."""
    selected = f'predictscale_forecast_demand{{{ONE},level="{level}"}}'
    return f"max({selected} offset ${{lead}}s)"


def _replicas(made: Board) -> None:
    made.heading("Replicas")
    made.row(
        lines(
            "Wanted, told and ready",
            "Target is wanted; published is what the HPA is told so that it lands there; reactive is what "
            "would be wanted without a forecast. Ready should follow the target within a lead time.",
            Query(one("predictscale_target_replicas"), "target"),
            Query(one("predictscale_published_replicas"), "published"),
            Query(one("predictscale_ready_replicas"), "ready"),
            Query(one("predictscale_reactive_replicas"), "reactive"),
            Query(one("predictscale_max_replicas"), "max"),
            unit="none",
            stepped=True,
            style={
                "target": line(BLUE, bold=True),
                "published": line("purple", dashed=True),
                "ready": line(GREEN),
                "reactive": line(ORANGE, dashed=True),
                "max": line(RED, dashed=True),
            },
        ),
        lines(
            "Steps of the decision",
            "Replicas after each stage, in the order capacity, backlog, warm, stabilize, ceiling, spot, "
            "landing. Where two lines part, the later stage acted; GET .../decision says why in words.",
            Query(one("predictscale_step_replicas", "stage"), "{{stage}}"),
            unit="none",
            stepped=True,
        ),
        height=9,
    )
    made.row(
        spans(
            "State",
            "Which state the workload was in.",
            Query(f"max by (state) (predictscale_state{{{ONE}}})", "{{state}}"),
            colours=COLOURS,
        ),
        spans(
            "Forecaster",
            "Who forecast when. A change is a tournament's verdict, or a stand-in for one that failed.",
            Query(_MODEL, "{{model}}"),
        ),
        height=7,
    )


def _accuracy(made: Board) -> None:
    made.heading("Accuracy over the last day")
    made.row(
        lines(
            "Coverage",
            "Share of closed windows of a lead time whose peak lay at or below each quantile. 0.95 should "
            "run at 0.95: well below it replicas come too late, at 1 for days they cost too much.",
            Query(_at_lead("predictscale_forecast_coverage_ratio"), "{{level}}"),
            unit="percentunit",
            most=1,
            width=8,
        ),
        lines(
            "Pinball loss",
            "What the misses of each quantile cost, in the workload's unit. Lower is better.",
            Query(_at_lead("predictscale_forecast_pinball_loss"), "{{level}}"),
            unit="short",
            width=8,
        ),
        lines(
            "Forecasters' losses",
            "Of each candidate of the tournament, over that of the last value alone: below 1 it is better.",
            Query(one("predictscale_model_loss_ratio", "candidate"), "{{candidate}}"),
            unit="none",
            width=8,
            limit=((None, "transparent"), (1, RED)),
        ),
        height=8,
    )
    made.row(
        number(
            "Windows scored",
            "Behind coverage and loss; with fewer than some hundred they say little.",
            Query(one("predictscale_forecast_scored_windows", "lead_seconds"), "at {{lead_seconds}} s"),
            unit="none",
            width=6,
            named=True,
        ),
        number(
            "Demoted",
            "1 while a stand-in forecasts for the forecaster at home.",
            Query(one("predictscale_model_demoted"), "demoted"),
            unit="bool_yes_no",
            width=6,
            steps=((None, GREEN), (1, ORANGE)),
        ),
        number(
            "Last fit",
            "How long ago a forecaster was fitted.",
            Query(f"time() - {one('predictscale_last_fit_timestamp_seconds')}", "ago"),
            unit="dtdurations",
            width=6,
        ),
        number(
            "KEDA last asked",
            "How long ago a trigger was answered. KEDA asks each pollingInterval, and on each of the "
            "HPA's syncs.",
            Query(f"time() - {one('predictscale_last_asked_timestamp_seconds')}", "ago"),
            unit="dtdurations",
            width=6,
            steps=((None, GREEN), (120, YELLOW), (300, RED)),
        ),
        height=4,
    )


def _at_lead(metric: str) -> str:
    """A score by level, of the horizon that decisions look ahead: the configured lead time."""
    configured = one("predictscale_lead_time_seconds", where='source="configured"')
    scores = one(metric, "level", "lead_seconds")
    return f'max by (level) ({scores} and on (lead_seconds) count_values("lead_seconds", {configured}))'


def _lead_time(made: Board) -> None:
    made.heading("Lead time")
    made.row(
        lines(
            "Lead time",
            "Configured by the owner, in force as measured (the highest of the last hour), and newest.",
            Query(one("predictscale_lead_time_seconds", "source"), "{{source}}"),
            Query(one("predictscale_measured_lead_time_seconds"), "newest"),
            unit="s",
            stepped=True,
            style={
                "configured": line(GREY, dashed=True),
                "measured": line(BLUE, bold=True),
                "newest": line(ORANGE),
            },
        ),
        lines(
            "Starts and what is added",
            "The 0.9 quantile of pods' starts by whether a node was there, and the delays around a start.",
            Query(one("predictscale_start_seconds", "kind"), "start, {{kind}}"),
            Query(one("predictscale_lead_time_delay_seconds", "delay"), "{{delay}}"),
            unit="s",
        ),
        height=8,
    )


def _data(made: Board) -> None:
    made.heading("Data")
    made.row(
        lines(
            "History that is known",
            "Share of the bins of history with a value, by span. Gaps are never read as zero.",
            Query(one("predictscale_history_known_ratio", "span"), "{{span}}"),
            unit="percentunit",
            most=1,
        ),
        lines(
            "Age of demand",
            "Of the newest sample. It saws between scrapes; a ramp is an outage of the metrics.",
            Query(one("predictscale_demand_age_seconds"), "age"),
            unit="s",
            style={"age": line(ORANGE)},
        ),
        height=7,
    )
