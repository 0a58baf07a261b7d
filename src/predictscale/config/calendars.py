"""Where and when a workload's people work: zones and holidays, as settings name them.

Names become dates here, once, so that nothing behind the settings knows countries.
Refuses to ask what year it is: the same settings give the same dates on every
replica, for all the years that a history or a replay can lie in.
"""

import warnings
from datetime import date
from functools import cache
from zoneinfo import available_timezones

from predictscale.config.problems import did_you_mean, refuse, show
from predictscale.core.calendar import zone_of

FIRST_YEAR, LAST_YEAR = 2005, 2045
"""Holidays are told of these years; beyond them every day is an ordinary one."""

_SOME_CODES = "such as DE, US-CA or DE-BY"


def zone_name(text: str) -> str:
    """An IANA name that there is a zone of.

    Raises:
        PydanticCustomError: There is none.
    """
    name = text.strip()
    try:
        zone_of(name)
    except ValueError:
        near = did_you_mean(name, sorted(available_timezones()))
        raise refuse(
            got=show(text), wants="must be a zone's IANA name, such as Europe/Berlin", why=near
        ) from None
    return name


def holiday_code(text: str) -> str:
    """A country's code, with one of a part of it behind a hyphen, as `holidays_of` takes it.

    Raises:
        PydanticCustomError: No holidays are known of it.
    """
    country, hyphen, part = text.strip().partition("-")
    country, known = country.upper(), _countries()
    if country not in known:
        near = _named_alike(text.strip())
        raise refuse(got=show(text), wants=f"must be a country's code, {_SOME_CODES}", why=near)
    if not hyphen:
        return country
    parts = {name.lower(): name for name in known[country]}
    if part.lower() not in parts:
        wants = f"parts of {country} are {', '.join(known[country])}" if parts else f"{country} has no parts"
        raise refuse(got=show(text), wants=wants, why=did_you_mean(part, known[country]))
    return f"{country}-{parts[part.lower()]}"


@cache
def holidays_of(code: str) -> tuple[date, ...]:
    """The public holidays of a country or a part of it, ascending.

    Args:
        code: As `holiday_code` gives it.
    """
    import holidays  # noqa: PLC0415 - only who names a country pays for the library

    country, _, part = code.partition("-")
    with warnings.catch_warnings():
        # Some countries' holidays follow the moon and are not known of all these years.
        warnings.simplefilter("ignore")
        days = holidays.country_holidays(country, subdiv=part or None, years=range(FIRST_YEAR, LAST_YEAR + 1))
    return tuple(sorted(days))


@cache
def _countries() -> dict[str, list[str]]:
    """Codes of countries, and of the parts of each."""
    import holidays  # noqa: PLC0415 - the same

    return holidays.list_supported_countries()


def _named_alike(text: str) -> str:
    """`did you mean X?` of the country whose code or name is near, or nothing."""
    from holidays.registry import COUNTRIES  # noqa: PLC0415 - the same

    names = {alias.lower(): aliases[1] for aliases in COUNTRIES.values() for alias in aliases}
    near = did_you_mean(text.replace(" ", ""), names)
    alike = next((name for name in names if repr(name) in near), None)
    return f"did you mean {names[alike]!r}?" if alike is not None else ""
