"""The only place where ports meet adapters."""

from predictscale.bootstrap.log import configure_logging
from predictscale.bootstrap.service import PortTaken, Service, forecaster_problems
from predictscale.bootstrap.sources import Signals, replay_signals

__all__ = ["PortTaken", "Service", "Signals", "configure_logging", "forecaster_problems", "replay_signals"]
