"""The service made from its settings: run, and drained."""

import asyncio
import contextlib
import signal
import socket
from collections.abc import Coroutine, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from math import ceil
from pathlib import Path
from threading import Thread
from wsgiref.simple_server import WSGIServer

import grpc
import structlog
import uvicorn
from prometheus_client import ProcessCollector, start_http_server

from predictscale.bootstrap.archive import Archive
from predictscale.bootstrap.asides import asides_of
from predictscale.bootstrap.detect import BackendFinder
from predictscale.bootstrap.leads import lead_times
from predictscale.bootstrap.money import Treasury
from predictscale.bootstrap.pools import pool_watch
from predictscale.bootstrap.shadow import ShadowBook
from predictscale.bootstrap.sizing import learner_of
from predictscale.bootstrap.sources import Signals, Sources, replay_clock, replay_signals, replay_source
from predictscale.bootstrap.tuning import PoolTuner, ready_before
from predictscale.bootstrap.whatif import WhatIfs
from predictscale.clock import Clock, SystemClock
from predictscale.config.metadata import parse_trigger
from predictscale.config.presets import AUTO, Presets
from predictscale.config.resolve import outlives_replicas
from predictscale.config.settings import (
    ServerTls,
    ServiceSettings,
    WorkloadSettings,
)
from predictscale.control.asks import Goal, Subject
from predictscale.control.auditlog import AuditLog
from predictscale.control.context import context_of
from predictscale.control.desk import Desk, Following, Ref
from predictscale.control.detecting import DetectingTracker
from predictscale.control.errand import Errand
from predictscale.control.eventbook import EventBook
from predictscale.control.leads import LeadBook
from predictscale.control.loop import Followed, Loop
from predictscale.control.overrides import OverrideBook
from predictscale.control.reading import Readable
from predictscale.control.recall import ReadyBefore
from predictscale.control.refit import FitPool
from predictscale.control.shelf import ModelShelf
from predictscale.control.sizing import Sized
from predictscale.control.store import DecisionStore
from predictscale.control.strand import Refittable
from predictscale.control.tracker import Grid, Tracker
from predictscale.control.tuning import SelfTuning
from predictscale.control.tuningshelf import TuningShelf
from predictscale.control.whatif import WhatIfQueue
from predictscale.core.demand import SignalName, WorkloadId
from predictscale.core.events import PlannedEvent
from predictscale.core.plan import Decision
from predictscale.errors import AskOwner, Problem, SettingsError
from predictscale.forecasters.registry import resolve
from predictscale.meters import Meters
from predictscale.serving.events import EventDesk
from predictscale.serving.fleet import About
from predictscale.serving.grpc import ScalerServer, address
from predictscale.serving.leads import LeadCollector
from predictscale.serving.money import MoneyCollector, told_savings
from predictscale.serving.overrides import OverrideDesk
from predictscale.serving.pools import PoolCollector
from predictscale.serving.promotion import PromotionDesk
from predictscale.serving.rest import create_app
from predictscale.serving.savings import SavingsCollector
from predictscale.serving.telemetry import DecisionCollector
from predictscale.serving.telemetry_llm import LawCollector
from predictscale.serving.telemetry_models import ModelCollector
from predictscale.serving.tls import TlsFiles, server_credentials
from predictscale.serving.tokens import WriteTokens
from predictscale.serving.whatif import WhatIfDesk
from predictscale.serving.writing import Writing
from predictscale.sources.base import Source
from predictscale.sources.cached import CachedSource
from predictscale.sources.history import History

_log = structlog.get_logger(__name__)

_SPARE_S = 86400.0
"""How much longer than it can be used history is kept."""
_SCRAPED_S = 1.0
"""A scrape that began before a tick has ended by then [s]."""
_FLUSH_TICKS = 4
"""The cache is written every so many ticks; a kill loses no more than that, and it is asked for again."""


class PortTaken(AskOwner):
    """Another process listens where the settings send us."""


class Service:
    """One service process, from its settings to its ports.

    Args:
        settings: All of them.
        clock: Whose time the data has; the machine's unless a replay brings its own.
        source: Where metrics come from, if not from the Prometheus of the settings.
        signals: What to ask `source` for; needed with `source`.

    Raises:
        FileUnusable: The file of announced events cannot be read.
        SettingsError: The file of tokens cannot be read.
    """

    def __init__(
        self,
        settings: ServiceSettings,
        *,
        clock: Clock | None = None,
        source: Source | None = None,
        signals: Signals | None = None,
    ) -> None:
        self.settings = settings
        if source is None and settings.replay is not None:
            clock = replay_clock(settings.replay)
            source = replay_source(settings.replay, clock)
            signals = replay_signals(settings.replay.series)
        self.clock = clock or SystemClock()
        self.meters = Meters()
        self.store = DecisionStore()
        self._presets: Presets = settings.presets()
        self._signals: Signals = signals or (lambda workload: workload.signals(self._presets))
        self._sources = Sources(settings, self.meters, self.clock, source)
        self._find = BackendFinder(self._presets, source_of=self._sources.of)
        path = settings.cache.path
        self._history = History(path=Path(path) if path is not None else None, meters=self.meters)
        announced = settings.events.path
        self._events = EventBook(Path(announced) if announced is not None else None)
        ordered = settings.overrides.path
        self._overrides = OverrideBook(Path(ordered) if ordered is not None else None)
        tokens = settings.http.write_token_file
        audit = settings.http.audit_path
        self._writing = Writing(
            tokens=WriteTokens(Path(tokens)) if tokens is not None else None,
            audit=AuditLog(Path(audit) if audit is not None else None),
            now=self.clock.now,
        )
        self._shelf = ModelShelf(self._history, step_s=settings.loop.step_s)
        self._fits = FitPool(
            meters=self.meters, workers=settings.fit.workers, deadline_s=settings.fit.deadline_s
        )
        self._tuner = PoolTuner(self._fits)
        self._leads = LeadBook()
        self._treasury = Treasury(self._history, tick_s=settings.loop.tick_s)
        self._archive = Archive(settings.archive, self.meters, self._treasury.book)
        self._shadow = ShadowBook(
            self._history,
            tick_s=settings.loop.tick_s,
            settings_of=self._followed,
            persisted=path is not None,
        )
        self._turn = asyncio.Lock()
        self._grid = Grid(
            tick_s=settings.loop.tick_s,
            step_s=settings.loop.step_s,
            history_s=settings.loop.history_s,
            refit_s=settings.fit.every_s,
        )
        self._ticks = 0
        self.loop = Loop(
            follow=self._follow,
            store=self.store,
            clock=self.clock,
            tick_s=settings.loop.tick_s,
            # Only in life do samples come in after their instant.
            read_after_s=min(_SCRAPED_S, settings.loop.tick_s / 4) if clock is None else 0.0,
            meters=self.meters,
            on_tick=self._on_tick,
            on_decision=self._note,
        )
        self._asides = asides_of(self.loop, paused_until=self._paused_until)
        self._what_ifs = WhatIfs(
            WhatIfQueue(clock=self.clock),
            tracker=self.loop.tracker,
            store=self.store,
            terms=lambda: settings.terms(self._presets),
            grid=self._grid,
            announced=self._announced,
            meters=self.meters,
        )
        self._tasks: set[asyncio.Task[None]] = set()
        self._house = Errand()
        self._ready = False

    async def start(self) -> None:
        """Open the ports and follow the named workloads.

        Raises:
            PortTaken: One of the ports is another's.
            SettingsError: A named workload asks for a forecaster that there is not.
        """
        settings = self.settings
        if problems := forecaster_problems(settings):
            raise SettingsError(problems)
        for own in settings.backends:
            _log.info("backend", said=own.said())
        self.desk = Desk(
            parse=self._parse,
            store=self.store,
            following=Following(self.loop.track, self.loop.untrack),
            clock=self.clock,
            max_registrations=settings.limits.max_workloads,
            expire_after_s=settings.limits.expire_after_s,
            named=settings.named_workloads(self._presets),
        )
        self.meters.registry.register(DecisionCollector(self.store, self.desk, self.clock.now))
        # This process alone: workers that fit are processes of their own.
        ProcessCollector(registry=self.meters.registry)
        self.meters.registry.register(LeadCollector(self._leads))
        self.meters.registry.register(LawCollector(self.store))
        self.meters.registry.register(PoolCollector(self.store, self.clock.now))
        self.meters.registry.register(
            ModelCollector(self.store, self.desk, self.clock, readers=self._reader, asides=self._asides)
        )
        self.meters.registry.register(SavingsCollector(lambda: told_savings(self._treasury.book)))
        self.meters.registry.register(MoneyCollector(self._treasury.book))
        self._spawn(self.loop.run())
        self.grpc = ScalerServer(
            self.desk,
            meters=self.meters,
            host=settings.grpc.host,
            port=settings.grpc.port,
            credentials=_credentials(settings.grpc.tls),
            timeout_s=settings.grpc.timeout_s,
            drain_s=settings.grpc.drain_s,
            grace_s=settings.grpc.grace_s,
        )
        await self.grpc.start()
        self._open_rest()
        self._open_metrics()
        self._ready = True

    def addresses(self) -> list[str]:
        """The three addresses, a line each, for a person."""
        settings = self.settings
        return [
            f"gRPC     {address(settings.grpc.host, self.grpc.port)}  (KEDA's scalerAddress)",
            f"REST     http://{address(settings.http.host, self.http_port)}/  (the page; /api/v1/workloads)",
            f"metrics  http://{address(settings.metrics.host, self.metrics_port)}/metrics",
        ]

    @property
    def http_port(self) -> int:
        """Where REST and the page listen."""
        return int(self._http_socket.getsockname()[1])

    @property
    def metrics_port(self) -> int:
        """Where the service's own metrics are scraped."""
        return int(self._metrics_server.server_port)

    async def run_until_told(self) -> None:
        """Serve until SIGTERM or SIGINT, then drain: no call in flight fails."""
        told = asyncio.Event()
        running = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            running.add_signal_handler(number, told.set)
        await told.wait()
        _log.info("told to stop; draining")
        await self.stop()

    async def stop(self) -> None:
        """Drain the gRPC port, then close everything; the cache is written first."""
        self._ready = False
        await self.grpc.drain()
        self._web.should_exit = True
        await self._web_task
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._house.cancel()
        await self._what_ifs.queue.stop()
        await self._shadow.stop()
        await self._history.aclose()
        await self._archive.log.aclose()
        await self._sources.aclose()
        self._metrics_server.shutdown()
        self._metrics_server.server_close()
        self._metrics_thread.join()

    def _follow(self, workload: WorkloadSettings) -> Followed:
        if workload.backend == AUTO:
            return DetectingTracker(workload, find=self._find, follow=self._tracker)
        return self._tracker(workload)

    def _tracker(self, workload: WorkloadSettings) -> Tracker:
        settings = self.settings
        source = self._sources.of(workload)
        if workload.sighted is None and workload.backend is not None:
            workload = replace(workload, sighted=outlives_replicas(workload.backend, self._presets))
        signals = self._signals(workload)
        archive = CachedSource(
            source, history=self._history, workload=str(workload.workload), clock=self.clock
        )
        return Tracker(
            workload,
            signals,
            source=source,
            archive=archive,
            fits=self._fits,
            shelf=self._shelf,
            turn=self._turn,
            tuning=self._tuning(workload, ready_before(signals, source, step_s=settings.loop.step_s)),
            sizing=self._sizing(workload, source),
            ledger=self._treasury.ledger(
                workload, source=source, replicas=signals.get(SignalName.REPLICAS), archive=archive
            ),
            announced=lambda at: self._announced(workload, at),
            overrides=lambda at: self._overrides.at(workload.workload, at),
            pools=pool_watch(workload, source=source, tick_s=settings.loop.tick_s),
            grid=self._grid,
        )

    def _followed(self, workload: WorkloadId) -> WorkloadSettings | None:
        """The settings of a workload that is followed; None of another."""
        tracker = self.loop.tracker(workload)
        return None if tracker is None else tracker.settings

    def _reader(self, workload: WorkloadId) -> Readable | None:
        """Who shows the data and models of a workload that is followed; None of another."""
        tracker: object = self.loop.tracker(workload)
        return tracker if isinstance(tracker, Readable) else None

    def _announced(self, workload: WorkloadSettings, at: datetime) -> tuple[PlannedEvent, ...]:
        """The planned events of a workload that were announced over REST by `at`."""
        return self._events.planned(workload.workload, zone=workload.calendar.zone, at=at)

    def _refit_now(self, workload: WorkloadId) -> str | None:
        """Have a workload's models fitted; tells why not, or None if they are."""
        tracker: object = self.loop.tracker(workload)
        return tracker.refit_now() if isinstance(tracker, Refittable) else "nobody follows it"

    def _replicas(self, workload: WorkloadId) -> int | None:
        """How many replicas a workload has; None if nobody knows, or a spot margin is among them."""
        latest = self.store.latest(workload)
        return None if latest is None or latest.policy.pools is not None else latest.seen.fleet.replicas

    def _paused_until(self, workload: WorkloadId) -> datetime | None:
        """Until when a person keeps a fleet from shrinking; None if nobody does."""
        pause = self._overrides.at(workload, self.clock.now()).pause
        return None if pause is None else pause.until

    def _sizing(self, workload: WorkloadSettings, source: Source) -> Sized:
        """Who measures what a workload's replicas serve and how long they take to start, where asked."""
        learner = learner_of(workload, self._presets, source=source, fits=self._fits, history=self._history)
        lead = lead_times(workload, source=source, presets=self._presets, clock=self.clock, book=self._leads)
        return Sized(capacity=learner, lead=lead)

    def _tuning(self, workload: WorkloadSettings, ready: ReadyBefore | None) -> SelfTuning | None:
        """Who chooses a workload's settings, if its owner states an objective."""
        if workload.slo is None or not workload.tunes_itself:
            return None
        loop = self.settings.loop
        subject = Subject(
            workload=workload.workload,
            policy=workload.policy(),
            key=f"{workload.workload}#{workload.fingerprint()}#{loop.step_s:g}",
            forecasters=workload.forecasters,
            context=context_of(workload),
            events=(*workload.events, *self._announced(workload, self.clock.now())),
            tick_s=loop.tick_s,
            step_s=loop.step_s,
            history_s=loop.history_s,
        )
        goal = Goal(slo=workload.slo, bounds=workload.tuning.bounds, every_s=workload.tuning.every_s)
        shelf = TuningShelf(self._history)
        return SelfTuning(subject, goal, tuner=self._tuner, shelf=shelf, ready=ready)

    def _parse(self, ref: Ref) -> WorkloadSettings:
        return parse_trigger(
            namespace=ref.namespace,
            name=ref.name,
            metadata=ref.metadata,
            service=self.settings,
            presets=self._presets,
        )

    def _note(self, decision: Decision) -> None:
        """Keep a decision that was published, and take it down for whoever judges it."""
        self._archive.note(decision)
        self._shadow.note(decision)

    def _on_tick(self) -> None:
        self.desk.expire()
        self._ticks += 1
        # Another replica of the service may have been told of an event.
        self._spawn(self._events.refresh())
        self._spawn(self._overrides.refresh())
        if self._ticks % _FLUSH_TICKS == 0 and not self._house.busy:
            # A disk that is slow is not asked for more while it works.
            self._house.start(self._keep_house())

    async def _keep_house(self) -> None:
        """Write the cache; forget what is older than any history that is used."""
        now = self.clock.now()
        oldest = self._grid.oldest(now) - timedelta(seconds=_SPARE_S)
        await self._history.prune(oldest)
        await self._events.prune(oldest)
        await self._overrides.prune(oldest)
        await self._history.flush()
        await self._archive.keep(now)
        self._shadow.forget()

    def _spawn(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _open_rest(self) -> None:
        self._http_socket = _listen(self.settings.http.host, self.settings.http.port)
        app = create_app(
            store=self.store,
            desk=self.desk,
            now=self.clock.now,
            ready=lambda: self._ready,
            leads=self._leads,
            money=self._treasury.book,
            events=EventDesk(book=self._events, writing=self._writing, settings_of=self._followed),
            overrides=OverrideDesk(
                book=self._overrides,
                writing=self._writing,
                settings_of=self._followed,
                refit=self._refit_now,
                replicas=self._replicas,
            ),
            what_if=WhatIfDesk(answers=self._what_ifs, settings_of=self._followed),
            promotion=PromotionDesk(
                meter=self._shadow.meter,
                settings_of=self._followed,
                job=self._what_ifs.queue.get,
                persisted=self._shadow.persisted,
            ),
            asides=self._asides,
            readers=self._reader,
            log=self._archive.log,
            about=About(
                tick_s=self.settings.loop.tick_s,
                speed=getattr(self.clock, "speed", 1.0),
                writable=self._writing.possible,
            ),
        )
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            lifespan="off",
            ws="none",
            # A reader that asks and never reads on must not keep the cache from being written.
            timeout_graceful_shutdown=ceil(self.settings.grpc.grace_s),
        )
        self._web = _Web(config)
        self._web_task = asyncio.create_task(self._web.serve(sockets=[self._http_socket]))

    def _open_metrics(self) -> None:
        where = self.settings.metrics
        try:
            server, thread = start_http_server(where.port, where.host, self.meters.registry)
        except OSError as taken:
            raise PortTaken(f"metrics port {where.port}: {taken.strerror}") from taken
        self._metrics_server: WSGIServer = server
        self._metrics_thread: Thread = thread


class _Web(uvicorn.Server):
    """uvicorn beside gRPC on one event loop: signals are the service's to catch."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Catch nothing."""
        yield


def _credentials(tls: ServerTls | None) -> grpc.ServerCredentials | None:
    if tls is None:
        return None
    files = TlsFiles(
        certificate=Path(tls.cert_file),
        key=Path(tls.key_file),
        client_ca=Path(tls.client_ca_file) if tls.client_ca_file is not None else None,
    )
    return server_credentials(files)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    both = family is socket.AF_INET6 and socket.has_dualstack_ipv6()
    try:
        made = socket.create_server((host, port), family=family, dualstack_ipv6=both)
    except OSError as taken:
        raise PortTaken(f"port {port} on {host}: {taken.strerror}") from taken
    # asyncio turns Nagle's algorithm off only for sockets that say they speak TCP; with it answers take 40 ms
    return socket.socket(made.family, made.type, socket.IPPROTO_TCP, fileno=made.detach())


def forecaster_problems(settings: ServiceSettings) -> list[Problem]:
    """What is wrong with the forecasters that the settings name; settings do not know which there are."""
    chains = {"defaults.forecasters": settings.defaults.forecasters}
    chains |= {f"workloads[{i}].forecasters": w.forecasters for i, w in enumerate(settings.workloads)}
    problems: list[Problem] = []
    for where, names in chains.items():
        try:
            resolve(names, where=where)
        except SettingsError as wrong:
            problems += wrong.problems
    return problems
