"""All workloads at a glance: which of them needs a look, and what they hold and cost together."""

from dashboards.board import NAMESPACES, Board
from dashboards.links import to_row
from dashboards.panels import BLUE, GREEN, ORANGE, RED, YELLOW, Column, Query, line, lines, number, rows
from dashboards.queries import each, lead_time, total
from dashboards.states import COLOURS

_ANY, _NOT_OK = 'state=~".+"', 'state!="ok"'
_WANTED, _MOST = (
    each("predictscale_step_replicas", where='stage="stabilize"'),
    each("predictscale_max_replicas"),
)
_CUT = f"{_WANTED} > {_MOST}"
"""Workloads that want more than they may have; one that wants just as many lacks none."""
_ONE_OR_MORE = ((None, GREEN), (1, ORANGE))


def board() -> Board:
    """The dashboard."""
    made = Board(
        "fleet",
        title="Fleet",
        about="Every workload that is sized: target and ready, state, demand and cost. A row leads "
        "to its own.",
        variables=(NAMESPACES,),
    )
    _head(made)
    _table(made)
    _over_time(made)
    return made


def _head(made: Board) -> None:
    made.row(
        number(
            "Workloads",
            "Workloads that a decision is made for.",
            Query(f"count({each('predictscale_target_replicas')})", "workloads"),
            unit="none",
        ),
        number(
            "Target",
            "Replicas wanted, of all workloads.",
            Query(total("predictscale_target_replicas"), "target"),
            unit="none",
        ),
        number(
            "Ready",
            "Replicas that serve, of the workloads whose Deployment is known to kube-state-metrics.",
            Query(total("predictscale_ready_replicas"), "ready"),
            unit="none",
        ),
        number(
            "Not well",
            "Workloads whose data or forecast is in doubt, or whose budget binds: any state but ok.",
            Query(f"{_count(_not_ok())} or 0 * {_count(each('predictscale_state'))}", "workloads"),
            unit="none",
            steps=_ONE_OR_MORE,
        ),
        number(
            "At the ceiling",
            "Workloads that would get more if max_replicas let them.",
            Query(f"{_count(_CUT)} or 0 * {_count(each('predictscale_max_replicas'))}", "workloads"),
            unit="none",
            steps=_ONE_OR_MORE,
        ),
        number(
            "Cost per hour",
            "Of the present fleets with a price, by currency.",
            Query(total("predictscale_cost_per_hour", "currency"), "{{currency}}"),
            unit="none",
            named=True,
            digits=2,
        ),
        height=4,
    )  # fmt: skip


def _count(of: str) -> str:
    return f"count({of})"


def _not_ok() -> str:
    """Workloads that are in another state than ok, once each, though replicas of the service may differ."""
    return f"{each('predictscale_state', where=_NOT_OK)} == 1"


def _in_state(which: str) -> str:
    """Workloads by the state that they are in; `which` is a matcher of it."""
    return f"{each('predictscale_state', 'state', where=which)} == 1"


def _table(made: Board) -> None:
    made.row(
        rows(
            "Workloads",
            "A row each. A click on its name leads to the workload's own dashboard.",
            Column(title="known", expr=_in_state(_ANY), shown=False),
            Column(title="target", expr=each("predictscale_target_replicas")),
            Column(title="ready", expr=each("predictscale_ready_replicas")),
            Column(title="reactive", expr=each("predictscale_reactive_replicas")),
            Column(title="max", expr=each("predictscale_max_replicas")),
            Column(title="at ceiling", expr=f"{_WANTED} > bool {_MOST}", unit="bool_yes_no",
                   steps=((None, GREEN), (1, RED))),
            Column(title="lead time", expr=lead_time(each), unit="s"),
            Column(title="age of demand", expr=each("predictscale_demand_age_seconds"), unit="s",
                   steps=((None, GREEN), (120, YELLOW), (600, RED))),
            Column(title="saved (replica-hours)",
                   expr=each("predictscale_saved_replica_hours", where='versus="reactive"'), unit="none"),
            links={"workload": to_row("workload")},
            order="target",
        ),
        height=11,
    )  # fmt: skip


_STATES = each("predictscale_state", "state")
_BY_STATE = (
    f"sum by (state) ({_STATES} / on (namespace, workload) group_left ()"
    f" sum by (namespace, workload) ({_STATES}))"
)


def _over_time(made: Board) -> None:
    made.row(
        lines(
            "Replicas",
            "Wanted and ready, of all workloads. Reactive is what would be wanted without a forecast.",
            Query(total("predictscale_target_replicas"), "target"),
            Query(total("predictscale_ready_replicas"), "ready"),
            Query(total("predictscale_reactive_replicas"), "reactive"),
            unit="none",
            stepped=True,
            style={
                "target": line(BLUE, bold=True),
                "ready": line(GREEN),
                "reactive": line(ORANGE, dashed=True),
            },
        ),
        lines(
            "Workloads by state",
            "How many are in which state; one of which replicas of the service differ counts in parts. "
            "Anything but ok deserves a look; the runbook has a page for each.",
            Query(_BY_STATE, "{{state}}"),
            unit="none",
            stepped=True,
            stacked=True,
            style={name: line(colour) for name, colour in COLOURS.items()},
        ),
        height=8,
    )
    made.row(
        lines(
            "Largest targets",
            "The ten workloads that want most replicas at each moment.",
            Query(f"topk(10, {each('predictscale_target_replicas')})", "{{namespace}}/{{workload}}"),
            unit="none",
            stepped=True,
        ),
        lines(
            "Far from their target",
            "Replicas wanted and not ready, of the ten workloads that lack most. For longer than a "
            "lead time: "
            "pods that do not start, or a cluster that is full.",
            Query(
                f"topk(10, {each('predictscale_target_replicas')}"
                f" - on (namespace, workload) {each('predictscale_ready_replicas')})",
                "{{namespace}}/{{workload}}",
            ),
            unit="none",
            smallest_zero=False,
        ),
        height=8,
    )
