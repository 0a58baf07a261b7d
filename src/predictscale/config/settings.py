"""The service's settings: every knob, its unit, its default, its meaning.

Frozen, closed to unknown keys, and complete: what is not here cannot be set.
Secrets are never values, only files. A section checks what lies within it;
what spans sections is checked by `problems_across`, and workloads by
`config.resolve`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Self

from pydantic import AwareDatetime, Field, field_validator, model_validator

from predictscale.config import promql
from predictscale.config.backends import OwnBackend, with_own
from predictscale.config.fields import DAY_S, Duration, Frozen, Port, Span, Url
from predictscale.config.presets import Presets
from predictscale.config.problems import refuse, show
from predictscale.config.resolve import Origin, Terms, resolve
from predictscale.config.workload import NamedWorkload, WorkloadDefaults, WorkloadSettings
from predictscale.core.demand import WorkloadId
from predictscale.errors import Problem

__all__ = [
    "Basic",
    "ClientTls",
    "NamedWorkload",
    "PrometheusSettings",
    "ReplaySettings",
    "ServerTls",
    "ServiceSettings",
    "WorkloadDefaults",
    "WorkloadSettings",
]


SYNTHETIC = ("synthetic:chat", "synthetic:shop")
"""Series of the seeded generator, as `replay.series` names them."""
_ANYWHERE = "0.0.0.0"  # noqa: S104 - a pod serves its network
_LISTENS = "Address to listen on; `::` is every one of IPv4 and IPv6."


class ServerTls(Frozen):
    """Certificates of the gRPC server; files are read again when they change."""

    cert_file: str = Field(min_length=1, description="The server's certificate chain, PEM.")
    key_file: str = Field(min_length=1, description="Its key, PEM.")
    client_ca_file: str | None = Field(
        default=None,
        description="The authority of clients' certificates, PEM; given, only such clients may call.",
    )


class GrpcSettings(Frozen):
    """The server that KEDA calls."""

    host: str = Field(default=_ANYWHERE, description=_LISTENS)
    port: Port = Field(default=6000, description="Port; 0 is any free one, printed at start.")
    tls: ServerTls | None = Field(
        default=None, description="Certificates; without them the channel is plain text."
    )
    timeout_s: Span = Field(
        default=2.0, le=30, description="Each call is answered or failed within this; KEDA has none."
    )
    drain_s: Duration = Field(default=1.0, le=60, description="After SIGTERM, time for clients to notice.")
    grace_s: Duration = Field(default=5.0, le=300, description="Then, time for calls in flight to finish.")


class HttpSettings(Frozen):
    """REST, the page, and the probes."""

    host: str = Field(default=_ANYWHERE, description=_LISTENS)
    port: Port = Field(default=8080, description="Port; 0 is any free one, printed at start.")
    write_token_file: str | None = Field(
        default=None,
        min_length=1,
        description="A file of bearer tokens that may announce planned events, pause, change the mode and "
        "have models fitted, one a line, perhaps after a name; read again when it changes. Without it nobody "
        "may. Tokens travel as they are: let a proxy or a mesh bring TLS.",
    )
    audit_path: str | None = Field(
        default=None,
        min_length=1,
        description="A file to which each write call is added, accepted or refused, as a line of JSON; four "
        "older ones of 8 MiB are kept beside it. Replicas of the service may share one. Without it the last "
        "1,000 are kept in memory alone.",
    )


class MetricsSettings(Frozen):
    """The service's own metrics."""

    host: str = Field(default=_ANYWHERE, description=_LISTENS)
    port: Port = Field(default=9464, description="Port; 0 is any free one, printed at start.")


class Basic(Frozen):
    """A user and the file of its password."""

    username: str = Field(min_length=1, description="The user.")
    password_file: str = Field(
        min_length=1, description="A file that holds the password; read again when it changes."
    )


class ClientTls(Frozen):
    """How Prometheus is trusted, and how the service shows who it is."""

    ca_file: str | None = Field(default=None, description="Authority of the server's certificate, PEM.")
    cert_file: str | None = Field(
        default=None, description="The service's own certificate, PEM; with key_file."
    )
    key_file: str | None = Field(default=None, description="Its key, PEM.")
    insecure: bool = Field(default=False, description="Whether any certificate is believed; for trials only.")

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.cert_file is None) != (self.key_file is None):
            given, missing = (
                ("key_file", "cert_file") if self.cert_file is None else ("cert_file", "key_file")
            )
            raise refuse(got="is missing", wants=f"give it beside {given}", field=missing)
        return self


class PrometheusSettings(Frozen):
    """Where history is asked for: Prometheus, or what speaks its API."""

    url: Url = Field(description="Base URL, such as http://prometheus.monitoring:9090.")
    bearer_token_file: str | None = Field(
        default=None,
        min_length=1,
        description="A file that holds a bearer token; read again when it changes.",
    )
    basic: Basic | None = Field(default=None, description="A user and password instead.")
    tls: ClientTls = Field(default=ClientTls(), description="Certificates for https.")
    headers: Mapping[str, str] = Field(
        default_factory=dict, description="Sent with each query, such as X-Scope-OrgID; no secrets."
    )
    timeout_s: Span = Field(default=10.0, le=300, description="Deadline of one query, retries not included.")
    max_concurrent: int = Field(default=8, ge=1, le=256, description="Queries in flight at once.")
    retries: int = Field(default=2, ge=0, le=10, description="Further tries after a failure that may pass.")

    @field_validator("headers")
    @classmethod
    def _no_secrets(cls, headers: Mapping[str, str]) -> Mapping[str, str]:
        for name, value in headers.items():
            if name.lower() in ("authorization", "proxy-authorization", "cookie"):
                raise refuse(
                    got=f"sets {name}", wants="give bearer_token_file or basic, which read secrets from files"
                )
            if not (
                name.isascii() and name.replace("-", "").replace("_", "").isalnum() and value.isprintable()
            ):
                raise refuse(
                    got="holds a name or value that no HTTP header may have", wants="use printable text"
                )
        return headers

    @model_validator(mode="after")
    def _one_way_in(self) -> Self:
        if self.bearer_token_file is not None and self.basic is not None:
            raise refuse(got="is given with basic", wants="give one of them", field="bearer_token_file")
        return self


class ReplaySettings(Frozen):
    """Demand from files or the synthetic generator instead of a Prometheus, on a clock of its own."""

    series: Mapping[str, str] = Field(
        min_length=1,
        description="By name: a .csv or .parquet file, or synthetic:chat, synthetic:shop. "
        "The queries of workloads are these names.",
    )
    start: AwareDatetime | None = Field(
        default=None, description="What the clock shows at start, with a time zone; the present if not given."
    )
    speed: float = Field(default=1.0, gt=0, le=10_000, description="Replayed seconds per second of life.")

    @field_validator("series")
    @classmethod
    def _readable(cls, series: Mapping[str, str]) -> Mapping[str, str]:
        for name, origin in series.items():
            if not origin.endswith((".csv", ".parquet")) and origin not in SYNTHETIC:
                got = f"holds {name}: {show(origin)}"
                raise refuse(got=got, wants=f"must end in .csv or .parquet, or be {' or '.join(SYNTHETIC)}")
        return series


class CacheSettings(Frozen):
    """History on disk, for quick restarts. Disposable."""

    path: str | None = Field(
        default=None, min_length=1, description="The file; without one, history lives in memory."
    )


class ArchiveSettings(Frozen):
    """Past decisions, kept and told as they were. Disposable; a kill loses the last minute."""

    path: str | None = Field(
        default=None,
        min_length=1,
        description="The file; each replica of the service needs its own. Without one, a day and 64 MiB at "
        "most are kept, in memory.",
    )
    keep_s: Span = Field(default=7 * DAY_S, description="What is older goes.")
    max_bytes: int = Field(
        default=2 * 2**30,
        ge=2**20,
        description="Beyond this what is oldest goes, of whichever workload. A workload takes about 6.5 MB a "
        "day, one whose capacity is learned about 17 MB.",
    )


class EventBookSettings(Frozen):
    """Planned events that are announced over REST. Not disposable."""

    path: str | None = Field(
        default=None,
        min_length=1,
        description="The file; replicas of the service share one. Without it they are gone at a restart.",
    )


class OverrideSettings(Frozen):
    """Pauses and modes that are ordered over REST. Not disposable."""

    path: str | None = Field(
        default=None,
        min_length=1,
        description="The file; replicas of the service share one. Without it they are gone at a restart, and "
        "no other replica knows of them.",
    )


class LimitSettings(Frozen):
    """What those who write triggers may do."""

    max_workloads: int = Field(default=1000, ge=1, le=100_000, description="ScaledObjects known at once.")
    expire_after_s: Span = Field(default=3600.0, description="One that is silent for this long is forgotten.")
    allow_inline_queries: bool = Field(
        default=False, description="Whether triggers may bring PromQL; it is confined to their namespace."
    )
    allowed_prometheus: tuple[Url, ...] = Field(
        default=(),
        description="Addresses that triggers may name in serverAddress, besides the service's own.",
    )
    max_query_bytes: int = Field(
        default=promql.MAX_BYTES, ge=1, le=promql.MAX_BYTES, description="Longest query that is read."
    )
    max_metadata_bytes: int = Field(
        default=16384, ge=256, le=2**20, description="Keys and values of one trigger, together."
    )


class LoopSettings(Frozen):
    """The grid of decisions and of history."""

    tick_s: Span = Field(default=15.0, le=3600, description="Time between two decisions.")
    step_s: Span = Field(
        default=60.0, le=DAY_S, description="Width of a bin of history and of a forecast's step."
    )
    history_s: Span = Field(default=28 * DAY_S, description="How much history is kept and learnt from.")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.history_s < 2 * self.step_s:
            got = f"{self.history_s:g} is shorter than two steps of {self.step_s:g}"
            raise refuse(got=got, wants="history is at least two bins", field="history_s")
        if DAY_S % self.step_s:
            got = f"{self.step_s:g} does not divide a day"
            raise refuse(
                got=got, wants="such as 15s, 1m, 5m or 1h do", why="seasons are whole steps", field="step_s"
            )
        return self


class FitSettings(Frozen):
    """When and how forecasters learn."""

    every_s: Span = Field(default=3600.0, description="Time between two fits of a workload.")
    deadline_s: Span = Field(default=120.0, le=DAY_S, description="A fit that takes longer is killed.")
    workers: int = Field(default=1, ge=1, le=64, description="Processes that fit.")


class LogSettings(Frozen):
    """What is written to standard error."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="The least that is logged."
    )
    format: Literal["json", "console"] = Field(default="json", description="For machines, or for people.")


class ServiceSettings(Frozen):
    """Everything that can be set."""

    grpc: GrpcSettings = Field(default=GrpcSettings(), description="The server that KEDA calls.")
    http: HttpSettings = Field(default=HttpSettings(), description="REST, the page, and the probes.")
    metrics: MetricsSettings = Field(default=MetricsSettings(), description="The service's own metrics.")
    prometheus: PrometheusSettings | None = Field(
        default=None,
        description="Where history is asked for; without it, queries are names of replayed series.",
    )
    replay: ReplaySettings | None = Field(
        default=None, description="Files or the generator instead, to try and to look again at a past week."
    )
    cache: CacheSettings = Field(default=CacheSettings(), description="History on disk.")
    archive: ArchiveSettings = Field(
        default=ArchiveSettings(), description="Past decisions, kept and told as they were."
    )
    events: EventBookSettings = Field(
        default=EventBookSettings(), description="Planned events that are announced over REST."
    )
    overrides: OverrideSettings = Field(
        default=OverrideSettings(), description="Pauses and modes that are ordered over REST."
    )
    limits: LimitSettings = Field(
        default=LimitSettings(), description="What those who write triggers may do."
    )
    loop: LoopSettings = Field(default=LoopSettings(), description="The grid of decisions and of history.")
    fit: FitSettings = Field(default=FitSettings(), description="When and how forecasters learn.")
    log: LogSettings = Field(default=LogSettings(), description="What is written to standard error.")
    defaults: WorkloadDefaults = Field(
        default=WorkloadDefaults(), description="What a workload does where it says nothing itself."
    )
    backends: tuple[OwnBackend, ...] = Field(
        default=(), description="Backends beside those that come with predictscale, or in their place."
    )
    workloads: tuple[NamedWorkload, ...] = Field(
        default=(), description="Workloads that triggers name, instead of describing them."
    )

    def presets(self) -> Presets:
        """The backends there are: those that come with predictscale, and the owner's."""
        return with_own(self.backends)

    def terms(self, presets: Presets) -> Terms:
        """What the service contributes to every workload."""
        return Terms(
            defaults=self.defaults,
            presets=presets,
            tick_s=self.loop.tick_s,
            step_s=self.loop.step_s,
            max_query_bytes=self.limits.max_query_bytes,
            reads_promql=self.prometheus is not None,
        )

    def resolved(self, place: int, presets: Presets) -> WorkloadSettings:
        """The named workload at a place of `workloads`, ready to be obeyed.

        Raises:
            SettingsError: It cannot be obeyed; `config.load` has refused that already.
        """
        origin = Origin(prefix=f"workloads[{place}].", trusted=True)
        return resolve(self.workloads[place], terms=self.terms(presets), origin=origin)

    def named_workloads(self, presets: Presets) -> tuple[WorkloadSettings, ...]:
        """All named workloads, ready to be obeyed.

        Raises:
            SettingsError: As `resolved`.
        """
        return tuple(self.resolved(place, presets) for place in range(len(self.workloads)))

    def place_of(self, workload: WorkloadId) -> int | None:
        """Where a workload stands in `workloads`, or None."""
        places = (i for i, named in enumerate(self.workloads) if (named.namespace, named.name) == workload)
        return next(places, None)


def problems_across(service: ServiceSettings) -> list[Problem]:
    """What is wrong between sections that are each right."""
    problems = []
    ports: dict[int, str] = {}
    for name in ("grpc", "http", "metrics"):
        port: int = getattr(service, name).port
        if port and port in ports:
            problems.append(
                Problem(f"{name}.port", f"{port} is {ports[port]}.port too", "give each server its own")
            )
        ports.setdefault(port, name)
    defaults, step_s = service.defaults, service.loop.step_s
    if defaults.quantile is not None and defaults.slo is not None:
        wants = "give one of them; each implies the other"
        problems.append(Problem("defaults.quantile", "is given with slo", wants))
    if defaults.lead_time_s < step_s:
        got = f"{defaults.lead_time_s:g} is shorter than step_s ({step_s:g})"
        problems.append(Problem("defaults.lead_time_s", got, "a plan must be due at least one step ahead"))
    if service.prometheus is not None and service.replay is not None:
        wants = "give one of them; a service reads one source"
        problems.append(Problem("replay", "is given with prometheus", wants))
    return problems + _shared_files(service)


def _shared_files(service: ServiceSettings) -> list[Problem]:
    """Files that two parts would both keep: each sets aside, or refuses, what is not its own."""
    http = service.http
    kept = {
        "cache.path": service.cache.path,
        "archive.path": service.archive.path,
        "events.path": service.events.path,
        "overrides.path": service.overrides.path,
        "http.audit_path": http.audit_path,
        "http.write_token_file": http.write_token_file,
    }
    problems, owners = [], dict[Path, str]()
    for name, path in kept.items():
        if path is None:
            continue
        owner = owners.setdefault(Path(path).absolute(), name)
        if owner != name:
            problems.append(Problem(name, f"{path} is {owner} too", "give each its own file"))
    return problems
