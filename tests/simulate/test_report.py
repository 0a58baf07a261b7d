"""Pictures show what they say they show."""

import numpy as np
import pytest

from made_series import MONDAY
from predictscale.core.series import MetricWindow
from predictscale.simulate.actuation import Actuation
from predictscale.simulate.plant import Boot
from predictscale.simulate.report import Timeline, draw_frontiers, draw_timeline
from predictscale.simulate.world import World, replay

pytest.importorskip("matplotlib", reason="pictures are an optional extra")

from matplotlib.figure import Figure


def test_a_frontier_is_drawn_for_each_family_and_ends_where_it_ends() -> None:
    axes = Figure().subplots()
    many = {f"family {place}": (np.array([0.001, 0.1]), np.array([2.0, 1.0])) for place in range(12)}
    draw_frontiers(axes, many, bold=["family 3"], operated={"family 0": (np.array([0.0]), np.array([1.5]))})
    lines = {line.get_label(): line for line in axes.lines}
    assert set(many) <= set(lines)
    late, cost = np.asarray(lines["family 3"].get_xydata(), dtype=np.float64).T
    assert (late.min(), late.max()) == pytest.approx((0.001, 0.1))
    assert (cost.min(), cost.max()) == pytest.approx((1.0, 2.0))
    looks = {(lines[name].get_color(), lines[name].get_linestyle()) for name in many}
    assert len(looks) == len(many)


def test_a_timeline_reaches_over_the_fleet_and_the_demand_and_names_the_shortage() -> None:
    demand = np.array([1.0, 1.0, 8.0, 1.0])
    world = World(
        demand=MetricWindow(MONDAY, 300.0, demand),
        per_replica=1.0,
        boot=Boot.fixed(300.0),
        actuation=Actuation.DIRECT,
    )
    run = replay(world, np.array([[1, 4, 4, 1]]))
    axes = Figure().subplots()
    line = Timeline(run=run, load=demand, needed=demand.astype(np.int32), band=np.array([demand, demand + 1]))
    draw_timeline(axes, line)
    assert axes.get_ylim()[1] > 8.0
    assert {"demand", "ready", "pending", "short", "forecast peak"} == set(
        axes.get_legend_handles_labels()[1]
    )
