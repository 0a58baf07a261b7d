"""A perfect plan loses what its way takes from it, and nothing else."""

from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from predictscale.core.series import Floats, MetricWindow
from predictscale.simulate.fleet import BootTime
from predictscale.simulate.landings import WAYS, oracle_landings
from predictscale.simulate.plant import Boot
from predictscale.simulate.world import World

START = datetime(2026, 3, 1, tzinfo=UTC)


def world(demand: Floats, *, boot: Boot | None = None) -> World:
    return World(
        demand=MetricWindow(START, 15.0, demand),
        per_replica=10.0,
        boot=boot or Boot.fixed(240.0),
        max_replicas=1000,
    )


def day() -> Floats:
    """A day around forty replicas, rising and falling by a tenth of the fleet within half an hour or so."""
    wave: Floats = 400 - 200 * np.cos(2 * np.pi * np.arange(5760) / 5760)
    return wave


def test_the_dead_band_costs_lateness_or_replicas() -> None:
    found = {outcome.way.name: outcome for outcome in oracle_landings(world(day()))}
    assert found["direct"].violation == found["hpa-exact"].violation == 0
    assert found["direct"].to_direct == found["hpa-exact"].to_direct == 1
    # A plan that rises slowly stays swallowed: up to 10 % short for as long as it rises.
    assert found["hpa"].violation > 0.2
    assert found["hpa, hold"].violation == pytest.approx(found["hpa"].violation, abs=0.01)
    assert found["hpa, overshoot"].violation == 0
    assert found["hpa, plan padded by 10 %"].violation == 0
    assert found["hpa"].to_direct < found["hpa, overshoot"].to_direct
    assert found["hpa, overshoot"].to_direct < found["hpa, plan padded by 10 %"].to_direct


@given(demand=st.lists(st.floats(0, 90), min_size=1, max_size=60), lead_steps=st.integers(0, 4))
def test_below_ten_replicas_no_way_is_late_as_long_as_the_fleet_at_most_doubles(
    demand: list[float], lead_steps: int
) -> None:
    # Between four and eight replicas the first sync may always reach what is asked for.
    low = world(40 + np.array(demand) * 4 / 9, boot=Boot.fixed(15.0 * lead_steps))
    for outcome in oracle_landings(low):
        assert outcome.violation == 0
        assert outcome.to_direct >= 1


def test_luck_cannot_be_planned_for() -> None:
    drawn = Boot(pod=BootTime(median_s=60, spread=0.5))
    with pytest.raises(ValueError, match="luck"):
        oracle_landings(world(day(), boot=drawn))


def test_every_way_has_a_name_of_its_own() -> None:
    assert len({way.name for way in WAYS}) == len(WAYS)
