"""Who serves by right, and that forecasts bear the names that this is told by."""

import pytest

from made_series import shop
from predictscale.forecasters.home import at_home
from predictscale.forecasters.registry import DEFAULT_CHAIN, FORECASTERS


def test_of_a_chain_the_first_is_at_home_and_of_a_tournament_all_but_the_last_value() -> None:
    assert at_home(("native", "last-value")) == ("native",)
    assert at_home(("last-value",)) == ("last-value",)
    home = at_home(DEFAULT_CHAIN)
    assert home[0] == "native"
    assert {"boosted", "holt-winters"} < set(home)
    assert "last-value" not in home
    assert "auto" not in home


@pytest.mark.parametrize("names", [(), ("nobody", "native")])
def test_where_there_is_no_first_nobody_is_at_home(names: tuple[str, ...]) -> None:
    assert at_home(names) == ()


@pytest.mark.parametrize("name", sorted(set(FORECASTERS) - {"auto"}))
def test_every_other_forecaster_is_at_home_by_its_own_name_alone(name: str) -> None:
    assert at_home((name, "auto")) == (name,)


@pytest.mark.parametrize("name", at_home(("auto",)))
def test_forecasts_bear_the_name_that_their_forecaster_is_at_home_by(name: str) -> None:
    history = shop(days=16, step_s=900)
    assert FORECASTERS[name].fit(history).predict(history, steps=4).model == name
