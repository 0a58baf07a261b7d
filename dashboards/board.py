"""A dashboard: its variables, its links to the others, and panels placed in rows.

The grid is 24 columns wide. Refuses a row that is not full, so that nothing is placed by accident.
"""

import json
from dataclasses import dataclass

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as model

from dashboards.panels import DATASOURCE, Panel

TAG = "predictscale"
COLUMNS = 24


def uid(name: str) -> str:
    """The stable identity of a dashboard, by which others link to it."""
    return f"{TAG}-{name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """What a reader chooses, as Prometheus' labels offer it.

    Args:
        name: As queries say it.
        label: As people read it.
        query: How its values are found.
        several: Whether more than one may be chosen, and all are at first.
        hidden: Whether it is worked out and never chosen.
        regex: The part of a result that is the value; none takes a label's values as they are.
    """

    name: str
    label: str
    query: str
    several: bool = False
    hidden: bool = False
    regex: str = ""

    def built(self) -> build.QueryVariable:
        """As the SDK takes it."""
        made = (
            build.QueryVariable(self.name)
            .label(self.label)
            .datasource(DATASOURCE)
            .query({"query": self.query, "refId": f"variable-{self.name}"})
            .regex(self.regex)
            .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
            .sort(model.VariableSort.ALPHABETICAL_CASE_INSENSITIVE_ASC)
            .multi(self.several)
            .include_all(self.several)
        )
        if self.several:
            # One matcher however many there are, instead of an alternative for each.
            made.all_value(".*").current(model.VariableOption(selected=True, text=["All"], value=["$__all"]))
        if self.hidden:
            made.hide(model.VariableHide.HIDE_VARIABLE)
        return made


NAMESPACES = Variable(
    name="namespace",
    label="Namespace",
    query="label_values(predictscale_target_replicas, namespace)",
    several=True,
)
NAMESPACE = Variable(
    name="namespace", label="Namespace", query="label_values(predictscale_target_replicas, namespace)"
)
WORKLOAD = Variable(
    name="workload",
    label="Workload",
    query='label_values(predictscale_target_replicas{namespace="$namespace"}, workload)',
)
WORKLOADS = Variable(
    name="workload",
    label="Workload",
    query='label_values(predictscale_target_replicas{namespace=~"$namespace"}, workload)',
    several=True,
)


class Board:
    """A dashboard that grows row by row.

    Args:
        name: Of its file; its identity follows from it.
        title: As Grafana lists it.
        about: What question it answers.
        variables: What a reader chooses, after the data source.
        since: How far back it looks at first.
    """

    def __init__(
        self, name: str, *, title: str, about: str, variables: tuple[Variable, ...], since: str = "now-6h"
    ) -> None:
        self._made = (
            build.Dashboard(f"predictscale / {title}")
            .uid(uid(name))
            .description(about)
            .tags([TAG])
            .timezone("browser")
            .tooltip(model.DashboardCursorSync.CROSSHAIR)
            .time(since, "now")
            .refresh("30s")
            .with_variable(
                build.DatasourceVariable("datasource")
                .label("Data source")
                .type("prometheus")
                .current(model.VariableOption(selected=True, text="default", value="default"))
            )
            .link(
                build.DashboardLink("predictscale")
                .type(model.DashboardLinkType.DASHBOARDS)
                .tags([TAG])
                .as_dropdown(True)  # noqa: FBT003 - the SDK's setter
                .include_vars(True)  # noqa: FBT003 - the same
                .keep_time(True)  # noqa: FBT003 - the same
            )
        )
        for variable in variables:
            self._made.with_variable(variable.built())
        self._below = 0
        self._ids = 0

    def heading(self, title: str) -> None:
        """A line across, that folds what is under it."""
        place = model.GridPos(h=1, w=COLUMNS, x=0, y=self._below)
        self._made.with_row(build.Row(title).grid_pos(place).id(self._next_id()))
        self._below += 1

    def row(self, *panels: Panel, height: int) -> None:
        """Panels side by side; their widths fill the grid.

        Raises:
            ValueError: They do not.
        """
        if sum(panel.width for panel in panels) != COLUMNS:
            raise ValueError(f"a row {[panel.width for panel in panels]} wide; it must fill {COLUMNS}")
        across = 0
        for panel in panels:
            place = model.GridPos(h=height, w=panel.width, x=across, y=self._below)
            self._made.with_panel(panel.made.grid_pos(place).id(self._next_id()))
            across += panel.width
        self._below += height

    def json(self) -> str:
        """What Grafana imports."""
        return json.dumps(self._made.build(), cls=JSONEncoder, indent=2, sort_keys=True) + "\n"

    def _next_id(self) -> int:
        self._ids += 1
        return self._ids
