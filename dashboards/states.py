"""The states of a workload as colours, the same on every dashboard."""

from collections.abc import Mapping
from types import MappingProxyType

from dashboards.panels import BLUE, GREEN, GREY, ORANGE, RED, YELLOW
from predictscale.core.state import State

COLOURS: Mapping[str, str] = MappingProxyType(
    {
        State.OK: GREEN,
        State.REACTIVE: BLUE,
        State.DEMOTED: YELLOW,
        State.BUDGET_BOUND: ORANGE,
        State.PAUSED: "purple",
        State.HOLDING: YELLOW,
        State.STALE: RED,
        State.UNKNOWN: GREY,
        State.UNAVAILABLE: "dark-red",
    }
)
"""By the label's value."""
