"""Every error of predictscale, placed by what its catcher does next.

PredictscaleError
├── TryNextForecaster     the chain takes its next model
│   ├── NotEnoughHistory
│   ├── FitFailed
│   ├── ForecastNotCredible
│   └── ForecastTooShort
├── HoldTarget            what is here cannot be known now: the last good target holds
│   ├── SourceUnavailable     worth another try: no answer, a timeout, 5xx, 429
│   ├── SourceRefused         not worth one: the source understood and said no
│   ├── AnswerUnusable        an answer came, and it is not one: truncated, huge, not one series
│   └── PartialAnswer         the source itself warns that data is missing
├── AskOwner              a setting must change: INVALID_ARGUMENT, exit code 2
│   ├── SettingsError         one or more problems, all at once
│   ├── TenancyError          the setting reaches for what is another's
│   └── FileUnusable          a data file cannot be read as what it should be
├── RefuseMore            a limit is reached: RESOURCE_EXHAUSTED
│   └── TooManyWorkloads
├── AnswerUnavailable     nothing good can be said now: UNAVAILABLE, KEDA leaves the fleet as it is
└── RebuildCache          the cache on disk is damaged: set it aside, pull the history again
"""

import struct
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final


class PredictscaleError(Exception):
    """The root. Catch one of its branches instead.

    Every error survives the way back from a worker process with its numbers,
    although its constructor takes them by keyword.
    """

    def __reduce__(self) -> tuple[object, ...]:
        return _again, (type(self), self.args, self.__dict__)


class TryNextForecaster(PredictscaleError):
    """This model cannot serve this history; the chain takes the next."""


class NotEnoughHistory(TryNextForecaster):
    """The window is shorter than the model's seasons need."""

    def __init__(self, *, need_s: float, have_s: float) -> None:
        super().__init__(f"needs {need_s:g} s of history, has {have_s:g} s")
        self.need_s = need_s
        self.have_s = have_s


class FitFailed(TryNextForecaster):
    """The library behind the model raised, or did not converge."""


class ForecastNotCredible(TryNextForecaster):
    """The model answered with NaN, or with more than the history makes thinkable."""


class ForecastTooShort(TryNextForecaster):
    """The forecast ends before the instant it is asked for."""

    def __init__(self, *, need_s: float, have_s: float) -> None:
        super().__init__(f"asked {need_s:g} s ahead, reaches {have_s:g} s")
        self.need_s = need_s
        self.have_s = have_s


class HoldTarget(PredictscaleError):
    """What is here cannot be known now; the last good target holds."""


class SourceUnavailable(HoldTarget):
    """No answer, a timeout, or one that asks to come back later."""

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class SourceRefused(HoldTarget):
    """The source understood the question and refused it; asking again changes nothing."""

    def __init__(self, message: str, *, status: int) -> None:
        super().__init__(message)
        self.status = status


class AnswerUnusable(HoldTarget):
    """An answer came that cannot be read as one series of numbers."""


class PartialAnswer(HoldTarget):
    """The source warns that its answer lacks data; it is not trained on and lowers nothing."""


class AskOwner(PredictscaleError):
    """Somebody must change a setting."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a setting."""

    where: str
    got: str
    wants: str
    why: str = ""

    def __str__(self) -> str:
        """`where: got; wants ...; why`, one line."""
        text = f"{self.where}: {self.got}; {self.wants}"
        return f"{text} ({self.why})" if self.why else text


class SettingsError(AskOwner):
    """All problems found in one set of settings."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(str(p) for p in problems))
        self.problems = tuple(problems)


class TenancyError(SettingsError):
    """The settings reach for another tenant's data."""


class FileUnusable(AskOwner):
    """A data file is missing, or is not in the format its name promises."""


class RefuseMore(PredictscaleError):
    """A limit of the service is reached."""


class TooManyWorkloads(RefuseMore):
    """As many workloads as the owner allows are registered already."""

    def __init__(self, *, limit: int) -> None:
        super().__init__(
            f"{limit} workloads are registered, which is limits.max_workloads; "
            "raise it, or wait until unused ones expire"
        )
        self.limit = limit


class AnswerUnavailable(PredictscaleError):
    """No decision may be published now; KEDA leaves the fleet as it is."""


class RebuildCache(PredictscaleError):
    """The cache on disk does not hold what it should."""


def _again(
    kind: type[PredictscaleError], args: tuple[object, ...], state: dict[str, object]
) -> PredictscaleError:
    """An error as it was pickled."""
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(state)
    return error


DAMAGE: Final[tuple[type[Exception], ...]] = (
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    EOFError,
    OSError,
    ArithmeticError,
    RuntimeError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)
"""What json, zipfile, numpy and the checks of our classes raise on bytes that are not ours."""
