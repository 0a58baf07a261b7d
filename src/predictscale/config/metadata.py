"""What a user wrote into a trigger's metadata, made into settings.

KEDA hands over the whole map as text, its own keys included, and with it the
values it looked up for keys that end in `FromEnv`: those may be secrets, so no
message repeats them. A key that nobody knows is an error, for a misspelt limit
that is silently ignored is a limit that is not there.

A trigger that names a workload says nothing else about it: two ScaledObjects
may name the same one, and could not both be right.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from predictscale.config.fields import normal_url
from predictscale.config.intake import read_workload
from predictscale.config.presets import Presets
from predictscale.config.problems import HIDDEN, did_you_mean, show
from predictscale.config.resolve import Findings, Origin
from predictscale.config.settings import ServiceSettings
from predictscale.config.workload import WorkloadSettings
from predictscale.core.demand import WorkloadId
from predictscale.errors import Problem, SettingsError, TenancyError

KEYS: Mapping[str, str] = MappingProxyType(
    {
        "backend": "backend",
        "selector": "selector",
        "query": "query",
        "queueQuery": "queue_query",
        "unit": "unit",
        "target": "target",
        "serverAddress": "prometheus",
        "capacityPerReplica": "capacity_per_replica",
        "itl": "capacity.itl_s",
        "ttftP95": "capacity.ttft_p95_s",
        "latency": "capacity.latency_s",
        "queueTime": "capacity.queue_s",
        "startPerReplica": "capacity.start_per_replica",
        "imbalance": "capacity.imbalance",
        "waitProbability": "capacity.wait_probability",
        "kvTokens": "capacity.kv_tokens",
        "maxRunning": "capacity.max_running",
        "maxBatchedTokens": "capacity.max_batched_tokens",
        "model": "capacity.model",
        "accelerator": "capacity.accelerator",
        "leadTime": "lead_time_s",
        "measureLeadTime": "measure_lead_time",
        "quantile": "quantile",
        "sloMaxViolation": "slo.max_violation",
        "sloWait": "slo.wait_s",
        "sloWindow": "slo.window_s",
        "minReplicas": "min_replicas",
        "maxReplicas": "max_replicas",
        "warmReplicas": "warm_replicas",
        "onStale": "on_stale",
        "staleAfter": "stale_after_s",
        "cooldownPeriod": "cooldown_s",
        "landing": "landing",
        "mode": "mode",
        "emptyIsZero": "empty_is_zero",
        "timeZone": "time_zone",
        "holidays": "holidays",
    }
)
"""What a trigger may set of a workload: its key, and the field of `NamedWorkload`, or one within it."""

KEDA_KEYS = (
    "scalerAddress",
    "enableTLS",
    "unsafeSsl",
    "caCert",
    "tlsCertFile",
    "tlsClientCert",
    "tlsClientKey",
    "metricType",
    "useCachedMetrics",
)
"""Keys that are KEDA's own; they are for the channel and are not read."""

_SPECIAL = ("workload", "pool")
_KNOWN = (*_SPECIAL, *KEYS)
_SUFFIX = "FromEnv"
_MOST_SHOWN = 10
_FIELDS_TO_KEYS = {field: key for key, field in KEYS.items()}


def parse_trigger(
    namespace: str,
    name: str,
    metadata: Mapping[str, str],
    service: ServiceSettings,
    presets: Presets,
    *,
    where: str = "scalerMetadata.",
) -> WorkloadSettings:
    """The workload that a trigger of the ScaledObject `namespace/name` describes or names.

    Args:
        namespace: The ScaledObject's; nothing outside it is ever read.
        name: The ScaledObject's, and the workload's if the trigger describes one.
        metadata: As KEDA sends it.
        service: The limits, defaults and named workloads.
        presets: The backends there are.
        where: Stands before a key's name in messages.

    Raises:
        SettingsError: The metadata cannot be obeyed; all problems at once.
        TenancyError: It reaches for what is another namespace's.
    """
    _check_size(metadata, service.limits.max_metadata_bytes, where)
    found = Findings()
    given = _given(metadata, where, found)
    if "workload" in given.texts:
        return _named(namespace, given, service, presets, found)
    if "pool" in given.texts:
        wants = "name a workload too, or leave it out"
        why = "one decision is split over pools, which the service's file lists"
        found.add(given.where("pool"), "is given without workload", wants, why)
    _check_limits(given, service, found)
    fields = _nested({KEYS[key]: text for key, text in given.texts.items() if key in KEYS})
    origin = Origin(
        prefix=where,
        names={field: given.written(key) for field, key in _FIELDS_TO_KEYS.items()},
        hidden=frozenset(KEYS[key] for key in given.hidden if key in KEYS),
    )
    try:
        _, settings = read_workload(
            {**fields, "namespace": namespace, "name": name}, terms=service.terms(presets), origin=origin
        )
    except SettingsError as wrong:
        found.collect(wrong)
        raise found.as_error() from None
    found.settle()
    return settings


def pool_of(metadata: Mapping[str, str]) -> str | None:
    """The pool that a trigger asks for; None if it names none."""
    return metadata.get("pool", metadata.get("pool" + _SUFFIX))


def _nested(fields: Mapping[str, str]) -> dict[str, object]:
    """Fields with a dot in their names, as mappings."""
    whole: dict[str, object] = {name: text for name, text in fields.items() if "." not in name}
    inner: dict[str, dict[str, str]] = {}
    for name, text in fields.items():
        outer, dot, part = name.partition(".")
        if dot:
            inner.setdefault(outer, {})[part] = text
    return whole | inner


@dataclass(frozen=True, slots=True)
class _Given:
    """Known keys without their suffix, and which of them had it."""

    texts: Mapping[str, str]
    hidden: frozenset[str]
    prefix: str

    def written(self, key: str) -> str:
        return key + _SUFFIX if key in self.hidden else key

    def where(self, key: str) -> str:
        return self.prefix + self.written(key)

    def show(self, key: str) -> str:
        return HIDDEN if key in self.hidden else show(self.texts[key])


def _check_size(metadata: Mapping[str, str], most: int, where: str) -> None:
    size = sum(len(text.encode(errors="replace")) for item in metadata.items() for text in item)
    if size > most:
        raise SettingsError([Problem(where.rstrip("."), f"has {size} bytes", f"must have {most} or fewer")])


def _given(metadata: Mapping[str, str], where: str, found: Findings) -> _Given:
    texts: dict[str, str] = {}
    hidden: set[str] = set()
    unknown: list[str] = []
    for written, text in metadata.items():
        key = written.removesuffix(_SUFFIX)
        if key in KEDA_KEYS:
            continue
        if key not in _KNOWN:
            unknown.append(written)
        elif key in texts:
            found.add(where + key, f"is given as {key} and as {key}{_SUFFIX}", "give one of them")
        else:
            texts[key] = text
        if key in _KNOWN and written != key:
            hidden.add(key)
    _refuse_unknown(unknown, where, found)
    return _Given(texts, frozenset(hidden), where)


def _refuse_unknown(keys: list[str], where: str, found: Findings) -> None:
    # Comparing names is slow; metadata with a thousand unknown keys is no typing error.
    for key in keys[:_MOST_SHOWN]:
        wants = did_you_mean(key.removesuffix(_SUFFIX), _KNOWN) or f"known are {', '.join(_KNOWN)}"
        found.add(where.rstrip("."), f"{show(key)} is not a known key", wants)
    if len(keys) > _MOST_SHOWN:
        found.add(where.rstrip("."), f"{len(keys) - _MOST_SHOWN} more keys are not known", "leave them out")


def _named(
    namespace: str, given: _Given, service: ServiceSettings, presets: Presets, found: Findings
) -> WorkloadSettings:
    others = [given.written(key) for key in given.texts if key not in _SPECIAL]
    if others:
        got = f"is given with {', '.join(others)}"
        wants = "leave them out, or leave workload out"
        found.add(given.where("workload"), got, wants, "a named workload is set in the service's file")
    asked = given.texts["workload"]
    place = service.place_of(WorkloadId(namespace, asked))
    if place is None:
        # The same words whether another namespace has one of this name or nobody has.
        own = [named.name for named in service.workloads if named.namespace == namespace]
        near = "" if "workload" in given.hidden else did_you_mean(asked, own)
        wants = near or "the service's owner offers workloads to a namespace in the service's file"
        got = f"{given.show('workload')} is not offered to namespace {show(namespace)}"
        found.collect(TenancyError([Problem(given.where("workload"), got, wants)]))
    found.settle()
    assert place is not None  # noqa: S101 - settle() has raised otherwise
    settings = service.resolved(place, presets)
    _check_pool(settings, given, found)
    found.settle()
    return settings


def _check_pool(settings: WorkloadSettings, given: _Given, found: Findings) -> None:
    """A workload's pools are asked for one by one; one without pools has none to ask for."""
    names = [pool.name for pool in settings.pools]
    if "pool" not in given.texts:
        if names:
            got, why = "is missing", f"{settings.workload} is split over pools"
            found.add(given.prefix + "pool", got, f"must be one of {', '.join(names)}", why)
        return
    asked = given.texts["pool"]
    if not names:
        got = f"{given.show('pool')} is asked of {settings.workload}, which has no pools"
        found.add(given.where("pool"), got, "leave it out, or give the workload pools in the service's file")
    elif asked not in names:
        near = "" if "pool" in given.hidden else did_you_mean(asked, names)
        wants = near or f"must be one of {', '.join(names)}"
        found.add(given.where("pool"), f"{given.show('pool')} is no pool of {settings.workload}", wants)


def _check_limits(given: _Given, service: ServiceSettings, found: Findings) -> None:
    owner = "only the service's owner may allow it"
    for key in ("query", "queueQuery"):
        if key in given.texts and not service.limits.allow_inline_queries:
            wants = "give backend and selector, or a workload that the service's file names"
            found.add(
                given.where(key),
                "may not be given here",
                wants,
                f"limits.allow_inline_queries is off; {owner}",
            )
    if "serverAddress" in given.texts and not _is_allowed(given.texts["serverAddress"], service):
        wants = "leave it out, to ask the service's own Prometheus"
        why = f"limits.allowed_prometheus does not hold it; {owner}"
        found.add(given.where("serverAddress"), f"{given.show('serverAddress')} may not be asked", wants, why)


def _is_allowed(address: str, service: ServiceSettings) -> bool:
    try:
        url = normal_url(address)
    except ValueError:
        return True  # its shape is refused with the other fields
    own = service.prometheus is not None and url == service.prometheus.url
    return own or url in service.limits.allowed_prometheus
