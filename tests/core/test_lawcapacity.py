"""From demand to replicas: the note's formulas, the guards, and what more demand may never do."""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from made_windows import CHAT, GENERATION, NOW_S, RAG, TRUE, drawn, full, joined
from predictscale.core.concurrency import Burst
from predictscale.core.law import LatencyTargets, Mix
from predictscale.core.lawcapacity import (
    ALL_LIMITS,
    DOUBT,
    REQUESTS,
    TTFT_K0,
    TTFT_K1,
    CapacityLaw,
    Configured,
    Engine,
)
from predictscale.core.lawfit import LawFit
from predictscale.core.lawguards import LEAST_SEEN, Learned, Seen, carried, kv_tokens_seen, learn
from predictscale.core.lawwindows import KEEP_S, LeftOut, Windows
from predictscale.core.needed import Bound, Demands, Limit, Needed
from predictscale.errors import HoldTarget

SLO = LatencyTargets(itl_s=0.05, ttft_p95_s=1.0)
UNSEEN = Seen(output_cost=TRUE.beta_s, input_cost=TRUE.gamma_s)


def known_law(*, mape: float = 0.03, cold: int = 0, span_s: float = KEEP_S) -> LawFit:
    return LawFit(
        law=TRUE,
        errors_s=(0.0, 0.0, 0.0),
        slope_error=0.01,
        mape=mape,
        windows=500,
        highest_utilization=0.35,
        span_s=span_s,
        left_out=LeftOut(cold=cold),
    )


def learned(fit: LawFit | None = None, *, seen: Seen = UNSEEN) -> Learned:
    return Learned(fit=fit or known_law(), why_not="", seen=seen)


UNTIMED = replace(known_law(), law=replace(TRUE, ttft=None))
NOTHING = Learned(fit=None, why_not="12 of 60 windows", seen=Seen(output_cost=1.0, input_cost=0.35))

PLAIN = CapacityLaw(slo=SLO, mix=CHAT, learned=learned(), imbalance=0.0)
ENGINE = Engine(kv_tokens=100_000, max_running=256, max_batched_tokens=2048)


def requests(rate: float, mix: Mix = CHAT) -> Demands:
    return Demands(requests_rps=rate).completed(mix)


def bound(needed: Needed, limit: Limit) -> Bound:
    (found,) = [bound for bound in needed.bounds if bound.limit is limit]
    return found


def test_the_formulas_of_the_note_limit_by_limit() -> None:
    # Chat at 40 requests/s: X_out 10,240, X_in 20,480 tok/s; U* = 1 - 12/50 = 0.76.
    burst = Burst(wait_probability=0.05, peakedness=4)
    law = replace(PLAIN, engine=ENGINE, burst=burst, imbalance=0.05)
    needed = law.needed(requests(40))
    usable = 0.76
    compute = (TRUE.beta_s * 10_240 + TRUE.gamma_s * 20_480) / usable
    assert bound(needed, Limit.COMPUTE).replicas == pytest.approx(compute)
    in_flight = 40 * TRUE.time_in_system_s(0.05, SLO, CHAT)
    assert bound(needed, Limit.KV).replicas == pytest.approx(in_flight * (512 + 128) / 90_000)
    output = usable * 256 / (TRUE.beta_s * 256 + TRUE.gamma_s * 512)
    slots = min(256, output * 0.05)
    spare = 1.7388 * (4 * in_flight) ** 0.5
    # Whichever of both kinds of slot is fewer.
    found = max(bound(needed, Limit.BURST).replicas, bound(needed, Limit.SLOTS).replicas)
    assert found == pytest.approx((in_flight + spare) / slots, rel=1e-3)
    assert needed.binding is Limit.BURST
    assert needed.replicas == math.ceil(found * 1.05)


def test_without_bursts_and_prefill_concurrency_asks_for_what_compute_asks() -> None:
    # R / B* equals n_U where the slots do not bind; prefill alone stands between the two.
    needed = replace(PLAIN, burst=Burst(peakedness=0)).needed(requests(40))
    compute, slots = bound(needed, Limit.COMPUTE).replicas, bound(needed, Limit.BURST).replicas
    prefilling = 40 * TRUE.gamma_s * 512
    assert slots - prefilling / (TRUE.output_per_replica(0.76, CHAT) * 0.05) == pytest.approx(compute)


def test_the_reason_has_the_numbers_that_bind() -> None:
    law = replace(PLAIN, limits=frozenset({Limit.COMPUTE}))
    needed = law.needed(Demands(requests_rps=0, input_tokens_per_s=0, output_tokens_per_s=41_200))
    assert needed.because == ("output tokens bind: 41,200 tok/s over 3,455 tok/s per replica at ITL 50 ms")
    assert needed.replicas == 12
    needed = replace(law, mix=RAG).needed(requests(30, RAG))
    assert needed.because.startswith("input tokens bind: 90,000 tok/s over ")
    assert needed.because.endswith("at p95 TTFT 1 s")


def test_the_cache_binds_where_it_is_small() -> None:
    needed = replace(PLAIN, engine=Engine(kv_tokens=20_000)).needed(requests(40))
    assert needed.binding is Limit.KV
    assert needed.because.startswith("KV cache binds: ")
    assert needed.replicas > PLAIN.needed(requests(40)).replicas


def test_time_that_a_request_may_queue_is_time_in_flight() -> None:
    law = replace(PLAIN, slo=replace(SLO, queue_s=2.0), engine=ENGINE, burst=Burst(peakedness=0))
    needed = law.needed(requests(40))
    in_flight = 40 * TRUE.time_in_system_s(0.05, law.slo, CHAT)
    assert bound(needed, Limit.SLOTS).replicas == pytest.approx(in_flight / 256)
    assert law.slo.queue_s * 40 == pytest.approx(in_flight - 40 * TRUE.time_in_system_s(0.05, SLO, CHAT))


def test_few_slots_bind_where_the_engine_has_few() -> None:
    needed = replace(PLAIN, engine=Engine(max_running=8)).needed(requests(40))
    assert needed.binding is Limit.SLOTS
    assert needed.replicas > 8 * PLAIN.needed(requests(40)).replicas
    assert needed.because.startswith("slots bind: ")
    assert needed.because.endswith(", over 8 per replica")
    in_flight = 40 * TRUE.time_in_system_s(0.05, SLO, CHAT)
    bare, spared = (
        bound(replace(PLAIN, engine=Engine(max_running=8), burst=burst).needed(requests(40)), Limit.SLOTS)
        for burst in (Burst(peakedness=0), Burst(wait_probability=0.05))
    )
    assert bare.replicas == pytest.approx(in_flight / 8)
    assert spared.replicas == pytest.approx((in_flight + 1.7388 * in_flight**0.5) / 8, rel=1e-3)


def test_a_burst_is_told_beside_the_tokens_that_bind() -> None:
    needed = replace(PLAIN, burst=Burst(wait_probability=0.01, peakedness=4)).needed(requests(40))
    assert needed.binding is Limit.BURST
    assert needed.because == (
        "output tokens bind: 10,240 tok/s over 2,000 tok/s per replica at ITL 50 ms, with 514 requests in "
        "flight and 108 spare for bursts, so that 1% wait at peakedness 4"
    )


RATES = st.floats(0, 1e6)
DEMANDS = st.builds(
    Demands,
    requests_rps=st.none() | RATES,
    input_tokens_per_s=st.none() | RATES,
    output_tokens_per_s=st.none() | RATES,
)
SEEN = st.builds(
    Seen,
    output_cost=st.just(TRUE.beta_s),
    input_cost=st.just(TRUE.gamma_s),
    best=st.none() | st.floats(0.01, 1),
    saturated=st.none() | st.floats(0.01, 1.5),
)
CONFIGURED = st.builds(
    Configured,
    per_replica=st.builds(
        Demands, requests_rps=st.floats(0.1, 100), output_tokens_per_s=st.none() | st.floats(1, 1e4)
    ),
    until_learned=st.booleans(),
)


@st.composite
def laws(draw: st.DrawFn) -> CapacityLaw:
    law = known_law(mape=draw(st.floats(0, 0.4)), cold=draw(st.integers(0, 3)))
    seen = draw(SEEN)
    return CapacityLaw(
        slo=draw(
            st.sampled_from([SLO, LatencyTargets(itl_s=0.02), LatencyTargets(itl_s=0.005, queue_s=0.5)])
        ),
        mix=draw(st.sampled_from([CHAT, RAG, GENERATION, replace(RAG, cached_share=1.0)])),
        learned=draw(st.sampled_from([None, learned(law, seen=seen), replace(NOTHING, seen=seen)])),
        configured=draw(st.none() | CONFIGURED),
        engine=draw(st.sampled_from([Engine(), ENGINE, Engine(kv_tokens=5000)])),
        burst=draw(st.sampled_from([Burst(), Burst(wait_probability=0.2, peakedness=9)])),
        imbalance=draw(st.floats(0, 0.3)),
        limits=draw(st.sampled_from([ALL_LIMITS, frozenset({Limit.COMPUTE})])),
    )


def answer(law: CapacityLaw, demand: Demands) -> Needed | None:
    try:
        return law.needed(demand)
    except HoldTarget:
        return None


@given(laws(), DEMANDS, st.sampled_from(["requests_rps", "input_tokens_per_s", "output_tokens_per_s"]), RATES)
def test_more_demand_never_needs_fewer_replicas(
    law: CapacityLaw, demand: Demands, rate: str, more: float
) -> None:
    if getattr(demand, rate) is None:
        return
    grown = {name: getattr(demand, name) for name in Demands.__dataclass_fields__}
    less, needed = answer(law, demand), answer(law, Demands(**{**grown, rate: grown[rate] + more}))
    assert (less is None) == (needed is None)
    if less is not None and needed is not None:
        assert needed.replicas >= less.replicas
        assert needed.because
        assert needed.replicas >= max(bound.replicas for bound in needed.bounds) * (1 - 1e-9)


@given(laws())
def test_no_demand_needs_no_replica_and_any_needs_one(law: CapacityLaw) -> None:
    none = answer(law, Demands(requests_rps=0, input_tokens_per_s=0, output_tokens_per_s=0))
    some = answer(law, Demands(requests_rps=1e-3, input_tokens_per_s=1e-3, output_tokens_per_s=1e-3))
    if none is not None and some is not None:
        assert none.replicas == 0
        assert some.replicas >= 1


def test_no_work_is_said_in_words() -> None:
    assert PLAIN.needed(Demands(requests_rps=0)).because == "no work is asked for"


def test_an_absurd_demand_is_a_number_for_the_ceiling_to_cut() -> None:
    law = replace(PLAIN, engine=ENGINE)
    assert law.needed(Demands(requests_rps=1e308)).replicas == pytest.approx(1e9)
    more = requests(1e308).plus(requests(1e308))
    assert law.needed(more).replicas == pytest.approx(1e9)


def test_whole_replicas_are_not_rounded_up_by_an_error_of_the_last_digit() -> None:
    each = Configured(per_replica=Demands(output_tokens_per_s=0.1))
    law = CapacityLaw(slo=SLO, configured=each)
    assert 0.1 + 0.2 > 0.3
    assert law.needed(Demands(output_tokens_per_s=0.1 + 0.2)).replicas == 3
    assert law.needed(Demands(output_tokens_per_s=1e300)).replicas == pytest.approx(1e9)


def test_an_unknown_rate_is_derived_from_the_mean_request() -> None:
    whole = PLAIN.needed(requests(40))
    assert PLAIN.needed(Demands(output_tokens_per_s=10_240)) == whole
    assert PLAIN.needed(Demands(input_tokens_per_s=20_480)) == whole
    # Two rates that disagree imply the more requests of both.
    both = Demands(output_tokens_per_s=10_240, input_tokens_per_s=40_960).completed(CHAT)
    assert both.requests_rps == 80


def test_an_unknown_rate_is_never_zero() -> None:
    with pytest.raises(HoldTarget, match="no rate of demand"):
        PLAIN.needed(Demands())
    cached = replace(PLAIN, mix=replace(CHAT, cached_share=1.0))
    with pytest.raises(HoldTarget, match="output tokens are not known"):
        cached.needed(Demands(input_tokens_per_s=5.0))
    owner = CapacityLaw(slo=SLO, configured=Configured(per_replica=Demands(requests_rps=2)))
    with pytest.raises(HoldTarget, match="requests are not known"):
        owner.needed(Demands(output_tokens_per_s=5.0))


def test_a_queue_beside_what_arrives_counts_in_every_rate() -> None:
    queue = requests(6)
    assert requests(40).plus(queue) == requests(46)
    assert requests(40).plus(Demands(requests_rps=6)).output_tokens_per_s is None


def test_what_the_owner_configured_always_wins() -> None:
    law = replace(PLAIN, configured=Configured(per_replica=Demands(requests_rps=5, output_tokens_per_s=900)))
    needed = law.needed(requests(40))
    assert needed.binding is Limit.CONFIGURED
    assert needed.replicas == 12  # 10,240 / 900 is more than 40 / 5
    assert needed.because == (
        "output tokens bind: 10,240 tok/s over 900 tok/s per replica; "
        "capacity is configured, so the learned law is not used"
    )


def test_a_configured_start_gives_way_to_the_law() -> None:
    start = Configured(per_replica=Demands(requests_rps=5), until_learned=True)
    before = replace(PLAIN, configured=start, learned=NOTHING).needed(requests(40))
    assert before.replicas == 8
    assert before.because.endswith("capacity is configured until it is learned: 12 of 60 windows")
    assert replace(PLAIN, configured=start).needed(requests(40)) == PLAIN.needed(requests(40))


def test_before_there_is_a_law_the_engines_limits_are_a_start() -> None:
    # B* = min(S_max, 2048 * 256 / 768) = 256; y* = 256 / 0.05 = 5,120 tok/s.
    law = replace(PLAIN, learned=NOTHING, engine=ENGINE)
    needed = law.needed(requests(100))
    assert needed.because.startswith("output tokens bind: 25,600 tok/s over 5,120 tok/s per replica")
    assert "a start from the engine's own limits, 256 running at ITL 50 ms, until" in needed.because
    wide = replace(law, engine=Engine(max_batched_tokens=2048)).needed(requests(100))
    assert wide.bounds[0].replicas == pytest.approx(25_600 / (2048 * 256 / 768 / 0.05))
    # What full replicas served in truth corrects it: 1,500 output and 3,000 input tokens at 0.35 each.
    seen = Seen(output_cost=1, input_cost=0.35, saturated=1500 + 0.35 * 3000)
    assert replace(law, imbalance=0.5).needed(requests(100)).replicas == math.ceil(5 * 1.5)
    cut = replace(law, learned=replace(NOTHING, seen=seen)).needed(requests(100))
    assert cut.bounds[0].replicas == pytest.approx(25_600 / 1500)
    assert "to what full replicas served" in cut.because


def test_with_nothing_else_the_best_seen_is_what_a_replica_serves() -> None:
    seen = Seen(output_cost=1, input_cost=0.35, best=1000)
    needed = replace(PLAIN, learned=replace(NOTHING, seen=seen)).needed(requests(40))
    assert needed.binding is Limit.SEEN
    assert needed.bounds[0].replicas == pytest.approx((10_240 + 0.35 * 20_480) / 1000)
    assert "sized by the best seen until capacity is learned: 12 of 60 windows" in needed.because


def test_with_nothing_known_of_a_replica_the_target_holds() -> None:
    for what in (NOTHING, None):
        with pytest.raises(HoldTarget, match="nothing is known of what a replica serves"):
            replace(PLAIN, learned=what).needed(requests(40))


def usable(seen: Seen, *, slo: LatencyTargets = SLO) -> tuple[float, str]:
    """The utilisation that a law is read at, and the reason."""
    law = replace(PLAIN, slo=slo, learned=learned(seen=seen), limits=frozenset({Limit.COMPUTE}))
    needed = law.needed(requests(4000))
    filled = TRUE.utilization(4000 * 256, 4000 * 512)
    return filled / needed.bounds[0].replicas, needed.because


def test_what_was_seen_bounds_the_law_from_both_sides() -> None:
    assert usable(UNSEEN)[0] == pytest.approx(0.76)
    share, because = usable(replace(UNSEEN, best=0.85))
    assert share == pytest.approx(0.85)
    assert "raised by 12% to the best seen within the SLO" in because
    share, because = usable(replace(UNSEEN, saturated=0.6))
    assert share == pytest.approx(0.6)
    assert "cut by 21% to what full replicas served" in because
    assert usable(replace(UNSEEN, best=0.5, saturated=0.9)) == usable(UNSEEN)


def test_where_floor_and_cap_disagree_the_larger_fleet_is_right() -> None:
    share, because = usable(replace(UNSEEN, best=0.85, saturated=0.8))
    assert share == pytest.approx(0.8)
    assert because.endswith("; raised by 5% to what full replicas served")
    assert usable(replace(UNSEEN, best=0.85, saturated=0.7))[0] == pytest.approx(0.7)


def test_the_best_seen_does_not_fill_a_replica_to_the_brim() -> None:
    assert usable(replace(UNSEEN, best=0.99))[0] == pytest.approx(0.92)


def test_a_law_that_misses_is_given_a_tenth_more() -> None:
    sure, poor = PLAIN.needed(requests(4000)), replace(PLAIN, learned=learned(known_law(mape=0.18)))
    needed = poor.needed(requests(4000))
    assert needed.replicas == pytest.approx(sure.replicas * DOUBT, rel=0.01)
    assert "10% more, for the law misses by 18% on average" in needed.because


@pytest.mark.parametrize(
    ("law", "words"),
    [
        (replace(PLAIN, learned=learned(known_law(cold=14))), "14 windows of cold pods left out"),
        (replace(PLAIN, learned=learned(known_law(span_s=3600))), "learned from the last 1 h only"),
        (replace(PLAIN, slo=LatencyTargets(itl_s=0.005)), "more replicas cannot meet the SLO"),
        (replace(PLAIN, learned=learned(UNTIMED)), "a prior stands in for the time to first token"),
    ],
)
def test_each_guard_that_acts_is_named(law: CapacityLaw, words: str) -> None:
    needed = law.needed(requests(40))
    assert words in needed.because
    assert any(words in guard for guard in needed.guards)


def test_a_promise_that_is_not_measured_is_not_dropped() -> None:
    # gamma I (k0 + k1 x) = 1 s, for the k0 and k1 that are thought of before they are measured.
    untimed = replace(PLAIN, mix=RAG, learned=learned(UNTIMED), limits=frozenset({Limit.COMPUTE}))
    stretch = (1 / (TRUE.gamma_s * 3000) - TTFT_K0) / TTFT_K1
    filled = TRUE.utilization(100 * 200, 100 * 3000)
    needed = untimed.needed(requests(100, RAG))
    assert needed.bounds[0].replicas == pytest.approx(filled / (1 - 1 / (1 + stretch)))
    free = replace(untimed, slo=LatencyTargets(itl_s=0.05)).needed(requests(100, RAG))
    assert free.replicas < needed.replicas
    assert free.guards == ()


def test_no_guard_is_named_where_none_acts() -> None:
    assert PLAIN.needed(requests(40)).guards == ()


def test_what_was_carried_is_read_off_the_windows() -> None:
    windows = joined(drawn(rows=200, top=0.5, noise=0), full(rows=5, output=1800))
    seen = carried(windows, now_s=NOW_S, slo=SLO, costs=(TRUE.beta_s, TRUE.gamma_s))
    loads = sorted(drawn(rows=200, top=0.5, noise=0).rates @ [TRUE.beta_s, TRUE.gamma_s])
    assert seen.best == pytest.approx(loads[-LEAST_SEEN])
    assert seen.saturated == pytest.approx(TRUE.utilization(1800, 3600))


Spoil = Callable[[Windows], Windows]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda w: replace(w, ends_s=w.ends_s - 86_401 - 60 * len(w)),
        lambda w: replace(w, pod_age_s=w.pod_age_s * 0),
        lambda w: replace(w, itl_s=w.itl_s + 0.05),
        lambda w: replace(w, ttft_p95_s=w.ttft_p95_s + 1),
        lambda w: replace(w, ttft_p95_s=w.ttft_p95_s * float("nan")),
        lambda w: replace(w, waiting_share=w.waiting_share + 1),
        lambda w: replace(w, preemptions=w.preemptions + 1),
        lambda w: w.where(w.work < sorted(w.work)[LEAST_SEEN - 1]),
    ],
)
def test_a_window_that_proves_nothing_is_no_floor(spoil: Spoil) -> None:
    windows = drawn(rows=100)
    assert carried(windows, now_s=NOW_S, slo=SLO, costs=(1, 0.35)).best
    assert carried(spoil(windows), now_s=NOW_S, slo=SLO, costs=(1, 0.35)).best is None


@pytest.mark.parametrize(
    "spoil",
    [
        lambda w: replace(w, ends_s=w.ends_s - 86_401),
        lambda w: replace(w, pod_age_s=w.pod_age_s * 0),
        lambda w: replace(w, itl_s=w.itl_s * 0 + 0.04),
        lambda w: replace(w, waiting_share=w.waiting_share - 0.1),
        lambda w: w.where(w.work < 0),
    ],
)
def test_a_window_that_was_not_full_is_no_cap(spoil: Spoil) -> None:
    windows = full(rows=5, output=1800)
    assert carried(windows, now_s=NOW_S, slo=SLO, costs=(1, 0.35)).saturated
    assert carried(spoil(windows), now_s=NOW_S, slo=SLO, costs=(1, 0.35)).saturated is None


def test_a_cache_that_is_not_told_is_read_off_what_it_held() -> None:
    windows = drawn(rows=100)
    held = windows.running * (512 + 128)
    telling = replace(windows, kv_usage=np.minimum(1, held / 40_000))
    assert kv_tokens_seen(telling, now_s=NOW_S, mix=CHAT) == pytest.approx(40_000)
    nearly_empty = replace(windows, kv_usage=held / 4_000_000)
    assert kv_tokens_seen(nearly_empty, now_s=NOW_S, mix=CHAT) is None
    untold = replace(windows, kv_usage=windows.kv_usage * float("nan"))
    assert kv_tokens_seen(untold, now_s=NOW_S, mix=CHAT) is None
    assert kv_tokens_seen(telling, now_s=NOW_S + 2 * 86_400, mix=CHAT) is None


def test_after_a_slower_release_what_was_carried_before_proves_nothing() -> None:
    slower = replace(TRUE, alpha_s=0.02, beta_s=4e-4, gamma_s=1.6e-4)
    before = drawn(rows=900, top=0.7, newest_age_s=3660, seed=1)
    taught = learn(joined(drawn(law=slower, rows=61), before), now_s=NOW_S, slo=SLO)
    assert taught.fit is not None
    assert taught.fit.span_s == 3600
    assert taught.seen.best is not None
    assert taught.seen.best < 0.45
    assert carried(before, now_s=NOW_S, slo=SLO, costs=(4e-4, 1.6e-4)).best > 1  # type: ignore[operator]


def test_a_full_replica_that_only_starts_late_is_full_too() -> None:
    late = replace(full(rows=5, output=1800, itl_s=0.04), ttft_p95_s=np.full(5, 3.0))
    costs = (TRUE.beta_s, TRUE.gamma_s)
    assert carried(late, now_s=NOW_S, slo=SLO, costs=costs).saturated == pytest.approx(0.684)
    assert carried(late, now_s=NOW_S, slo=LatencyTargets(itl_s=0.05), costs=costs).saturated is None


def test_learning_gives_a_law_or_says_why_not() -> None:
    taught = learn(drawn(), now_s=NOW_S, slo=SLO)
    assert taught.fit is not None
    assert taught.seen.output_cost == taught.fit.law.beta_s
    early = learn(drawn(rows=12), now_s=NOW_S, slo=SLO)
    assert early.fit is None
    assert early.why_not == "12 of the 60 usable windows that it takes"
    assert early.seen.best is not None
    assert (early.seen.output_cost, early.seen.input_cost) == (1, 0.35)
    with pytest.raises(ValueError, match="reason"):
        Learned(fit=None, why_not="", seen=UNSEEN)


def test_windows_at_a_third_of_the_load_size_a_fleet_within_a_tenth() -> None:
    truth = PLAIN.needed(requests(4000)).bounds[0].replicas
    for seed in range(5):
        law = replace(PLAIN, learned=learn(drawn(seed=seed, noise=0.05), now_s=NOW_S, slo=SLO))
        assert law.needed(requests(4000)).bounds[0].replicas == pytest.approx(truth, rel=0.1)


def test_plain_requests_are_spoken_of_as_requests() -> None:
    fit = replace(known_law(), law=replace(TRUE, alpha_s=0.04, beta_s=0.008, gamma_s=0.0, ttft=None))
    law = CapacityLaw(
        slo=LatencyTargets(itl_s=0.1),
        mix=Mix.of_requests(),
        learned=Learned(fit=fit, why_not="", seen=Seen(output_cost=0.008, input_cost=0)),
        work=REQUESTS,
        imbalance=0,
        limits=frozenset({Limit.COMPUTE}),
    )
    needed = law.needed(Demands(requests_rps=410))
    assert needed.because == "requests bind: 410 req/s over 75 req/s per replica at latency 100 ms"
    assert needed.replicas == 6


def test_settings_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="a replica serves something"):
        Configured(per_replica=Demands(requests_rps=0.0))
    with pytest.raises(ValueError, match="a replica serves something"):
        Configured(per_replica=Demands())
    with pytest.raises(ValueError, match="engine"):
        Engine(kv_tokens=0)
    with pytest.raises(ValueError, match="imbalance"):
        replace(PLAIN, imbalance=-0.1)
    with pytest.raises(ValueError, match="mix"):
        replace(PLAIN, mix=None)
    with pytest.raises(ValueError, match="unknown"):
        Demands(requests_rps=float("nan"))
