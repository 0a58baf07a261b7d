"""A fleet's past as samples, as if a Prometheus had scraped it, without waiting for one.

Written as OpenMetrics for `promtool tsdb create-blocks-from openmetrics`, which needs the
samples of a family together and those of a series in the order of time.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from predictscale.simulate.engine import kubernetes
from predictscale.simulate.engine.exposition import EngineName, NamesOf, pod_families
from predictscale.simulate.engine.families import Families
from predictscale.simulate.engine.fleet import Fleet

SeriesKey = tuple[str, tuple[tuple[str, str], ...]]
"""A series' name and its labels, sorted."""


@dataclass(slots=True)
class Recording:
    """Samples by family and series.

    Args:
        kinds: Type of each family, by its name as it is declared.
        series: By family, then by series: instants [s since the epoch] and values, in order.
    """

    kinds: dict[str, str] = field(default_factory=dict)
    series: dict[str, dict[SeriesKey, list[tuple[float, float]]]] = field(default_factory=dict)

    def add(self, families: Families, at_s: float) -> None:
        """Take in one scrape; scrapes come in the order of time."""
        for family in families.collect():
            self.kinds[family.name] = family.type
            held = self.series.setdefault(family.name, {})
            for sample in family.samples:
                key = (sample.name, tuple(sorted(sample.labels.items())))
                held.setdefault(key, []).append((at_s, sample.value))

    def select(self, name: str, **labels: str) -> dict[SeriesKey, list[tuple[float, float]]]:
        """Series of this name that carry these labels, by key."""
        wanted = labels.items()
        return {
            key: samples
            for held in self.series.values()
            for key, samples in held.items()
            if key[0] == name and wanted <= dict(key[1]).items()
        }

    def openmetrics(self) -> Iterator[str]:
        """Lines, the end mark included."""
        for family, held in self.series.items():
            yield f"# TYPE {family} {self.kinds[family]}\n"
            for (name, labels), samples in held.items():
                inside = ",".join(
                    f"{label}={json.dumps(value, ensure_ascii=False)}" for label, value in labels
                )
                head = f"{name}{{{inside}}}" if inside else name
                for at_s, value in samples:
                    yield f"{head} {value!r} {at_s:.3f}\n"
        yield "# EOF\n"


def record(
    fleet: Fleet,
    until: datetime,
    *,
    every_s: float = 15.0,
    engine: EngineName = "vllm",
    names: NamesOf | Mapping[int, NamesOf] = "new",
    into: Recording | None = None,
) -> Recording:
    """Run a fleet as fast as it goes, and look at it now and then, at `until` too if the steps fit.

    Args:
        fleet: Which one; the first look is at the first multiple of `every_s` after its present.
        until: Where it ends.
        every_s: Time between two looks, counted from the fleet's origin [s].
        engine: Whose metrics it shows.
        names: As `exposition` takes them.
        into: A recording to go on with, so that something may be done to the fleet in between.

    Raises:
        ValueError: `every_s` is not above 0.
    """
    if not every_s > 0:
        raise ValueError(f"every_s: {every_s}; time goes on between two looks")
    recording = into if into is not None else Recording()
    look = int(fleet.now_s // every_s) + 1
    while (at := fleet.origin + timedelta(seconds=look * every_s)) <= until:
        with fleet.lock:
            fleet.run(at)
            families = pod_families(fleet, engine=engine, names=names)
            kubernetes.tell(families, fleet)
        recording.add(families, at.timestamp())
        look += 1
    fleet.run(until)
    return recording
