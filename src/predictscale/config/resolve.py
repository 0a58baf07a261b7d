"""From a workload as it was written to one that the service can obey.

One function for the service's file and for triggers, so that a setting means
the same in both. What differs is trust: the owner of the service may query what
they like, a trigger reads its own namespace only. All problems are found before
any is raised.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from predictscale.config import promql
from predictscale.config.calendars import holidays_of
from predictscale.config.capacity import LearnedCapacity, telling_of
from predictscale.config.durations import duration_text
from predictscale.config.floors import floors_of
from predictscale.config.objective import HIGHEST_LEVEL, LOWEST_LEVEL, SloSettings
from predictscale.config.pools import DEFAULT_SPOT, pool_problems, rule_of
from predictscale.config.presets import AUTO, Presets
from predictscale.config.problems import HIDDEN, did_you_mean, show
from predictscale.config.warmth import WarmthSettings
from predictscale.config.workload import DRAIN_S, NamedWorkload, WorkloadDefaults, WorkloadSettings
from predictscale.core.calendar import Calendar
from predictscale.core.demand import SignalName, WorkloadId
from predictscale.core.plan import Landing
from predictscale.core.warmth import Warmth
from predictscale.errors import Problem, SettingsError, TenancyError

DEFAULT_LEVEL = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a workload's settings were written, and how messages speak of that place.

    Args:
        prefix: Stands before a setting's name, such as `workloads[0].`.
        names: What a field is called there, if not by its own name.
        hidden: Fields whose values messages must not repeat.
        trusted: Whether the owner of the service wrote it, who may query any namespace.
    """

    prefix: str = ""
    names: Mapping[str, str] = field(default_factory=dict)
    hidden: frozenset[str] = frozenset()
    trusted: bool = False

    def where(self, name: str) -> str:
        """The setting as its writer would look for it."""
        return self.prefix + self.names.get(name, name)

    def called(self, name: str) -> str:
        """The setting within a sentence."""
        return self.names.get(name, name)

    def show(self, name: str, value: object) -> str:
        """A setting's value, unless it is hidden."""
        return HIDDEN if name in self.hidden else show(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What the service as a whole contributes to every workload.

    Args:
        defaults: For what a workload leaves out.
        presets: The backends there are.
        tick_s: Time between two decisions [s].
        step_s: Width of a bin of history [s].
        max_query_bytes: The longest query that is read [bytes].
        reads_promql: Whether the source is a Prometheus; a replay's queries are names.
    """

    defaults: WorkloadDefaults
    presets: Presets
    tick_s: float
    step_s: float
    max_query_bytes: int
    reads_promql: bool = True


@dataclass(slots=True)
class Findings:
    """Problems found so far, and whether one of them is a reach for another's data."""

    problems: list[Problem] = field(default_factory=list)
    tenancy: bool = False

    def add(self, where: str, got: str, wants: str, why: str = "") -> None:
        """Note one problem."""
        self.problems.append(Problem(where, got, wants, why))

    def collect(self, wrong: SettingsError) -> None:
        """Note all problems of an error."""
        self.problems += wrong.problems
        self.tenancy = self.tenancy or isinstance(wrong, TenancyError)

    def settle(self) -> None:
        """Raise what was found, if anything.

        Raises:
            SettingsError: There are problems.
            TenancyError: One of them is a reach for another's data.
        """
        if self.problems:
            raise self.as_error()

    def as_error(self) -> SettingsError:
        """All that was found, as one error."""
        return (TenancyError if self.tenancy else SettingsError)(self.problems)


def resolve(written: NamedWorkload, *, terms: Terms, origin: Origin) -> WorkloadSettings:
    """A workload with its defaults filled in, its signals checked and its numbers agreeing.

    Raises:
        SettingsError: What is written cannot be obeyed; all problems at once.
        TenancyError: It reaches for another namespace's data.
    """
    knobs = _merged(written, terms.defaults)
    found = Findings()
    signals = _signals(written, terms, origin, found)
    level, slo = _aim(written, terms.defaults, knobs, origin, found)
    learned = _learned(written, terms, origin, found)
    fresh_s = knobs.fresh_s if knobs.fresh_s is not None else 4 * terms.tick_s
    _check_replicas(written, knobs, origin, found)
    _check_times(knobs, fresh_s, terms, origin, found)
    _check_money(written, knobs, level, origin, found)
    _check_grid(knobs, terms, origin, found)
    _check_pools(written, origin, found)
    if knobs.landing is not Landing.EXACT and written.target is None and not written.pools:
        wants = f"give {origin.called('target')}, the Deployment whose replicas decide"
        found.add(origin.where("landing"), f"{origin.show('landing', knobs.landing)} without a target", wants)
    found.settle()
    warmth, price = knobs.warmth, knobs.price
    return WorkloadSettings(
        workload=WorkloadId(written.namespace, written.name),
        capacity_per_replica=written.capacity_per_replica,
        learned=learned,
        max_replicas=written.max_replicas,
        backend=written.backend,
        selector=signals.selector,
        query=signals.query,
        queue_query=signals.queue_query,
        unit=signals.unit,
        asks=signals.asks,
        target=written.target,
        prometheus=written.prometheus,
        lead_time_s=knobs.lead_time_s,
        measure_lead_time=knobs.measure_lead_time,
        delays=knobs.delays,
        level=level,
        slo=slo.objective if slo is not None else None,
        tuning=knobs.tuning,
        # Replicas ordered for a queue serve a lead time later: within seconds they would come in vain.
        drain_s=max(slo.wait_s, DRAIN_S) if slo is not None else DRAIN_S,
        min_replicas=knobs.min_replicas,
        warm_replicas=knobs.warm_replicas,
        warmth=Warmth(
            floors=floors_of(knobs.floors, knobs.time_zone),
            costs=warmth.costs(price) if warmth is not None else None,
            every_s=terms.tick_s if knobs.floors else 0.0,
            tiers=warmth.tiers() if warmth is not None else (),
        ),
        cold=warmth.cold_start(price, lead_s=knobs.lead_time_s) if warmth is not None else None,
        sighted=_sighted(written, warmth, terms),
        price=price.price() if price is not None else None,
        power=price.power() if price is not None else None,
        grid=price.grid if price is not None else None,
        budget=None
        if written.budget is None or price is None
        else written.budget.monthly(currency=price.currency, zone=knobs.time_zone),
        relaxed_level=written.budget.relaxed_quantile if written.budget is not None else LOWEST_LEVEL,
        labels=tuple(sorted(knobs.labels.items())),
        pools=written.pools,
        spot=rule_of(written.pools, written.spot, price, lead_time_s=knobs.lead_time_s),
        mixed=written.spot.mixed(written.target)
        if written.spot is not None and written.target is not None
        else None,
        hold_s=knobs.hold_s if knobs.hold_s is not None else max(2 * knobs.lead_time_s, 600.0),
        on_stale=knobs.on_stale,
        stale_after_s=knobs.stale_after_s,
        fresh_s=fresh_s,
        cooldown_s=knobs.cooldown_s,
        landing=knobs.landing,
        mode=knobs.mode,
        empty_is_zero=knobs.empty_is_zero,
        forecasters=knobs.forecasters,
        calendar=Calendar(knobs.time_zone, holidays_of(knobs.holidays) if knobs.holidays is not None else ()),
        events=tuple(event.planned(knobs.time_zone) for event in knobs.events),
        prophet=knobs.prophet,
        fourier=knobs.fourier,
    )


@dataclass(frozen=True, slots=True)
class _Signals:
    selector: str = ""
    query: str | None = None
    queue_query: str | None = None
    unit: str = "requests/s"
    asks: str = ""


def _merged(written: NamedWorkload, defaults: WorkloadDefaults) -> WorkloadDefaults:
    """The knobs of a workload: its own where it has any, the defaults' elsewhere. Both are validated."""
    knobs = {
        name: getattr(written if name in written.model_fields_set else defaults, name)
        for name in WorkloadDefaults.model_fields
    }
    return WorkloadDefaults.model_construct(**knobs)


def _signals(written: NamedWorkload, terms: Terms, origin: Origin, found: Findings) -> _Signals:
    if (written.backend is None) == (written.query is None):
        got = "neither is given" if written.backend is None else "both are given"
        backend, query = origin.called("backend"), origin.called("query")
        found.add(origin.where("backend"), got, f"give either {backend} or {query}")
        return _Signals()
    if written.backend is not None:
        return _from_preset(written, written.backend, terms, origin, found)
    return _from_queries(written, terms, origin, found)


def _from_preset(
    written: NamedWorkload, backend: str, terms: Terms, origin: Origin, found: Findings
) -> _Signals:
    for name in ("queue_query",) if backend == AUTO else ("queue_query", "unit"):
        if getattr(written, name) is not None:
            found.add(
                origin.where(name), "is given with a backend", "leave it out; the backend brings its own"
            )
    if backend == AUTO:
        return _looked_for(written, terms, origin, found)
    preset = terms.presets.get(backend)
    if preset is None:
        near = "" if "backend" in origin.hidden else did_you_mean(backend, terms.presets)
        wants = near or "known are " + ", ".join([AUTO, *sorted(terms.presets)])
        found.add(origin.where("backend"), f"{origin.show('backend', backend)} is not a known backend", wants)
        return _Signals()
    where, text = origin.where("selector"), written.selector or ""
    selector = _attempt(
        lambda: promql.parse_selector(text, written.namespace, where=where, label=preset.confined_by),
        hidden="selector" in origin.hidden,
        found=found,
    )
    unit = preset.signals[SignalName.DEMAND].unit
    return _Signals(selector=selector, unit=unit, asks=preset.digest())


def _looked_for(written: NamedWorkload, terms: Terms, origin: Origin, found: Findings) -> _Signals:
    """Of a backend that is to be found by its series: only one that counts what the owner counts.

    The unit must be said. Capacity in requests for a demand in tokens would be wrong a
    hundredfold, and nobody would see it but in the number of replicas.
    """
    units = sorted({preset.signals[SignalName.DEMAND].unit for preset in terms.presets.values()})
    if written.unit not in units:
        got = "is missing" if written.unit is None else origin.show("unit", written.unit)
        wants = f"must be {' or '.join(units)} with {origin.called('backend')} {AUTO}"
        why = f"{origin.called('capacity_per_replica')} counts it; no backend that counts another is taken"
        found.add(origin.where("unit"), got, wants, why)
    where, text = origin.where("selector"), written.selector or ""
    selector = _attempt(
        lambda: promql.parse_selector(text, written.namespace, where=where),
        hidden="selector" in origin.hidden,
        found=found,
    )
    return _Signals(selector=selector, unit=written.unit or units[0])


def _from_queries(written: NamedWorkload, terms: Terms, origin: Origin, found: Findings) -> _Signals:
    if written.selector is not None:
        found.add(
            origin.where("selector"), "is given with a query", "put the matchers into the query's braces"
        )

    def read(name: str, query: str) -> str:
        where, size = origin.where(name), terms.max_query_bytes
        if not origin.trusted:
            return promql.confine(query, written.namespace, where=where, max_bytes=size)
        if terms.reads_promql or written.prometheus is not None:
            promql.parse(query, where=where, max_bytes=size)
        return query

    texts: dict[str, str | None] = {}
    for name in ("query", "queue_query"):
        query: str | None = getattr(written, name)
        texts[name] = query if query is None else _reading(read, name, query, origin, found)
    return _Signals(query=texts["query"], queue_query=texts["queue_query"], unit=written.unit or "requests/s")


def _reading(read: Callable[[str, str], str], name: str, query: str, origin: Origin, found: Findings) -> str:
    return _attempt(lambda: read(name, query), hidden=name in origin.hidden, found=found)


def _attempt(call: Callable[[], str], *, hidden: bool, found: Findings) -> str:
    """What `call` gives, or its problems noted; without the words that could repeat a hidden value."""
    try:
        return call()
    except SettingsError as wrong:
        if not hidden:
            found.collect(wrong)
        else:
            silent = [Problem(p.where, HIDDEN, p.wants) for p in wrong.problems]
            found.collect(type(wrong)(silent))
        return ""


def _learned(written: NamedWorkload, terms: Terms, origin: Origin, found: Findings) -> LearnedCapacity | None:
    """How capacity is learned, if its owner does not give it: one of both, never none."""
    given = origin.called("capacity_per_replica")
    if written.capacity is None:
        if written.capacity_per_replica is None:
            targets = origin.called("capacity.itl_s")
            wants = f"give it, or latency targets ({targets}) to have it learned"
            found.add(origin.where("capacity_per_replica"), "is missing", wants)
        return None
    where, promised = "capacity", "itl_s" if written.capacity.itl_s is not None else "latency_s"
    if f"capacity.{promised}" in origin.names:
        where = f"capacity.{promised}"
    if written.capacity_per_replica is not None:
        wants = "give one of them; a capacity that is given is never learned"
        found.add(origin.where(where), f"is given with {given}", wants)
        return None
    preset = terms.presets.get(written.backend) if written.backend is not None else None
    if preset is None:
        # A backend that nobody knows is refused already.
        if written.backend in (None, AUTO):
            got = "is given without a backend that is named"
            found.add(origin.where(where), got, f"give {given}, or {origin.called('backend')} by its name")
        return None
    told = telling_of(preset, terms.presets)
    if isinstance(told, str):
        got = f"is given with {origin.show('backend', preset.name)}, which {told}"
        found.add(origin.where(where), got, f"give {given} instead")
        return None
    telling, primary = told
    wanted = "itl_s" if telling.counts_tokens else "latency_s"
    if promised != wanted:
        name = f"capacity.{promised}"
        counts = "tokens" if telling.counts_tokens else "requests, and no tokens"
        got = f"is given with {origin.show('backend', preset.name)}, which counts {counts}"
        found.add(origin.where(name), got, f"give {origin.called(f'capacity.{wanted}')} instead")
        return None
    engine_name = preset.further_of or preset.name
    return LearnedCapacity.of(written.capacity, telling=telling, primary=primary, engine_name=engine_name)


def _aim(
    written: NamedWorkload,
    defaults: WorkloadDefaults,
    knobs: WorkloadDefaults,
    origin: Origin,
    found: Findings,
) -> tuple[float, SloSettings | None]:
    """The quantile that is covered, until tuning has chosen, and the objective if there is one."""
    if written.quantile is not None and written.slo is not None:
        other = origin.called("slo.max_violation" if "slo.max_violation" in origin.names else "slo")
        found.add(
            origin.where("quantile"), f"is given with {other}", "give one of them; each implies the other"
        )
        return DEFAULT_LEVEL, None
    chosen = written if (written.quantile, written.slo) != (None, None) else defaults
    if chosen.slo is None:
        return chosen.quantile if chosen.quantile is not None else DEFAULT_LEVEL, None
    level, most = round(1 - chosen.slo.max_violation, 12), knobs.tuning.highest_quantile
    if not knobs.tuning.enabled and level > HIGHEST_LEVEL:
        shown = origin.show("slo.max_violation", chosen.slo.max_violation)
        wants = f"must be {round(1 - HIGHEST_LEVEL, 12):g} or more, or let tuning choose"
        why = f"forecasts carry quantiles from {LOWEST_LEVEL:g} to {HIGHEST_LEVEL:g}"
        found.add(origin.where("slo.max_violation"), shown, wants, why)
    return min(max(level, knobs.tuning.lowest_quantile), most), chosen.slo


def outlives_replicas(backend: str, presets: Presets) -> bool:
    """Whether a backend's signals go on while there is no replica; one that does not say is taken to.

    Raises:
        KeyError: The presets do not hold it.
    """
    preset = presets[backend]
    found = (presets[preset.further_of] if preset.further_of is not None else preset).discovery
    return found is None or found.told_by.outlives_them


def _sighted(written: NamedWorkload, warmth: WarmthSettings | None, terms: Terms) -> bool | None:
    """Whether demand can be seen at zero: as the owner says, or as the backend is; None until it is found."""
    if warmth is not None and warmth.seen_at_zero is not None:
        return warmth.seen_at_zero
    if written.backend is None:
        # Whoever writes a query knows who counts.
        return True
    return None if written.backend == AUTO else outlives_replicas(written.backend, terms.presets)


def _check_money(
    written: NamedWorkload,
    knobs: WorkloadDefaults,
    level: float,
    origin: Origin,
    found: Findings,
) -> None:
    for place, floor in enumerate(knobs.floors):
        if floor.replicas > written.max_replicas:
            most, ceiling = origin.show("max_replicas", written.max_replicas), origin.called("max_replicas")
            got = f"{floor.replicas} is more than {ceiling} ({most})"
            found.add(origin.where(f"floors[{place}].replicas"), got, "a floor lies at or below the ceiling")
    problems = {
        "warmth": knobs.warmth and knobs.warmth.problem(knobs.price, lead_s=knobs.lead_time_s),
        "budget": written.budget and written.budget.problem(knobs.price, level=level),
    }
    for section, problem in problems.items():
        if problem:
            name, got, wants = problem
            found.add(origin.where(f"{section}.{name}"), got, wants)


def _check_pools(written: NamedWorkload, origin: Origin, found: Findings) -> None:
    if not written.pools:
        if written.spot is not None and written.target is None:
            wants = f"give {origin.called('target')}, the Deployment on such nodes, or pools"
            found.add(origin.where("spot"), "is given without a target", wants)
        return
    if written.target is not None:
        got = f"{origin.show('target', written.target)} is given with pools"
        found.add(origin.where("target"), got, "leave it out: each pool has its own")
    wrong = pool_problems(written.pools, written.spot or DEFAULT_SPOT, most=written.max_replicas)
    for name, got, wants in wrong:
        found.add(origin.where(name), got, wants)


def _check_grid(knobs: WorkloadDefaults, terms: Terms, origin: Origin, found: Findings) -> None:
    query = knobs.price.grid.query if knobs.price is not None and knobs.price.grid is not None else None
    if query is not None and terms.reads_promql:
        where, size = origin.where("price.grid.query"), terms.max_query_bytes
        _attempt(lambda: str(promql.parse(query, where=where, max_bytes=size)), hidden=False, found=found)


def _check_replicas(written: NamedWorkload, knobs: WorkloadDefaults, origin: Origin, found: Findings) -> None:
    for name in ("min_replicas", "warm_replicas"):
        value: int = getattr(knobs, name)
        if value > written.max_replicas:
            most, ceiling = origin.show("max_replicas", written.max_replicas), origin.called("max_replicas")
            got = f"{origin.show(name, value)} is more than {ceiling} ({most})"
            found.add(origin.where(name), got, "a floor lies at or below the ceiling")


def _check_times(
    knobs: WorkloadDefaults, fresh_s: float, terms: Terms, origin: Origin, found: Findings
) -> None:
    if knobs.lead_time_s < terms.step_s:
        got = f"{origin.show('lead_time_s', knobs.lead_time_s)} is shorter than step_s ({terms.step_s:g})"
        found.add(origin.where("lead_time_s"), got, "a plan must be due at least one step ahead")
    if knobs.stale_after_s < fresh_s:
        got = f"{origin.show('stale_after_s', knobs.stale_after_s)} is shorter than fresh_s ({fresh_s:g})"
        wants = f"must be at least {duration_text(fresh_s)}"
        found.add(origin.where("stale_after_s"), got, wants, "data is not stale while it counts as fresh")
