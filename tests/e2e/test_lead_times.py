"""Lead times from kube-state-metrics through a real Prometheus, against when pods really came up."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

import numpy as np
import pytest

from engine_fleets import backfill, value_of
from patience import WITHIN_S
from predictscale.clock import ManualClock
from predictscale.config.cluster import KUBERNETES, Place, PodFact, load_cluster
from predictscale.control.leads import STEP_S, LeadBook, LeadState, LeadTimes
from predictscale.core.demand import WorkloadId
from predictscale.core.leadtime import LAST_STARTS, Delays
from predictscale.core.podstarts import Node
from predictscale.meters import Meters
from predictscale.simulate.engine import kubernetes
from predictscale.simulate.engine.deployment import Names
from predictscale.simulate.engine.families import Families
from predictscale.simulate.engine.fleet import Fleet
from predictscale.simulate.engine.pods import Pod, PodBoot
from predictscale.simulate.engine.record import Recording
from predictscale.simulate.engine.spec import EngineSpec
from predictscale.simulate.fleet import BootTime
from predictscale.sources.prometheus import PrometheusSource
from prometheus_server import PrometheusServer

pytestmark = pytest.mark.e2e

SCRAPE_S = 30.0
HOURS = 26
ROUND_S = 1800.0
WHERE = Place(namespace="prod", deployment="chat")
LOOKS = (0.0, 30.0, 60.0, 150.0, 300.0, 690.0)
"""When pods that start are counted, after a scale-up; each at a scrape [s]."""


@dataclass(frozen=True)
class World:
    """A Prometheus with the past of two Deployments, whose names begin alike."""

    server: PrometheusServer
    fleet: Fleet
    starting: dict[datetime, int]
    end: datetime

    @property
    def born(self) -> list[Pod]:
        """The pods that were created while anybody looked, by creation."""
        found = [pod for pod in (*self.fleet.pods, *self.fleet.past_pods) if pod.birth.created_s >= 0]
        return sorted(found, key=lambda pod: pod.birth.created_s)


def bimodal(deployment: str, *, load_s: float, seed: int, share: float) -> Fleet:
    boot = PodBoot(node_share=share, load=BootTime(median_s=load_s, spread=0.15))
    names = Names(namespace="prod", deployment=deployment)
    return Fleet(spec=EngineSpec(), streams=(), pods=1, boot=boot, names=names, seed=seed)


def scrape(recording: Recording, fleet: Fleet, until: datetime) -> None:
    """What kube-state-metrics told until then; not on the minute, for scrapes are not."""
    look = int((fleet.now_s - 7.0) // SCRAPE_S) + 1
    while (at := fleet.origin + timedelta(seconds=look * SCRAPE_S + 7.0)) <= until:
        fleet.run(at)
        families = Families()
        kubernetes.tell(families, fleet)
        recording.add(families, at.timestamp())
        look += 1
    fleet.run(until)


def live(recording: Recording, fleet: Fleet, *, seed: int) -> dict[datetime, int]:
    """A day of scaling up and down, with readiness that flaps; how many were starting, now and then."""
    rng = np.random.default_rng(seed)
    starting: dict[datetime, int] = {}
    for turn in range(int(HOURS * 3600 / ROUND_S)):
        begin = fleet.origin + timedelta(seconds=turn * ROUND_S)
        scrape(recording, fleet, begin)
        fleet.scale(1 + int(rng.integers(1, 4)), begin)
        for look_s in LOOKS:
            at = begin + timedelta(seconds=look_s + 7.0)
            scrape(recording, fleet, at)
            starting[at] = sum(not pod.ready(fleet.now_s) for pod in fleet.kept)
        for _ in range(3):
            # Ready for a scrape at least, or nobody could have seen it.
            up = [pod for pod in fleet.kept if fleet.now_s - pod.birth.ready_s > SCRAPE_S]
            if up:
                pod = up[int(rng.integers(len(up)))]
                fleet.flap(pod.name, fleet.now, for_s=float(rng.uniform(10, 200)))
            scrape(recording, fleet, fleet.now + timedelta(seconds=240))
        fleet.scale(1, fleet.now)
    scrape(recording, fleet, fleet.origin + timedelta(hours=HOURS))
    return starting


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    recording = Recording()
    fleet = bimodal("chat", load_s=90.0, seed=1, share=0.3)
    starting = live(recording, fleet, seed=1)
    live(recording, bimodal("chat-large", load_s=900.0, seed=2, share=0.0), seed=2)
    folder = tmp_path_factory.mktemp("pods")
    backfill(folder, [recording])
    with PrometheusServer(folder) as server:
        yield World(server, fleet, starting, fleet.now)


async def measured(world: World) -> LeadState:
    clock, book = ManualClock(world.end), LeadBook()
    source = PrometheusSource(url=world.server.url, meters=Meters(), clock=clock, timeout_s=WITHIN_S)
    ask = partial(load_cluster()[KUBERNETES].query, place=WHERE, window_s=STEP_S)
    leads = LeadTimes(
        WorkloadId("prod", "chat"),
        source=source,
        queries={fact: ask(fact) for fact in PodFact},
        delays=Delays(),
        configured_s=300,
        clock=clock,
        book=book,
    )
    await leads.wake()
    await leads.settled()
    state = leads.state_at(world.end)
    await leads.stop()
    await source.aclose()
    assert state is not None
    return state


async def test_the_measured_lead_time_is_within_a_scrape_of_the_truth(world: World) -> None:
    state = await measured(world)
    assert state.problem == ""
    known = [
        pod for pod in world.born if world.fleet.origin + timedelta(seconds=pod.birth.created_s) <= state.at
    ]
    last = known[-LAST_STARTS:]
    assert len(last) == LAST_STARTS
    assert all(pod.birth.ready_s < world.fleet.now_s - 300 for pod in last)
    flapped = [pod for pod in last if pod.ready_since_s > pod.birth.ready_s]
    assert len(flapped) > 10
    truth = float(np.quantile([pod.birth.boot_s for pod in last], 0.9))
    assert state.lead.measured_s == pytest.approx(truth, abs=SCRAPE_S)
    assert (state.lead.starts.ready, state.lead.refused, state.lead.failed) == (LAST_STARTS, 0, 0)
    # Two humps, and no third from the Deployment whose name begins alike.
    bought = [pod.birth.boot_s for pod in last if pod.birth.bought]
    assert 10 <= len(bought) <= 20
    kinds = state.lead.kinds
    assert kinds[Node.BOUGHT].ready == len(bought)
    assert kinds[Node.BOUGHT].start_s == pytest.approx(float(np.quantile(bought, 0.9)), abs=SCRAPE_S)
    present = [pod.birth.boot_s for pod in last if not pod.birth.bought]
    assert kinds[Node.PRESENT].start_s == pytest.approx(float(np.quantile(present, 0.9)), abs=SCRAPE_S)


def test_pods_that_start_are_counted_as_they_were(world: World) -> None:
    query = load_cluster()[KUBERNETES].query(PodFact.STARTING, WHERE, window_s=STEP_S)
    told = {at: value_of(world.server, query, at) for at in world.starting}
    assert told == world.starting
    assert set(world.starting.values()) > {0, 1, 2}
