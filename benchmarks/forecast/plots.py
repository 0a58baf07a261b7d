"""Eight hard days, drawn: what a model said ten minutes ahead through each of them.

One synthetic workload whose users live in Berlin, learnt from four weeks, then replayed with a
loss of measurements, a burst of ten times the demand, the change to summer time, an hour
in which nothing gets through, demand that doubles and stays, and Good Friday. Its owner
set the time zone and the country, and planned none of the rest. For looking
at, not for scoring; refuses to pass for real.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
from benchmarks.forecast.models import entries

from predictscale.config.calendars import holidays_of
from predictscale.core.calendar import Calendar
from predictscale.core.series import Floats, MetricWindow
from predictscale.forecasters.base import Forecaster
from predictscale.forecasters.evaluate import RollingForecasts, actuals, reaching, rolling
from predictscale.forecasters.registry import FORECASTERS, Context, resolve
from predictscale.forecasters.robust import DAY_S
from predictscale.sources.synthetic import SyntheticDemand

OUT = Path(__file__).parent / "plots"
ZONE = ZoneInfo("Europe/Berlin")
COUNTRY = "DE"
STEP_S = 60.0
LEAD_S = 600.0
EVERY_S = 300.0
REFIT_S = 6 * 3600.0
LEVELS = (0.05, 0.5, 0.95)
FIRST = datetime(2026, 3, 27, tzinfo=ZONE)
LAST = datetime(2026, 4, 4, tzinfo=ZONE)
_LEARN = timedelta(days=28)
_HOLIDAY_SHARE = 0.45


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happens, and the stretch around it that is drawn."""

    name: str
    title: str
    start: datetime
    end: datetime
    before_h: float = 4.0
    after_h: float = 6.0


def _berlin(month: int, day: int, hour: int = 0) -> datetime:
    return datetime(2026, month, day, hour, tzinfo=ZONE)


EVENTS = (
    Event("outage", "measurements lost for two hours", _berlin(3, 27, 9), _berlin(3, 27, 11)),
    Event(
        "spike",
        "ten times the demand for ten minutes",
        _berlin(3, 28, 15),
        _berlin(3, 28, 15) + timedelta(minutes=10),
        before_h=2,
        after_h=3,
    ),
    Event(
        "dst",
        "summer time begins; the following Monday",
        _berlin(3, 29, 2),
        _berlin(3, 29, 4),
        before_h=2,
        after_h=29,
    ),
    Event(
        "down",
        "nothing gets through for an hour; the same hour a day later",
        _berlin(3, 30, 10),
        _berlin(3, 30, 11),
        before_h=2,
        after_h=25,
    ),
    Event("doubled", "demand doubles and stays", _berlin(3, 31, 12), LAST, after_h=-72),
    Event("holiday", "Good Friday", _berlin(4, 3), LAST, before_h=14, after_h=0),
)


def demand() -> MetricWindow:
    """The workload's requests per second, with all that happens to it; lost minutes are gaps."""
    shop = SyntheticDemand(
        seed=21, level=400.0, amplitude=0.75, weekend=0.6, bursts_per_day=0.5, time_zone=ZONE.key
    )
    whole = shop.values((FIRST - _LEARN).astimezone(UTC), LAST.astimezone(UTC), STEP_S)
    values = whole.values.copy()
    part = {event.name: _bins(whole, event.start, event.end) for event in EVENTS}
    values[part["holiday"]] *= _HOLIDAY_SHARE
    values[part["doubled"]] *= 2.0
    values[part["spike"]] *= 10.0
    values[part["down"]] = 0.0
    values[part["outage"]] = np.nan
    return MetricWindow(whole.start, STEP_S, values)


def told(model: str) -> Forecaster:
    """The model as the workload's owner has it: with the zone and the holidays, if it is one for owners."""
    if model not in FORECASTERS:
        return entries(quick=False)[model].forecaster
    owners = Context(calendar=Calendar(ZONE.key, holidays_of(COUNTRY))).around(FIRST - _LEARN, LAST)
    (forecaster,) = resolve((model,), context=owners)
    return reaching(forecaster, 2 * REFIT_S + DAY_S)


def replay(model: str, window: MetricWindow) -> RollingForecasts:
    """What the model said, every five minutes."""
    first, last = FIRST.astimezone(UTC), LAST.astimezone(UTC) - timedelta(seconds=LEAD_S)
    count = int((last - first).total_seconds() // EVERY_S) + 1
    return rolling(
        told(model),
        window,
        origins=[first + timedelta(seconds=EVERY_S * place) for place in range(count)],
        leads_s=[LEAD_S],
        levels=LEVELS,
        refit_s=REFIT_S,
    )


def draw(model: str, window: MetricWindow, said: RollingForecasts, out: Path) -> list[Path]:
    """The whole replay as one picture, and one around each event."""
    import matplotlib as mpl  # noqa: PLC0415 - an optional extra

    mpl.use("Agg")
    from matplotlib import dates  # noqa: PLC0415 - the same
    from matplotlib import pyplot as plt  # noqa: PLC0415 - the same

    out.mkdir(parents=True, exist_ok=True)
    files = []
    for event in (None, *EVENTS):
        figure, axes = plt.subplots(figsize=(16 if event is None else 11, 5), layout="constrained")
        start = FIRST if event is None else event.start - timedelta(hours=event.before_h)
        end = LAST if event is None else event.end + timedelta(hours=event.after_h)
        _draw_stretch(axes, window, said, start=start, end=end)
        title = "eight days with all events; the burst is cut off" if event is None else event.title
        axes.set_title(f"{model}, {LEAD_S / 60:g} min ahead: {title} (synthetic demand)")
        axes.set_ylabel("requests/s")
        clock = dates.DateFormatter("%a %d %b\n%H:%M", tz=ZONE)  # type: ignore[no-untyped-call]
        axes.xaxis.set_major_locator(dates.AutoDateLocator(tz=ZONE, maxticks=9))  # type: ignore[no-untyped-call]
        axes.xaxis.set_major_formatter(clock)
        axes.legend(loc="upper left")
        files.append(out / f"{model}-{'week' if event is None else event.name}.png")
        figure.savefig(files[-1], dpi=100)
        plt.close(figure)
    return files


def report(window: MetricWindow, said: RollingForecasts) -> str:
    """What there is to see in numbers: around each event, coverage at 0.95 and the median's error."""
    came = actuals(window, origins=said.origins, leads_s=said.leads_s)[:, 0]
    due = np.array([at.timestamp() + LEAD_S for at in said.origins])
    lines = [f"{'hours after':>34}  at <= .95  peak <= .95  |median - at| of demand"]
    for event in EVENTS:
        begins = event.start.timestamp()
        for start_h, stop_h in ((0, 1), (1, 2), (2, 4), (4, 8), (8, 24)):
            chosen = (due > begins + 3600 * start_h) & (due <= begins + 3600 * stop_h)
            known = chosen & ~np.isnan(came[0])
            if not known.any():
                lines.append(f"{event.name:>20} {start_h:>5} to {stop_h:>3}   nothing is known")
                continue
            at = _share(came[0, known], said.values[0, 0, known, 2])
            peak = _share(came[1, known], said.values[1, 0, known, 2])
            size = came[0, known].sum()
            missed = (
                np.nansum(np.abs(said.values[0, 0, known, 1] - came[0, known])) / size if size else np.nan
            )
            lines.append(
                f"{event.name:>20} {start_h:>5} to {stop_h:>3}{at:>12.2f}{peak:>13.2f}{missed:>25.3f}"
            )
    return "\n".join(lines)


def _share(came: Floats, said: Floats) -> float:
    known = ~(np.isnan(came) | np.isnan(said))
    return float((came[known] <= said[known]).mean()) if known.any() else float("nan")


def _draw_stretch(
    axes: Any, window: MetricWindow, said: RollingForecasts, *, start: datetime, end: datetime
) -> None:
    """Demand, and what was said ten minutes earlier."""
    part = window.between(start.astimezone(UTC), end.astimezone(UTC))
    stamps = [part.start + timedelta(seconds=(place + 0.5) * STEP_S) for place in range(len(part))]
    shown = [
        place
        for place, origin in enumerate(said.origins)
        if start < origin + timedelta(seconds=LEAD_S) <= end
    ]
    due = [said.origins[place] + timedelta(seconds=LEAD_S - STEP_S / 2) for place in shown]
    low, middle, high = said.values[0, 0, shown].T
    peak = said.values[1, 0, shown, 2]
    axes.fill_between(due, low, high, alpha=0.25, color="tab:blue", label="0.05 to 0.95")
    axes.plot(stamps, part.values, color="black", linewidth=0.7, label="demand")
    axes.plot(due, middle, color="tab:blue", linewidth=1.2, label="median")
    axes.plot(due, peak, color="tab:red", linewidth=0.9, label="0.95 of the peak until then")
    usual = np.nanquantile(part.values, 0.99 if len(part) > 2000 else 1.0)
    axes.set_ylim(0, 1.6 * max(usual, float(np.nanmedian(peak))))
    axes.set_xlim(start, end)


def _bins(window: MetricWindow, start: datetime, end: datetime) -> slice:
    first, stop = (round((at - window.start).total_seconds() / STEP_S) for at in (start, end))
    return slice(first, stop)


def main(words: Sequence[str]) -> None:
    """Replay, draw, and print what there is to see."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", default="auto", help="as the tables of the benchmark call it")
    parser.add_argument("--out", type=Path, default=OUT, help="folder of the pictures")
    options = parser.parse_args(words)
    if options.model not in (known := entries(quick=False)):
        parser.error(f"--model: {options.model}; must be one of {', '.join(known)}")
    window = demand()
    said = replay(options.model, window)
    print(report(window, said))
    if said.failures:
        print(
            f"{len(said.failures)} of {len(said.origins)} times without an answer: {said.failures[0].reason}"
        )
    for file in draw(options.model, window, said, options.out):
        print(file.name)


if __name__ == "__main__":
    main(sys.argv[1:])
