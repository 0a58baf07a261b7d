"""The committed dashboards and rules as tests read them: panels, queries filled in, names of metrics."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import promql_parser as pp
import yaml

from predictscale.config.promql import children

DEPLOY = Path(__file__).parent.parent / "deploy"
RULES = DEPLOY / "prometheus" / "rules.yaml"
BOARDS: dict[str, dict[str, Any]] = {
    path.stem: json.loads(path.read_text()) for path in sorted((DEPLOY / "grafana").glob("*.json"))
}
BUILTIN = {"__rate_interval": "1m", "__rate_interval_ms": "60000", "__url_time_range": "from=now-6h&to=now"}
"""Grafana's own variables, as a dashboard over a quarter of an hour has them."""


def panels(board: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The panels that show something; rows are left out."""
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def queries() -> Iterator[tuple[str, str]]:
    """Where each query of each panel stands, and the query."""
    for name, board in BOARDS.items():
        for panel in panels(board):
            for target in panel["targets"]:
                yield f"{name}: {panel['title']} {target['refId']}", target["expr"]


def variables(board: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The variables of a board but the data source, by name and in their order."""
    listed = board["templating"]["list"]
    return {one["name"]: one for one in listed if one["type"] != "datasource"}


def filled(text: str, values: Mapping[str, str]) -> str:
    """Text with `$name` and `${name}` as Grafana would fill them in.

    Raises:
        KeyError: A variable has no value.
    """
    every = {**BUILTIN, **values}
    return re.sub(r"\$(?:\{(\w+)\}|(\w+))", lambda found: every[found[1] or found[2]], text)


def names_in(query: str) -> set[str]:
    """Names of the metrics that PromQL asks for."""
    found, open_nodes = set(), [pp.parse(query)]
    while open_nodes:
        node = open_nodes.pop()
        open_nodes += children(node)
        if isinstance(node, pp.VectorSelector) and node.name:
            found.add(node.name)
    return found


def rules() -> list[dict[str, Any]]:
    """All rules, recording and alerting."""
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def alerts() -> dict[str, dict[str, Any]]:
    """The alerting rules by name."""
    return {rule["alert"]: rule for rule in rules() if "alert" in rule}


def recorded() -> set[str]:
    """Names that recording rules make."""
    return {rule["record"] for rule in rules() if "record" in rule}
