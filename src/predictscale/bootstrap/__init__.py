"""The only place where ports meet adapters.

What is named here is loaded when somebody asks for it: the service brings a web framework and gRPC, and most
commands need neither.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from predictscale.bootstrap.log import configure_logging
    from predictscale.bootstrap.service import PortTaken, Service, forecaster_problems
    from predictscale.bootstrap.sources import Signals, replay_signals

__all__ = ["PortTaken", "Service", "Signals", "configure_logging", "forecaster_problems", "replay_signals"]

_FROM: Final = {
    "PortTaken": "service",
    "Service": "service",
    "Signals": "sources",
    "configure_logging": "log",
    "forecaster_problems": "service",
    "replay_signals": "sources",
}


def __getattr__(name: str) -> Any:
    if name not in _FROM:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_FROM[name]}"), name)
