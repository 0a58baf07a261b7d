"""Floors, prices and budgets of a workload, resolved."""

from typing import Any

import pytest

from predictscale.config.intake import read_workload
from predictscale.config.presets import load_presets
from predictscale.config.resolve import Origin
from predictscale.config.settings import ServiceSettings
from predictscale.config.workload import WorkloadSettings
from predictscale.errors import SettingsError

PRESETS = load_presets()
SHOP: dict[str, object] = {
    "namespace": "web", "name": "shop", "backend": "http", "capacity_per_replica": 80, "max_replicas": 25
}  # fmt: skip
OFFICE = {"name": "office", "days": "mon-fri", "from": "08:00", "to": "20:00", "replicas": 4}


def resolved(defaults: dict[str, Any] | None = None, **fields: Any) -> WorkloadSettings:
    terms = ServiceSettings.model_validate({"defaults": defaults or {}}).terms(PRESETS)
    return read_workload({**SHOP, **fields}, terms=terms, origin=Origin())[1]


def problems(**fields: Any) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        resolved(**fields)
    return [str(problem) for problem in caught.value.problems]


def test_without_money_and_windows_nothing_changes() -> None:
    settings = resolved()
    assert settings.warmth.floors == ()
    assert (settings.warmth.costs, settings.cold, settings.price, settings.budget) == (None, None, None, None)


def test_all_of_it_reaches_the_workload() -> None:
    settings = resolved(
        {"price": {"per_replica_hour": 4.0, "currency": "EUR"}, "time_zone": "Europe/Berlin"},
        floors=[OFFICE], warmth={"shortage_cost": 36, "cold_start_cost": 2}, budget={"per_month": 5000},
        labels={"team": "search"},
    )  # fmt: skip
    assert settings.warmth.floors[0].zone == "Europe/Berlin"
    # A window that opens before the next tick is asked for by this one.
    assert settings.warmth.every_s == 15.0
    assert settings.warmth.costs is not None
    assert settings.cold is not None
    assert settings.budget is not None
    assert settings.budget.currency == "EUR"
    assert settings.policy().warmth == settings.warmth
    assert settings.labels == (("team", "search"),)


def test_problems_are_told_where_they_are() -> None:
    told = problems(floors=[{**OFFICE, "replicas": 26}], warmth={"shortage_cost": 9}, budget={"per_month": 5})
    assert [each.split(":")[0] for each in told] == [
        "floors[0].replicas",
        "warmth.idle_cost",
        "budget.per_month",
    ]


def test_a_field_of_a_floor_is_told_where_it_is() -> None:
    assert problems(floors=[OFFICE, {**OFFICE, "to": "28:00"}])[0].startswith(
        "floors[1].closes: '28:00'; must be"
    )


@pytest.mark.parametrize(
    ("asked", "sighted"),
    [
        ({"backend": "vllm"}, False),
        ({"backend": "vllm-tokens"}, False),
        ({"backend": "http"}, False),
        ({"backend": "istio"}, True),
        ({"backend": None, "query": "sum(rate(seen[2m]))"}, True),
        ({"backend": "auto", "target": "shop", "unit": "requests/s"}, None),
    ],
)
def test_what_replicas_count_themselves_is_not_seen_at_zero(
    asked: dict[str, Any], *, sighted: bool | None
) -> None:
    assert resolved(**asked).sighted is sighted
    # Who is still to be found lets nobody sleep.
    assert resolved(**asked).policy().sighted is bool(sighted)
    for said in (True, False):
        assert resolved(**asked, warmth={"seen_at_zero": said}).sighted is said
