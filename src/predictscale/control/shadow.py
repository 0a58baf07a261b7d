"""What is recorded of a workload beside its decisions, so that somebody can tell whether to switch on.

Two meters listen to every decision: one follows the fleet that the forecast's targets would make, whatever
is published; the other the fleet that is there, or the one that what is published would make where it is
not seen. Beside them stands, by the hour, how much was in doubt, forecast, cut, and how forecasts came out.
All of it begins anew when the mode changes: days in shadow say nothing of days that were live.

Refuses to remember more than a month, and to count time in which nothing was decided.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from math import floor

import numpy as np

from predictscale.control.counterfactual import KEPT_S, WAIT_S, CounterfactualMeter
from predictscale.core.counterfactual import Account, PlainHpa, Savings
from predictscale.core.outcome import SCORED_LEVELS, Outcome
from predictscale.core.plan import Decision, Health, Mode
from predictscale.core.series import Floats
from predictscale.core.state import cut_by_ceiling

HOUR_S = 3600.0

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_KNOWING = (Health.OK, Health.REACTIVE)
_MODES = tuple(Mode)
_DAY_H = 24
# The columns of an hour: seconds decided, in doubt, the longest such stretch that reached into it, with a
# forecast, cut; then the outcome as it stood at its end: windows, horizon, shares, losses.
_DECIDED, _DOUBT, _LONGEST, _FORECAST, _CUT, _SCORED, _LEAD, _HELD = range(8)
_LOSSES = _HELD + len(SCORED_LEVELS)
_COLUMNS = _LOSSES + len(SCORED_LEVELS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """What was seen of a workload over the last days of its present mode.

    Args:
        mode: That mode.
        since: When it was first seen in it.
        until: The newest decision.
        decided_s: For how long decisions stood [s].
        doubt_s: For how much of that demand was not fresh, or nothing was answered [s].
        longest_doubt_s: The longest such stretch [s].
        forecast_s: For how much of it a forecast served [s].
        cut_s: For how much of it a ceiling or a budget cut the target [s].
        ours: The accounts in which `ours` is what the forecast's targets would hold.
        now: Those in which `ours` is what was held.
        outcome: How peaks within the lead time came out, day by day; None before any.
    """

    mode: Mode
    since: datetime
    until: datetime
    decided_s: float
    doubt_s: float
    longest_doubt_s: float
    forecast_s: float
    cut_s: float
    ours: Savings
    now: Savings
    outcome: Outcome | None


class ShadowMeter:
    """The record of one workload.

    Args:
        tick_s: Between decisions [s].
        wait_s: Work that waits longer is late [s].
    """

    def __init__(self, *, tick_s: float, wait_s: float = WAIT_S) -> None:
        self._tick_s, self._wait_s = tick_s, wait_s
        self._mode: Mode | None = None
        self._since = self._at = _EPOCH
        self._ours, self._now = self._meter(), self._meter()
        self._hours: dict[int, Floats] = {}
        # How long doubt has lasted, and whether there is a decision to count from.
        self._doubt_s, self._noted = 0.0, False

    def note(self, decision: Decision) -> None:
        """Take a decision down; they come in the order of time."""
        at, mode = decision.seen.now, decision.policy.mode
        if mode is not self._mode:
            self._begin(mode, at)
        # Whatever is published, targets of the forecast are followed as if nobody saw another's fleet.
        self._ours.note(_in_mode(decision, Mode.SHADOW))
        answered = replace(decision, plan=decision.answer)
        self._now.note(_in_mode(answered, Mode.LIVE))
        elapsed_s = min((at - self._at).total_seconds(), self._tick_s) if self._noted else 0.0
        self._noted, self._at = True, at
        self._count(decision, max(0.0, elapsed_s))

    def watched(self, *, span_s: float) -> Watched | None:
        """What the last `span_s` say [s], or as much of them as the mode has lasted; None before anything."""
        if self._mode is None:
            return None
        ours, now = (meter.savings(span_s=span_s) or self._nothing_yet() for meter in (self._ours, self._now))
        last = _number(self._at)
        rows = {n: row for n, row in self._hours.items() if last - span_s / HOUR_S < n <= last}
        total, longest = np.sum(list(rows.values()), axis=0), max(row[_LONGEST] for row in rows.values())
        return Watched(
            mode=self._mode,
            since=self._since,
            until=self._at,
            decided_s=float(total[_DECIDED]),
            doubt_s=float(total[_DOUBT]),
            longest_doubt_s=float(longest),
            forecast_s=float(total[_FORECAST]),
            cut_s=float(total[_CUT]),
            ours=ours,
            now=now,
            outcome=_outcome(rows, last),
        )

    def kept(self) -> dict[str, Floats]:
        """All of it as arrays, for the cache."""
        rows = [[n, *row] for n, row in sorted(self._hours.items())]
        mode = -1 if self._mode is None else _MODES.index(self._mode)
        head = [mode, _seconds(self._since), _seconds(self._at), self._doubt_s, float(self._noted)]
        return {
            "shadow": np.array(head, dtype=np.float64),
            "watched": np.array(rows, dtype=np.float64).reshape(-1, _COLUMNS + 1),
            **{f"ours.{name}": value for name, value in self._ours.kept().items()},
            **{f"now.{name}": value for name, value in self._now.kept().items()},
        }

    def restore(self, kept: Mapping[str, Floats]) -> None:
        """Go on from what `kept` gave; on an error nothing has changed.

        Raises:
            ValueError: It is not that.
            KeyError: The same.
        """
        mode, since_s, at_s, doubt_s, noted = kept["shadow"].tolist()
        rows = kept["watched"]
        if rows.ndim != 2 or rows.shape[1] != _COLUMNS + 1 or not np.isfinite(rows).all():
            raise ValueError(f"watched: shape {rows.shape}; {_COLUMNS + 1} finite columns")
        if mode not in range(-1, len(_MODES)):
            raise ValueError(f"shadow: mode {mode}; one of {len(_MODES)}")
        ours, now = self._meter(), self._meter()
        for meter, name in ((ours, "ours."), (now, "now.")):
            meter.restore({k.removeprefix(name): v for k, v in kept.items() if k.startswith(name)})
        # Last of what may fail.
        self._begin(
            None if mode < 0 else _MODES[int(mode)], _EPOCH + timedelta(seconds=since_s), ours=ours, now=now
        )
        self._hours = {int(row[0]): row[1:].astype(np.float64) for row in rows}
        self._at, self._doubt_s, self._noted = _EPOCH + timedelta(seconds=at_s), doubt_s, bool(noted)

    def _begin(
        self,
        mode: Mode | None,
        at: datetime,
        *,
        ours: CounterfactualMeter | None = None,
        now: CounterfactualMeter | None = None,
    ) -> None:
        self._mode, self._since, self._at = mode, at, at
        self._ours, self._now = ours or self._meter(), now or self._meter()
        self._hours = {}
        self._doubt_s, self._noted = 0.0, False

    def _nothing_yet(self) -> Savings:
        """Accounts of no time at all: those of a mode's first decision."""
        empty = Account(replica_h=0.0, late=0.0, money=0.0)
        return Savings(
            since=self._at,
            until=self._at,
            known_s=0.0,
            unknown_s=0.0,
            priced_s=0.0,
            came=0.0,
            utilisation=PlainHpa().utilisation,
            wait_s=self._wait_s,
            ours=empty,
            reactive=empty,
            static=empty,
        )

    def _meter(self) -> CounterfactualMeter:
        return CounterfactualMeter(tick_s=self._tick_s, wait_s=self._wait_s)

    def _count(self, decision: Decision, elapsed_s: float) -> None:
        """Put a decision into its hour, with the time since the one before."""
        row = self._row(decision.seen.now)
        doubtful = decision.plan.health not in _KNOWING or not decision.answer.available
        self._doubt_s = self._doubt_s + elapsed_s if doubtful else 0.0
        row[_DECIDED] += elapsed_s
        row[_DOUBT] += elapsed_s if doubtful else 0.0
        row[_LONGEST] = max(row[_LONGEST], self._doubt_s)
        row[_FORECAST] += elapsed_s if decision.forecast is not None else 0.0
        row[_CUT] += elapsed_s if cut_by_ceiling(decision) else 0.0
        if decision.outcomes:
            lead_s = decision.policy.lead_time_s
            outcome = min(decision.outcomes, key=lambda each: abs(each.lead_s - lead_s))
            row[_SCORED:] = (outcome.scored, outcome.lead_s, *outcome.coverage, *outcome.pinball)

    def _row(self, at: datetime) -> Floats:
        number = _number(at)
        row = self._hours.get(number)
        if row is None:
            oldest = number - round(KEPT_S / HOUR_S)
            row = np.zeros(_COLUMNS)
            self._hours = {n: each for n, each in self._hours.items() if n > oldest} | {number: row}
        return row


def _outcome(rows: Mapping[int, Floats], last: int) -> Outcome | None:
    """The outcomes of days as one; an hour tells of the day before its end, so one hour of a day counts."""
    days: dict[int, int] = {}
    for number, row in rows.items():
        if row[_SCORED] > 0:
            day = (last - number) // _DAY_H
            days[day] = max(number, days.get(day, number))
    if not days:
        return None
    newest = rows[max(days.values())]
    # Another horizon is another question.
    told = np.array([rows[n] for n in days.values() if rows[n][_LEAD] == newest[_LEAD]])
    scored = told[:, _SCORED]
    means = (told[:, _HELD:] * scored[:, None]).sum(axis=0) / scored.sum()
    coverage, pinball = means.reshape(2, -1).tolist()
    return Outcome(
        lead_s=float(newest[_LEAD]),
        levels=SCORED_LEVELS,
        coverage=tuple(coverage),
        pinball=tuple(pinball),
        scored=int(scored.sum()),
    )


def _in_mode(decision: Decision, mode: Mode) -> Decision:
    if decision.policy.mode is mode:
        return decision
    return replace(decision, policy=replace(decision.policy, mode=mode))


def _number(at: datetime) -> int:
    return floor((at - _EPOCH).total_seconds() / HOUR_S)


def _seconds(at: datetime) -> float:
    return (at - _EPOCH).total_seconds()
