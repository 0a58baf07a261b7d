"""What to size for: the load that is here, and at least what a forecast expects of each of its numbers.

The primary number is always told. Where capacity is learned the load is told as rates too, each
with a forecast of its own; peaks of several rates are taken as if they came together, which
is the doubtful side. What tuning makes of the primary forecast it makes of the others:
a margin, or a limit that cuts it, counts for all by the same factor.

Refuses to let a forecast lower anything.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from predictscale.core.capacity import Load, linear, spoken
from predictscale.core.demand import Observation
from predictscale.core.forecast import Forecast
from predictscale.core.lawcapacity import CapacityLaw
from predictscale.core.needed import Demands
from predictscale.core.offered import Rate, part_of, together
from predictscale.core.plan import Policy
from predictscale.errors import ForecastTooShort

Further = Mapping[Rate, Forecast]
"""Forecasts of rates beside the primary number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What a decision sizes by.

    Args:
        seen: What was observed.
        forecast: Of the primary number; None to size by what is here.
        further: Of rates; used beside `forecast` only.
        policy: What the owner wants.
        unit: What the primary number counts.
    """

    seen: Observation
    forecast: Forecast | None
    further: Further
    policy: Policy
    unit: str

    def expected(self, within_s: float) -> float:
        """The primary forecast's peak from now on.

        Raises:
            ForecastTooShort: It does not reach that far.
        """
        assert self.forecast is not None  # noqa: S101 - callers ask only where there is one
        return self._peak(self.forecast, within_s)

    def here(self) -> Load:
        """What is here, room to spare included."""
        seen, headroom = self.seen, self.policy.headroom
        assert seen.demand is not None  # noqa: S101 - callers size only what was seen
        return Load(primary=seen.demand * headroom, unit=self.unit, rates=_times(seen.rates, headroom))

    def asked(self) -> tuple[Load, str]:
        """What to size for, and why.

        Raises:
            ForecastTooShort: The primary forecast does not reach the lead time.
        """
        least, policy = self.here(), self.policy
        here = self._words_of_here()
        if self.forecast is None:
            return least, f"{here}; no forecast can be used{_listed(least.rates)}"
        if not policy.margin:
            because = f"{here}; the forecast is left aside, which met the objective most cheaply"
            return least, because + _listed(least.rates)
        plain = self.expected(policy.lead_time_s)
        peak, how = self._counted(plain)
        because = (
            f"{here}; {self.forecast.model} expects up to {spoken(peak)} within {policy.lead_time_s:.0f} s "
            f"at level {policy.level:g}{how}, which is {'more' if peak > least.primary else 'not more'}"
        )
        rates, each = self._rates(least.rates, peak / plain if plain > 0 else policy.margin)
        return Load(primary=max(least.primary, peak), unit=self.unit, rates=rates), because + each

    def replicas_for(self, demand: float) -> int:
        """Replicas that serve a primary number, if it is made up of mean requests.

        Not as what is here is made up: of few requests chance decides, and answers that still stream
        are of requests that came before. Where no mean request is known, the rates that are here
        go with the number, or, where nothing is here, the linear stand-in of a learned capacity sizes.

        Raises:
            HoldTarget: Nothing is known of what a replica serves.
        """
        here, capacity = self.here(), self.policy.capacity
        if isinstance(capacity, CapacityLaw) and capacity.mix is not None:
            return capacity.needed(together({capacity.primary: demand})).replicas
        if here.primary <= 0:
            capacity, here = linear(capacity) or capacity, Load(primary=1.0, unit=self.unit)
        rates = _times(here.rates, demand / here.primary)
        return capacity.sized(Load(primary=demand, unit=self.unit, rates=rates)).replicas

    def _words_of_here(self) -> str:
        seen, policy = self.seen, self.policy
        assert seen.demand is not None  # noqa: S101 - callers size only what was seen
        here = f"{spoken(seen.demand)} {self.unit} are here"
        if seen.age_s > policy.fresh_s:
            here = (
                f"{spoken(seen.demand)} {self.unit} were here {seen.age_s:.0f} s ago, nothing newer is known"
            )
        elif seen.partial:
            here += ", by an answer that its source calls incomplete"
        if policy.headroom > 1:
            here += f", counted {policy.headroom:.3g} times"
        return here

    def _counted(self, peak: float) -> tuple[float, str]:
        """What of the forecast's peak is sized for, and how it differs from the peak."""
        policy, highest = self.policy, self.seen.highest
        counted, how = peak * policy.margin, "" if policy.margin == 1 else f" times {policy.margin:.3g}"
        if policy.limit is None or highest is None or counted <= policy.limit * highest:
            return counted, how
        return (
            policy.limit * highest,
            f"{how}, cut to {policy.limit:.3g} times the highest of the last days",
        )

    def _rates(self, least: Demands, factor: float) -> tuple[Demands, str]:
        """Each rate at least as it is here and as it is expected, and the words of each."""
        if not least.known():
            return least, ""
        ahead = together({rate: self._ahead(rate, factor) for rate in Rate})
        if self.seen.mix is not None:
            # A rate without a forecast follows the others through the mean request.
            ahead = ahead.completed(self.seen.mix)
        rates: dict[Rate, float | None] = {}
        words = []
        for rate in Rate:
            here, expected = part_of(least, rate), part_of(ahead, rate)
            # What is not known here is not made up from a forecast: the law derives it, or holds.
            rates[rate] = here if here is None or expected is None else max(here, expected)
            if here is not None:
                more = "" if expected is None else f", up to {spoken(expected)} expected"
                words.append(f"{rate} {spoken(rates[rate] or 0.0)}/s (here {spoken(here)}{more})")
        return together(rates), "; sized for " + ", ".join(words)

    def _ahead(self, rate: Rate, factor: float) -> float | None:
        forecast = self.further.get(rate)
        if forecast is None:
            return None
        try:
            return self._peak(forecast, self.policy.lead_time_s) * factor
        except ForecastTooShort:
            return None

    def _peak(self, forecast: Forecast, within_s: float) -> float:
        now = self.seen.now
        return forecast.peak(level=self.policy.level, since=now, until=now + timedelta(seconds=within_s))


def _times(rates: Demands, factor: float) -> Demands:
    if factor == 1 or not rates.known():
        return rates
    parts = {rate: part_of(rates, rate) for rate in Rate}
    return together({rate: None if part is None else part * factor for rate, part in parts.items()})


def _listed(rates: Demands) -> str:
    parts = {rate: part_of(rates, rate) for rate in Rate}
    words = [f"{rate} {spoken(part)}/s" for rate, part in parts.items() if part is not None]
    return "; sized for " + ", ".join(words) if words else ""
