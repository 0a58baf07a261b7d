"""Spot and warm floors: what stands ready without being asked for, and what may vanish."""

from dashboards.board import NAMESPACE, WORKLOAD, Board
from dashboards.panels import BLUE, GREEN, ORANGE, RED, YELLOW, Query, line, lines, number
from dashboards.queries import ONE, one


def board() -> Board:
    """The dashboard."""
    made = Board(
        "spot",
        title="Spot and warm floors",
        about="Pools of one workload, their losses and the margin against them; floors and starts.",
        variables=(NAMESPACE, WORKLOAD),
    )
    _head(made)
    _pools(made)
    _floors(made)
    _starts(made)
    return made


def _step(stage: str) -> str:
    return one("predictscale_step_replicas", where=f'stage="{stage}"')


def _head(made: Board) -> None:
    made.row(
        number(
            "Nodes that leave",
            "Announced to go, or said to be at risk, of all pools.",
            Query(f"sum({one('predictscale_pool_leaving_nodes', 'pool')})", "leaving"),
            unit="none",
            steps=((None, GREEN), (1, YELLOW), (3, RED)),
            width=6,
        ),
        number(
            "Margin for losses",
            "Replicas wanted beyond what must serve, so that what may be lost within a lead time is "
            "not missed.",
            Query(f"{_step('spot')} - {_step('ceiling')}", "margin"),
            unit="none",
            width=6,
        ),
        number(
            "Held by the floor",
            "Replicas that no demand asks for: the minimum, warm replicas, floors of the calendar.",
            Query(f"{_step('warm')} - {_step('backlog')}", "warm"),
            unit="none",
            width=6,
        ),
        number(
            "Minimum",
            "min_replicas as it is in force.",
            Query(one("predictscale_min_replicas"), "min"),
            unit="none",
            width=6,
        ),
        height=4,
    )


def _pools(made: Board) -> None:
    made.heading("Pools")
    made.row(
        lines(
            "Told and ready, by pool",
            "What each pool's HPA is told, and what serves. Spot far below what it is told: the "
            "zones give none.",
            Query(one("predictscale_pool_published_replicas", "pool"), "{{pool}}, told"),
            Query(one("predictscale_pool_ready_replicas", "pool"), "{{pool}}, ready"),
            unit="none",
            stepped=True,
        ),
        lines(
            "Nodes that leave",
            "Nodes of each pool that are announced to go or said to be at risk. Many at once are a storm: "
            "on-demand takes their place.",
            Query(one("predictscale_pool_leaving_nodes", "pool"), "{{pool}}"),
            unit="none",
            stepped=True,
        ),
        height=8,
    )
    made.row(
        lines(
            "Need and margin",
            "What must serve (after the ceiling), and what is wanted with the margin for losses.",
            Query(_step("ceiling"), "must serve"),
            Query(_step("spot"), "with margin"),
            Query(f"sum({one('predictscale_pool_ready_replicas', 'pool')})", "ready"),
            unit="none",
            stepped=True,
            style={
                "must serve": line(BLUE, bold=True),
                "with margin": line(ORANGE, dashed=True),
                "ready": line(GREEN),
            },
        ),
        lines(
            "Share on each pool",
            "Of the replicas that serve.",
            Query(
                f"{one('predictscale_pool_ready_replicas', 'pool')}"
                f" / on () group_left () (sum({one('predictscale_pool_ready_replicas', 'pool')}) > 0)",
                "{{pool}}",
            ),
            unit="percentunit",
            most=1,
            stacked=True,
        ),
        height=8,
    )


def _floors(made: Board) -> None:
    made.heading("Warm floors")
    made.row(
        lines(
            "What demand asks for and the floor",
            "Where the two part, a floor holds replicas that demand does not ask for.",
            Query(_step("backlog"), "demand asks for"),
            Query(_step("warm"), "with floors"),
            Query(one("predictscale_min_replicas"), "minimum"),
            unit="none",
            stepped=True,
            style={
                "demand asks for": line(BLUE),
                "with floors": line(ORANGE, bold=True),
                "minimum": line(RED, dashed=True),
            },
        ),
        lines(
            "There, ready, starting",
            "Replicas by what they do. Starting for longer than a lead time: look at the pods.",
            Query(one("predictscale_current_replicas"), "there"),
            Query(one("predictscale_ready_replicas"), "ready"),
            Query(one("predictscale_starting_replicas"), "starting"),
            unit="none",
            stepped=True,
            style={"there": line(BLUE), "ready": line(GREEN, bold=True), "starting": line(ORANGE)},
        ),
        height=8,
    )


def _starts(made: Board) -> None:
    made.heading("Starts")
    made.row(
        lines(
            "How long pods take",
            "The 0.9 quantile from created to ready, by whether a node was there or had to be bought.",
            Query(one("predictscale_start_seconds", "kind"), "{{kind}}"),
            Query(one("predictscale_measured_lead_time_seconds"), "lead time"),
            unit="s",
            width=8,
            style={"lead time": line(RED, dashed=True)},
        ),
        lines(
            "Pods behind it",
            "How many became ready and how many have not, by kind.",
            Query(f'max by (kind, state) (predictscale_starts{{{ONE},kind!="any"}})', "{{kind}}, {{state}}"),
            unit="none",
            width=8,
        ),
        lines(
            "Starts that failed",
            "Took over an hour, or hang. They do not count, so a lead time looks better than it is.",
            Query(one("predictscale_starts_failed"), "failed"),
            unit="none",
            width=8,
            style={"failed": line(RED)},
        ),
        height=8,
    )
