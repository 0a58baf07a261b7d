"""The few kinds of panels that the dashboards are made of, drawn alike everywhere.

A gap in a line is data that is missing, so lines are never joined over one. Refuses a panel
without a description: whoever is paged has not read the documents.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from grafana_foundation_sdk.builders import common as parts
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.builders import prometheus, stat, statetimeline, table, timeseries
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

DATASOURCE = model.DataSourceRef(type_val="prometheus", uid="${datasource}")
GREEN, YELLOW, ORANGE, RED, BLUE, GREY = "green", "yellow", "orange", "red", "blue", "#8e8e8e"
"""Names of Grafana's palette, which are right on light and on dark; grey has none of its own."""

_WHOLE = 24
"""Columns of the grid."""

Made: TypeAlias = stat.Panel | statetimeline.Panel | table.Panel | timeseries.Panel


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """A panel that is not placed yet.

    Args:
        made: As the SDK builds it.
        width: Columns of the 24.
    """

    made: Made
    width: int


@dataclass(frozen=True, slots=True)
class Query:
    """One query of a panel.

    Args:
        expr: PromQL, with Grafana's variables.
        legend: What a series is called; `{{label}}` is a label's value.
    """

    expr: str
    legend: str


Steps: TypeAlias = Sequence[tuple[float | None, str]]
"""(from this value on, colour); the first from None."""


def lines(
    title: str,
    about: str,
    *queries: Query,
    unit: str,
    width: int = 12,
    style: Mapping[str, Sequence[tuple[str, object]]] | None = None,
    stepped: bool = False,
    stacked: bool = False,
    limit: Steps = (),
    most: float | None = None,
    smallest_zero: bool = True,
) -> Panel:
    """Lines over time.

    Args:
        title: In a few words.
        about: What they mean and when to worry.
        queries: One or more.
        unit: Grafana's name of it.
        width: Columns.
        style: By legend: properties of a series, such as its colour.
        stepped: Whether values hold until the next one, as replicas do.
        stacked: Whether they add up.
        limit: Where to draw lines across.
        most: The axis' upper end, if fixed.
        smallest_zero: Whether the axis reaches down to 0.
    """
    made = (
        timeseries.Panel()
        .legend(_legend(beside=width == _WHOLE))
        .tooltip(parts.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI))
        .line_width(1.5)
        .fill_opacity(25 if stacked else 6)
        .show_points(common.VisibilityMode.NEVER)
        .span_nulls(False)  # noqa: FBT003 - the SDK's setter
        .color_scheme(build.FieldColor().mode(model.FieldColorModeId.PALETTE_CLASSIC_BY_NAME))
        .line_interpolation(
            common.LineInterpolation.STEP_AFTER if stepped else common.LineInterpolation.LINEAR
        )
    )
    if stacked:
        made.stacking(parts.StackingConfig().mode(common.StackingMode.NORMAL).group("A"))
    if smallest_zero:
        made.min(0)
    if most is not None:
        made.max(most)
    if limit:
        made.thresholds_style(parts.GraphThresholdsStyleConfig().mode(common.GraphThresholdsStyleMode.DASHED))
    made.thresholds(_thresholds(limit or [(None, GREEN)]))
    for legend, properties in (style or {}).items():
        values = [model.DynamicConfigValue(id_val=name, value=value) for name, value in properties]
        made.override_by_name(legend, values)
    return _finished(made, title, about, queries, unit=unit, width=width)


def number(
    title: str,
    about: str,
    *queries: Query,
    unit: str,
    width: int = 4,
    steps: Steps = ((None, BLUE),),
    named: bool = False,
    digits: int | None = None,
) -> Panel:
    """The newest value, large.

    Args:
        title: In a few words.
        about: What it means and when to worry.
        queries: One or more.
        unit: Grafana's name of it.
        width: Columns.
        steps: Colours by value.
        named: Whether the series' names stand beside their values.
        digits: Behind the point, if fixed.
    """
    made = (
        stat.Panel()
        .graph_mode(common.BigValueGraphMode.NONE if named else common.BigValueGraphMode.AREA)
        .color_mode(common.BigValueColorMode.VALUE)
        .text_mode(common.BigValueTextMode.VALUE_AND_NAME if named else common.BigValueTextMode.VALUE)
        .reduce_options(_newest())
        .thresholds(_thresholds(steps))
        .no_value("unknown")
    )
    if digits is not None:
        made.decimals(digits)
    return _finished(made, title, about, queries, unit=unit, width=width)


def word(title: str, about: str, query: Query, *, colours: Mapping[str, str], width: int = 4) -> Panel:
    """The name of the series that there is, on its colour."""
    made = (
        stat.Panel()
        .graph_mode(common.BigValueGraphMode.NONE)
        .color_mode(common.BigValueColorMode.BACKGROUND)
        .text_mode(common.BigValueTextMode.NAME)
        .reduce_options(_newest())
        .thresholds(_thresholds([(None, BLUE)]))
        .no_value("unknown")
    )
    for name, colour in colours.items():
        made.override_by_name(name, [coloured(colour)])
    return _finished(made, title, about, (query,), unit="none", width=width, instant=True)


def spans(
    title: str, about: str, query: Query, *, width: int = 12, colours: Mapping[str, str] | None = None
) -> Panel:
    """Which of several held, over time: a band each."""
    made = (
        statetimeline.Panel()
        .legend(parts.VizLegendOptions().show_legend(False))  # noqa: FBT003 - the SDK's setter
        .tooltip(parts.VizTooltipOptions().mode(common.TooltipDisplayMode.SINGLE))
        .show_value(common.VisibilityMode.NEVER)
        .row_height(0.8)
        .fill_opacity(80)
        .line_width(0)
        .thresholds(_thresholds([(None, "transparent"), (1, BLUE)]))
        .mappings([model.ValueMap(options={"1": model.ValueMappingResult(text="yes"),
                                           "0": model.ValueMappingResult(text="no")})])
    )  # fmt: skip
    for name, colour in (colours or {}).items():
        steps = {"mode": "absolute", "steps": [{"value": None, "color": "transparent"},
                                               {"value": 1, "color": colour}]}  # fmt: skip
        made.override_by_name(name, [model.DynamicConfigValue(id_val="thresholds", value=steps)])
    return _finished(made, title, about, (query,), unit="none", width=width)


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One number of a table's rows.

    Args:
        title: Over the column.
        expr: An instant query, by the labels that name a row.
        unit: Grafana's name of it.
        steps: Colours by value; none leaves it plain.
        shown: Whether the number is shown; if not, the query gives labels alone.
    """

    title: str
    expr: str
    unit: str = "none"
    steps: Steps = ()
    shown: bool = True


def rows(
    title: str,
    about: str,
    *columns: Column,
    links: Mapping[str, str] | None = None,
    order: str | None = None,
    width: int = 24,
) -> Panel:
    """A table with a row for each set of labels.

    Args:
        title: In a few words.
        about: What a row is.
        columns: One query each; rows are joined by their labels.
        links: By label: where a click on it leads.
        order: The column by which rows are sorted, highest first.
        width: Columns of the grid.
    """
    made = table.Panel().show_header(True).cell_height(common.TableCellHeight.SM)  # noqa: FBT003 - as above
    names = {f"Value #{_letter(place)}": column.title for place, column in enumerate(columns)}
    hidden = {f"Value #{_letter(place)}": True for place, column in enumerate(columns) if not column.shown}
    made.with_transformation(model.DataTransformerConfig(id_val="merge", options={}))
    organize = {"excludeByName": {"Time": True, **hidden}, "renameByName": names}
    made.with_transformation(model.DataTransformerConfig(id_val="organize", options=organize))
    for column in columns:
        values = [model.DynamicConfigValue(id_val="unit", value=column.unit)]
        if column.steps:
            values += [
                model.DynamicConfigValue(id_val="thresholds", value=_thresholds(column.steps).build()),
                model.DynamicConfigValue(id_val="custom.cellOptions", value={"type": "color-text"}),
            ]
        made.override_by_name(column.title, values)
    for label, url in (links or {}).items():
        leads = [{"title": "Open", "url": url, "targetBlank": False}]
        made.override_by_name(label, [model.DynamicConfigValue(id_val="links", value=leads)])
    if order is not None:
        made.sort_by([parts.TableSortByFieldState().display_name(order).desc(True)])  # noqa: FBT003 - as above
    queries = [Query(column.expr, "") for column in columns]
    return _finished(made, title, about, queries, unit="none", width=width, instant=True, as_table=True)


def coloured(colour: str) -> model.DynamicConfigValue:
    """The property that gives a series its colour."""
    return model.DynamicConfigValue(id_val="color", value={"mode": "fixed", "fixedColor": colour})


def line(colour: str, *, dashed: bool = False, bold: bool = False) -> list[tuple[str, object]]:
    """A series' colour and stroke, for `style`."""
    style: list[tuple[str, object]] = [("color", {"mode": "fixed", "fixedColor": colour})]
    if dashed:
        style += [("custom.lineStyle", {"fill": "dash", "dash": [8, 6]}), ("custom.fillOpacity", 0)]
    if bold:
        style.append(("custom.lineWidth", 2.5))
    return style


def band(colour: str, *, below_to: str) -> list[tuple[str, object]]:
    """A series whose area down to another one is filled."""
    return [
        ("color", {"mode": "fixed", "fixedColor": colour}),
        ("custom.lineWidth", 0.5),
        ("custom.fillOpacity", 18),
        ("custom.fillBelowTo", below_to),
    ]


def _finished(
    made: Made,
    title: str,
    about: str,
    queries: Sequence[Query],
    *,
    unit: str,
    width: int,
    instant: bool = False,
    as_table: bool = False,
) -> Panel:
    if not (title and about and queries):
        raise ValueError(f"a panel has a title, a description and a query: {title!r}, {about!r}, {queries}")
    made.title(title).description(about).datasource(DATASOURCE).unit(unit)
    for place, query in enumerate(queries):
        target = prometheus.Dataquery().ref_id(_letter(place)).expr(query.expr).datasource(DATASOURCE)
        if as_table:
            target.format(PromQueryFormat.TABLE)
        else:
            target.legend_format(query.legend)
        made.with_target(target.instant() if instant else target.range())
    return Panel(made=made, width=width)


def _letter(place: int) -> str:
    return chr(ord("A") + place)


def _legend(*, beside: bool) -> parts.VizLegendOptions:
    """A table beside a wide panel; below a narrow one a line, which takes the least height."""
    made = parts.VizLegendOptions().show_legend(True)  # noqa: FBT003 - as above
    if beside:
        made.display_mode(common.LegendDisplayMode.TABLE).placement(common.LegendPlacement.RIGHT)
        return made.calcs(["lastNotNull", "max"])
    made.display_mode(common.LegendDisplayMode.LIST).placement(common.LegendPlacement.BOTTOM)
    return made.calcs(["lastNotNull"])


def _newest() -> parts.ReduceDataOptions:
    return parts.ReduceDataOptions().calcs(["lastNotNull"]).values(False)  # noqa: FBT003 - as above


def _thresholds(steps: Steps) -> build.ThresholdsConfig:
    made = [model.Threshold(value=value, color=colour) for value, colour in steps]
    return build.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(made)
