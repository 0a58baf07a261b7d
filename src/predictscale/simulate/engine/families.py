"""Metric families with labels that differ from sample to sample, for one scrape or one record."""

from collections.abc import Iterable, Mapping, Sequence

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric

from predictscale.simulate.engine.meters import Histogram

Labels = Mapping[str, str]


class Families:
    """Samples by family, in the order in which families were first told of.

    A counter's name is given as it is on the wire, with `_total`. There are no `_created` series.
    """

    def __init__(self) -> None:
        self._families: dict[str, Metric] = {}

    def collect(self) -> Iterable[Metric]:
        """The families, as prometheus-client wants them."""
        return self._families.values()

    def text(self) -> str:
        """Prometheus' text format."""
        registry = CollectorRegistry()
        registry.register(self)
        return generate_latest(registry).decode()

    def counter(self, name: str, about: str, labels: Labels, value: float) -> None:
        """One sample of a counter."""
        self._family(name, about, "counter").add_sample(name, dict(labels), float(value))

    def gauge(self, name: str, about: str, labels: Labels, value: float) -> None:
        """One sample of a gauge."""
        self._family(name, about, "gauge").add_sample(name, dict(labels), float(value))

    def histogram(
        self, name: str, about: str, labels: Labels, value: Histogram, bounds: Sequence[float]
    ) -> None:
        """All samples of one histogram, told at some of its bounds."""
        family = self._family(name, about, "histogram")
        for bound, count in zip(bounds, value.cumulative(bounds), strict=True):
            family.add_sample(f"{name}_bucket", {**labels, "le": repr(bound)}, float(count))
        family.add_sample(f"{name}_bucket", {**labels, "le": "+Inf"}, float(value.count))
        family.add_sample(f"{name}_count", dict(labels), float(value.count))
        family.add_sample(f"{name}_sum", dict(labels), value.total)

    def _family(self, name: str, about: str, kind: str) -> Metric:
        family = self._families.get(name)
        if family is None:
            family = self._families[name] = Metric(name.removesuffix("_total"), about, kind)
        return family
