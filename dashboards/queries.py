"""PromQL that every dashboard needs.

Two and more replicas of the service tell the same of a workload: the highest of them is taken, never
their sum. Refuses to write a rate over a fixed range: `$__rate_interval` suits any scrape interval.
"""

from collections.abc import Callable

ONE = 'namespace="$namespace",workload="$workload"'
"""The workload that a reader chose."""
SOME = 'namespace=~"$namespace"'
"""All workloads of the namespaces that a reader chose."""
OURS = 'job=~"$job",instance=~"$instance"'
"""The replicas of the service that a reader chose."""


def one(metric: str, *by: str, where: str = "") -> str:
    """What is told of the chosen workload.

    Args:
        metric: Its name.
        by: Labels that tell series apart.
        where: Further matchers.
    """
    return _most(metric, by, _joined(ONE, where))


def each(metric: str, *by: str, where: str = "", of: str = SOME) -> str:
    """What is told of each workload of the chosen namespaces; arguments as `one`, and `of` which."""
    return _most(metric, ("namespace", "workload", *by), _joined(of, where))


def total(metric: str, *by: str, where: str = "") -> str:
    """The sum over the workloads of the chosen namespaces; arguments as `one`."""
    inside = each(metric, *by, where=where)
    return f"sum by ({', '.join(by)}) ({inside})" if by else f"sum({inside})"


def lead_time(told: Callable[..., str]) -> str:
    """What decisions plan with: the measured lead time where there is one; `told` is `one` or `each`."""
    sources = ("measured", "configured")
    return " or ".join(
        told("predictscale_lead_time_seconds", where=f'source="{source}"') for source in sources
    )


def rate(counter: str, *by: str, where: str = "") -> str:
    """Per second, over the chosen replicas of the service; arguments as `one`."""
    inside = f"rate({counter}{{{_joined(OURS, where)}}}[$__rate_interval])"
    return f"sum by ({', '.join(by)}) ({inside})" if by else f"sum({inside})"


def troubles(counter: str, *by: str) -> str:
    """Per second, of a counter whose series begin with the first trouble: before, 0 of `none`."""
    calm = f"0 * count(predictscale_build_info{{{OURS}}})"
    for label in by:
        calm = f'label_replace({calm}, "{label}", "none", "", "")'
    return f"{rate(counter, *by)} or {calm}"


def quantile(level: float, histogram: str, *by: str) -> str:
    """A quantile of a histogram, over the chosen replicas of the service."""
    return f"histogram_quantile({level:g}, {rate(histogram + '_bucket', 'le', *by)})"


def _most(metric: str, by: tuple[str, ...], inside: str) -> str:
    selected = f"{metric}{{{inside}}}"
    return f"max by ({', '.join(by)}) ({selected})" if by else f"max({selected})"


def _joined(*matchers: str) -> str:
    return ",".join(matcher for matcher in matchers if matcher)
