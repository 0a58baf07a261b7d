"""What is asked of a replay: how many days, and with which settings in place of the workload's own.

Checked by the same rules as the settings themselves, all problems at once. Refuses what a replay of demand
cannot tell: another backend, another query, pools.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, Final

from pydantic import BaseModel, Field, ValidationError, create_model

from predictscale.config.fields import Frozen, Positive
from predictscale.config.intake import read_workload
from predictscale.config.problems import problems_of, written
from predictscale.config.resolve import Findings, Origin, Terms
from predictscale.config.workload import NamedWorkload, WorkloadSettings
from predictscale.errors import SettingsError

FEWEST_DAYS: Final = 1
MOST_DAYS: Final = 14
SETTINGS: Final = (
    "quantile",
    "slo",
    "lead_time_s",
    "min_replicas",
    "max_replicas",
    "capacity_per_replica",
    "hold_s",
)
"""Settings of a workload that a replay can change; beside them `headroom`."""


def _optional(name: str) -> tuple[Any, Any]:
    """A setting as it is described and checked elsewhere, which may be left out here."""
    field = NamedWorkload.model_fields[name]
    annotated: Any = Annotated
    kind: Any = annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation
    return (kind | None, Field(default=None, description=field.description))


class _Headroom(Frozen):
    headroom: Positive | None = Field(
        default=None,
        ge=1,
        le=10,
        description="What is here counts this many times: 1 over the utilisation aimed at. Where settings "
        "are chosen from slo it serves until they are.",
    )


WhatIfSettings: type[BaseModel] = create_model(
    "WhatIfSettings", __base__=_Headroom, **dict[str, Any]({name: _optional(name) for name in SETTINGS})
)
"""Settings in place of the workload's own; what is left out stays."""


class WhatIfOrder(Frozen):
    """A replay of the last days."""

    days: float = Field(
        default=3, ge=FEWEST_DAYS, le=MOST_DAYS, description="How many of the last days are lived through."
    )
    settings: WhatIfSettings = Field(  # type: ignore[valid-type]  # made above
        default=WhatIfSettings(), description="Settings in place of the workload's own."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class WhatIf:
    """What is asked, ready to be replayed.

    Args:
        days: How many of the last days.
        settings: The workload's, with what was given in place of its own.
        given: What was given, as it was written.
        headroom: What is here counts this many times.
    """

    days: float
    settings: WorkloadSettings
    given: Mapping[str, Any]
    headroom: float


def read_what_if(fields: Mapping[str, Any], *, settings: WorkloadSettings, terms: Terms) -> WhatIf:
    """What is asked about a workload.

    Args:
        fields: As they were sent.
        settings: The workload's own, with a capacity that is given.
        terms: What the service contributes.

    Raises:
        SettingsError: It cannot be obeyed; all problems at once.
    """
    found, wrong = Findings(), set[str]()
    try:
        order = WhatIfOrder.model_validate(fields)
    except ValidationError as error:
        found.problems += problems_of(error, WhatIfOrder)
        places = (detail["loc"] for detail in error.errors())
        wrong = {str(place[1]) for place in places if len(place) > 1}
        order = None
    inner = fields.get("settings")
    given = dict(inner) if isinstance(inner, Mapping) else {}
    given = {name: value for name, value in given.items() if value is not None}
    sound = {name: value for name, value in given.items() if name in SETTINGS and name not in wrong}
    try:
        # Between fields, and against those that stay.
        _, asked = read_workload(
            {**_own(settings, sound), **sound},
            terms=replace(terms, reads_promql=False),
            origin=Origin(prefix=written(("settings", "")), trusted=True),
        )
    except SettingsError as between:
        found.collect(between)
        raise found.as_error() from None
    found.settle()
    assert order is not None  # noqa: S101 - settle has raised otherwise
    return WhatIf(
        days=order.days,
        settings=_with(settings, asked) if sound else settings,
        given=given,
        headroom=(given.get("headroom") and float(given["headroom"])) or 1.0,
    )


def _own(settings: WorkloadSettings, given: Mapping[str, Any]) -> dict[str, Any]:
    """The workload's own settings as somebody would have written them."""
    own: dict[str, Any] = {
        "namespace": settings.workload.namespace,
        "name": settings.workload.name,
        "query": "demand",
        "unit": settings.unit,
        "capacity_per_replica": settings.capacity_per_replica,
        "max_replicas": settings.max_replicas,
        "min_replicas": settings.min_replicas,
        "warm_replicas": settings.warm_replicas,
        "lead_time_s": settings.lead_time_s,
        "fresh_s": settings.fresh_s,
        "stale_after_s": settings.stale_after_s,
        "tuning": settings.tuning.model_dump(),
    }
    # One that follows the lead time goes on doing so.
    if settings.hold_s != max(2 * settings.lead_time_s, 600.0):
        own["hold_s"] = settings.hold_s
    if not given.keys() & {"quantile", "slo"}:
        slo = settings.slo
        if slo is None:
            own["quantile"] = settings.level
        else:
            own["slo"] = {
                "max_violation": slo.max_violation, "wait_s": slo.wait_s, "window_s": slo.window_s
            }  # fmt: skip
    return own


def _with(settings: WorkloadSettings, asked: WorkloadSettings) -> WorkloadSettings:
    return replace(
        settings,
        level=asked.level,
        slo=asked.slo,
        drain_s=asked.drain_s,
        lead_time_s=asked.lead_time_s,
        hold_s=asked.hold_s,
        min_replicas=asked.min_replicas,
        max_replicas=asked.max_replicas,
        capacity_per_replica=asked.capacity_per_replica,
    )
