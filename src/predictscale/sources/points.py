"""What Prometheus' JSON holds: the points of a range, by series, or the values of an instant.

Pure; refuses what is not numbers with their times, more series than were meant,
and points later than the instant that the server itself had reached.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np

from predictscale.core.series import Floats
from predictscale.errors import AnswerUnusable
from predictscale.sources.prometheus_http import Reply

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Labels = tuple[tuple[str, str], ...]
"""Of one series, sorted by name."""

_NOTHING: Floats = np.empty((0, 2))


class Points:
    """The points of several chunks, by series.

    Args:
        most: How many series may be there.
    """

    def __init__(self, *, most: int) -> None:
        self.warnings: tuple[str, ...] = ()
        self.known_until_s = -np.inf
        """The last instant that the source could know."""
        self._most = most
        self._tables: dict[Labels, list[Floats]] = {}

    def __len__(self) -> int:
        return len(self._tables)

    def add(self, reply: Reply, *, until: datetime) -> int:
        """Take over one chunk, whose last point was asked for `until`; how many series it had.

        Raises:
            AnswerUnusable: It is no matrix of numbers, or there are more series than may be.
        """
        found = _matrix(reply.data)
        # Before any point is looked at: what is refused should cost little.
        self._refuse_more({labels for labels, _ in found} | self._tables.keys())
        # Date is cut to whole seconds, so the server may be up to one further.
        self.known_until_s = (until - EPOCH).total_seconds()
        if reply.date is not None:
            self.known_until_s = min(self.known_until_s, (reply.date - EPOCH).total_seconds() + 1.0)
        for labels, pairs in found:
            table = _table(pairs)
            self._tables.setdefault(labels, []).append(table[table[:, 0] <= self.known_until_s])
        self.warnings += reply.warnings
        return len(found)

    def only(self) -> tuple[Floats, Floats]:
        """Stamps (k,) [s] and values (k,) of the one series; none of either if there is none."""
        assert self._most == 1  # noqa: S101 - our own bug
        return _columns(next(iter(self._tables.values()), []))

    def each(self) -> list[tuple[Labels, Floats, Floats]]:
        """Labels, stamps (k,) [s] and values (k,) of every series, by label."""
        return [(labels, *_columns(self._tables[labels])) for labels in sorted(self._tables)]

    def _refuse_more(self, series: set[Labels]) -> None:
        if len(series) <= self._most:
            return
        if self._most == 1:
            wants = "where one is meant; they differ in", "Aggregate them, for example with sum(...)"
        else:
            wants = f"where at most {self._most} are read; they differ in", "Narrow the query"
        raise AnswerUnusable(f"{len(series)} series {wants[0]} {_differences(series)}. {wants[1]}")


def vector(data: Mapping[str, Any]) -> list[tuple[dict[str, str], float]]:
    """Labels and value of every series of an instant query's answer; a scalar has no labels.

    Raises:
        AnswerUnusable: It is none.
    """
    try:
        if data.get("resultType") == "scalar":
            return [({}, _sample(data["result"])[1])]
        return [(dict(_labels(one)), _sample(one["value"])[1]) for one in _result(data, "vector")]
    except (KeyError, TypeError, ValueError):
        raise AnswerUnusable("a series has something other than a time and a number") from None


def _columns(tables: list[Floats]) -> tuple[Floats, Floats]:
    table = np.concatenate([_NOTHING, *tables])
    return table[:, 0], table[:, 1]


def _matrix(data: Mapping[str, Any]) -> list[tuple[Labels, Any]]:
    return [(_labels(one), one.get("values")) for one in _result(data, "matrix")]


def _table(pairs: Any) -> Floats:
    """Stamps and values (k, 2)."""
    try:
        if not pairs and isinstance(pairs, list):
            return _NOTHING
        stamps_s, values = zip(*pairs, strict=True)
        # numpy reads numbers as text, NaN and +Inf among them, several times quicker than a loop.
        return np.column_stack([np.array(stamps_s, dtype=np.float64), np.array(values, dtype=np.float64)])
    except (TypeError, ValueError):
        raise AnswerUnusable("the series has something other than pairs of a time and a number") from None


def _result(data: Mapping[str, Any], kind: str) -> list[dict[str, Any]]:
    result = data.get("result")
    if (
        data.get("resultType") != kind
        or not isinstance(result, list)
        or not all(isinstance(one, dict) for one in result)
    ):
        raise AnswerUnusable(f"the answer's resultType is {str(data.get('resultType'))[:40]!r}, not {kind}")
    return result


def _labels(series: Mapping[str, Any]) -> Labels:
    labels = series.get("metric")
    if not isinstance(labels, dict):
        raise AnswerUnusable("a series comes without its labels")
    return tuple(sorted((str(name), str(value)) for name, value in labels.items()))


def _sample(pair: Any) -> tuple[float, float]:
    stamp, value = pair
    return float(stamp), float(value)


def _differences(series: set[Labels]) -> str:
    names = sorted({name for labels in series for name, _ in labels})
    told = []
    for name in names:
        values = sorted({dict(labels).get(name, "") for labels in series})
        if len(values) > 1:
            told.append(f"{name} ({', '.join(values[:3])}{', ...' if len(values) > 3 else ''})")
    return "; ".join(told[:5])
