"""Of many fleets each is what a list of replicas would be, and its waits are those of a queue."""

import math
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from predictscale.core.series import Floats
from predictscale.simulate.fleet import BootTime, SimulatedFleet
from predictscale.simulate.plant import Boot, Ints, Plant

STEP_S = 15.0
START = datetime(2026, 3, 1, tzinfo=UTC)
DRAWN = Boot(pod=BootTime(median_s=40, spread=0.6), node=BootTime(median_s=60, spread=0.3), node_share=0.4)

SPECS = st.lists(st.integers(0, 12), min_size=1, max_size=40)
DEMANDS = st.lists(st.floats(0, 200, allow_subnormal=False), min_size=40, max_size=40)
LEADS = st.sampled_from([0.0, 1.0, 15.0, 40.0, 60.0, 240.0])
AT_ONCE_OR_LATER = Boot(pod=BootTime(median_s=0), node=BootTime(median_s=60, spread=0.3), node_share=0.5)
BOOTS = st.one_of(LEADS.map(Boot.fixed), st.sampled_from([DRAWN, AT_ONCE_OR_LATER]))


def plant(
    boot: Boot,
    *,
    fleets: int = 1,
    replicas: int = 0,
    wait_s: float = 5.0,
    patience_s: float | None = None,
    seed: int = 0,
) -> Plant:
    """Ten units of work per second and replica."""
    return Plant(
        fleets=fleets,
        per_replica=10.0,
        step_s=STEP_S,
        boot=boot,
        wait_s=wait_s,
        patience_s=patience_s,
        replicas=replicas,
        seed=seed,
    )


def table(*rows: list[int]) -> Ints:
    return np.array(rows, dtype=np.int64)


def demand_of(values: list[float], n: int) -> Floats:
    return np.array(values[:n])


def one_by_one(specs: list[int], leads: list[int], *, replicas: int) -> list[int]:
    """Ready replicas by a list of replicas, each the step it is ready at; newest last."""
    fleet, ready = [-1] * replicas, []
    for step, spec in enumerate(specs):
        fleet += [step + leads[step]] * max(0, spec - len(fleet))
        while len(fleet) > spec:
            pending = [place for place, due in enumerate(fleet) if due > step]
            del fleet[pending[-1] if pending else len(fleet) - 1]
        ready.append(sum(due <= step for due in fleet))
    return ready


@given(specs=SPECS, lead_s=LEADS, replicas=st.integers(0, 8))
def test_with_a_fixed_boot_as_many_are_ready_as_were_held_throughout_it(
    specs: list[int], lead_s: float, replicas: int
) -> None:
    steps = math.ceil(lead_s / STEP_S)
    served = plant(Boot.fixed(lead_s), replicas=replicas).advance(np.zeros(len(specs)), table(specs))
    past = [replicas] * steps + specs
    assert served.ready[0].tolist() == [min(past[i : i + steps + 1]) for i in range(len(specs))]
    assert served.ready[0].tolist() == one_by_one(specs, [steps] * len(specs), replicas=replicas)


@given(
    specs=SPECS,
    replicas=st.integers(0, 8),
    seed=st.integers(0, 20),
    boot=st.sampled_from([DRAWN, AT_ONCE_OR_LATER]),
)
def test_with_drawn_boots_each_replica_is_ready_when_its_own_step_drew_it(
    specs: list[int], replicas: int, seed: int, boot: Boot
) -> None:
    rng = np.random.default_rng(seed)
    leads = [math.ceil(boot.draw_s(rng) / STEP_S) for _ in specs]
    served = plant(boot, replicas=replicas, seed=seed).advance(np.zeros(len(specs)), table(specs))
    assert served.ready[0].tolist() == one_by_one(specs, leads, replicas=replicas)


@given(specs=SPECS, values=DEMANDS, lead_steps=st.integers(0, 6))
def test_it_is_the_simulated_fleet_where_boots_are_whole_steps(
    specs: list[int], values: list[float], lead_steps: int
) -> None:
    lead_s = lead_steps * STEP_S
    served = plant(Boot.fixed(lead_s), replicas=3).advance(demand_of(values, len(specs)), table(specs))
    fleet = SimulatedFleet(per_replica=10.0, boot=BootTime(median_s=lead_s), replicas=3)
    for step, spec in enumerate(specs):
        now = START + timedelta(seconds=step * STEP_S)
        fleet.scale(spec, now)
        assert served.ready[0, step] == fleet.ready(now)
        stats = fleet.advance(now, values[step], STEP_S)
        assert served.queue[0, step] == pytest.approx(stats.queued, abs=1e-5)
        assert served.arrived[step] == pytest.approx(stats.arrived)


@given(
    specs=SPECS,
    values=DEMANDS,
    boot=BOOTS,
    cut=st.integers(1, 7),
    patience_s=st.sampled_from([None, 20.0, 60.0]),
)
def test_how_steps_are_taken_together_does_not_matter(
    specs: list[int], values: list[float], boot: Boot, cut: int, patience_s: float | None
) -> None:
    n = len(specs)
    demand, held = demand_of(values, n), table(specs, specs[::-1])
    whole = plant(boot, fleets=2, replicas=2, patience_s=patience_s).advance(demand, held)
    stepwise = plant(boot, fleets=2, replicas=2, patience_s=patience_s)
    parts = [stepwise.advance(demand[i : i + cut], held[:, i : i + cut]) for i in range(0, n, cut)]
    for name in ("ready", "late", "lost", "queue"):
        joined = np.concatenate([getattr(part, name) for part in parts], axis=1)
        assert joined == pytest.approx(getattr(whole, name), abs=1e-6), name


@given(specs=SPECS, others=SPECS, values=DEMANDS, boot=BOOTS)
def test_a_fleet_does_not_notice_its_neighbours(
    specs: list[int], others: list[int], values: list[float], boot: Boot
) -> None:
    n = min(len(specs), len(others))
    demand = demand_of(values, n)
    alone = plant(boot).advance(demand, table(specs[:n]))
    among = plant(boot, fleets=3).advance(demand, table(others[:n], specs[:n], others[:n]))
    for name in ("ready", "late", "queue"):
        assert np.array_equal(getattr(alone, name)[0], getattr(among, name)[1]), name


@given(specs=SPECS, values=DEMANDS, boot=BOOTS, wait_s=st.sampled_from([0.0, 5.0, 30.0]))
def test_late_work_is_what_finds_more_waiting_than_is_served_in_time(
    specs: list[int], values: list[float], boot: Boot, wait_s: float
) -> None:
    demand = demand_of(values, len(specs))
    served = plant(boot, wait_s=wait_s, replicas=3).advance(demand, table(specs))
    parts, queue = 300, 0.0
    for step, work in enumerate(demand):
        rate, late = 10.0 * served.ready[0, step], 0.0
        for _ in range(parts):
            # Who comes in the middle of a small part of the step.
            middle = max(0.0, queue + (work - rate) * STEP_S / parts / 2)
            late += work * STEP_S / parts * (middle > wait_s * rate + 1e-9)
            queue = max(0.0, queue + (work - rate) * STEP_S / parts)
        assert served.late[0, step] == pytest.approx(late, abs=2.1 * work * STEP_S / parts + 1e-6)


def test_without_a_ready_replica_everything_is_late() -> None:
    served = plant(Boot.fixed(60.0)).advance(np.array([10.0, 0.0, 20.0]), table([5, 5, 5]))
    assert served.late[0].tolist() == served.arrived.tolist() == [150.0, 0.0, 300.0]


def test_who_comes_once_a_queue_is_short_enough_is_not_late() -> None:
    # 300 wait; two replicas serve 20 per second, so 15 s of work: with 5 per second coming it falls
    # by 15 per second and is down to 5 s of work, 100, after 13.33 s.
    fleet = plant(Boot.fixed(15.0))
    fleet.advance(np.array([20.0]), table([2]))
    served = fleet.advance(np.array([5.0]), table([2]))
    assert served.late[0, 0] == pytest.approx(5 * 15.0 * (200 / 15) / 15)


def test_enough_replicas_make_nothing_late_and_one_too_few_makes_the_rest_late() -> None:
    demand = np.full(40, 30.0)
    assert plant(Boot.fixed(0.0), replicas=3).advance(demand, np.full((1, 40), 3)).late.sum() == 0
    # 10 per second are too many: the 100 that two replicas serve in 5 s wait after 10 s.
    short = plant(Boot.fixed(0.0), replicas=2).advance(demand, np.full((1, 40), 2))
    assert short.late[0, :3] == pytest.approx([30 * 5, 450, 450])


def test_rounding_makes_no_queue() -> None:
    # What one replica serves, less 9, more 1, less 1 and exactly: sums of these leave 1e-16 at the end.
    demand = np.array([1.0, 11.0, 9.0, 10.0])
    served = plant(Boot.fixed(0.0), wait_s=0.0, replicas=1).advance(demand, table([1, 1, 1, 1]))
    assert served.queue[0] == pytest.approx([0, 15, 0, 0])
    assert served.late[0, 3] == 0


def test_a_boot_of_whole_steps_is_not_rounded_up_by_a_hair() -> None:
    three = Plant(fleets=1, per_replica=1.0, step_s=0.1, boot=Boot.fixed(3 * 0.1), wait_s=1.0)
    assert three.advance(np.zeros(5), table([1] * 5)).ready[0].tolist() == [0, 0, 0, 1, 1]


def test_a_gap_in_demand_brings_nothing_and_serves_on() -> None:
    served = plant(Boot.fixed(0.0), replicas=1).advance(np.array([20.0, np.nan, np.nan]), table([1, 1, 1]))
    assert served.arrived.tolist() == [300.0, 0.0, 0.0]
    assert served.queue[0].tolist() == [150.0, 0.0, 0.0]


def test_work_leaves_when_its_patience_ends() -> None:
    served = plant(Boot.fixed(600.0), patience_s=30.0).advance(np.full(4, 10.0), table([1, 1, 1, 1]))
    # What came more than 30 s ago is gone.
    assert served.queue[0].tolist() == [150.0, 300.0, 300.0, 300.0]
    assert served.lost[0].tolist() == [0.0, 0.0, 150.0, 150.0]


def test_a_patience_within_a_step_counts_in_part() -> None:
    served = plant(Boot.fixed(600.0), patience_s=20.0).advance(np.full(3, 10.0), table([1, 1, 1]))
    assert served.queue[0] == pytest.approx([150.0, 200.0, 200.0])


@given(specs=SPECS, values=DEMANDS, patience_s=st.sampled_from([None, 5.0, 20.0, 60.0]))
def test_no_work_is_lost_but_by_patience_and_none_is_served_twice(
    specs: list[int], values: list[float], patience_s: float | None
) -> None:
    demand = demand_of(values, len(specs))
    served = plant(Boot.fixed(30.0), patience_s=patience_s, replicas=2).advance(demand, table(specs))
    before = np.append(0.0, served.queue[0, :-1])
    done = before + served.arrived - served.queue[0] - served.lost[0]
    assert (done >= -1e-6).all()
    assert (done <= served.ready[0] * 10.0 * STEP_S + 1e-6).all()
    assert (served.late[0] <= served.arrived * (1 + 1e-12)).all()
    if patience_s is None:
        assert not served.lost.any()


@given(specs=SPECS, values=DEMANDS, boot=BOOTS)
def test_more_replicas_never_make_more_work_late(specs: list[int], values: list[float], boot: Boot) -> None:
    demand = demand_of(values, len(specs))
    more = [spec + 1 for spec in specs]
    served = plant(boot, fleets=2, replicas=3).advance(demand, table(specs, more))
    assert (served.late[1] <= served.late[0] + 1e-6).all()


def test_luck_belongs_to_the_step_and_not_to_who_asks() -> None:
    quiet = plant(DRAWN, replicas=1, seed=7)
    quiet.advance(np.zeros(3), table([1, 1, 1]))
    busy = plant(DRAWN, replicas=1, seed=7)
    busy.advance(np.zeros(3), table([4, 2, 1]))
    later = np.full((1, 30), 6)
    assert np.array_equal(quiet.advance(np.zeros(30), later).ready, busy.advance(np.zeros(30), later).ready)


def test_another_seed_draws_other_boots() -> None:
    held = np.arange(1, 61)[None]
    ready = [plant(DRAWN, seed=seed).advance(np.zeros(60), held).ready.tolist() for seed in range(2)]
    assert ready[0] != ready[1]


def test_a_share_of_the_boots_waits_for_a_node() -> None:
    boot = Boot(pod=BootTime(median_s=60), node=BootTime(median_s=180), node_share=0.3)
    rng = np.random.default_rng(3)
    drawn = [boot.draw_s(rng) for _ in range(2000)]
    assert set(drawn) == {60.0, 240.0}
    assert 0.25 < np.mean(np.array(drawn) == 240.0) < 0.35


@pytest.mark.parametrize(
    ("demand", "held", "complaint"),
    [
        ([-1.0], [[1]], "finite"),
        ([math.inf], [[1]], "finite"),
        ([1.0], [[-1]], "0 or more"),
        ([], [[]], "one step or more"),
        ([1.0, 1.0], [[1]], "shape"),
    ],
)
def test_what_cannot_be_is_refused(demand: list[float], held: list[list[int]], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        plant(Boot.fixed(0.0)).advance(np.array(demand), np.array(held, dtype=np.int64).reshape(1, -1))


def test_replicas_are_whole() -> None:
    with pytest.raises(TypeError, match="safe"):
        plant(Boot.fixed(0.0)).advance(np.array([1.0]), np.array([[1.5]]))


def test_a_plant_that_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="wait_s"):
        plant(Boot.fixed(0.0), wait_s=math.nan)
    with pytest.raises(ValueError, match="patience"):
        plant(Boot.fixed(0.0), wait_s=5.0, patience_s=1.0)
    with pytest.raises(ValueError, match="node_share"):
        Boot(pod=BootTime(median_s=1.0), node_share=0.5)
    with pytest.raises(ValueError, match="per_replica"):
        Plant(fleets=1, per_replica=0.0, step_s=15.0, boot=Boot.fixed(1.0), wait_s=1.0)
