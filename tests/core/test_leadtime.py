"""The lead time against fleets whose truth is known: bimodal, flapping, hanging, with clocks astray."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from predictscale.core.leadtime import (
    BOUGHT_AFTER_S,
    CONFIGURED_S,
    GIVE_UP_S,
    LAST_STARTS,
    LEAST_STARTS,
    Delays,
    LeadTime,
    lead_time,
)
from predictscale.core.podstarts import Node, PodStart, Took, first_starts, quantile_s
from worlds import NOON, at

NONE = Delays()
DAY_S = 86_400.0


def pod(
    number: int,
    *,
    took_s: float | None,
    wait_s: float = 2.0,
    created: datetime | None = None,
    told: bool = True,
) -> PodStart:
    """A pod created `number` minutes into the day before noon; `took_s` None while it is pending."""
    born = created or at(60 * number - DAY_S)
    scheduled = born + timedelta(seconds=wait_s)
    return PodStart(
        uid=f"pod-{number}",
        created=born,
        scheduled=scheduled if told else None,
        started=scheduled + timedelta(seconds=1) if told else None,
        ready=None if took_s is None else born + timedelta(seconds=took_s),
    )


def fleet(times_s: Sequence[float], *, first: int = 0) -> list[PodStart]:
    return [pod(first + number, took_s=time_s) for number, time_s in enumerate(times_s)]


def measured(pods: Sequence[PodStart], *, delays: Delays = NONE, now: datetime = NOON) -> LeadTime:
    return lead_time(pods, now=now, delays=delays)


TIMES = st.lists(st.floats(3, 3000), min_size=LEAST_STARTS, max_size=LAST_STARTS)


def test_nine_tenths_of_ten_starts_is_the_ninth() -> None:
    times_s = [10.0 * n for n in range(1, 11)]
    assert measured(fleet(times_s)).measured_s == 90


@given(TIMES)
def test_the_quantile_is_a_start_that_happened(times_s: list[float]) -> None:
    found = measured(fleet(times_s)).measured_s
    truth = float(np.quantile(times_s, 0.9, method="inverted_cdf"))
    assert found == pytest.approx(truth, abs=1e-5)


def test_each_delay_is_added_by_name() -> None:
    delays = Delays(scrape_s=45, poll_s=30, sync_s=15, rate_limit_s=60)
    result = measured(fleet([100.0] * 10), delays=delays)
    assert result.measured_s == result.lead_s == 250
    assert result.because == (
        "measured, 250 s: 90% of 10 starts took up to 100 s + 45 s scrape + 30 s poll + 15 s HPA sync + "
        "60 s rate limit; configured are 300 s"
    )


def test_until_eight_have_started_the_configured_value_stands() -> None:
    early = lead_time(fleet([100.0] * 7), now=NOON, delays=Delays(poll_s=30), configured_s=240)
    assert (early.lead_s, early.measured_s, early.configured_s) == (240, None, 240)
    assert early.because == "configured, 240 s: 7 of the 8 starts that a measurement needs were seen"
    assert lead_time(fleet([100.0] * 8), now=NOON, delays=NONE, configured_s=240).lead_s == 100
    assert measured([]).lead_s == CONFIGURED_S == 300


def test_only_the_last_fifty_count() -> None:
    slow, quick = fleet([900.0] * 60), fleet([100.0] * LAST_STARTS, first=60)
    assert measured(slow + quick).measured_s == 100
    assert measured(slow + quick[1:]).starts.ready == LAST_STARTS
    assert measured(quick[::-1] + slow[::-1]).measured_s == 100


@given(TIMES, st.integers(0, 5))
def test_how_long_each_start_took_is_kept_of_those_that_became_ready(times_s: list[float], hung: int) -> None:
    result = measured([*fleet(times_s), *(pending(n, for_s=1000) for n in range(hung))])
    expected = times_s[max(0, len(times_s) + hung - LAST_STARTS) :]
    assert result.samples_s == pytest.approx(expected, abs=1e-5)
    assert len(result.samples_s) == result.starts.ready


def bimodal(*, bought: int, told: bool = True) -> tuple[list[PodStart], list[float]]:
    draw = np.random.default_rng(7)
    times_s, pods = [], []
    for number in range(LAST_STARTS):
        waits = number % LAST_STARTS < bought
        wait_s = float(draw.uniform(150, 240)) if waits else float(draw.uniform(0, 3))
        times_s.append(wait_s + float(draw.normal(90, 8)))
        pods.append(pod(number, took_s=times_s[-1], wait_s=wait_s, told=told))
    draw.shuffle(pods)
    return pods, times_s


@pytest.mark.parametrize("bought", [0, 3, 12, 30, 50])
def test_a_bimodal_fleet_is_measured_within_a_scrape(bought: int) -> None:
    pods, times_s = bimodal(bought=bought)
    # Instants as Kubernetes tells them: whole seconds.
    truth = float(np.quantile(times_s, 0.9))
    assert measured(pods).measured_s == pytest.approx(truth, abs=15)


@pytest.mark.parametrize("told", [True, False])
def test_two_kinds_of_start_are_kept_apart(told: bool) -> None:  # noqa: FBT001 - a parameter of the test
    kinds = measured(bimodal(bought=15, told=told)[0]).kinds
    assert (kinds[Node.BOUGHT].ready, kinds[Node.PRESENT].ready) == (15, 35)
    present, bought = kinds[Node.PRESENT].start_s, kinds[Node.BOUGHT].start_s
    assert present is not None
    assert bought is not None
    assert 85 < present < 120
    assert 260 < bought < 360


def test_one_kind_of_start_is_not_cut_in_two() -> None:
    times_s = np.random.default_rng(3).lognormal(4.5, 0.2, LAST_STARTS).tolist()
    pods = [pod(number, took_s=time_s, told=False) for number, time_s in enumerate(times_s)]
    kinds = measured(pods).kinds
    assert (kinds[Node.BOUGHT].ready, kinds[Node.PRESENT].ready) == (0, LAST_STARTS)


def test_two_kinds_that_hardly_differ_are_one() -> None:
    times_s = [100.0 + n / 100 for n in range(20)] + [110.0 + n / 100 for n in range(20)]
    pods = [pod(number, took_s=time_s, told=False) for number, time_s in enumerate(times_s)]
    assert measured(pods).kinds[Node.BOUGHT].ready == 0


def test_too_few_starts_of_a_kind_are_counted_and_not_measured() -> None:
    kinds = measured(bimodal(bought=5)[0]).kinds
    assert kinds[Node.BOUGHT].start_s is None
    assert kinds[Node.BOUGHT].ready == 5


def test_a_node_younger_than_its_pod_was_bought_for_it() -> None:
    quick = replace(pod(1, took_s=100), node_created=at(60 - DAY_S + 1))
    slow = replace(pod(2, took_s=400, wait_s=200), node_created=at(-2 * DAY_S))
    also_slow = replace(slow, uid="pod-3")
    kinds = measured([quick, slow, also_slow]).kinds
    assert (kinds[Node.BOUGHT].ready, kinds[Node.PRESENT].ready) == (1, 2)
    waited = [pod(1, took_s=100, wait_s=BOUGHT_AFTER_S), pod(2, took_s=100, wait_s=BOUGHT_AFTER_S + 1)]
    assert measured(waited).kinds[Node.BOUGHT].ready == 1


def test_a_pod_of_which_no_kind_is_told_is_of_none_where_others_are() -> None:
    kinds = measured([pod(1, took_s=100), pod(2, took_s=100, told=False)]).kinds
    assert sum(kind.ready for kind in kinds.values()) == 1


def test_readiness_that_flaps_counts_once_and_first() -> None:
    pods = fleet([100.0] * 10)
    flaps = [
        replace(p, ready=p.ready + timedelta(seconds=3000 * look))
        for p in pods
        for look in (3, 2, 1, 0)
        if p.ready
    ]
    assert measured(flaps) == measured(pods)
    assert measured(pods + flaps[::-1]) == measured(pods)


def test_a_container_that_restarts_does_not_make_its_pod_quick() -> None:
    # `started` and `ready` move with the restart; the first of each counts.
    first = pod(1, took_s=100)
    assert first.ready is not None
    again = replace(first, started=first.ready + timedelta(hours=2), ready=first.ready + timedelta(hours=3))
    (merged,) = first_starts([again, first])
    assert merged == first
    assert first_starts([first, again]) == [first]
    assert merged.load_s() == 97
    assert again.load_s() is not None
    # Seen only after the restart, the load cannot be told; the start still can.
    late = replace(first, started=first.ready + timedelta(hours=2))
    assert late.load_s() is None
    assert measured([late, *fleet([100.0] * 8, first=2)]).starts.ready == 9


def test_a_pod_looked_at_before_and_after_it_was_ready_is_one_pod() -> None:
    before = replace(pod(1, took_s=None), scheduled=None, started=None)
    (merged,) = first_starts([before, pod(1, took_s=100)])
    assert merged == pod(1, took_s=100)


def pending(number: int, *, for_s: float) -> PodStart:
    return pod(10_000 + number, took_s=None, created=at(-for_s))


def test_a_start_that_hangs_pulls_the_measure_up() -> None:
    pods = fleet([100.0 + n for n in range(20)])
    plain = measured(pods)
    hung = measured([*pods, *(pending(n, for_s=1000) for n in range(2))])
    assert plain.measured_s == 117
    assert hung.measured_s == 119
    assert hung.starts.pending == 2
    assert "20 starts and 2 pending took" in hung.because


def test_where_a_tenth_hangs_the_measure_is_a_bound() -> None:
    pods = [*fleet([100.0] * 20), *(pending(n, for_s=1000 + n) for n in range(5))]
    result = measured(pods)
    assert result.measured_s == 1004
    assert not result.starts.seen
    assert result.because.startswith("measured, at least 1004 s")


def test_a_pod_that_has_only_just_begun_to_start_moves_nothing() -> None:
    pods = fleet([100.0] * 20)
    assert measured([*pods, *(pending(n, for_s=10) for n in range(20))]).measured_s == 100


def test_pods_that_never_become_ready_stop_growing_and_are_counted() -> None:
    never = [pending(n, for_s=DAY_S * 3) for n in range(5)]
    result = measured([*never, *fleet([100.0] * 20)])
    assert result.measured_s == GIVE_UP_S
    assert result.failed == 5
    few = measured([never[0], *fleet([100.0] * 20)])
    assert (few.measured_s, few.failed) == (100, 1)


def test_a_start_that_came_after_all_had_given_up_is_a_failed_one() -> None:
    result = measured([*fleet([100.0] * 8), *fleet([GIVE_UP_S + 400] * 4, first=20)])
    assert (result.starts.ready, result.starts.pending, result.failed) == (8, 4, 4)
    assert result.measured_s == GIVE_UP_S
    assert not result.starts.seen


def test_only_pods_that_never_became_ready_measure_nothing() -> None:
    result = measured([pending(n, for_s=1000) for n in range(20)])
    assert result.measured_s is None
    assert result.lead_s == CONFIGURED_S
    assert "0 of the 8 starts that a measurement needs were seen and 20 pending" in result.because


def test_a_pod_deleted_before_it_was_ready_waits_no_longer() -> None:
    gone = [replace(pending(n, for_s=3000), gone=at(-2990)) for n in range(20)]
    assert measured([*fleet([100.0] * 20), *gone]).measured_s == 100


@given(TIMES, st.lists(st.floats(1, 5000), max_size=20), st.floats(0, 5000))
def test_a_longer_wait_never_shortens_the_measure(
    times_s: list[float], hung_s: list[float], longer_s: float
) -> None:
    pods = fleet(times_s[:20] if len(times_s) > 20 else times_s)
    plain = measured(pods)
    waiting = measured([*pods, *(pending(n, for_s=s) for n, s in enumerate(hung_s))])
    longer = measured([*pods, *(pending(n, for_s=s + longer_s) for n, s in enumerate(hung_s))])
    assert plain.measured_s is not None
    assert waiting.measured_s is not None
    assert longer.measured_s is not None
    assert plain.measured_s <= waiting.measured_s <= longer.measured_s <= GIVE_UP_S


@given(TIMES, st.floats(0, 500), st.floats(0, 500))
def test_slower_starts_and_longer_delays_never_shorten_the_lead(
    times_s: list[float], slower_s: float, delay_s: float
) -> None:
    plain = measured(fleet(times_s))
    slower = measured(fleet([time_s + slower_s for time_s in times_s]), delays=Delays(poll_s=delay_s))
    assert slower.lead_s >= plain.lead_s + delay_s - 1e-5


@given(TIMES, st.sampled_from([0.5, 0.8, 0.9]))
def test_a_higher_share_never_takes_less_time(times_s: list[float], level: float) -> None:
    low = lead_time(fleet(times_s), now=NOON, delays=NONE, level=level)
    high = lead_time(fleet(times_s), now=NOON, delays=NONE, level=level + 0.09)
    assert high.lead_s >= low.lead_s


@pytest.mark.parametrize(
    "skewed",
    [
        replace(pod(1, took_s=100), ready=at(60 - DAY_S - 1)),
        replace(pod(1, took_s=100), scheduled=at(60 - DAY_S - 1)),
        replace(pod(1, took_s=100), scheduled=at(60 - DAY_S + 101)),
        replace(pod(1, took_s=None), created=at(1), scheduled=None, started=None),
        replace(pod(1, took_s=100), ready=at(1)),
        replace(pod(1, took_s=None), gone=at(60 - DAY_S - 1)),
    ],
)
def test_clocks_that_contradict_each_other_are_refused(skewed: PodStart) -> None:
    pods = fleet([100.0] * 9, first=10)
    result = measured([skewed, *pods])
    assert result.refused == 1
    assert result.starts == measured(pods).starts
    assert result.starts.pending == 0


def test_a_skewed_pod_takes_no_place_among_the_last_fifty() -> None:
    sound = fleet([100.0] * LAST_STARTS)
    skewed = [replace(pod(100 + n, took_s=100), ready=at(-2 * DAY_S)) for n in range(60)]
    assert measured(sound + skewed).starts.ready == LAST_STARTS


def test_the_order_of_looks_means_nothing() -> None:
    pods, _ = bimodal(bought=15)
    assert measured(pods) == measured(pods[::-1])


def test_the_share_of_starts_by_kaplan_and_meier() -> None:
    # Five starts; one is still pending at 25 s: 1/5, then 1/4 of the rest, then 1/2 of the rest.
    took = [Took(seconds=s, done=d) for s, d in [(10, True), (20, True), (25, False), (30, True), (40, True)]]
    assert quantile_s(took, 0.2) == (10, True)
    assert quantile_s(took, 0.4) == (20, True)
    assert quantile_s(took, 0.6) == (30, True)
    assert quantile_s(took, 0.7) == (30, True)
    assert quantile_s(took, 0.71) == (40, True)
    assert quantile_s([Took(seconds=9, done=False)], 0.5) == (9, False)
    assert quantile_s([], 0.5) is None


def test_settings_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="poll"):
        Delays(poll_s=-1)
    with pytest.raises(ValueError, match="HPA sync"):
        Delays(sync_s=float("nan"))
    with pytest.raises(ValueError, match="level 1"):
        lead_time([], now=NOON, delays=NONE, level=1)
    with pytest.raises(ValueError, match="last 3"):
        lead_time([], now=NOON, delays=NONE, last=3)
    with pytest.raises(ValueError, match="time zone"):
        PodStart(uid="a", created=datetime(2026, 3, 2))  # noqa: DTZ001 - the point of the test
