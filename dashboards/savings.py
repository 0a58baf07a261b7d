"""Cost and savings: what is spent, on whom, how far budgets reach, and what another way would have held."""

from dashboards.board import NAMESPACES, WORKLOADS, Board, Variable
from dashboards.links import to_row
from dashboards.panels import GREEN, RED, YELLOW, Column, Query, lines, number, rows
from dashboards.queries import SOME, each

CHOSEN = f'{SOME},workload=~"$workload"'
_LABEL = Variable(
    name="label", label="Summed by label", query="label_values(predictscale_cost_label_info, label)"
)


def board() -> Board:
    """The dashboard."""
    made = Board(
        "savings",
        title="Cost and savings",
        about="Money and CO2 by the hour and by work done, budgets, and what plain reactive or "
        "static scaling "
        "would have held over the accounted time (28 days at most).",
        variables=(NAMESPACES, WORKLOADS, _LABEL),
        since="now-7d",
    )
    _head(made)
    _savings(made)
    _costs(made)
    _objectives(made)
    return made


def _each(metric: str, *by: str, where: str = "") -> str:
    return each(metric, *by, where=where, of=CHOSEN)


def _sum(metric: str, *by: str, where: str = "") -> str:
    inside = _each(metric, *by, where=where)
    return f"sum by ({', '.join(by)}) ({inside})" if by else f"sum({inside})"


def _head(made: Board) -> None:
    made.row(
        number(
            "Cost per hour",
            "Of the present fleets with a price, by currency.",
            Query(_sum("predictscale_cost_per_hour", "currency"), "{{currency}}"),
            unit="none",
            named=True,
            digits=2,
        ),
        number(
            "GPUs held",
            "By the present fleets.",
            Query(_sum("predictscale_gpus"), "GPUs"),
            unit="none",
        ),
        number(
            "Replica-hours saved",
            "What plain reactive scaling would have held more, over the accounted time. Below 0: it "
            "held less, "
            "and let more work wait.",
            Query(_sum("predictscale_saved_replica_hours", where='versus="reactive"'), "reactive"),
            unit="none",
            digits=1,
        ),
        number(
            "Saved against static",
            "What a fleet fixed at its peak would have cost more, by currency.",
            Query(_sum("predictscale_saved_money", "currency", where='versus="static"'), "{{currency}}"),
            unit="none",
            named=True,
            digits=0,
        ),
        number(
            "CO2 per hour",
            "Of the present fleets, by the accounting that their grids' numbers follow.",
            Query(_sum("predictscale_carbon_grams_per_hour", "accounting"), "{{accounting}}"),
            unit="massg",
            named=True,
        ),
        number(
            "Budgets that bind",
            "Workloads that a budget leaves fewer replicas than they need.",
            Query(_sum("predictscale_budget_limited"), "workloads"),
            unit="none",
            steps=((None, GREEN), (1, RED)),
        ),
        height=4,
    )


def _savings(made: Board) -> None:
    made.heading("Savings")
    made.row(
        lines(
            "Replica-hours held, by way",
            "Ours as it was; reactive and static as computed on the same demand.",
            Query(_sum("predictscale_held_replica_hours", "way"), "{{way}}"),
            unit="none",
            width=8,
        ),
        lines(
            "Work that waited too long, by way",
            "Share, of the worst workload that is chosen. A way that holds less is no saving where "
            "this is higher.",
            Query(f"max by (way) ({_each('predictscale_late_ratio', 'way')})", "{{way}}"),
            unit="percentunit",
            width=8,
        ),
        lines(
            "Money saved",
            "Against each other way, by currency, over the accounted time.",
            Query(_sum("predictscale_saved_money", "versus", "currency"), "{{versus}}, {{currency}}"),
            unit="none",
            smallest_zero=False,
            width=8,
        ),
        height=8,
    )
    made.row(
        rows(
            "By workload",
            "Over the time that is accounted for. A click on the name leads to the workload.",
            Column(title="saved against reactive (replica-hours)",
                   expr=_each("predictscale_saved_replica_hours", where='versus="reactive"')),
            Column(title="saved against static (replica-hours)",
                   expr=_each("predictscale_saved_replica_hours", where='versus="static"')),
            Column(title="lateness avoided against reactive",
                   expr=_each("predictscale_saved_shortage_ratio", where='versus="reactive"'),
                   unit="percentunit"),
            Column(title="cost per hour", expr=_each("predictscale_cost_per_hour")),
            Column(title="accounted", expr=_each("predictscale_saved_known_seconds"), unit="dtdurations"),
            Column(title="not known", expr=_each("predictscale_saved_unknown_seconds"), unit="dtdurations"),
            links={"workload": to_row("workload")},
            order="saved against static (replica-hours)",
        ),
        height=9,
    )  # fmt: skip


def _costs(made: Board) -> None:
    made.heading("Cost")
    named = f'max by (namespace, workload, value) (predictscale_cost_label_info{{{CHOSEN},label="$label"}})'
    made.row(
        lines(
            "Cost per hour by label",
            "Of the label chosen above, such as the team.",
            Query(
                f"sum by (value, currency) ({_each('predictscale_cost_per_hour', 'currency')}"
                f" * on (namespace, workload) group_left (value) {named})",
                "{{value}}, {{currency}}",
            ),
            unit="none",
            stacked=True,
        ),
        lines(
            "Cost per work done",
            "For a thousand requests, and for a million tokens: generated, and with input by its weight.",
            Query(_each("predictscale_cost_per_1000_requests", "currency"),
                  "1000 requests, {{workload}} ({{currency}})"),
            Query(_each("predictscale_cost_per_million_output_tokens", "currency"),
                  "million output tokens, {{workload}} ({{currency}})"),
            Query(_each("predictscale_cost_per_million_tokens", "currency"),
                  "million tokens, {{workload}} ({{currency}})"),
            unit="none",
        ),
        height=8,
    )  # fmt: skip
    made.row(
        lines(
            "CO2 per hour",
            "By workload: power times what the grid emits.",
            Query(_each("predictscale_carbon_grams_per_hour", "accounting"), "{{workload}}, {{accounting}}"),
            unit="massg",
            stacked=True,
            width=8,
        ),
        lines(
            "CO2 for a million output tokens",
            "Falls as replicas are used better.",
            Query(_each("predictscale_carbon_grams_per_million_output_tokens", "accounting"), "{{workload}}"),
            unit="massg",
            width=8,
        ),
        lines(
            "The grid",
            "What it emits for a kWh.",
            Query(_each("predictscale_grid_grams_per_kwh", "accounting"), "{{workload}}, {{accounting}}"),
            unit="massg",
            width=8,
        ),
        height=7,
    )


def _objectives(made: Board) -> None:
    made.heading("Budgets and objectives")
    made.row(
        lines(
            "Month's budget spent",
            "Share of the calendar month's money that is gone. It should not run ahead of the month.",
            Query(
                f"{_each('predictscale_budget_spent', 'currency')}"
                f" / {_each('predictscale_budget_per_month', 'currency')}",
                "{{namespace}}/{{workload}}",
            ),
            unit="percentunit",
            limit=((None, "transparent"), (1, RED)),
            width=8,
        ),
        lines(
            "Error budget spent",
            "Of workloads with an objective: part of the window's allowed lateness that is gone. "
            "Settings get "
            "more careful as it goes.",
            Query(_each("predictscale_slo_budget_spent_ratio"), "{{namespace}}/{{workload}}"),
            unit="percentunit",
            limit=((None, "transparent"), (0.8, YELLOW), (1, RED)),
            width=8,
        ),
        lines(
            "Work that was late",
            "Share within the objective's window, and what is allowed.",
            Query(_each("predictscale_slo_violation_ratio"), "{{workload}}"),
            Query(_each("predictscale_slo_max_violation_ratio"), "{{workload}}, allowed"),
            unit="percentunit",
            width=8,
        ),
        height=8,
    )
    made.row(
        lines(
            "Quantile in force",
            "Of the workloads that tune themselves; notches are steps that the error budget made it "
            "careful by.",
            Query(_each("predictscale_tuned_quantile"), "{{workload}}"),
            unit="percentunit",
            smallest_zero=False,
            width=8,
        ),
        lines(
            "Held for",
            "How long targets are held before they may fall, as tuning chose.",
            Query(_each("predictscale_tuned_hold_seconds"), "{{workload}}"),
            unit="s",
            width=8,
        ),
        lines(
            "Headroom and notches",
            "How many times what is here counts, and notches of care.",
            Query(_each("predictscale_tuned_headroom_ratio"), "{{workload}}, headroom"),
            Query(_each("predictscale_tuned_notches"), "{{workload}}, notches"),
            unit="none",
            width=8,
        ),
        height=7,
    )
