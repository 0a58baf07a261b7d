"""Policies meet the same world, know only what was known, and are scored by what happened."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from predictscale.core.demand import Observation
from predictscale.core.series import Floats, MetricWindow
from predictscale.simulate import spot
from predictscale.simulate.actuation import Actuation
from predictscale.simulate.fleet import BootTime
from predictscale.simulate.plant import Boot, Ints
from predictscale.simulate.sliding import ahead_max
from predictscale.simulate.world import Run, World, demand_grid, play, replay, run, tally

START = datetime(2026, 3, 1, tzinfo=UTC)
STEP_S = 15.0
DRAWN = Boot(pod=BootTime(median_s=60, spread=0.5))


def world(
    demand: Sequence[float] | Floats,
    *,
    boot: Boot | None = None,
    actuation: Actuation = Actuation.DIRECT,
    min_replicas: int = 1,
    replicas: int | None = None,
    before: float | None = None,
    available: Ints | None = None,
    patience_s: float | None = None,
) -> World:
    """Ten units of work per second and replica, a minute's boot."""
    return World(
        demand=MetricWindow(START, STEP_S, np.array(demand, dtype=float)),
        per_replica=10.0,
        boot=boot or Boot.fixed(60.0),
        min_replicas=min_replicas,
        max_replicas=50,
        actuation=actuation,
        replicas=replicas,
        before=before,
        available=available,
        patience_s=patience_s,
    )


class Plays:
    """A closed loop that says what it was given, and keeps what it saw."""

    def __init__(self, desired: Sequence[int] | Ints) -> None:
        self._desired = [int(replicas) for replicas in desired]
        self.seen: list[Observation] = []

    def desired(self, step: int, seen: Observation) -> int:
        self.seen.append(seen)
        return self._desired[step]


class Follows:
    """A closed loop that wants what the demand of the step before needs."""

    def desired(self, step: int, seen: Observation) -> int:
        del step
        return 1 if seen.demand is None else int(np.ceil(seen.demand / 10))


def assert_equal(one: Run, other: Run) -> None:
    for name in ("desired", "spec", "held", "ready", "scored", "arrived", "late", "lost", "queue"):
        assert np.asarray(getattr(one, name)) == pytest.approx(np.asarray(getattr(other, name)), abs=1e-6), (
            name
        )


@given(
    rows=st.lists(
        st.tuples(st.floats(0, 300) | st.just(float("nan")), st.integers(0, 40)), min_size=2, max_size=60
    ),
    actuation=st.sampled_from(list(Actuation)),
    least=st.sampled_from([0, 1, 3]),
    boot_and_patience=st.sampled_from([(Boot.fixed(60.0), None), (Boot.fixed(60.0), 60.0), (DRAWN, None)]),
    nodes=st.sampled_from([3, 50]),
)
def test_a_closed_loop_that_plays_an_open_one_fares_as_it_does(
    rows: list[tuple[float, int]],
    actuation: Actuation,
    least: int,
    boot_and_patience: tuple[Boot, float | None],
    nodes: int,
) -> None:
    demand, desired = [row[0] for row in rows], np.array([row[1] for row in rows])
    there = world(
        demand,
        boot=boot_and_patience[0],
        actuation=actuation,
        min_replicas=least,
        patience_s=boot_and_patience[1],
        available=np.arange(len(rows)) % 9 + nodes,
    )
    opened, closed = run(there, [desired[None], Plays(desired)])
    assert_equal(opened, closed)


def test_a_policy_sees_the_step_before_and_never_its_own() -> None:
    policy = Plays([4, 4, 4, 4])
    play(world([30.0, 50.0, 40.0, 20.0], before=25.0), policy)
    assert [seen.demand for seen in policy.seen] == [25.0, 30.0, 50.0, 40.0]
    assert [seen.now for seen in policy.seen] == [START + timedelta(seconds=STEP_S * i) for i in range(4)]
    assert all(seen.demand_at == seen.now for seen in policy.seen)


@given(
    demand=st.lists(st.floats(0, 300), min_size=10, max_size=30),
    others=st.lists(st.floats(0, 300), min_size=5, max_size=5),
)
def test_what_comes_later_changes_nothing_that_was_decided(demand: list[float], others: list[float]) -> None:
    known = len(demand) - 5
    one = play(world(demand, before=demand[0]), Follows())
    other = play(world([*demand[:known], *others], before=demand[0]), Follows())
    # The decision of a step is made before its demand comes.
    assert one.desired[0, : known + 1].tolist() == other.desired[0, : known + 1].tolist()
    assert one.late[0, :known].tolist() == other.late[0, :known].tolist()


def test_a_policy_sees_the_queue_and_the_fleet_as_they_are_then() -> None:
    policy = Plays([2, 5, 5, 5, 5, 5])
    outcome = play(world([30.0] * 6, replicas=2), policy)
    assert [seen.fleet.replicas for seen in policy.seen] == [2, 2, 5, 5, 5, 5]
    assert [seen.fleet.ready for seen in policy.seen] == [2, 2, 2, 2, 2, 2]
    assert outcome.ready[0].tolist() == [2, 2, 2, 2, 2, 5]
    assert [seen.queue for seen in policy.seen] == pytest.approx([0, 150, 300, 450, 600, 750])


def test_in_a_gap_the_newest_known_demand_grows_old() -> None:
    policy = Plays([5] * 4)
    outcome = play(world([30.0, np.nan, np.nan, 20.0]), policy)
    assert policy.seen[0].demand is None
    assert [seen.demand for seen in policy.seen[1:]] == [30.0, 30.0, 30.0]
    assert [seen.age_s for seen in policy.seen[1:]] == [0.0, 15.0, 30.0]
    assert outcome.arrived.tolist() == [450.0, 0.0, 0.0, 300.0]


def test_a_gap_counts_neither_work_nor_cost() -> None:
    gap, none = (replay(world(demand), np.full((1, 3), 5)) for demand in ([30, np.nan, 30], [30, 0, 30]))
    assert gap.replica_hours[0] == pytest.approx(5 * 2 * STEP_S / 3600)
    assert none.replica_hours[0] == pytest.approx(5 * 3 * STEP_S / 3600)
    assert gap.arrived.sum() == none.arrived.sum()


def test_the_first_fleet_fits_the_first_demand() -> None:
    assert world([np.nan, 95.0, 10.0]).first_replicas == 10
    assert world([np.nan, 95.0], replicas=3).first_replicas == 3
    assert world([0.0, 95.0], min_replicas=2).first_replicas == 2
    assert world([1e6]).first_replicas == 50
    assert replay(world([100.0] * 9), np.full((1, 9), 10)).violation[0] == 0


@given(demand=st.lists(st.floats(0, 400), min_size=6, max_size=60), lead_steps=st.integers(0, 5))
def test_who_knows_the_need_of_a_lead_time_ahead_is_never_late(demand: list[float], lead_steps: int) -> None:
    need = np.maximum(np.ceil(np.array(demand) / 10), 1).astype(np.int64)
    plan = ahead_max(need, lead_steps + 1)
    there = world(demand, boot=Boot.fixed(lead_steps * STEP_S), replicas=int(plan[0]))
    assert replay(there, plan[None]).late.sum() == 0


@given(
    rows=st.lists(
        st.tuples(st.floats(0, 300) | st.just(float("nan")), st.integers(1, 40)), min_size=1, max_size=60
    ),
    steps=st.integers(1, 7),
)
def test_a_tally_is_the_sum_of_its_steps(rows: list[tuple[float, int]], steps: int) -> None:
    there = world([row[0] for row in rows])
    desired = np.array([[row[1] for row in rows], [5] * len(rows)])
    whole, sums = replay(there, desired), tally(there, desired, bin_s=steps * STEP_S)
    assert sums.violation == pytest.approx(whole.violation)
    assert sums.replica_hours == pytest.approx(whole.replica_hours)
    assert sums.arrived.size == -(-len(rows) // steps)
    assert sums.late[:, 0] == pytest.approx(whole.late[:, :steps].sum(axis=1))
    kept = whole.tally(steps * STEP_S)
    assert kept.billed == pytest.approx(sums.billed)
    assert kept.arrived == pytest.approx(sums.arrived)


def test_a_tally_that_is_taken_in_parts_is_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    demand = rng.uniform(0, 300, 100)
    demand[13:40] = np.nan
    there, desired = world(demand), rng.integers(1, 30, (3, 100))
    whole = replay(there, desired).tally(60.0)
    monkeypatch.setattr("predictscale.simulate.world._CELLS", 30)
    parts = tally(there, desired, bin_s=60.0)
    assert parts.late == pytest.approx(whole.late)
    assert parts.billed.tolist() == whole.billed.tolist()


def test_scores_are_shares_hours_and_changes() -> None:
    outcome = replay(world([20.0, 20.0, 40.0, 40.0], replicas=2), np.array([[2, 2, 2, 3], [4, 4, 4, 4]]))
    # Two replicas have 5 s of work waiting after 5 s of 20 per second too many; no other boots in time.
    assert outcome.late[0] == pytest.approx([0, 0, 40 * 10, 40 * 15])
    assert outcome.violation == pytest.approx([1000 / 1800, 1000 / 1800])
    assert outcome.replica_hours == pytest.approx([9 * STEP_S / 3600, 16 * STEP_S / 3600])
    assert outcome.scale_events.tolist() == [1, 0]


def test_nodes_that_go_take_their_replicas_at_once_and_room_brings_new_ones() -> None:
    available = np.array([4, 4, 2, 2, 4, 4, 4, 4, 4])
    outcome = replay(world([0.0] * 9, replicas=4, available=available), np.full((1, 9), 4))
    assert outcome.held[0].tolist() == available.tolist()
    assert outcome.ready[0].tolist() == [4, 4, 2, 2, 2, 2, 2, 2, 4]
    assert outcome.spec[0].tolist() == [4] * 9


def test_a_coarse_sample_holds_for_its_bin_and_a_fine_one_is_averaged() -> None:
    coarse = demand_grid(MetricWindow(START, 60.0, np.array([1.0, np.nan])))
    assert coarse.values.tolist()[:4] == [1.0] * 4
    assert np.isnan(coarse.values[4:]).all()
    assert len(coarse) == 8
    fine = demand_grid(MetricWindow(START, 5.0, np.array([1.0, 2.0, 3.0, 5.0, 5.0, 5.0])))
    assert fine.values.tolist() == [2.0, 5.0]
    with pytest.raises(ValueError, match="multiple"):
        demand_grid(MetricWindow(START, 20.0, np.ones(3)))


@pytest.mark.parametrize(
    ("ask", "complaint"),
    [
        (lambda: replay(world([1.0, 1.0]), np.ones((1, 3), dtype=int)), "desired"),
        (lambda: replay(world([1.0, 1.0]), np.ones(2, dtype=int)), "desired"),
        (lambda: replay(world([1.0]), np.array([[-1]])), "0 or more"),
        (lambda: tally(world([1.0]), np.array([[1]]), bin_s=20.0), "bin_s"),
        (lambda: world([]), "no step"),
        (lambda: world([1.0], available=np.array([1, 1])), "available"),
    ],
)
def test_what_cannot_be_is_refused(ask: Callable[[], object], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        ask()


def test_a_spot_trace_holds_within_its_bins_and_is_not_repeated(tmp_path: Path) -> None:
    file = tmp_path / "spot.csv"
    file.write_text(
        "timestamp,value\n2026-01-01T00:00:00Z,4\n2026-01-01T00:00:32Z,\n"
        "2026-01-01T00:01:04Z,1\n2026-01-01T00:01:36Z,2\n"
    )
    assert spot.load(file, steps=8, step_s=15.0).tolist() == [4, 4, 4, 4, 4, 1, 1, 2]
    with pytest.raises(ValueError, match="not repeated"):
        spot.load(file, steps=10, step_s=15.0)


def test_a_spot_trace_of_any_step_is_read_at_its_own_bins() -> None:
    trace = MetricWindow(START, 195.0, np.arange(2000.0))
    steps = 2000 * 13
    assert spot.nodes_of(trace, steps=steps, step_s=15.0).tolist() == [i * 15 // 195 for i in range(steps)]
    with pytest.raises(ValueError, match="gap"):
        spot.nodes_of(MetricWindow(START, 195.0, np.array([np.nan, 1.0])), steps=2, step_s=15.0)


def test_drawn_nodes_are_lost_at_their_rate_and_come_back() -> None:
    def there(seed: int, nodes: int = 50) -> Ints:
        return spot.drawn(
            nodes=nodes, steps=20_000, step_s=15.0, losses_per_node_hour=0.5, back_s=1800.0, seed=seed
        )

    series = there(0)
    assert series.min() >= 0
    assert series.max() <= 50
    # Two hours up, half an hour down: four fifths of the time.
    assert series.mean() == pytest.approx(40.0, rel=0.05)
    assert np.array_equal(series, there(0))
    assert not np.array_equal(series, there(1))
    assert (there(0, nodes=51) - series >= 0).all()
    with pytest.raises(ValueError, match="above 0"):
        spot.drawn(nodes=1, steps=1, step_s=15.0, losses_per_node_hour=0.0, back_s=1.0)
