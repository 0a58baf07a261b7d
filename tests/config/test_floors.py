"""Floors, warmth, prices and budgets, as people write them."""

from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, ValidationError

from predictscale.config.costs import BudgetSettings, CostLabels, GridSettings, PriceSettings
from predictscale.config.crontab import cron_opening
from predictscale.config.fields import Frozen
from predictscale.config.floors import FloorSettings, floors_of
from predictscale.config.problems import problems_of
from predictscale.config.warmth import WarmthSettings
from predictscale.config.yamlfile import read_yaml
from predictscale.core.carbon import Accounting, Power
from predictscale.core.floors import EVERY_DAY, CalendarFloor, Days
from predictscale.core.warmth import Standby

OFFICE = {"name": "office", "days": "mon-fri", "from": "08:00", "to": "20:00", "replicas": 4}
WEEK = frozenset(range(5))


class Labelled(Frozen):
    labels: CostLabels = Field(default_factory=dict)


def read(**fields: Any) -> CalendarFloor:
    return FloorSettings.model_validate({**OFFICE, **fields}).floor("Europe/Berlin")


def problem(model: type[BaseModel], fields: dict[str, Any]) -> str:
    with pytest.raises(ValidationError) as caught:
        model.model_validate(fields)
    (found,) = problems_of(caught.value, model)
    return str(found)


def without(fields: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name not in names}


def test_a_window_follows_the_workloads_clock_unless_it_has_its_own() -> None:
    assert read() == CalendarFloor(
        name="office",
        days=Days(weekdays=WEEK),
        opens_s=8 * 3600,
        closes_s=20 * 3600,
        replicas=4,
        zone="Europe/Berlin",
    )
    assert read(time_zone="Australia/Lord_Howe").zone == "Australia/Lord_Howe"


def test_days_are_names_ranges_and_dates_of_one_or_of_every_year() -> None:
    days = read(days=["fri-mon", "Wednesday", "02-29", "12-24", "2026-12-24"]).days
    assert days == Days(
        weekdays=frozenset({4, 5, 6, 0, 2}),
        yearly=frozenset({(2, 29), (12, 24)}),
        dates=frozenset({date(2026, 12, 24)}),
    )
    assert FloorSettings.model_validate(without(OFFICE, "days")).floor("UTC").days == EVERY_DAY


def test_a_file_may_write_days_and_times_as_people_do(tmp_path: Path) -> None:
    file = tmp_path / "floors.yaml"
    file.write_text(
        """
        - {name: day, days: mon-fri, from: 08:00, to: '18:30', replicas: 4}
        - {name: night, days: [2026-12-24, 02-29], from: '22:00', to: 06:00, replicas: 2}
        - {name: whole, from: 00:00, to: '24:00', replicas: 1}
        """,
        encoding="utf-8",
    )
    day, night, whole = floors_of([FloorSettings.model_validate(each) for each in read_yaml(file)[0]], "UTC")
    assert (day.opens_s, day.closes_s, day.lasts_s) == (28_800, 66_600, 37_800)
    assert night.lasts_s == 8 * 3600
    assert night.days == Days(yearly=frozenset({(2, 29)}), dates=frozenset({date(2026, 12, 24)}))
    assert whole.lasts_s == 86_400


def test_a_time_that_yaml_made_a_number_of_is_told_how_to_write_it(tmp_path: Path) -> None:
    file = tmp_path / "floors.yaml"
    file.write_text("{name: day, from: 18:30, to: 20:00:00, replicas: 4}", encoding="utf-8")
    with pytest.raises(ValidationError) as caught:
        FloorSettings.model_validate(read_yaml(file)[0])
    first, second = problems_of(caught.value, FloorSettings)
    assert str(first) == (
        "opens: 1110; must be a time such as 08:00, or 24:00, in quotes: "
        "without them YAML reads '18:30' as a number"
    )
    assert "'20:00'" in str(second)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"days": "mon-fry"}, "days[0]: 'mon-fry'; must be days such as"),
        ({"days": ["mon", "02-30"]}, "days[1]: '02-30'; must be a day that some year has"),
        ({"days": ["2027-02-29"]}, "must be a day that 2027 has"),
        ({"days": ["mon--fri"]}, "must be days such as"),
        ({"from": "8 o'clock"}, 'opens: "8 o\'clock"; must be a time such as 08:00'),
        ({"from": "24:00"}, "opens: 24:00, and it closes at 20:00; must be another time"),
        ({"to": "08:00"}, "00:00 to 24:00 is a whole day"),
        ({"to": "24:30"}, "must be a time such as 08:00"),
        ({"from": True}, "must be a time such as 08:00"),
        ({"from": 8}, "opens: 8; must be a time such as 08:00, or 24:00"),
        ({"replicas": 0}, "replicas: 0; must be 1 or more"),
        ({"time_zone": "Europe/Berlln"}, "did you mean 'Europe/Berlin'?"),
        ({"name": "a\nb"}, "name: holds characters that nobody can read"),
        ({"lasts_s": "2h"}, "lasts_s: is given without cron; give closes"),
        ({"until": "20:00"}, "until: is not a known setting"),
        ({"cron": "0 8 * * *"}, "days: is given with cron; give one of them"),
    ],
)
def test_a_floor_that_cannot_be_is_told_where_what_and_why(changes: dict[str, Any], told: str) -> None:
    assert told in problem(FloorSettings, {**OFFICE, **changes})


@pytest.mark.parametrize(("name", "field"), [("from", "opens"), ("to", "closes")])
def test_a_window_has_both_ends(name: str, field: str) -> None:
    assert problem(FloorSettings, without(OFFICE, name)).startswith(f"{field}: is missing; give the time")


CRON = {"name": "office", "cron": "30 8 * * 1-5", "lasts": "12h", "replicas": 4}


def test_a_cron_line_and_a_duration_are_a_window() -> None:
    floor = FloorSettings.model_validate(CRON).floor("UTC")
    assert floor == CalendarFloor(
        name="office", days=Days(weekdays=WEEK), opens_s=30_600, closes_s=73_800, replicas=4, zone="UTC"
    )
    night = FloorSettings.model_validate({**CRON, "cron": "0 22 * * *", "lasts": "8h"}).floor("UTC")
    assert (night.opens_s, night.closes_s, night.lasts_s) == (79_200, 21_600, 28_800)
    whole = FloorSettings.model_validate({**CRON, "lasts": "24h"}).floor("UTC")
    assert whole.lasts_s == 86_400


@pytest.mark.parametrize(
    ("line", "days"),
    [
        ("0 8 * * *", EVERY_DAY),
        ("0 8 * * 0,6", Days(weekdays=frozenset({5, 6}))),
        ("0 8 * * sun,7,sat", Days(weekdays=frozenset({5, 6}))),
        ("0 8 * * MON-FRI", Days(weekdays=WEEK)),
        ("0 8 29 2 *", Days(yearly=frozenset({(2, 29)}))),
        ("0 8 31 * *", Days(yearly=frozenset((m, 31) for m in (1, 3, 5, 7, 8, 10, 12)))),
        ("0 8 * 2 *", Days(yearly=frozenset((2, d) for d in range(1, 30)))),
        # Either of them, as in cron.
        ("0 8 1 * 1", Days(weekdays=frozenset({0}), yearly=frozenset((m, 1) for m in range(1, 13)))),
    ],
)
def test_cron_names_days_as_cron_does(line: str, days: Days) -> None:
    assert cron_opening(line) == (8 * 3600, days)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("0 8 * *", "five fields"),
        ("*/5 8 * * *", "'*/5' is none of them"),
        ("* 8 * * *", "once a day"),
        ("0 8,14 * * *", "give one floor for each opening"),
        ("0 24 * * *", "0 to 23 in the hour"),
        ("0 8 * * 8", "0 to 7 in the day of the week"),
        ("0 8 * jan *", "1 to 12 in the month"),
        ("0 8 * * 5-1", "ascend in the day of the week"),
        ("0 8 31 2 *", "a day that some year has"),
        ("0 8 * 1 1", "must not name months and days of the week"),
        ("@daily", "five fields"),
    ],
)
def test_a_cron_line_that_no_window_can_say_is_told_why(line: str, told: str) -> None:
    found = problem(FloorSettings, {**CRON, "cron": line})
    assert found.startswith("cron: ")
    assert told in found


def test_a_cron_line_needs_to_be_told_how_long() -> None:
    assert problem(FloorSettings, without(CRON, "lasts")).startswith("lasts_s: is missing; give how long")


@given(minute=st.integers(0, 59), hour=st.integers(0, 23), week=st.sets(st.integers(0, 6), min_size=1))
def test_any_daily_cron_line_opens_when_it_says(minute: int, hour: int, week: set[int]) -> None:
    opens_s, days = cron_opening(f"{minute} {hour} * * {','.join(map(str, week))}")
    assert opens_s == hour * 3600 + minute * 60
    # Cron counts from Sunday.
    assert days.weekdays == {(day - 1) % 7 for day in week}


PRICE = PriceSettings(per_replica_hour=4.0)


def test_the_price_is_the_idle_cost_unless_another_is_given() -> None:
    warmth = WarmthSettings(shortage_cost=36.0)
    assert warmth.costs(PRICE) is not None
    costs = warmth.costs(PRICE)
    assert costs is not None
    assert costs.level == pytest.approx(0.9)
    own = WarmthSettings(shortage_cost=36.0, idle_cost=36.0).costs(None)
    assert own is not None
    assert own.level == 0.5


def test_an_owner_who_says_nothing_of_costs_has_no_floor_by_them() -> None:
    warmth = WarmthSettings()
    assert warmth.costs(PRICE) is None
    assert warmth.cold_start(PRICE, lead_s=300) is None
    assert warmth.problem(None, lead_s=300) is None


def test_a_cold_start_is_priced_with_its_lead_time() -> None:
    cold = WarmthSettings(cold_start_cost=2.0).cold_start(PRICE, lead_s=300)
    assert cold is not None
    assert cold.break_even_s == pytest.approx(35 * 60)


def test_half_a_cost_is_told_to_be_half() -> None:
    for field in ("shortage_cost", "cold_start_cost"):
        warmth = WarmthSettings.model_validate({field: 5.0})
        assert warmth.problem(PRICE, lead_s=300) is None
        told = warmth.problem(None, lead_s=300)
        assert told == ("idle_cost", "is missing", f"give it, or price.per_replica_hour, beside {field}")
        assert warmth.problem(PriceSettings(pools={"spot": 1.0}), lead_s=300) == told


def test_tiers_are_those_that_have_a_wake_time() -> None:
    warmth = WarmthSettings(asleep_wake_s=6.0, empty_node_wake_s=150.0)
    assert [(tier.standby, tier.wake_s) for tier in warmth.tiers()] == [
        (Standby.RUNNING, 0.0),
        (Standby.ASLEEP, 6.0),
        (Standby.EMPTY_NODE, 150.0),
    ]
    assert WarmthSettings().tiers() == ()
    assert warmth.problem(None, lead_s=300) is None
    told = warmth.problem(None, lead_s=120)
    assert told is not None
    assert told[0] == "empty_node_wake_s"


def test_a_tier_that_wakes_later_than_one_further_away_is_told() -> None:
    told = problem(WarmthSettings, {"asleep_wake_s": "2m", "loaded_node_wake_s": 60})
    assert told.startswith("loaded_node_wake_s: 60 is not longer than asleep_wake_s (120)")


def test_prices_by_pool_beside_one_for_the_others() -> None:
    price = PriceSettings(per_replica_hour=4.0, pools={"spot": 1.4}, currency="EUR").price()
    assert (price.of("spot"), price.of("on-demand"), price.currency) == (1.4, 4.0, "EUR")


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({}, "per_replica_hour: is missing; give it, or pools"),
        ({"per_replica_hour": 0}, "per_replica_hour: 0; must be above 0"),
        ({"per_replica_hour": True}, "must be a number"),
        ({"per_replica_hour": 4, "currency": "euro"}, "currency: 'euro'"),
        ({"per_replica_hour": 4, "watts_per_gpu": 600}, "gpus_per_replica: is missing; give it beside"),
        ({"per_replica_hour": 4, "grid": {"constant_g_per_kwh": 300}}, "watts_per_gpu: is missing"),
        ({"per_replica_hour": 4, "pue": 0.8}, "pue: 0.8; must be 1 or more"),
    ],
)
def test_a_price_that_cannot_be_is_told(fields: dict[str, Any], told: str) -> None:
    assert told in problem(PriceSettings, fields)


def test_watts_and_gpus_are_power() -> None:
    price = PriceSettings(per_replica_hour=4.0, gpus_per_replica=8, watts_per_gpu=600, pue=1.1)
    assert price.power() == Power(watts_per_gpu=600, gpus_per_replica=8, host_share=1.15, pue=1.1)
    assert PRICE.power() is None


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({}, "constant_g_per_kwh: is missing; give one of"),
        ({"constant_g_per_kwh": 300, "query": "x"}, "query: is given with constant_g_per_kwh; give one of"),
        ({"watttime_file": "/x", "accounting": "average"}, "accounting: is given with watttime_file"),
        ({"constant_g_per_kwh": 300, "unit": "lbs/MWh"}, "unit: is given with constant_g_per_kwh"),
        ({"query": "x", "unit": "g/kwh"}, "unit: 'g/kwh'; must be one of"),
    ],
)
def test_an_intensity_is_told_in_one_way(fields: dict[str, Any], told: str) -> None:
    assert told in problem(GridSettings, fields)


def test_a_constant_intensity_says_which_plants_it_tells_of() -> None:
    grid = GridSettings(constant_g_per_kwh=300, accounting=Accounting.MARGINAL).fixed()
    assert grid is not None
    assert grid.accounting is Accounting.MARGINAL
    assert GridSettings(query="grid_intensity").fixed() is None


def test_a_budget_is_of_the_prices_currency_and_of_the_owners_months() -> None:
    budget = BudgetSettings(per_month=100.0)
    monthly = budget.monthly(currency="EUR", zone="Europe/Berlin")
    assert (monthly.per_month, monthly.currency, monthly.zone, monthly.slack) == (
        100.0,
        "EUR",
        "Europe/Berlin",
        1.5,
    )
    own = BudgetSettings(per_month=100.0, time_zone="UTC")
    assert own.monthly(currency="EUR", zone="Europe/Berlin").zone == "UTC"


def test_a_budget_without_a_price_or_above_the_quantile_is_told() -> None:
    budget = BudgetSettings(per_month=100.0, relaxed_quantile=0.9)
    assert budget.problem(PRICE, level=0.95) is None
    assert budget.problem(None, level=0.95) == (
        "per_month", "is given without a price", "give price.per_replica_hour"
    )  # fmt: skip
    spot_only = PriceSettings(pools={"spot": 1.0})
    assert budget.problem(spot_only, level=0.95) == budget.problem(None, level=0.95)
    told = budget.problem(PRICE, level=0.8)
    assert told is not None
    assert told[0] == "relaxed_quantile"


@pytest.mark.parametrize(
    "labels", [{"workload": "x"}, {"Team": "x"}, {"team": ""}, {"te-am": "x"}, {"team": "a\nb"}]
)
def test_labels_are_such_as_metrics_can_carry(labels: dict[str, str]) -> None:
    assert problem(Labelled, {"labels": labels}).startswith("labels: sets ")


def test_labels_are_the_owners() -> None:
    assert Labelled(labels={"team": "search", "model": "llama-3"}).labels["team"] == "search"
