"""Made-up zones: seeded, within their bounds, and lost as recorded ones are."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from predictscale.simulate.spot import outages

HOUR_STEPS = 60


def zone(
    *, nodes: int = 4, days: float = 60.0, calm_s: float = 7200.0, together: float = 0.7, seed: int = 0
) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    return outages(
        nodes=nodes,
        steps=round(days * 24 * HOUR_STEPS),
        step_s=60.0,
        calm_s=calm_s,
        together=together,
        seed=seed,
    )


@given(nodes=st.integers(1, 16), seed=st.integers(0, 50), days=st.floats(0.01, 2.0))
def test_nodes_lie_between_none_and_all_and_begin_with_all(nodes: int, seed: int, days: float) -> None:
    there = zone(nodes=nodes, days=days, calm_s=1800.0, seed=seed)
    assert there.min() >= 0
    assert there.max() == nodes


def test_equal_seeds_are_equal_and_others_are_not() -> None:
    assert (zone(seed=1) == zone(seed=1)).all()
    assert (zone(seed=1) != zone(seed=2)).any()


def test_a_longer_draw_begins_as_the_shorter_one() -> None:
    short, long = zone(days=10), zone(days=20)
    assert (long[: short.size] == short).all()


def test_shorter_calm_means_fewer_nodes() -> None:
    assert zone(calm_s=1800.0).mean() < zone(calm_s=14_400.0).mean() < 4


def test_together_decides_whether_all_are_lost() -> None:
    assert set(zone(together=1.0).tolist()) == {0, 4}
    assert 0 < (zone(together=0.0) == 0).mean() < (zone(together=1.0) == 0).mean()


def test_the_hazard_falls_with_the_time_since_the_last_outage() -> None:
    there = zone(days=400) == 4
    age = np.zeros(there.size, dtype=np.int64)
    for step in range(1, there.size):
        age[step] = age[step - 1] + 1 if there[step] and there[step - 1] else 0
    ends = np.append(there[:-1] & ~there[1:], [False])
    young, old = there & (age < HOUR_STEPS), there & (age > 8 * HOUR_STEPS)
    assert ends[young].mean() > 3 * ends[old].mean() > 0


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="calm"):
        zone(calm_s=0.0)
    with pytest.raises(ValueError, match=r"1\.5"):
        zone(together=1.5)
