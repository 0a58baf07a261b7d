"""What a query does, read from its tree: which metrics, of which type, aggregated how.

Said beside each signal on the page of backends. It is read and not declared, so that it cannot
disagree with what is asked. It refuses to judge whether that is right.
"""

from collections.abc import Iterator
from enum import StrEnum

import promql_parser as pp

from predictscale.config.promql import children

_GROWING = ("rate", "irate", "increase", "resets")
_PART = ("_bucket", "_sum", "_count")
_WORDS = {"sum": "sum", "avg": "mean", "max": "largest", "min": "smallest", "count": "number"}


class MetricType(StrEnum):
    """What a metric is, in Prometheus' words."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


def metrics_of(*queries: str) -> dict[str, MetricType]:
    """The metrics that queries read, in the order in which they stand; histograms by their family's name.

    A count that nothing else of a histogram stands beside is taken for a counter of that name.
    """
    read = [pair for query in queries for pair in _selected(pp.parse(query), growing=False)]
    families = {_family(name) for name, _ in read if name.endswith(_PART[:2])}
    found: dict[str, MetricType] = {}
    for name, growing in read:
        if name.endswith(_PART) and _family(name) in families:
            found.setdefault(_family(name), MetricType.HISTOGRAM)
        elif growing or name not in found:
            found[name] = MetricType.COUNTER if growing else MetricType.GAUGE
    return found


def aggregation_of(query: str) -> str:
    """How the series of many pods become one number, in a few words; empty if they do not."""
    return _aggregated(pp.parse(query))


def _family(name: str) -> str:
    return next((name.removesuffix(part) for part in _PART if name.endswith(part)), name)


def _selected(node: pp.Expr, *, growing: bool) -> Iterator[tuple[str, bool]]:
    """Names of metrics, and whether they are read as something that only grows."""
    if isinstance(node, pp.VectorSelector):
        yield node.name or "", growing
        return
    grows = growing or (isinstance(node, pp.Call) and node.func.name in _GROWING)
    for child in children(node):
        yield from _selected(child, growing=grows)


def _aggregated(node: pp.Expr) -> str:
    match node:
        case pp.Call() if node.func.name == "histogram_quantile":
            return "quantile of all buckets"
        case pp.AggregateExpr():
            return _aggregate(node)
        case pp.BinaryExpr():
            return _joined(_aggregated(node.lhs), _aggregated(node.rhs), divides=str(node.op) == "/")
        case _:
            return next(filter(None, map(_aggregated, children(node))), "")


def _aggregate(node: pp.AggregateExpr) -> str:
    word, labels = _word(node), node.modifier.labels if node.modifier is not None else []
    inner = _outermost(node.expr)
    if inner is None:
        return word
    if _word(inner) == word:
        # A sum by pod within a sum only keeps pods apart, so that each is counted once.
        return f"{word}, each pod by its newest name"
    by = ", ".join(inner.modifier.labels) if inner.modifier is not None else ""
    assert not labels, "an aggregation by labels around another one has no words here"  # noqa: S101
    return f"{word} of the {_word(inner)} by {by}"


def _outermost(node: pp.Expr) -> pp.AggregateExpr | None:
    if isinstance(node, pp.AggregateExpr):
        return node
    return next(filter(None, map(_outermost, children(node))), None)


def _joined(left: str, right: str, *, divides: bool) -> str:
    if divides and left and right:
        return f"ratio of {left}s" if left == right == "sum" else f"{left}, over {right}"
    return left or right


def _word(node: pp.AggregateExpr) -> str:
    operator = str(node.op).partition(" ")[0]
    return _WORDS.get(operator, operator)
