"""What is known of a workload's models: who was fitted and judged, who serves, and why the others do not.

For people who ask why a model was chosen or demoted. Made from what the strand holds at the moment
that it is asked, so it costs decisions nothing. Refuses to give reasons of its own where the rule
that decided has left some: those of candidates are told by `forecasters.standings`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from predictscale.control.shelf import ShelvedModel
from predictscale.forecasters.chain import FittedChain, Skipped
from predictscale.forecasters.standings import Standing
from predictscale.forecasters.tournament import AUTO, Crowned


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One forecaster among those that may serve.

    Args:
        name: Which.
        serves: Whether the newest forecast is its own.
        because: Why, or why not, in words.
        loss: Weighted quantile loss of the peak relative to the last value's, over the days that it was
            judged by; None if it was not judged, or could not answer.
        judged_at: Where those days ended; None if it was not judged.
        lost: How many times in a row it was not worth its fit.
        asked_again_at: Until when it rests; None if it is asked at the next fit.
    """

    name: str
    serves: bool
    because: str
    loss: float | None = None
    judged_at: datetime | None = None
    lost: int = 0
    asked_again_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fitting:
    """The models of a workload at an instant.

    Args:
        chain: The forecasters that its settings name, in order.
        model: What is fitted; None before the first fit.
        under_way: Whether a fit is.
        next_fit_at: When the next fit is due; None before there is history.
    """

    chain: tuple[str, ...]
    model: ShelvedModel | None
    under_way: bool = False
    next_fit_at: datetime | None = None

    @property
    def standings(self) -> tuple[Standing, ...]:
        """How candidates of a tournament did, best first; empty without one, or if none was judged."""
        crowned = self._crowned
        return () if crowned is None else crowned.standings

    @property
    def skipped(self) -> tuple[Skipped, ...]:
        """Forecasters of the chain that could not be fitted."""
        return () if self.model is None else self.model.skipped

    @property
    def because(self) -> tuple[str, ...]:
        """Why what is fitted serves, in words."""
        if self.model is None:
            return ("no model is fitted yet" + ("; a fit is under way" if self.under_way else ""),)
        if self.model.quick:
            under_way = ", which is under way" if self.under_way else ""
            return (f"quick forecasters serve until the first fit of all is done{under_way}",)
        return self.model.fitted.because or (f"{self.model.fitted.model} is the first that could be fitted",)

    def candidates(self, *, serving: str | None, notes: Sequence[str] = ()) -> tuple[Candidate, ...]:
        """Who may serve, the best first, then those that stand in.

        Args:
            serving: Whose the newest forecast is; None if there is none.
            notes: Of the newest decision, which name those that were passed over: `name: why`.
        """
        judged = [self._judged(standing, serving, notes) for standing in self.standings]
        names = {candidate.name for candidate in judged}
        return (*judged, *self._unjudged(serving, notes, without=names))

    def _judged(self, standing: Standing, serving: str | None, notes: Sequence[str]) -> Candidate:
        crowned = self._crowned
        assert crowned is not None  # noqa: S101 - standings are a tournament's
        order = [each.name for each in crowned.standings]
        reasons = [standing.because or "it was judged by an earlier fit"]
        if order.index(standing.name) < order.index(crowned.model):
            reasons.append("it came first, and could not be fitted on the whole history")
        if standing.lost:
            times = "once" if standing.lost == 1 else f"{standing.lost} times in a row"
            reasons.append(f"it was not worth its fit {times}, and rests")
        passed_over = _passed_over(standing.name, notes)
        if not passed_over and standing.name == crowned.model and serving not in (None, standing.name):
            passed_over = ["it is the champion, and gave no credible forecast now"]
        reasons += passed_over
        return Candidate(
            name=standing.name,
            serves=standing.name == serving,
            because="; ".join(reasons),
            loss=standing.loss,
            judged_at=_instant(standing.judged_s) if standing.judged_s else None,
            lost=standing.lost,
            asked_again_at=_instant(standing.again_s) if standing.lost else None,
        )

    def _unjudged(
        self, serving: str | None, notes: Sequence[str], *, without: set[str]
    ) -> Iterator[Candidate]:
        """Those of the chain that no tournament has judged."""
        if self.model is None:
            return
        fitted = list(dict.fromkeys(_names(self.model.fitted)))
        for name in dict.fromkeys((*fitted, *self.chain)):
            # A tournament is told by its candidates.
            if name not in without and not (self._crowned is not None and name == AUTO):
                because = "; ".join((self._place(name, fitted), *_passed_over(name, notes)))
                yield Candidate(name=name, serves=name == serving, because=because)

    def _place(self, name: str, fitted: Sequence[str]) -> str:
        """What the place of one that was not judged says of it."""
        refused = dict(self.skipped)
        if name in refused:
            return f"it could not be fitted: {refused[name]}"
        if name not in fitted:
            quick = self.model is not None and self.model.quick
            return "it is slow, and " + (
                "its first fit is not done" if quick else "is fitted only if none before it can be"
            )
        if name != fitted[0]:
            return "it stands in where those before it cannot answer"
        too_little = "there is too little history to judge candidates by, and "
        first = "it is the first that could be fitted"
        return first if self._crowned is None else too_little + first

    @property
    def _crowned(self) -> Crowned | None:
        members = () if self.model is None else self.model.fitted.members
        return next((member for member in members if isinstance(member, Crowned)), None)


def _names(fitted: FittedChain) -> Iterator[str]:
    """The models of a chain in the order in which they are asked, those of a tournament in its place."""
    for member in fitted.members:
        if isinstance(member, Crowned):
            yield from (each.model for each in member.members)
        else:
            yield member.model


def _passed_over(name: str, notes: Sequence[str]) -> list[str]:
    """What the newest decision says of one that could not answer."""
    start = f"{name}: "
    return [
        f"it gave no forecast now: {note.removeprefix(start)}" for note in notes if note.startswith(start)
    ]


def _instant(epoch_s: float) -> datetime:
    return datetime.fromtimestamp(epoch_s, UTC)
