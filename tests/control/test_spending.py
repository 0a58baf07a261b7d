"""Lateness is spent as it comes, from what was ready or would have been."""

from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from predictscale.control.spending import SETTLING_BINS, Spending
from predictscale.core.series import Floats, MetricWindow, floor_to_grid
from predictscale.core.slo import Slo
from predictscale.simulate.plant import Boot, Plant
from worlds import NOON, policy

SLO = Slo(max_violation=0.01, wait_s=6.0)


def window(demand: Floats) -> MetricWindow:
    return MetricWindow(NOON, 60.0, demand)


def lived(demand: Floats, ready: list[int] | None, targets: list[int], *, lead_time_s: float = 0) -> Spending:
    """A decision at the beginning of each minute, which sees who was ready in the last; all settled."""
    spending = Spending(SLO, policy(per_replica=10, lead_time_s=lead_time_s), step_s=60.0)
    for place, target in enumerate([*targets, targets[-1]]):
        now = NOON + timedelta(minutes=place)
        spending.note(now, ready=None if ready is None or not place else ready[place - 1], target=target)
        spending.settle(window(demand), at=now)
    spending.settle(window(demand), at=NOON + timedelta(minutes=len(targets) + SETTLING_BINS))
    return spending


FLEETS = st.lists(st.tuples(st.floats(0, 200), st.integers(0, 20)), min_size=1, max_size=50)


@given(FLEETS)
def test_measured_fleets_are_late_as_a_plant_with_these_replicas(steps: list[tuple[float, int]]) -> None:
    demand, ready = np.array([d for d, _ in steps]), [r for _, r in steps]
    plant = Plant(fleets=1, per_replica=10.0, step_s=60.0, boot=Boot.fixed(0), wait_s=6.0)
    served = plant.advance(demand, np.array([ready]))
    budget = lived(demand, ready, [99] * len(steps)).budget(NOON + timedelta(minutes=55))
    assert np.nansum(budget.late) == pytest.approx(float(served.late.sum()), rel=1e-9, abs=1e-6)
    assert np.nansum(budget.arrived) == pytest.approx(float(served.arrived.sum()))


@given(FLEETS, st.sampled_from([60.0, 240.0, 300.0]))
def test_without_a_measured_fleet_it_is_what_the_targets_would_have_had_ready(
    steps: list[tuple[float, int]], lead_time_s: float
) -> None:
    demand, targets = np.array([d for d, _ in steps]), [r for _, r in steps]
    lead = round(lead_time_s / 60)
    budget = lived(demand, None, targets, lead_time_s=lead_time_s).budget(NOON + timedelta(minutes=55))
    plant = Plant(fleets=1, per_replica=10.0, step_s=60.0, boot=Boot.fixed(lead_time_s), wait_s=6.0)
    ready = plant.advance(demand, np.array([targets])).ready[0]
    # What was published before the first decision nobody knows: for a lead time there is no telling.
    known = Plant(fleets=1, per_replica=10.0, step_s=60.0, boot=Boot.fixed(0), wait_s=6.0)
    late = known.advance(demand[lead:], ready[None, lead:]).late.sum() if len(steps) > lead else 0.0
    assert np.nansum(budget.late) == pytest.approx(float(late), rel=1e-9, abs=1e-6)
    assert np.nansum(budget.arrived) == pytest.approx(demand[lead:].sum() * 60)


def test_a_gap_in_demand_is_not_counted_as_served() -> None:
    demand = np.full(60, 50.0)
    demand[20:40] = np.nan
    budget = lived(demand, [1] * 60, [1] * 60).budget(NOON + timedelta(minutes=59))
    assert budget.arrived.tolist() == [40 * 50.0 * 60]
    assert budget.violation > 0.9


def test_bins_are_settled_only_once_late_samples_are_in() -> None:
    spending = Spending(SLO, policy(), step_s=60.0)
    spending.note(NOON, ready=2, target=3)
    spending.note(NOON + timedelta(minutes=1), ready=3, target=3)
    spending.settle(window(np.full(1, np.nan)), at=NOON + timedelta(minutes=SETTLING_BINS))
    assert spending.budget(NOON + timedelta(minutes=5)).arrived.size == 0
    spending.settle(window(np.full(1, 20.0)), at=NOON + timedelta(minutes=SETTLING_BINS + 1))
    assert spending.budget(NOON + timedelta(minutes=5)).arrived.tolist() == [1200.0]


def test_hours_beyond_the_window_are_forgotten() -> None:
    day = Slo(max_violation=0.01, wait_s=6.0, window_s=86400)
    spending = Spending(day, policy(per_replica=10), step_s=60.0)
    demand = window(np.full(30 * 60, 100.0))
    for minute in range(30 * 60):
        now = NOON + timedelta(minutes=minute)
        spending.note(now, ready=1 if minute < 120 else 20, target=1)
        spending.settle(demand, at=now)
    budget = spending.budget(NOON + timedelta(hours=29))
    assert budget.late.size == 24
    assert budget.late.sum() == 0
    assert len(spending.kept()["hours"]) <= 25


def test_spending_goes_on_from_the_shelf() -> None:
    demand = np.linspace(0, 300, 100)
    whole = lived(demand, None, [10] * 100, lead_time_s=240)
    half = Spending(SLO, policy(per_replica=10, lead_time_s=240), step_s=60.0)
    for place in range(100):
        if place == 50:
            kept, half = half.kept(), Spending(SLO, policy(per_replica=10, lead_time_s=240), step_s=60.0)
            half.restore(kept)
        now = NOON + timedelta(minutes=place)
        half.note(now, ready=None, target=10)
        half.settle(window(demand), at=now)
    half.settle(window(demand), at=NOON + timedelta(minutes=100 + SETTLING_BINS))
    at = floor_to_grid(NOON + timedelta(hours=3), 3600)
    assert np.array_equal(half.budget(at).late, whole.budget(at).late, equal_nan=True)


class Counted(Spending):
    """Counts the bins that it looks at."""

    looked = 0

    def _account(self, bin_: int, demand: MetricWindow) -> None:
        self.looked += 1
        super()._account(bin_, demand)


@given(before=FLEETS, after=FLEETS, lead_time_s=st.sampled_from([0.0, 60.0, 240.0]), measured=st.booleans())
def test_a_silence_of_weeks_costs_no_more_than_a_short_one(
    before: list[tuple[float, int]], after: list[tuple[float, int]], lead_time_s: float, *, measured: bool
) -> None:
    """A service that was off for weeks settles what it knows, and its event loop does not stand still."""
    silent = 30 * 1440
    demand = np.concatenate([[d for d, _ in before], np.full(silent, 7.0), [d for d, _ in after]])
    spending = Counted(SLO, policy(per_replica=10, lead_time_s=lead_time_s), step_s=60.0)
    minutes = [*range(len(before)), *range(len(before) + silent, len(demand))]
    for minute, (_, fleet) in zip(minutes, (*before, *after), strict=True):
        now = NOON + timedelta(minutes=minute + 1)
        spending.note(now, ready=fleet if measured else None, target=fleet)
        spending.settle(window(demand), at=now)
    end = NOON + timedelta(minutes=len(demand) + SETTLING_BINS)
    spending.settle(window(demand), at=end)
    alone = Spending(SLO, policy(per_replica=10, lead_time_s=lead_time_s), step_s=60.0)
    alone.note(NOON + timedelta(minutes=len(before) + silent), ready=None, target=None)
    for minute in range(len(before) + silent, len(demand)):
        fleet = after[minute - len(before) - silent][1]
        alone.note(NOON + timedelta(minutes=minute + 1), ready=fleet if measured else None, target=fleet)
    alone.settle(window(demand), at=end)
    assert spending.looked <= len(before) + len(after) + lead_time_s / 60 + 1
    told, newest = spending.budget(end), alone.budget(end)
    count = len(newest.arrived)
    np.testing.assert_allclose(told.arrived[len(told.arrived) - count :], newest.arrived)
    np.testing.assert_allclose(told.late[len(told.late) - count :], newest.late)


@given(FLEETS, st.integers(0, 50), st.sampled_from([0.0, 240.0]))
def test_who_was_ready_before_a_start_is_remembered_as_if_it_had_been_seen(
    steps: list[tuple[float, int]], start: int, lead_time_s: float
) -> None:
    demand, ready = np.array([d for d, _ in steps]), [r for _, r in steps]
    start = min(start, len(steps) - 1)
    steady = lived(demand, ready, [5] * len(steps), lead_time_s=lead_time_s)
    late = Spending(SLO, policy(per_replica=10, lead_time_s=lead_time_s), step_s=60.0)
    for minute in range(start, len(steps) + 1):
        late.note(NOON + timedelta(minutes=minute), ready=ready[minute - 1] if minute else None, target=5)
    # The minute that ended with the start is told as well, and not counted twice.
    late.remember(MetricWindow(NOON, 60.0, np.array([*ready[:start], 99][: start + 1], dtype=np.float64)))
    end = NOON + timedelta(minutes=len(steps) + SETTLING_BINS)
    assert late.behind(end)
    late.settle(window(demand), at=end)
    assert not late.behind(end)
    np.testing.assert_allclose(late.budget(end).arrived, steady.budget(end).arrived)
    np.testing.assert_allclose(late.budget(end).late, steady.budget(end).late)


def test_a_month_that_is_remembered_is_accounted_for_in_parts() -> None:
    bins = 3000
    spending = Counted(SLO, policy(per_replica=10, lead_time_s=0), step_s=60.0)
    now = NOON + timedelta(minutes=bins)
    spending.note(now, ready=3, target=3)
    spending.remember(MetricWindow(NOON, 60.0, np.full(bins, 3.0)))
    looked = []
    while spending.behind(now + timedelta(minutes=5)):
        before = spending.looked
        spending.settle(window(np.full(bins, 7.0)), at=now + timedelta(minutes=5))
        looked.append(spending.looked - before)
    assert sum(looked) == bins + 1, "and the one in which it was decided"
    assert max(looked) == 720


def test_of_ready_replicas_with_many_gaps_as_many_bins_are_settled_and_no_more() -> None:
    """Every second bin is a gap: each is found without looking through all that wait."""
    bins = 3000
    ready = np.full(bins, 3.0)
    ready[::2] = np.nan
    spending = Counted(SLO, policy(per_replica=10, lead_time_s=0), step_s=60.0)
    spending.remember(MetricWindow(NOON, 60.0, ready))
    end = NOON + timedelta(minutes=bins + SETTLING_BINS + 1)
    while spending.behind(end):
        spending.settle(window(np.full(bins, 7.0)), at=end)
    assert spending.looked == bins / 2
    assert np.nansum(spending.budget(end).arrived) == bins / 2 * 7.0 * 60


def test_what_is_damaged_is_restored_in_no_part() -> None:
    kept = lived(np.full(30, 50.0), [1] * 30, [1] * 30).kept()
    fresh = Spending(SLO, policy(per_replica=10), step_s=60.0)
    with pytest.raises((ValueError, KeyError)):
        fresh.restore({**kept, "queue": np.zeros(3)})
    assert fresh.budget(NOON).arrived.size == 0
    assert not fresh.behind(NOON + timedelta(days=1))
    assert all(len(rows) == 0 for name, rows in fresh.kept().items() if name != "queue")
