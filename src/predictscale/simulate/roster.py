"""Every rival by name, in the order of tables."""

from typing import Final

from predictscale.simulate.model_rivals import FOURIER, HOLT_WINTERS
from predictscale.simulate.rivals import LAST_VALUE, REACTIVE, RECENT_MAX, STATIC, STOCK, Rival
from predictscale.simulate.seasonal_rivals import CRON, HOURLY_MAX, NAIVE, OFFSET

RIVALS: Final[dict[str, Rival]] = {
    rival.name: rival
    for rival in (
        STATIC,
        STOCK,
        REACTIVE,
        LAST_VALUE,
        RECENT_MAX,
        CRON,
        HOURLY_MAX,
        NAIVE,
        OFFSET,
        HOLT_WINTERS,
        FOURIER,
    )
}
"""Those that need nothing but demand's past and numpy."""
