"""Hours of what each way of scaling held, let wait, and cost: the book of the counterfactual meter.

Bounded: a row of sums for each hour of the last month, the oldest dropped as new ones begin.
Refuses to fill in: time that is not known is counted as that, and in nobody's favour.
"""

from datetime import UTC, datetime, timedelta
from math import ceil

import numpy as np

from predictscale.core.counterfactual import Account, Savings, Way
from predictscale.core.series import Floats

HOUR_S = 3600.0

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_WAYS = tuple(Way)
# The columns of an hour: seconds known, not known, priced; work that came; the highest demand;
# then replica-seconds, late work and money of each way.
_KNOWN, _UNKNOWN, _PRICED, _CAME, _HIGHEST, _ACCOUNTS = 0, 1, 2, 3, 4, 5
_COLUMNS = _ACCOUNTS + 3 * len(_WAYS)


class Accounts:
    """The book of one workload.

    Args:
        keep_s: How far back it reaches [s].
    """

    def __init__(self, *, keep_s: float) -> None:
        self._keep = max(1, round(keep_s / HOUR_S))
        self._hours: dict[int, Floats] = {}
        # An hour, and the highest demand of the hours kept before it.
        self._peak: tuple[int, float] | None = None

    def see(self, at: datetime, demand: float) -> float:
        """Note a demand per second.

        Returns:
            The highest of all that is kept, this one included.
        """
        number, row = self._number(at), self._row(at)
        row[_HIGHEST] = max(row[_HIGHEST], demand)
        if self._peak is None or self._peak[0] != number:
            before = (hour[_HIGHEST] for other, hour in self._hours.items() if other < number)
            self._peak = (number, float(max(before, default=0.0)))
        return max(self._peak[1], float(row[_HIGHEST]))

    def skip(self, at: datetime, unknown_s: float) -> None:
        """Note time that nothing is known of; `at` is where it ends, or begins within the same hour."""
        self._row(at)[_UNKNOWN] += min(unknown_s, self._keep * HOUR_S)

    def add(
        self,
        at: datetime,
        *,
        step_s: float,
        came: float,
        price_per_h: float | None,
        held: tuple[int, ...],
        late: tuple[float, ...],
    ) -> None:
        """Note a step that is known.

        Args:
            at: Where it begins.
            step_s: Its width [s].
            came: Work that came in it.
            price_per_h: Of a replica; None if it is not known.
            held: Replicas held throughout it, by way.
            late: Work that waits too long, by way.
        """
        row = self._row(at)
        row[[_KNOWN, _CAME]] += step_s, came
        row[_PRICED] += 0.0 if price_per_h is None else step_s
        accounts = row[_ACCOUNTS:].reshape(len(_WAYS), 3)
        held_s = np.array(held) * step_s
        accounts[:, 0] += held_s
        accounts[:, 1] += late
        accounts[:, 2] += held_s / HOUR_S * (price_per_h or 0.0)

    def savings(
        self, until: datetime, *, span_s: float | None, utilisation: float, wait_s: float
    ) -> Savings | None:
        """The sums of the hours that touch the last `span_s` before an instant; see `Savings`.

        Args:
            until: The instant up to which steps were noted.
            span_s: How far back [s]; None for all that is kept.
            utilisation: As `Savings` tells it.
            wait_s: Likewise [s].

        Returns:
            None if none of them holds anything.
        """
        last = self._number(until - timedelta(microseconds=1))
        count = self._keep if span_s is None else max(1, round(span_s / HOUR_S))
        chosen = [number for number in sorted(self._hours) if last - count < number <= last]
        if not chosen:
            return None
        total = np.sum([self._hours[number] for number in chosen], axis=0)
        accounts = (
            Account(replica_h=held_s / HOUR_S, late=late, money=money)
            for held_s, late, money in total[_ACCOUNTS:].reshape(len(_WAYS), 3).tolist()
        )
        return Savings(
            since=_EPOCH + timedelta(hours=chosen[0]),
            until=until,
            known_s=float(total[_KNOWN]),
            unknown_s=float(total[_UNKNOWN]),
            priced_s=float(total[_PRICED]),
            came=float(total[_CAME]),
            utilisation=utilisation,
            wait_s=wait_s,
            **dict(zip((way.value for way in _WAYS), accounts, strict=True)),
        )

    def paid(self, since: datetime) -> tuple[float, float]:
        """What our replicas have cost since an instant, and for how long a price was known [s].

        By whole hours: the one in which `since` lies is left out unless it begins there.
        """
        first = ceil((since - _EPOCH).total_seconds() / HOUR_S)
        rows = [row for number, row in self._hours.items() if number >= first]
        ours = _ACCOUNTS + 3 * _WAYS.index(Way.OURS)
        return float(sum(row[ours + 2] for row in rows)), float(sum(row[_PRICED] for row in rows))

    def kept(self) -> Floats:
        """All of it, an hour in each row."""
        rows = [[number, *row] for number, row in sorted(self._hours.items())]
        return np.array(rows, dtype=np.float64).reshape(-1, _COLUMNS + 1)

    def restore(self, rows: Floats) -> None:
        """Go on from what `kept` gave.

        Raises:
            ValueError: It has another shape, or numbers that cannot be.
        """
        if rows.ndim != 2 or rows.shape[1] != _COLUMNS + 1 or not np.isfinite(rows).all():
            raise ValueError(f"hours: shape {rows.shape}; {_COLUMNS + 1} finite columns")
        self._hours = {int(row[0]): row[1:].astype(np.float64) for row in rows}
        self._peak = None

    def _row(self, at: datetime) -> Floats:
        number = self._number(at)
        if number not in self._hours:
            self._hours = {n: row for n, row in self._hours.items() if n > number - self._keep}
            self._hours[number] = np.zeros(_COLUMNS)
        return self._hours[number]

    @staticmethod
    def _number(at: datetime) -> int:
        return int((at - _EPOCH).total_seconds() // HOUR_S)
