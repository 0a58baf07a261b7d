"""docs/backends.md, written from the presets, so that the page cannot disagree with what is asked."""

from collections.abc import Iterator, Mapping

from predictscale.config.cluster import Cluster, ClusterPreset
from predictscale.config.durations import duration_text
from predictscale.config.presets import Discovery, Preset, Presets, Teller
from predictscale.config.reading import aggregation_of, metrics_of
from predictscale.core.demand import SignalName

_HEAD = """\
# Backends, and what they tell

This page is written by `predictscale.config.backendspage` from `models/backends` and `models/cluster`; a
test compares them.

A backend is data: PromQL templates with a unit, a meaning and a source. `meaning` says what a saturated
server looks like: an **arrival** is counted when work comes in and is what users ask for; a **completion**
is counted when it is done, so capacity caps it and the queue tells the rest; a **gauge** is a level. Old
and new names of a metric are joined, newest first: during a rolling upgrade each pod counts once, also one
that tells both. Counters and queues add up, shares are means, histograms are summed by bucket before a
quantile is taken.

`predictscale discover --prometheus URL` looks for all of these and proposes triggers.

## Found by itself: `backend: auto`

A trigger may say `backend: auto` with `unit` (`requests/s` or `tokens/s`), and `target`, `selector` or
both. It is accepted as it stands; what it means is looked for in the series of its own namespace when the
workload is followed.

- One backend fits: it is chosen, and read as if it had been named. Decisions, REST and the log say which
  and why. With a `target`, only what its own pods tell fits, and engines come before what else they tell.
- Several fit, or none: nothing is chosen, decisions say what was seen, and nothing is known of the demand.
  KEDA is told UNAVAILABLE and leaves the fleet as it is. It is looked for again each minute.
- `unit` has to be what `capacityPerReplica` counts. A backend that counts something else is not taken, so
  requests are never read as tokens. `tokens/s` on a vLLM server means `vllm-tokens`.
- A gateway's series do not say whose load they are, so a gateway is chosen for a `selector` only.
- A backend that was found stays while its pods tell it, and while nobody does: what sleeps tells nothing.
  After a restart, what it told within the last seven days stands. Another one of the same pods takes over
  once it alone is seen; that is looked at every ten minutes.
- Capacity that is learned from latency targets needs a backend by name.

## Your own: `backends`

The service's file may add backends, and tell packaged ones otherwise, in the format of `models/backends`:

```yaml
backends:
  - name: my-engine
    title: Our engine
    source: its README
    signals:
      demand:
        query: sum(rate(my_engine_started_total{$selector}[$window]))
        unit: requests/s
        meaning: arrival
  - extends: vllm             # takes its place; only what is given here differs
    window_s: 5m
    signals:
      queue: null             # taken away
```

`replaces: NAME` is for one of which nothing should stay. Each selector holds `$selector`, which binds it to
the workload's namespace; `$window` is a range, `$window_s` the same as a number. They are proved when the
service starts, all errors at once, and `predictscale check` says which are in use. Triggers of every tenant
may name them.

## Engines, pods, replicas

A pod with several engines (data parallel) tells one series for each: they add up. Of ranks that repeat one
engine's level (tensor or pipeline parallel in SGLang) the largest counts. A replica of several pods
(LeaderWorkerSet) is right as it is where each pod tells its own ranks, or the leader alone tells. Where
workers repeat what their leader tells, select the leaders: `pod=~"chat-[0-9]+"`; their workers are
`chat-0-1`. `predictscale discover` points it out.
"""

_CLUSTER = """\
## The cluster: pods, spot nodes, GPUs

What is known beside the backends' own series. Metrics of nodes belong to no namespace; all others are bound
to the workload's. `instant` is a time, `events` happened within a window, `exposure` was spent within it.
"""

_TOLD_BY = {
    Teller.ENGINE: "the server that is scaled",
    Teller.SIDECAR: "the pods that are scaled",
    Teller.GATEWAY: "something before them, whose pods are not what is scaled",
}


def backends_markdown(presets: Presets, cluster: Cluster) -> str:
    """The whole page."""
    parts = [_HEAD, _overview(presets)]
    parts += [_backend(preset) for preset in presets.values()]
    parts += [_CLUSTER, *(_watcher(preset) for preset in cluster.values())]
    return "\n".join(parts)


def _overview(presets: Presets) -> str:
    rows = []
    for preset in presets.values():
        demand, queue = preset.signals[SignalName.DEMAND], preset.signals.get(SignalName.QUEUE)
        cells = (
            f"[`{preset.name}`](#{preset.name})",
            preset.title,
            f"{demand.unit}, {demand.meaning.value}",
            queue.unit if queue is not None else "none",
            f"`{preset.confined_by}`",
        )
        rows.append(_row(cells))
    return "\n".join(
        ["## All of them", "", *_header("backend", "", "demand", "queue", "bound by"), *rows, ""]
    )


def _backend(preset: Preset) -> str:
    lines = [f"### {preset.name}", "", f"{preset.title}. {preset.source}"]
    lines += ["", *_found(preset.discovery, preset), "", *_signals(preset), ""]
    return "\n".join(lines)


def _found(discovery: Discovery | None, preset: Preset) -> Iterator[str]:
    if discovery is not None:
        names = " or ".join(f"`{metric}`" for metric in discovery.metrics)
        yield f"Found by {names}, told by {_TOLD_BY[discovery.told_by]}."
    elif preset.further_of is not None:
        yield f"Found with [`{preset.further_of}`](#{preset.further_of}), and chosen by its unit."
    yield f"Rates are over {duration_text(preset.window_s)}."


def _signals(preset: Preset) -> Iterator[str]:
    yield from _header("signal", "unit", "meaning", "aggregated", "from", "note")
    asked = {name: preset.query(name, selector='namespace="x"') or "" for name in preset.signals}
    types = metrics_of(*asked.values())
    for name, template in preset.signals.items():
        query = asked[name]
        of = ", ".join(
            f"`{metric}` ({types.get(metric, kind)})" for metric, kind in _own(query, types).items()
        )
        cells = (f"`{name}`", template.unit, template.meaning.value, aggregation_of(query), of, template.note)
        yield _row(cells)


def _own(query: str, types: Mapping[str, str]) -> Mapping[str, str]:
    """The metrics of one query, histograms by the name that the whole preset knows them by."""
    found: dict[str, str] = {}
    for metric, kind in metrics_of(query).items():
        family = next(
            (metric.removesuffix(part) for part in ("_count", "_sum") if metric.endswith(part)), metric
        )
        found[family if family in types else metric] = kind
    return found


def _watcher(preset: ClusterPreset) -> str:
    lines = [f"### {preset.name}", "", f"{preset.title}. {preset.source}", "", f"Needs: {preset.needs}", ""]
    lines += _header("signal", "unit", "meaning", "by", "note")
    for name, signal in preset.signals.items():
        by = ", ".join(f"`{label}`" for label in signal.by)
        lines.append(_row((f"`{name}`", signal.unit, signal.meaning.value, by, signal.note)))
    return "\n".join([*lines, ""])


def _header(*names: str) -> list[str]:
    return [_row(names), f"|{'---|' * len(names)}"]


def _row(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
