"""What a workload's settings tell forecasters. Settings and forecasters do not know each other."""

from predictscale.config.workload import WorkloadSettings
from predictscale.forecasters.fourier import FourierOptions
from predictscale.forecasters.prophet import ProphetOptions, Seasonality
from predictscale.forecasters.registry import Context


def context_of(settings: WorkloadSettings) -> Context:
    """The calendar, and the options of each model that has some."""
    prophet, fourier = settings.prophet, settings.fourier
    seasons = (
        Seasonality(name=season.name, period_s=season.period_s, harmonics=season.harmonics)
        for season in prophet.seasonalities
    )
    return Context(
        calendar=settings.calendar,
        prophet=ProphetOptions(
            changepoints=prophet.changepoints,
            changepoint_prior_scale=prophet.changepoint_prior_scale,
            daily_harmonics=prophet.daily_harmonics,
            weekly_harmonics=prophet.weekly_harmonics,
            yearly=prophet.yearly,
            seasonalities=tuple(seasons),
            holidays_prior_scale=prophet.holidays_prior_scale,
        ),
        fourier=FourierOptions(
            daily_harmonics=fourier.daily_harmonics, weekly_harmonics=fourier.weekly_harmonics
        ),
    )
