from collections.abc import Mapping
from datetime import timedelta

import numpy as np

from predictscale.config.cluster import PodFact
from predictscale.control.podlog import FACTS, GONE_AFTER_S, MOST_PODS, PodLog
from predictscale.core.series import MetricWindow
from predictscale.sources.base import Labelled
from worlds import NOON, at

DAY_S = 86400.0


def told(
    facts: Mapping[PodFact, Mapping[str, Mapping[int, float]]], *, bins: int = 60
) -> dict[PodFact, list[Labelled]]:
    """Values [s after noon] by fact, pod and minute after noon; `TOLD` in every minute that is named."""
    found: dict[PodFact, list[Labelled]] = {fact: [] for fact in (*FACTS, PodFact.TOLD)}
    for fact, pods in facts.items():
        for uid, values in pods.items():
            window = np.full(bins, np.nan)
            for minute, value in values.items():
                window[minute - 1] = 1.0 if fact is PodFact.TOLD else at(value).timestamp()
            found[fact].append(Labelled({"uid": uid}, MetricWindow(NOON, 60.0, window)))
    return found


def every(minutes: range, value: float = 0.0) -> dict[int, float]:
    return dict.fromkeys(minutes, value)


def test_a_pod_that_is_told_of_again_was_not_gone() -> None:
    log = PodLog(keep_s=DAY_S)
    cluster = {PodFact.TOLD: {"": every(range(1, 31))}}
    log.note(told({PodFact.CREATED: {"a": every(range(1, 6))}, **cluster}))
    (pod,) = log.starts(at(1800))
    assert pod.gone == at(300)
    log.note(told({PodFact.CREATED: {"a": every(range(10, 31))}, **cluster}))
    (pod,) = log.starts(at(1800))
    assert pod.gone is None


def test_a_silence_is_an_end_when_the_deployment_was_told_of_long_enough_after_it() -> None:
    log = PodLog(keep_s=DAY_S)
    log.note(told({PodFact.CREATED: {"a": every(range(1, 6))}, PodFact.TOLD: {"": every(range(1, 60))}}))
    known = at(300 + GONE_AFTER_S)
    assert [pod.gone for pod in log.starts(known)] == [at(300)]
    assert [pod.gone for pod in log.starts(known - timedelta(seconds=1))] == [None]


def test_what_was_told_first_stays_whatever_is_read_later() -> None:
    log = PodLog(keep_s=DAY_S)
    created = {PodFact.CREATED: {"a": every(range(1, 31))}}
    late, early = {PodFact.READY: {"a": {20: 1150.0}}}, {PodFact.READY: {"a": {3: 100.0}}}
    for first, second in ((late, early), (early, late)):
        log.note(told({**created, **first}))
        log.note(told({**created, **second}))
        assert [pod.ready for pod in log.starts(at(1800))] == [at(100)]
        assert [pod.ready for pod in log.starts(at(179))] == [None]


def test_a_pod_is_not_there_before_it_was_told() -> None:
    log = PodLog(keep_s=DAY_S)
    log.note(told({PodFact.CREATED: {"a": every(range(5, 9), 200.0)}}))
    assert log.starts(at(299)) == []
    assert len(log.starts(at(300))) == 1


def test_the_newest_pods_are_offered_and_as_many_are_remembered_as_memory_is_given_for() -> None:
    log = PodLog(keep_s=DAY_S)
    pods = {f"p{n}": {60: float(n)} for n in range(MOST_PODS + 500)}
    log.note(told({PodFact.CREATED: pods}))
    offered = [pod.uid for pod in log.starts(at(3600))]
    assert len(offered) == 100
    assert offered[-1] == f"p{MOST_PODS + 499}"
    log.note(told({PodFact.CREATED: {}}))
    assert len(log.starts(at(3600))) == 100


def test_pods_of_which_no_uid_is_told_are_known_by_name() -> None:
    log = PodLog(keep_s=DAY_S)
    facts = told({PodFact.CREATED: {"a": {1: 0.0}}, PodFact.READY: {"a": {2: 100.0}}})
    named = {
        fact: [Labelled({"pod": one.labels["uid"]}, one.window) for one in series]
        for fact, series in facts.items()
    }
    log.note(named)
    assert [(pod.uid, pod.ready) for pod in log.starts(at(600))] == [("a", at(100))]
