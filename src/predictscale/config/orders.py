"""What people order of a running service over REST: a pause, another mode, a fit; each with its reason.

The reason is asked for because the next reader of a decision is somebody else, at night. Refuses a pause
that would be forgotten: one without an end, or that ends after more than a day.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Annotated, Any, Self, TypeVar

from pydantic import AfterValidator, BaseModel, Field, ValidationError, model_validator

from predictscale.config.durations import duration_text
from predictscale.config.fields import DAY_S, Frozen, Span
from predictscale.config.planned import When
from predictscale.config.problems import problems_of, refuse
from predictscale.core.plan import Mode
from predictscale.errors import Problem, SettingsError

_Order = TypeVar("_Order", bound=BaseModel)

LONGEST_PAUSE_S = DAY_S
"""A fleet that should stay for longer has another floor, which is a setting [s]."""


def _readable(text: str) -> str:
    if not (text.strip() and text.isprintable()):
        raise ValueError("must be text in one line, for whoever asks why")
    return text.strip()


Reason = Annotated[str, Field(max_length=300), AfterValidator(_readable)]
"""Why, in one line."""


class PauseOrder(Frozen):
    """Until it ends the fleet does not shrink; it may grow."""

    for_s: Span | None = Field(
        default=None, alias="for", description="How long, such as 30m, at most a day; or give until."
    )
    until: When | None = Field(
        default=None, description="When it ends, with an offset from UTC, at most a day ahead; or give for."
    )
    reason: Reason = Field(description="Why, for whoever reads a decision.")

    @model_validator(mode="after")
    def _one_end(self) -> Self:
        if (self.for_s is None) == (self.until is None):
            got = "is missing, as until is" if self.for_s is None else "is given with until"
            raise refuse(got=got, wants="give one of them; a pause has an end", field="for")
        if self.until is not None and self.until.utcoffset() is None:
            wants = "must look like 2026-11-27T08:00Z"
            raise refuse(got=f"{self.until} has no offset from UTC", wants=wants, field="until")
        return self

    def end(self, at: datetime) -> datetime:
        """When it ends that begins at `at`.

        Raises:
            SettingsError: Not after `at`, or more than a day later.
        """
        name = "for" if self.for_s is not None else "until"
        lasts_s = self.for_s if self.for_s is not None else _seconds(self.until, at)
        if not 0 < lasts_s <= LONGEST_PAUSE_S:
            past = f"lies {duration_text(round(-lasts_s))} in the past" if lasts_s <= 0 else ""
            got = past or f"is {duration_text(round(lasts_s))} from now"
            wants = f"must lie ahead, by at most {duration_text(LONGEST_PAUSE_S)}"
            raise SettingsError([Problem(name, got, wants, "a floor that should stay is a setting")])
        return at + timedelta(seconds=lasts_s)


class ModeOrder(Frozen):
    """Another mode than that of the settings, until it is taken back."""

    mode: Mode = Field(description="live: the forecast moves the fleet; shadow: it is only recorded.")
    reason: Reason = Field(description="Why, for whoever reads a decision.")


class RefitOrder(Frozen):
    """A fit now, beside those of the grid."""

    reason: Reason | None = Field(default=None, description="Why, for the audit log.")


def read_order(model: type[_Order], fields: Mapping[str, Any]) -> _Order:
    """An order as it was sent.

    Raises:
        SettingsError: It cannot be obeyed; all problems at once.
    """
    try:
        return model.model_validate(fields)
    except ValidationError as wrong:
        raise SettingsError(problems_of(wrong, model)) from None


def _seconds(until: datetime | None, at: datetime) -> float:
    assert until is not None  # noqa: S101 - the model has one of both
    return (until - at).total_seconds()
