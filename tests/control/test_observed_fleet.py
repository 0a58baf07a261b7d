"""The fleet as one instant shows it: replicas, ready, and pods on their way."""

from collections.abc import Mapping

import numpy as np
import pytest

from predictscale.control.observe import observation
from predictscale.core.demand import SignalName
from predictscale.core.fleet import FleetState
from predictscale.core.series import MetricWindow
from worlds import NOON, at

REPLICAS, READY, STARTING = SignalName.REPLICAS, SignalName.READY, SignalName.STARTING


def fleet(counts: Mapping[SignalName, float], *, age_s: float = 0.0) -> FleetState:
    live = {name: MetricWindow(at(-15 - age_s), 15.0, np.array([value])) for name, value in counts.items()}
    return observation(live, at=NOON, fresh_s=60).fleet


@pytest.mark.parametrize(
    ("counts", "starting"),
    [
        # A pod that hangs for ever is not to come, although it is a replica.
        ({REPLICAS: 5, READY: 3, STARTING: 1}, 1),
        ({REPLICAS: 5, READY: 3, STARTING: 0}, 0),
        ({REPLICAS: 5, READY: 3}, 2),
        # A scrape between the two can show more ready than there are.
        ({REPLICAS: 5, READY: 6}, 0),
        ({REPLICAS: 5}, None),
        ({}, None),
    ],
)
def test_pods_that_start_are_those_that_are_counted_else_the_rest(
    counts: Mapping[SignalName, float], starting: int | None
) -> None:
    assert fleet(counts).starting == starting


def test_a_count_that_is_too_old_is_unknown() -> None:
    assert fleet({REPLICAS: 5, READY: 3, STARTING: 1}, age_s=61) == FleetState()
