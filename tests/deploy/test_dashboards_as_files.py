"""The dashboards as files: what the code makes, nothing by accident, and importable as they are."""

import json
import re
from itertools import combinations
from typing import Any

import pytest
from dashboards import BOARDS as MAKERS
from dashboards.__main__ import main
from dashboards.board import Board
from dashboards.panels import Query, number
from dashboards.states import COLOURS

from grafana_boards import BOARDS, filled, panels, queries, variables
from predictscale.config.promql import parse
from predictscale.core.state import State

SHOWN = {name: board["panels"] for name, board in BOARDS.items()}
EVERY = [(name, panel) for name, board in BOARDS.items() for panel in panels(board)]
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
VALUES = {
    "namespace": "web",
    "workload": "shop",
    "model": ".*",
    "label": "team",
    "job": ".*",
    "instance": ".*",
    "lead": "240",
}


def named(case: tuple[str, dict[str, Any]]) -> str:
    return f"{case[0]}: {case[1]['title']}"


def test_the_files_are_what_the_code_makes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--check"]) == 0, capsys.readouterr().out
    assert set(BOARDS) == set(MAKERS)


def test_the_code_makes_the_same_each_time() -> None:
    for make in MAKERS.values():
        assert make().json() == make().json()


@pytest.mark.parametrize("name", list(BOARDS))
def test_a_dashboard_has_an_identity_and_a_question(name: str) -> None:
    board = BOARDS[name]
    assert board["uid"] == f"predictscale-{name}"
    assert board["description"]
    assert board.get("id") is None
    (source,) = (one for one in board["templating"]["list"] if one["type"] == "datasource")
    assert (source["name"], source["query"]) == ("datasource", "prometheus")
    # Those that import it choose; `__inputs` would ask them again.
    assert "__inputs" not in board
    assert all(one["datasource"] == SOURCE for one in variables(board).values())


@pytest.mark.parametrize("name", list(BOARDS))
def test_panels_have_numbers_of_their_own_and_places_of_their_own(name: str) -> None:
    ids = [panel["id"] for panel in SHOWN[name]]
    assert len(set(ids)) == len(ids)
    for one, other in combinations(SHOWN[name], 2):
        a, b = one["gridPos"], other["gridPos"]
        beside = a["x"] + a["w"] <= b["x"] or b["x"] + b["w"] <= a["x"]
        assert beside or a["y"] + a["h"] <= b["y"] or b["y"] + b["h"] <= a["y"], (
            one["title"],
            other["title"],
        )
    assert all(p["gridPos"]["x"] + p["gridPos"]["w"] <= 24 for p in SHOWN[name])


@pytest.mark.parametrize("case", EVERY, ids=named)
def test_a_panel_says_what_it_shows_in_which_unit_and_asks_the_source_that_was_chosen(
    case: tuple[str, dict[str, Any]],
) -> None:
    _, panel = case
    assert panel["title"]
    assert panel["description"].endswith(".")
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["datasource"] == SOURCE
    letters = [target["refId"] for target in panel["targets"]]
    assert letters == sorted(set(letters))
    for target in panel["targets"]:
        assert target["datasource"] == SOURCE
        assert target.get("legendFormat") or target.get("format") == "table"


def test_titles_of_a_dashboard_differ_where_one_could_take_one_panel_for_another() -> None:
    for name, shown in SHOWN.items():
        seen = [(panel["title"], panel["type"]) for panel in shown]
        assert len(set(seen)) == len(seen), name


def test_every_query_is_promql_and_rates_fit_any_scrape_interval() -> None:
    asked = list(queries())
    assert len(asked) > 120
    for where, query in asked:
        parse(filled(query, VALUES), where=where)
        for counter in re.finditer(r"(?:rate|increase)\([^\[]*\[([^\]]*)\]", query):
            assert counter[1] == "$__rate_interval", where


def test_a_variable_is_used_and_only_variables_that_there_are() -> None:
    for name, board in BOARDS.items():
        known = variables(board)
        text = json.dumps(board["panels"]) + json.dumps([one["query"] for one in known.values()])
        for one in known:
            assert re.search(rf"\$\{{?{one}\b", text), f"{name}: {one}"
        for where, query in queries():
            if where.startswith(f"{name}:"):
                filled(query, dict.fromkeys(known, "1"))


def test_links_lead_to_dashboards_that_there_are() -> None:
    text = "".join(json.dumps(board) for board in BOARDS.values())
    led = set(re.findall(r"/d/([\w-]+)", text))
    assert led == {"predictscale-workload"}
    assert led <= {board["uid"] for board in BOARDS.values()}


def test_a_series_that_is_styled_is_one_that_is_drawn() -> None:
    for where, panel in EVERY:
        if panel["type"] != "timeseries":
            continue
        legends = {target["legendFormat"] for target in panel["targets"]}
        for override in panel["fieldConfig"]["overrides"]:
            styled = override["matcher"]["options"]
            assert styled in legends or any("{{" in legend for legend in legends), (where, styled)


def test_every_state_has_a_colour() -> None:
    assert set(COLOURS) == {state.value for state in State}


def test_a_row_that_does_not_fill_the_grid_is_refused() -> None:
    board = Board("x", title="x", about="x", variables=())
    with pytest.raises(ValueError, match="must fill 24"):
        board.row(number("a", "b", Query("up", "up"), unit="none", width=4), height=4)


def test_a_panel_without_words_is_refused() -> None:
    with pytest.raises(ValueError, match="a description"):
        number("a", "", Query("up", "up"), unit="none")
