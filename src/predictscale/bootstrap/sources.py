"""Which source answers for a workload, made from the settings: Prometheus, or a replay."""

from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from predictscale.clock import Clock, ReplayClock, SystemClock
from predictscale.config.settings import (
    PrometheusSettings,
    ReplaySettings,
    ServiceSettings,
    WorkloadSettings,
)
from predictscale.core.demand import Signal, SignalName
from predictscale.core.series import MetricWindow
from predictscale.errors import AskOwner
from predictscale.meters import Meters
from predictscale.sources.base import Source
from predictscale.sources.credentials import Basic, Bearer, Tls
from predictscale.sources.files import load_csv, load_parquet
from predictscale.sources.prometheus import PrometheusSource
from predictscale.sources.replay import ReplaySource, Series
from predictscale.sources.synthetic import chat_tokens, shop_requests

Signals = Callable[[WorkloadSettings], Mapping[SignalName, Signal]]
"""What to ask the source of a workload."""


class Sources:
    """The source of each workload: the service's own, or a foreign one that its owner allows."""

    def __init__(self, settings: ServiceSettings, meters: Meters, clock: Clock, given: Source | None) -> None:
        self._meters = meters
        self._clock = clock
        self._foreign: dict[str, Source] = {}
        if given is None and settings.prometheus is not None:
            given = self._own(settings.prometheus)
        if given is None:
            raise AskOwner(
                "prometheus: is missing; give its url, or a replay; `predictscale demo` needs neither"
            )
        self._given = given

    @property
    def own(self) -> Source:
        """The service's own source, which workloads that name no other are read from."""
        return self._given

    def of(self, workload: WorkloadSettings) -> Source:
        """Where the workload's metrics are read. A foreign address gets none of our credentials."""
        address = workload.prometheus
        if address is None:
            return self._given
        if address not in self._foreign:
            self._foreign[address] = PrometheusSource(url=address, meters=self._meters, clock=self._clock)
        return self._foreign[address]

    async def aclose(self) -> None:
        """Close all of them."""
        for source in (self._given, *self._foreign.values()):
            await source.aclose()

    def _own(self, prometheus: PrometheusSettings) -> Source:
        tls = prometheus.tls
        auth: Bearer | Basic | None = None
        if prometheus.bearer_token_file is not None:
            auth = Bearer(token_file=Path(prometheus.bearer_token_file))
        elif prometheus.basic is not None:
            basic = prometheus.basic
            auth = Basic(username=basic.username, password_file=Path(basic.password_file))
        return PrometheusSource(
            url=prometheus.url,
            meters=self._meters,
            clock=self._clock,
            auth=auth,
            tls=Tls(
                ca_file=_path(tls.ca_file),
                cert_file=_path(tls.cert_file),
                key_file=_path(tls.key_file),
                insecure=tls.insecure,
            ),
            headers=prometheus.headers,
            timeout_s=prometheus.timeout_s,
            max_concurrent=prometheus.max_concurrent,
            retries=prometheus.retries,
        )


def replay_signals(names: Collection[str]) -> Signals:
    """What to ask a replay of a workload: the series that its queries name, and those of its fleet.

    `NAME_replicas` and `NAME_ready` are the fleet of the workload NAME, where there are such series.
    """

    def signals(workload: WorkloadSettings) -> Mapping[SignalName, Signal]:
        name = workload.workload.name
        asked = {SignalName.DEMAND: workload.query, SignalName.QUEUE: workload.queue_query}
        fleet = {signal: f"{name}_{signal}" for signal in (SignalName.REPLICAS, SignalName.READY)}
        asked |= {signal: query for signal, query in fleet.items() if query in names}
        return {s: Signal(name=s, query=q, unit=workload.unit) for s, q in asked.items() if q is not None}

    return signals


def replay_clock(replay: ReplaySettings) -> ReplayClock:
    """The clock of a replay, which starts where the settings say, or now."""
    return ReplayClock(start=replay.start or SystemClock().now(), speed=replay.speed)


def replay_source(replay: ReplaySettings, clock: Clock) -> ReplaySource:
    """The series of the settings.

    Raises:
        FileUnusable: A file is not what its name promises.
    """
    synthetic = {"synthetic:chat": chat_tokens, "synthetic:shop": shop_requests}
    series: dict[str, Series | MetricWindow] = {}
    for name, origin in replay.series.items():
        if origin in synthetic:
            series[name] = synthetic[origin]()
        elif origin.endswith(".parquet"):
            series[name] = load_parquet(Path(origin))
        else:
            series[name] = load_csv(Path(origin))
    return ReplaySource(series, clock=clock)


def _path(text: str | None) -> Path | None:
    return Path(text) if text is not None else None
