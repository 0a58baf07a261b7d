"""The parts of the engine: levels and peaks read from a panel, walks, weights, and the spacing."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from predictscale.core.series import Floats
from predictscale.forecasters.native import mixture
from predictscale.forecasters.native.domain import Domain, to_demand
from predictscale.forecasters.native.panel import Panel
from predictscale.forecasters.native.walk import Blocks, walk


@given(st.integers(1, 60), st.integers(1, 20), st.integers(0, 99))
def test_a_panel_reads_the_same_as_slices_do(bins: int, width: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    logs = np.where(rng.random(bins) < 0.1, np.nan, rng.normal(size=bins))
    panel = Panel(logs[None], step_s=60.0)
    origins = np.arange(bins + 1, dtype=np.int64)
    means, peaks = panel.before(origins, width), panel.peak(origins, width)
    for i in origins:
        past, ahead = logs[max(0, i - width) : i], logs[i : i + width]
        expected = np.nanmean(past) if (~np.isnan(past)).any() else np.nan
        assert means[i] == pytest.approx(expected, nan_ok=True)
        whole = ahead.size == width and (~np.isnan(ahead)).sum() >= 0.7 * width
        assert peaks[i] == pytest.approx(np.nanmax(ahead) if whole else np.nan, nan_ok=True)


@given(st.floats(1e-9, 1e12), st.floats(0.0, 1.0))
def test_the_domain_goes_there_and_back(mean: float, share: float) -> None:
    domain = Domain.of(np.full(10, mean))
    there = domain.to(np.array([share * mean]))
    np.testing.assert_allclose(to_demand(there, domain.offset), share * mean, rtol=1e-9, atol=1e-12 * mean)


def _walked(targets: Floats, lead: int) -> Floats:
    origins = np.arange(targets.size, dtype=np.int64)
    features = np.stack((np.ones(targets.size), np.sin(origins / 5.0)))
    blocks = Blocks(np.linspace(0, targets.size, 6).astype(np.int64), 0.9)
    said: Floats = walk(features, targets[None], origins, lead, blocks, penalty=1.0, seed=False).said[0]
    return said


@given(st.integers(1, 50), st.integers(0, 249), st.integers(0, 9))
def test_a_walk_never_learns_from_a_window_that_is_still_open(lead: int, changed: int, seed: int) -> None:
    """A target that closes `lead` after its origin cannot change what is said before it closed."""
    targets = np.random.default_rng(seed).normal(size=250)
    other = targets.copy()
    other[changed] += 100.0
    before = slice(0, min(changed + lead, 250))
    np.testing.assert_array_equal(_walked(targets, lead)[before], _walked(other, lead)[before])


def test_a_walk_learns_what_there_is_to_learn() -> None:
    truth = 3.0 + 2.0 * np.sin(np.arange(1000) / 5.0)
    np.testing.assert_allclose(_walked(truth, 1)[-200:], truth[-200:], atol=0.05)


@given(st.lists(st.floats(1e-6, 1e6), min_size=2, max_size=16))
def test_the_smaller_the_loss_the_larger_the_weight(losses: list[float]) -> None:
    share = mixture.weights(np.array(losses)[None])[0]
    assert share.sum() == pytest.approx(1.0)
    assert (np.diff(share[np.argsort(losses)]) <= 1e-12).all()


@pytest.mark.parametrize("level", [0, 1, 2])
def test_the_spacing_finds_the_factor_that_makes_a_level_honest(level: int) -> None:
    """What comes is spread twice as wide as was said: the factor ends near two."""
    rng = np.random.default_rng(4)
    honest = {0: 1.2816, 1: 1.6449, 2: 2.3263}[level]
    ratios = np.full((20_000, 3), np.nan)
    ratios[:, level] = 2.0 * rng.normal(size=20_000) / honest
    factor = np.exp(mixture.follow(np.zeros(3), ratios))
    assert factor[level] == pytest.approx(2.0, rel=0.35)
    assert (np.delete(factor, level) == 1.0).all()


@given(st.floats(-1.3, 1.3), st.floats(-1.3, 1.3), st.floats(-1.3, 1.3))
def test_widened_quantiles_do_not_cross_and_leave_the_median(a: float, b: float, c: float) -> None:
    table = np.sort(np.random.default_rng(1).normal(size=(len(mixture.TABLE), 4)), axis=0)
    wide = mixture.widen(table, np.tile((a, b, c), (4, 1)).T)
    assert (np.diff(wide, axis=0) >= 0).all()
    np.testing.assert_array_equal(wide[: mixture.MIDDLE + 1], table[: mixture.MIDDLE + 1])


@given(st.integers(0, 999))
def test_levels_that_are_watched_are_those_of_the_whole_table(seed: int) -> None:
    """Of the past only some levels are computed; they must not differ from the forecast's own by a bit."""
    rng = np.random.default_rng(seed)
    experts, plain = 4, 2
    locations, scales = rng.normal(size=(experts, 3)), rng.lognormal(size=(experts, 3))
    errors = np.sort(rng.normal(size=(experts, len(mixture.TABLE), 3)), axis=1)
    more = np.sort(rng.normal(size=(plain, len(mixture.TABLE), 3)), axis=1)
    share = mixture.weights(rng.lognormal(size=(3, experts + plain, 3)))
    trust, watched = rng.random((3, 3)), list(mixture.WATCHED)
    whole = mixture.mix(locations, scales, errors, more, share=share, places=mixture.ALL)
    some = mixture.mix(locations, scales, errors, more[:, watched], share=share, places=mixture.WATCHED)
    np.testing.assert_array_equal(some, whole[watched])
    np.testing.assert_array_equal(
        mixture.between(some, more[0, watched], trust, mixture.WATCHED),
        mixture.between(whole, more[0], trust, mixture.ALL)[watched],
    )


@given(st.integers(0, 999))
def test_a_value_and_its_peak_that_contradict_each_other_give_way_alike(seed: int) -> None:
    said = np.sort(np.random.default_rng(seed).normal(size=(len(mixture.TABLE), 2, 3)), axis=0)
    table = mixture.agreed(said.copy())
    values, peaks = table[:, 0], table[:, 1]
    assert (values <= peaks + 1e-12).all()
    assert (np.diff(table, axis=0) >= -1e-12).all()
    np.testing.assert_allclose(values + peaks, said.sum(axis=1), atol=1e-12)
    fine = said[:, 0] <= said[:, 1]
    np.testing.assert_array_equal(values[fine], said[:, 0][fine])
    np.testing.assert_array_equal(peaks[fine], said[:, 1][fine])
