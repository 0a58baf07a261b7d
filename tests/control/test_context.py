from dataclasses import asdict, replace

from predictscale.config.models import FourierSettings, ProphetSettings, SeasonalitySettings
from predictscale.control.context import context_of
from predictscale.core.calendar import Calendar
from predictscale.forecasters.registry import Context
from scenes import settings_of

MONTH = SeasonalitySettings(name="month", period_s=30 * 86400, harmonics=4)
PROPHET = ProphetSettings(
    changepoints=1,
    changepoint_prior_scale=0.2,
    daily_harmonics=4,
    weekly_harmonics=2,
    yearly=True,
    seasonalities=(MONTH,),
    holidays_prior_scale=3.0,
)
FOURIER = FourierSettings(daily_harmonics=5, weekly_harmonics=1)


def test_what_nobody_set_is_what_forecasters_do_by_themselves() -> None:
    assert context_of(settings_of()) == Context()


def test_every_option_reaches_its_forecaster() -> None:
    calendar = Calendar("Asia/Tokyo")
    settings = replace(settings_of(), calendar=calendar, prophet=PROPHET, fourier=FOURIER)
    told = context_of(settings)
    assert told.calendar is calendar
    assert asdict(told.prophet) == PROPHET.model_dump()
    assert asdict(told.fourier) == FOURIER.model_dump()
    for settings_, default in ((PROPHET, ProphetSettings()), (FOURIER, FourierSettings())):
        assert not any(getattr(settings_, name) == getattr(default, name) for name in default.model_dump())
