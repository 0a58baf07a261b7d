"""The arrays of the simulator move a fleet as the HPA's own arithmetic does, and as a real cluster did."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from predictscale.core.hpa import SYNC_S, HpaSettings, exact_behavior
from predictscale.core.landing import land
from predictscale.core.plan import Landing
from predictscale.simulate.actuation import Actuation, Actuator, actuator
from predictscale.simulate.hpa import ExternalMetric, HorizontalPodAutoscaler

START = datetime(2026, 3, 1, tzinfo=UTC)
MOST = 60
WANTED = st.lists(st.integers(0, 70), min_size=1, max_size=60)
# Long stretches of one value, so that windows pass and cooldowns end.
PATIENT = st.lists(st.tuples(st.sampled_from([0, 1, 3, 20, 21, 23, 56]), st.integers(1, 30)), max_size=8).map(
    lambda runs: [value for value, times in runs for _ in range(times)] or [0]
)


def moves(
    actuation: Actuation,
    *,
    replicas: Sequence[int],
    min_replicas: int = 1,
    max_replicas: int = MOST,
    cooldown_s: float = 300.0,
    landing: Landing = Landing.EXACT,
) -> Actuator:
    return actuator(
        actuation,
        replicas=np.array(replicas),
        min_replicas=min_replicas,
        max_replicas=max_replicas,
        cooldown_s=cooldown_s,
        landing=landing,
    )


def specs(told: Sequence[int], made: Actuator) -> list[int]:
    """The spec of one fleet after each step."""
    found: list[int] = made.advance(np.array([told]))[0].tolist()
    return found


def by_the_controller(
    told: Sequence[int],
    settings: HpaSettings,
    *,
    spec: int,
    min_replicas: int,
    cooldown_s: float,
    landing: Landing = Landing.EXACT,
) -> list[int]:
    """The same by KEDA's rules in plain words, and the core's arithmetic for each sync."""
    hpa, active_at, found = HorizontalPodAutoscaler(settings), START, []
    for step, target in enumerate(told):
        now = START + timedelta(seconds=SYNC_S * step)
        landed = land(
            target,
            landing=landing,
            status_replicas=spec,
            min_replicas=min_replicas,
            max_replicas=settings.max_replicas,
        )
        if step % 2 == 0 and min_replicas == 0:
            if target > 0:
                active_at = now
                spec = max(spec, 1)
            elif (now - active_at).total_seconds() > cooldown_s:
                spec = 0
        if spec:
            metric = ExternalMetric(value=landed.published)
            spec = hpa.sync(now, [metric], spec_replicas=spec, status_replicas=spec, ready=spec)
        found.append(spec)
    return found


@given(
    told=st.one_of(WANTED, PATIENT),
    first=st.integers(1, MOST),
    least=st.sampled_from([0, 1, 5]),
    cooldown_s=st.sampled_from([0.0, 30.0, 300.0]),
)
def test_an_exact_hpa_moves_as_the_controller_would(
    told: list[int], first: int, least: int, cooldown_s: float
) -> None:
    first = max(first, least)
    settings = HpaSettings(
        min_replicas=max(1, least), max_replicas=MOST, behavior=exact_behavior(max_replicas=MOST)
    )
    made = moves(Actuation.HPA_EXACT, replicas=[first], min_replicas=least, cooldown_s=cooldown_s)
    assert specs(told, made) == by_the_controller(
        told, settings, spec=first, min_replicas=least, cooldown_s=cooldown_s
    )


@given(
    told=st.one_of(WANTED, PATIENT),
    first=st.integers(1, MOST),
    least=st.sampled_from([0, 1, 5]),
    cooldown_s=st.sampled_from([0.0, 30.0, 300.0]),
    landing=st.sampled_from(list(Landing)),
)
def test_a_stock_hpa_moves_as_the_controller_would(
    told: list[int], first: int, least: int, cooldown_s: float, landing: Landing
) -> None:
    first = max(first, least)
    made = moves(Actuation.HPA, replicas=[first], min_replicas=least, cooldown_s=cooldown_s, landing=landing)
    assert specs(told, made) == by_the_controller(
        told,
        HpaSettings(min_replicas=max(1, least), max_replicas=MOST),
        spec=first,
        min_replicas=least,
        cooldown_s=cooldown_s,
        landing=landing,
    )


@given(
    rows=st.lists(
        st.lists(st.sampled_from([0, 0, 0, 0, 3, 21, 70]), min_size=30, max_size=30), min_size=2, max_size=4
    ),
    actuation=st.sampled_from(list(Actuation)),
    least=st.sampled_from([0, 2]),
    cut=st.integers(1, 8),
)
def test_neither_neighbours_nor_the_cut_into_steps_change_a_fleet(
    rows: list[list[int]], actuation: Actuation, least: int, cut: int
) -> None:
    told = np.array(rows)
    made = moves(actuation, replicas=[5] * len(rows), min_replicas=least, cooldown_s=45.0)
    parts = [made.advance(told[:, step : step + cut]) for step in range(0, told.shape[1], cut)]
    alone = [specs(row, moves(actuation, replicas=[5], min_replicas=least, cooldown_s=45.0)) for row in rows]
    assert np.concatenate(parts, axis=1).tolist() == alone


@pytest.mark.parametrize(
    ("have", "told", "lands_on"),
    [
        (10, 11, 10),
        (10, 9, 10),
        (20, 18, 20),
        (20, 22, 20),
        (20, 23, 23),
        (23, 21, 23),
        (50, 55, 50),
        (50, 56, 56),
        (56, 45, 45),
    ],
)
def test_a_stock_hpa_rests_where_it_was_seen_to_rest_on_a_real_cluster(
    have: int, told: int, lands_on: int
) -> None:
    # Twenty-one syncs: the last on which the first sight of the fleet still counts, and one more.
    assert specs([told] * 22, moves(Actuation.HPA, replicas=[have]))[-1] == lands_on


def test_an_exact_hpa_lands_on_every_step_as_it_did_on_a_real_cluster() -> None:
    told = [9, 10, 11, 12, 11, 10, 9, 20, 21, 22, 23, 21, 20, 18, 16, 50, 51, 55, 56, 45]
    assert specs(told, moves(Actuation.HPA_EXACT, replicas=[9])) == told


def test_a_stock_hpa_doubles_at_each_sync_and_an_exact_one_jumps() -> None:
    told = [100] * 6
    assert specs(told, moves(Actuation.HPA, replicas=[1], max_replicas=100)) == [4, 8, 16, 32, 64, 100]
    assert specs(told, moves(Actuation.HPA_EXACT, replicas=[1], max_replicas=100)) == told


def test_a_stock_hpa_shrinks_after_five_minutes() -> None:
    found = specs([5] * 22, moves(Actuation.HPA, replicas=[20]))
    assert found == [20] * 21 + [5]


def test_zero_comes_after_the_cooldown_and_from_any_size() -> None:
    # Active until the poll at 60 s; the first poll later than 30 s after that is at 120 s.
    told = [40, 40, 40, 40, 40, 0, 0, 0, 0, 0]
    found = specs(told, moves(Actuation.HPA, replicas=[40], min_replicas=0, cooldown_s=30.0))
    assert found == [40] * 8 + [0, 0]


def test_waking_up_waits_for_a_poll() -> None:
    found = specs([0, 7, 7, 7], moves(Actuation.HPA_EXACT, replicas=[0], min_replicas=0))
    assert found == [0, 0, 7, 7]


def test_a_direct_spec_is_what_is_asked_for_within_the_bounds() -> None:
    made = moves(Actuation.DIRECT, replicas=[3], min_replicas=2, max_replicas=9)
    assert specs([0, 5, 12, 4], made) == [2, 5, 9, 4]
    assert made.spec.tolist() == [4]


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="syncs"):
        actuator(Actuation.HPA, replicas=np.array([1]), min_replicas=1, max_replicas=5, step_s=60.0)
    with pytest.raises(ValueError, match="min 6"):
        moves(Actuation.DIRECT, replicas=[1], min_replicas=6, max_replicas=5)
