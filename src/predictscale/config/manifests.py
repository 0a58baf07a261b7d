"""Files checked before they are applied: the service's own, and ScaledObjects.

A trigger's metadata is read exactly as the running service would read it. What
stands twice, once for KEDA and once for predictscale, is compared: nothing else
would notice that they disagree. It does not judge what KEDA's own validation
judges, and it knows no cluster.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from predictscale.config.durations import duration_s
from predictscale.config.load import load_service
from predictscale.config.metadata import KEYS, parse_trigger, pool_of
from predictscale.config.pools import PoolSettings
from predictscale.config.presets import Presets, load_presets
from predictscale.config.problems import show
from predictscale.config.settings import LimitSettings, ServiceSettings
from predictscale.config.workload import WorkloadSettings
from predictscale.config.yamlfile import read_yaml
from predictscale.core.plan import Landing
from predictscale.errors import Problem, SettingsError

_KINDS = ("ScaledObject", "ScaledJob")
_TRIGGERS = ("external", "external-push")
_DEFAULT_MAX, _DEFAULT_MIN, _DEFAULT_COOLDOWN_S = 100, 0, 300


@dataclass(slots=True)
class Checked:
    """What was found in a file.

    Args:
        path: The file.
        subjects: What was checked in it: the service's settings, or each trigger.
        problems: What will be refused.
        warnings: What will be accepted and will surprise.
        notes: What else its reader should know.
        is_service: Whether it was read as the service's own settings, and not as manifests.
    """

    path: Path
    subjects: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    is_service: bool = False

    @property
    def good(self) -> bool:
        """Whether something was checked and nothing will be refused."""
        return bool(self.subjects) and not self.problems


def check_file(
    path: Path, *, service: ServiceSettings | None = None, presets: Presets | None = None
) -> Checked:
    """Check a service file, or the external triggers of a file of manifests.

    Args:
        path: YAML, of one or more documents.
        service: The service that will read the triggers. Without it, its limits and named
            workloads are not known, and what depends on them is a warning.
        presets: The backends there are; by default the service's, else those that come with predictscale.

    Raises:
        FileUnusable: The file cannot be read.
    """
    checked = Checked(path)
    known = presets or (load_presets() if service is None else service.presets())
    try:
        documents = list(_flattened(read_yaml(path)))
    except SettingsError as wrong:
        checked.problems += wrong.problems
        return checked
    if any(isinstance(document, dict) and "kind" in document for document in documents):
        for document in documents:
            if isinstance(document, dict) and document.get("kind") in _KINDS:
                _Manifest(document, checked, service, known).check()
        _check_shared(documents, checked)
        return checked
    checked.is_service = True
    checked.subjects.append("the service's settings")
    try:
        checked.notes += [own.said() for own in load_service(path).backends]
    except SettingsError as wrong:
        checked.problems += wrong.problems
    return checked


def _flattened(documents: list[Any]) -> Iterator[Any]:
    """Documents, with the items of a `kind: List` in its place."""
    for document in documents:
        if (
            isinstance(document, dict)
            and document.get("kind") == "List"
            and isinstance(document.get("items"), list)
        ):
            yield from document["items"]
        elif document is not None:
            yield document


def _at(tree: object, *names: str) -> Any:
    """A value deep in a manifest, or None where the way to it ends."""
    for name in names:
        tree = tree.get(name) if isinstance(tree, Mapping) else None
    return tree


def _check_shared(documents: Iterable[object], checked: Checked) -> None:
    """Warn of ScaledObjects of one file that scale the same thing."""
    first: dict[tuple[object, ...], str] = {}
    for document in documents:
        if _at(document, "kind") != "ScaledObject":
            continue
        namespace = _at(document, "metadata", "namespace") or "default"
        said = f"ScaledObject {namespace}/{_at(document, 'metadata', 'name')}"
        kind, name = (_at(document, "spec", "scaleTargetRef", key) for key in ("kind", "name"))
        other = first.setdefault((namespace, kind or "Deployment", name), said)
        if other != said:
            got = f"{show(name)} is scaled by {other} too"
            why = "KEDA refuses the second ScaledObject of a target; put all triggers into one"
            where = f"{said}: spec.scaleTargetRef.name"
            checked.warnings.append(Problem(where, got, "should be scaled by one", why))


class _Manifest:
    """One ScaledObject or ScaledJob, checked into `checked`."""

    def __init__(
        self, document: Mapping[str, Any], checked: Checked, service: ServiceSettings | None, presets: Presets
    ) -> None:
        self._kind = str(document["kind"])
        self._namespace = str(_at(document, "metadata", "namespace") or "default")
        self._name = str(_at(document, "metadata", "name") or "")
        self._spec = _at(document, "spec")
        self._checked = checked
        self._service = service
        self._presets = presets

    def check(self) -> None:
        triggers = _at(self._spec, "triggers")
        for place, trigger in enumerate(triggers if isinstance(triggers, list) else []):
            if _is_ours(trigger):
                where = f"{self._kind} {self._namespace}/{self._name}: triggers[{place}]"
                self._checked.subjects.append(where)
                self._check_trigger(trigger, where)

    def _check_trigger(self, trigger: Mapping[str, Any], where: str) -> None:
        metadata = self._texts(trigger, f"{where}.metadata.")
        if self._kind == "ScaledJob" and trigger["type"] == "external-push":
            self._problem(
                f"{where}.type", "is external-push", "must be external", "KEDA pushes to no ScaledJob"
            )
        self._check_metric_type(trigger, where)
        settings = self._parsed(metadata, f"{where}.metadata.")
        if settings is None or self._kind != "ScaledObject":
            return
        pool = settings.pool(pool_of(metadata) or "")
        if pool is None:
            self._check_bounds(settings, where)
            self._check_target(settings, where)
        else:
            self._check_pool(settings, pool, where)
        self._check_landing(settings)

    def _texts(self, trigger: Mapping[str, Any], prefix: str) -> dict[str, str]:
        metadata = _at(trigger, "metadata")
        texts = {}
        for key, value in metadata.items() if isinstance(metadata, Mapping) else ():
            if not isinstance(value, str):
                wants = (
                    f'must be text, such as {key}: "{value}"'
                    if isinstance(value, int | float)
                    else "must be text"
                )
                self._problem(
                    f"{prefix}{key}", f"{show(value)} is no text", wants, "KEDA's metadata holds text only"
                )
            texts[str(key)] = value if isinstance(value, str) else str(value).lower()
        return texts

    def _parsed(self, metadata: Mapping[str, str], prefix: str) -> WorkloadSettings | None:
        unresolved = [key for key in metadata if key.endswith("FromEnv")]
        if unresolved:
            wants = "is known only where the container runs"
            self._warn(prefix.rstrip("."), f"{', '.join(unresolved)} not checked", wants)
            return None
        if self._service is None and "workload" in metadata:
            wants = "give the service's file to check it too"
            self._warn(f"{prefix}workload", f"{show(metadata['workload'])} not checked", wants)
            return None
        service = self._service or self._permissive(metadata, prefix)
        try:
            return parse_trigger(self._namespace, self._name, metadata, service, self._presets, where=prefix)
        except SettingsError as wrong:
            self._checked.problems += wrong.problems
            return None

    def _permissive(self, metadata: Mapping[str, str], prefix: str) -> ServiceSettings:
        """A service that allows what an unknown one might, with a warning for each such thing."""
        for key, limit in (
            ("query", "allow_inline_queries"),
            ("queueQuery", "allow_inline_queries"),
            ("serverAddress", "allowed_prometheus"),
        ):
            if key in metadata:
                self._warn(f"{prefix}{key}", "may be refused", f"the service's limits.{limit} must allow it")
        limits: dict[str, object] = {"allow_inline_queries": True}
        try:
            return ServiceSettings(
                limits=LimitSettings.model_validate(
                    {
                        **limits,
                        "allowed_prometheus": [metadata["serverAddress"]]
                        if "serverAddress" in metadata
                        else [],
                    }
                ),
                prometheus=None,
            )
        except ValueError:  # an address that parse_trigger will refuse with better words
            return ServiceSettings(limits=LimitSettings.model_validate(limits))

    def _check_metric_type(self, trigger: Mapping[str, Any], where: str) -> None:
        metric_type = trigger.get("metricType", "AverageValue")
        if self._kind == "ScaledObject" and metric_type != "AverageValue":
            why = "with any other type the HPA divides by pods that are ready at that instant"
            self._warn(f"{where}.metricType", show(metric_type), "should be AverageValue", why)

    def _check_bounds(self, settings: WorkloadSettings, where: str) -> None:
        self._compare(
            where,
            ("maxReplicas", settings.max_replicas, "maxReplicaCount", _DEFAULT_MAX),
            ("minReplicas", settings.min_replicas, "minReplicaCount", _DEFAULT_MIN),
            ("cooldownPeriod", settings.cooldown_s, "cooldownPeriod", _DEFAULT_COOLDOWN_S),
        )

    def _check_target(self, settings: WorkloadSettings, where: str) -> None:
        """The Deployment that is counted is the one that is scaled, and nobody else scales it."""
        scaled = _at(self._spec, "scaleTargetRef", "name")
        if _at(self._spec, "scaleTargetRef", "kind") not in (None, "Deployment") or scaled is None:
            return
        if settings.target is not None and settings.target != scaled:
            got = f"{settings.target} while spec.scaleTargetRef.name is {show(scaled)}"
            why = "replicas and lead times are counted by the pods of target"
            self._warn(f"{where}.metadata.target", got, "should be equal", why)

    def _check_pool(self, settings: WorkloadSettings, pool: PoolSettings, where: str) -> None:
        """A pool has a ceiling and a Deployment of its own; its minimum is part of the decision."""
        most = pool.pool(most=settings.max_replicas).max_replicas
        self._compare(
            where,
            ("pool", most, "maxReplicaCount", _DEFAULT_MAX),
            ("pool", settings.cooldown_s, "cooldownPeriod", _DEFAULT_COOLDOWN_S),
        )
        scaled = _at(self._spec, "scaleTargetRef", "name")
        if scaled != pool.target:
            got = f"{show(pool.name)} is {pool.target} while spec.scaleTargetRef.name is {show(scaled)}"
            why = "the pool is counted by the pods of its own Deployment"
            self._warn(f"{where}.metadata.pool", got, "should be equal", why)

    def _compare(self, where: str, *pairs: tuple[str, float, str, int]) -> None:
        for key, ours, theirs_key, default in pairs:
            written = _at(self._spec, theirs_key)
            theirs = default if written is None else written
            if _number(theirs) != ours:
                said = f"spec.{theirs_key} is {show(theirs)}{' by default' if written is None else ''}"
                why = "KEDA enforces its own and predictscale plans with this one"
                self._warn(f"{where}.metadata.{key}", f"{ours:g} while {said}", "should be equal", why)

    def _check_landing(self, settings: WorkloadSettings) -> None:
        if settings.landing is not Landing.EXACT:
            return
        way = "advanced.horizontalPodAutoscalerConfig.behavior"
        for direction in ("scaleUp", "scaleDown"):
            tolerance = _at(self._spec, *way.split("."), direction, "tolerance")
            if tolerance is None or _number(tolerance) != 0:
                where = f"{self._kind} {self._namespace}/{self._name}: spec.{way}.{direction}.tolerance"
                got = "is missing" if tolerance is None else show(tolerance)
                why = "within its 10 % the HPA stays where it is; landing hold or overshoot need no tolerance"
                self._warn(where, got, 'should be "0" with landing exact', why)

    def _problem(self, where: str, got: str, wants: str, why: str = "") -> None:
        self._checked.problems.append(Problem(where, got, wants, why))

    def _warn(self, where: str, got: str, wants: str, why: str = "") -> None:
        self._checked.warnings.append(Problem(where, got, wants, why))


def _is_ours(trigger: object) -> bool:
    """Whether an external trigger speaks to predictscale: by its address, or by a key of ours."""
    if _at(trigger, "type") not in _TRIGGERS:
        return False
    metadata = _at(trigger, "metadata")
    keys = {str(key).removesuffix("FromEnv") for key in metadata} if isinstance(metadata, Mapping) else set()
    return "predictscale" in str(_at(metadata, "scalerAddress") or "predictscale") or bool(
        keys & {"workload", *KEYS}
    )


def _number(value: object) -> float | None:
    try:
        return duration_s(value)
    except ValueError:
        return None
