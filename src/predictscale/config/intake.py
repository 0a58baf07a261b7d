"""From the fields somebody wrote to a workload that can be obeyed, with every problem at once.

Checks of single fields and checks between fields would come in two rounds, and
the writer would mend a file twice. So a field that is wrong is set aside, the
rest is checked on, and all that was found is raised together.
"""

from collections.abc import Mapping

from pydantic import ValidationError

from predictscale.config.problems import Place, problems_of, written
from predictscale.config.resolve import Findings, Origin, Terms, resolve
from predictscale.config.workload import NamedWorkload, WorkloadSettings
from predictscale.errors import SettingsError

# Stand for fields that are missing or wrong while the others are checked; none can cause a problem itself.
_STAND_INS: Mapping[str, object] = {
    "namespace": "namespace",
    "name": "name",
    "capacity_per_replica": 1.0,
    "max_replicas": 100_000,
    "query": "vector(0)",
}


def read_workload(
    fields: Mapping[str, object], *, terms: Terms, origin: Origin
) -> tuple[NamedWorkload, WorkloadSettings]:
    """A workload as it was written, and as it will be obeyed.

    Args:
        fields: By the names of `NamedWorkload`; texts where numbers are meant will do.
        terms: What the service contributes.
        origin: Where they were written.

    Raises:
        SettingsError: Something is wrong with them; all problems at once.
        TenancyError: They reach for another namespace's data.
    """
    found = Findings()
    named = _validated(fields, origin, found)
    try:
        settings = resolve(named, terms=terms, origin=origin)
    except SettingsError as wrong:
        found.collect(wrong)
        raise found.as_error() from None
    found.settle()
    return named, settings


def _validated(fields: Mapping[str, object], origin: Origin, found: Findings) -> NamedWorkload:
    try:
        return NamedWorkload.model_validate(fields)
    except ValidationError as error:
        found.problems += problems_of(
            error,
            NamedWorkload,
            where=lambda place: _where(place, origin),
            hidden=lambda place: not origin.hidden.isdisjoint((_dotted(place[:1]), _dotted(place[:2]))),
        )
        wrong = {detail["loc"][0] for detail in error.errors() if detail["loc"]}
    sound = {name: value for name, value in fields.items() if name not in wrong}
    stand_ins = {name: value for name, value in _STAND_INS.items() if name in wrong}
    if "capacity" in wrong and "capacity_per_replica" not in sound:
        stand_ins["capacity_per_replica"] = _STAND_INS["capacity_per_replica"]
    return NamedWorkload.model_validate(sound | stand_ins)


def _dotted(place: Place) -> str:
    return ".".join(map(str, place))


def _where(place: Place, origin: Origin) -> str:
    if _dotted(place[:2]) in origin.names:
        return written((origin.where(_dotted(place[:2])), *place[2:]))
    return written((origin.where(str(place[0])), *place[1:])) if place else origin.prefix.rstrip(".")
