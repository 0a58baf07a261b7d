"""The kinds of values that settings are made of, each with its bounds.

A kind refuses NaN, infinity, and a boolean where a number is meant: YAML reads
`yes` as true, and true must not become one replica.
"""

import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from predictscale.config.durations import duration_s, share

DAY_S = 86400.0
_DNS_LABEL = re.compile(r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?")
_DEFAULT_PORTS = {"http": 80, "https": 443}


class Frozen(BaseModel):
    """A section of settings: frozen, closed to unknown keys, validated once."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, hide_input_in_errors=True, validate_default=False
    )


def _not_boolean(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("must be a number")  # noqa: TRY004 - pydantic collects ValueError, not TypeError
    return value


def _dns_label(value: str) -> str:
    if not _DNS_LABEL.fullmatch(value):
        raise ValueError("must be a Kubernetes name: a-z, 0-9 and '-', at most 63 characters")
    return value


def _dns_name(value: str) -> str:
    if len(value) > 253 or not all(_DNS_LABEL.fullmatch(part) for part in value.split(".")):
        raise ValueError("must be a Kubernetes name: a-z, 0-9, '-' and '.', at most 253 characters")
    return value


def normal_url(value: str) -> str:
    """A base URL in the one form in which it is compared: lower-case host, no default port, no last slash.

    Raises:
        ValueError: It is not a plain http or https URL, or carries a password.
    """
    wants = "must be an http:// or https:// address without user, query or fragment"
    parts = urlsplit(value.strip())
    if parts.scheme.lower() not in _DEFAULT_PORTS or not parts.hostname or "@" in parts.netloc:
        raise ValueError(wants)
    if (
        parts.query
        or parts.fragment
        or not value.isascii()
        or not value.strip().isprintable()
        or " " in value.strip()
    ):
        raise ValueError(wants)
    scheme = parts.scheme.lower()
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    try:
        port = parts.port
    except ValueError:
        raise ValueError(wants) from None
    shown_port = "" if port in (None, _DEFAULT_PORTS[scheme]) else f":{port}"
    return f"{scheme}://{host}{shown_port}{parts.path.rstrip('/')}"


Duration = Annotated[float, BeforeValidator(duration_s), Field(ge=0, le=3650 * DAY_S)]
"""Seconds, or text such as `4m`; 0 is allowed."""

Span = Annotated[float, BeforeValidator(duration_s), Field(gt=0, le=3650 * DAY_S)]
"""Seconds, or text such as `4m`; above 0."""

Share = Annotated[float, BeforeValidator(share), Field(gt=0, lt=1)]
"""A share of 1, or text such as `0.5%`; above 0 and below 1."""

Count = Annotated[int, BeforeValidator(_not_boolean), Field(ge=0, le=100_000)]
"""Replicas, or other things that are counted."""

Positive = Annotated[float, BeforeValidator(_not_boolean), Field(gt=0)]
"""A finite number above 0."""

NotNegative = Annotated[float, BeforeValidator(_not_boolean), Field(ge=0)]
"""A finite number, 0 or above."""

Port = Annotated[int, BeforeValidator(_not_boolean), Field(ge=0, le=65535)]
"""A TCP port; 0 is any free one."""

Url = Annotated[str, AfterValidator(normal_url)]
"""A base URL, normalised."""

DnsLabel = Annotated[str, AfterValidator(_dns_label)]
"""The name of a namespace."""

DnsName = Annotated[str, AfterValidator(_dns_name)]
"""The name of a Kubernetes object."""
