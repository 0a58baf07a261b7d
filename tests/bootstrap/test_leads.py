"""Whose lead time is measured, and with which delays."""

from dataclasses import replace
from typing import Any

import pytest

from pod_lives import ClusterOfLives, steady
from predictscale.bootstrap.leads import lead_times
from predictscale.clock import ManualClock
from predictscale.config.lead import DelaySettings
from predictscale.config.presets import load_presets
from predictscale.config.workload import WorkloadSettings
from predictscale.control.leads import LeadBook, LeadTimes
from predictscale.control.sizing import LeadTeller, Sized
from predictscale.core.leadtime import Delays
from predictscale.meters import Meters
from predictscale.sources.base import Source
from predictscale.sources.prometheus import PrometheusSource
from predictscale.sources.replay import ReplaySource
from worlds import CHAT, NOON, at

SETTINGS = WorkloadSettings(
    workload=CHAT, query="load", capacity_per_replica=10, max_replicas=100, target="chat", lead_time_s=240
)


def made(settings: WorkloadSettings, source: Source | None = None) -> LeadTimes | None:
    clock = ManualClock(NOON)
    asked = source or PrometheusSource(url="http://127.0.0.1:9", meters=Meters(), clock=clock)
    return lead_times(settings, source=asked, presets=load_presets(), clock=clock, book=LeadBook())


def test_a_workload_with_a_target_is_measured_unless_its_owner_says_no() -> None:
    assert made(SETTINGS) is not None
    assert made(replace(SETTINGS, measure_lead_time=False)) is None
    assert made(replace(SETTINGS, target=None)) is None


def test_a_replay_tells_of_no_pods() -> None:
    assert made(SETTINGS, ReplaySource({}, clock=ManualClock(NOON))) is None


async def measured_delays(monkeypatch: pytest.MonkeyPatch, settings: WorkloadSettings) -> tuple[Delays, str]:
    """What is added to starts, and one of the queries that was asked."""
    pods = ClusterOfLives(steady(20, last=at(-4000)))
    queries: list[str] = []

    async def read_each(_: object, query: str, **when: Any) -> object:
        queries.append(query)
        if "kube_pod_status_ready_time" in query:
            return await pods.read_each("ready", **when)
        told = query.startswith("(max by (namespace, pod, uid) (max_over_time(kube_pod_created")
        return await pods.read_each("created", **when) if told else ()

    monkeypatch.setattr(PrometheusSource, "read_each", read_each)
    leads = made(settings)
    assert leads is not None
    teller: LeadTeller = leads
    await Sized(lead=teller).wake()
    state = leads.state_at(NOON)
    await leads.stop()
    assert state is not None
    assert state.lead.starts.start_s == 100
    return state.lead.delays, queries[0]


async def test_of_a_backend_its_own_window_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = replace(SETTINGS, query=None, backend="vllm", selector='namespace="prod"')
    delays, query = await measured_delays(monkeypatch, backend)
    window_s = load_presets()["vllm"].window_s
    assert delays == Delays(scrape_s=30 + window_s / 2, poll_s=0, sync_s=15, rate_limit_s=0)
    assert 'namespace="prod",pod=~"chat-.*"' in query
    assert 'owner_name="chat"' in query


async def test_keda_polls_only_where_a_workload_may_be_at_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    own = DelaySettings(scrape_interval_s=15, rate_window_s=300, poll_s=20, hpa_sync_s=10, rate_limit_s=60)
    asleep = replace(SETTINGS, min_replicas=0, delays=own)
    delays, _ = await measured_delays(monkeypatch, asleep)
    assert delays == Delays(scrape_s=165, poll_s=20, sync_s=10, rate_limit_s=60)
    awake, _ = await measured_delays(monkeypatch, replace(asleep, min_replicas=1))
    assert awake.poll_s == 0
