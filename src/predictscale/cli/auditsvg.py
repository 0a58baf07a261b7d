"""Pictures of an audit as SVG inside the page: no library, no font, no request, and no script.

Colours are classes that the page's style gives a light and a dark face. A gap in the data is a gap in the
line. Every picture has a name for those who do not see it. Refuses to start an axis of amounts above zero.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from typing import Any, Final

Values = Sequence[float | None]

_DAY_S = 86_400.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 46.0, 10.0, 10.0, 24.0
_WIDE: Final = 760.0
_SHADES = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class _Frame:
    """Where data lies on a picture: x from `x0` to `x1`, y from 0 to `top`."""

    width: float
    height: float
    x0: float
    x1: float
    top: float

    def x(self, value: float) -> float:
        share = (value - self.x0) / (self.x1 - self.x0 or 1.0)
        return _LEFT + share * (self.width - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        return self.height - _BOTTOM - value / self.top * (self.height - _TOP - _BOTTOM)


def demand(told: dict[str, Any], *, unit: str, train_until_s: float | None) -> str:
    """A history: its mean as a line, its highest values as a shade, and what was replayed as a ground."""
    mean, high = told["mean"], told["high"]
    frame = _framed(told, high, height=190.0)
    parts = []
    if train_until_s is not None and train_until_s > frame.x0:
        left = frame.x(train_until_s)
        parts.append(
            f'<rect class="ground" x="{left:.1f}" y="{_TOP}" width="{frame.x(frame.x1) - left:.1f}" '
            f'height="{frame.height - _TOP - _BOTTOM:.1f}"/>'
            f'<text class="note" x="{left + 5:.1f}" y="{_TOP + 11:.1f}">replayed</text>'
        )
    parts += _axes(frame, unit)
    parts.append(f'<path class="shade" d="{_area(frame, told, high)}"/>')
    parts.append(f'<path class="line" d="{_line(frame, told, mean)}"/>')
    return _svg(frame, "".join(parts), f"Demand over time in {unit}; the shade reaches to its highest values")


def fleets(told: dict[str, Any], named: Sequence[tuple[str, str]]) -> str:
    """Fleets over the last days, one stepped line each, above the replicas that demand is worth."""
    highest = [
        value for name, _ in named if name in told for value in told[name]["high"] if value is not None
    ]
    frame = _framed(told["load"], highest or [1.0], height=220.0)
    parts = _axes(frame, "replicas")
    parts.append(f'<path class="load" d="{_area(frame, told["load"], told["load"]["high"])}"/>')
    parts += [
        f'<path class="{name} step" d="{_steps(frame, told[name], told[name]["mean"])}"/>'
        for name, _ in named
        if name in told
    ]
    what = ", ".join(title for name, title in named if name in told)
    name = f"Replicas over the last days of the replay: {what}; below, what demand is worth"
    return _svg(frame, "".join(parts), name)


def clock(told: dict[str, Any]) -> str:
    """Demand by day and time of day: the same every day is stripes, a week is a rhythm of rows."""
    rows: list[list[float | None]] = told["rows"]
    known = sorted(value for row in rows for value in row if value is not None)
    high = known[int(0.98 * (len(known) - 1))] if known else 1.0
    cell_w, cell_h = (_WIDE / 2 - _LEFT - _RIGHT) / 48, min(12.0, 190.0 / max(1, len(rows)))
    parts = []
    for place, row in enumerate(rows):
        day = datetime.fromtimestamp((told["first_day"] + place) * _DAY_S, UTC)
        y = _TOP + place * cell_h
        if place % (1 if len(rows) <= 14 else 2) == 0:
            weekend = " weekend" if day.weekday() >= 5 else ""
            parts.append(
                f'<text class="tick{weekend}" x="{_LEFT - 5}" y="{y + cell_h - 1.5:.1f}" '
                f'text-anchor="end">{day:%a %d}</text>'
            )
        parts += _cells(row, y, cell_w, cell_h, high)
    bottom = _TOP + len(rows) * cell_h
    for hour in range(0, 25, 6):
        x = _LEFT + hour * 2 * cell_w
        parts.append(_tick(x, bottom + 13, f"{hour:02d}h"))
    frame = _Frame(width=_WIDE / 2, height=bottom + 18, x0=0, x1=1, top=1)
    return _svg(frame, "".join(parts), "Demand by day, downwards, and time of day in UTC; darker is more")


def frontier(
    curves: dict[str, list[list[float]]], points: Sequence[tuple[str, float, float]], *, asked: float
) -> str:
    """Replica-hours over the share late: lines are families at their best in hindsight, dots what was."""
    least = 1e-5
    late = [max(point[1], least) for point in points] + [asked]
    low, high = math.log10(min(min(late) / 2, 1e-3)), math.log10(max(*late, 0.02) * 2)
    hours = [point[2] for point in points]
    frame = _Frame(width=_WIDE / 2, height=210.0, x0=high, x1=low, top=_ceiling(max(hours) * 1.25))
    parts = _horizontals(frame, "replica-hours")
    for power in range(math.ceil(low), math.floor(high) + 1):
        x = frame.x(power)
        parts.append(
            f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{frame.height - _BOTTOM:.1f}"/>'
            + _tick(x, frame.height - 9, "none" if 10.0**power <= least * 1.01 else f"{10.0**power:.3%}")
        )
    x = frame.x(math.log10(asked))
    parts.append(
        f'<line class="asked" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{frame.height - _BOTTOM:.1f}"/>'
        f'<text class="note" x="{x + 4:.1f}" y="{frame.height - _BOTTOM - 5:.1f}">asked</text>'
    )
    for name, curve in curves.items():
        inside = [(v, c) for v, c in curve if low <= math.log10(max(v, least)) <= high and c <= frame.top]
        path = "L".join(f"{frame.x(math.log10(max(v, least))):.1f},{frame.y(c):.1f}" for v, c in inside)
        if len(inside) > 1:
            parts.append(f'<path class="{escape(name)} hull" d="M{path}"/>')
    for name, v, c in points:
        across = frame.x(math.log10(max(v, least)))
        parts.append(f'<circle class="{escape(name)} dot" cx="{across:.1f}" cy="{frame.y(c):.1f}" r="5"/>')
    what = "Replica-hours over the share of demand that was late; lower and further right is better"
    return _svg(frame, "".join(parts), what)


def interval(value: float, low: float | None, high: float | None, *, least: float, most: float) -> str:
    """A bar from zero to a saving, and its range as a whisker, on a scale shared by a column."""
    width, height = 150.0, 18.0
    span = most - least or 1.0

    def x(amount: float) -> float:
        return 4 + (amount - least) / span * (width - 8)

    left, right = sorted((x(0.0), x(value)))
    sign = "gain" if value >= 0 else "loss"
    parts = [
        f'<rect class="{sign}" x="{left:.1f}" y="4" width="{max(right - left, 1):.1f}" height="10" rx="2"/>'
    ]
    if low is not None and high is not None:
        parts.append(
            f'<path class="whisker" d="M{x(low):.1f},9H{x(high):.1f}M{x(low):.1f},5v8M{x(high):.1f},5v8"/>'
        )
    parts.append(f'<line class="zero" x1="{x(0):.1f}" x2="{x(0):.1f}" y1="1" y2="17"/>')
    return f'<svg class="bar" viewBox="0 0 {width:g} {height:g}" aria-hidden="true">{"".join(parts)}</svg>'


def _framed(told: dict[str, Any], highest: Values, *, height: float) -> _Frame:
    known = [value for value in highest if value is not None]
    end_s = told["start_s"] + told["step_s"] * len(told["mean"])
    return _Frame(
        width=_WIDE,
        height=height,
        x0=told["start_s"],
        x1=end_s,
        top=_ceiling(max([*known, 0.0]) * 1.12 or 1.0),
    )


def _axes(frame: _Frame, unit: str) -> list[str]:
    parts, days = _horizontals(frame, unit), (frame.x1 - frame.x0) / _DAY_S
    every_s = next(
        (n * _DAY_S for n in (0.125, 0.25, 0.5, 1, 2, 4, 7, 14, 28) if days / n <= 9.5), 56 * _DAY_S
    )
    style = "%a %d %b" if every_s >= _DAY_S else "%a %H:%M"
    for place in range(math.ceil(frame.x0 / every_s), int(frame.x1 // every_s) + 1):
        at, x = datetime.fromtimestamp(place * every_s, UTC), frame.x(place * every_s)
        parts.append(
            f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{frame.height - _BOTTOM:.1f}"/>'
            + _tick(x, frame.height - 9, f"{at:{style}}")
        )
    return parts


def _tick(x: float, y: float, text: str) -> str:
    return f'<text class="tick" x="{x:.1f}" y="{y:.1f}" text-anchor="middle">{text}</text>'


def _horizontals(frame: _Frame, unit: str) -> list[str]:
    step = _step(frame.top)
    count = int(frame.top / step + 1e-9)
    parts = []
    for place in range(count + 1):
        y = frame.y(place * step)
        parts.append(
            f'<line class="grid" x1="{_LEFT}" x2="{frame.width - _RIGHT:.1f}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<text class="tick" x="{_LEFT - 5}" y="{y + 3.5:.1f}" text-anchor="end">'
            f"{_short(place * step)}</text>"
        )
    parts.append(f'<text class="note" x="{_LEFT + 5}" y="{_TOP + 11:.1f}">{escape(unit)}</text>')
    return parts


def _cells(row: Values, y: float, width: float, height: float, high: float) -> Iterator[str]:
    for slot, value in enumerate(row):
        if value is None:
            continue
        shade = min(_SHADES, int(_SHADES * value / high + 0.5)) if high > 0 else 0
        yield (
            f'<rect class="c{shade}" x="{_LEFT + slot * width:.1f}" y="{y:.1f}" '
            f'width="{width + 0.15:.2f}" height="{height - 0.8:.1f}"/>'
        )


def _runs(values: Values) -> Iterator[tuple[int, list[float]]]:
    """Stretches without a gap: where each begins, and its values."""
    run: list[float] = []
    for place, value in enumerate((*values, None)):
        if value is not None:
            run.append(value)
        elif run:
            yield place - len(run), run
            run = []


def _line(frame: _Frame, told: dict[str, Any], values: Values) -> str:
    return "".join(
        "M" + "L".join(f"{x:.1f},{frame.y(v):.1f}" for x, v in _middles(frame, told, first, run))
        for first, run in _runs(values)
    )


def _area(frame: _Frame, told: dict[str, Any], values: Values) -> str:
    parts = []
    for first, run in _runs(values):
        points = _middles(frame, told, first, run)
        top = "L".join(f"{x:.1f},{frame.y(v):.1f}" for x, v in points)
        parts.append(f"M{points[0][0]:.1f},{frame.y(0):.1f}L{top}L{points[-1][0]:.1f},{frame.y(0):.1f}Z")
    return "".join(parts)


def _steps(frame: _Frame, told: dict[str, Any], values: Values) -> str:
    parts = []
    for first, run in _runs(values):
        start = told["start_s"] + first * told["step_s"]
        parts.append(f"M{frame.x(start):.1f},{frame.y(run[0]):.1f}")
        for place, value in enumerate(run):
            parts.append(f"V{frame.y(value):.1f}H{frame.x(start + (place + 1) * told['step_s']):.1f}")
    return "".join(parts)


def _middles(
    frame: _Frame, told: dict[str, Any], first: int, run: Sequence[float]
) -> list[tuple[float, float]]:
    start, step = told["start_s"], told["step_s"]
    return [(frame.x(start + (first + place + 0.5) * step), value) for place, value in enumerate(run)]


def _step(top: float) -> float:
    """Between two lines of a scale: 1, 2 or 5 times a power of ten, some four of them."""
    raw = top / 4
    power = 10.0 ** math.floor(math.log10(raw))
    return next(n * power for n in (1, 2, 2.5, 5, 10) if n * power >= raw * 0.999)


def _ceiling(value: float) -> float:
    return max(value, 1e-9)


def _short(value: float) -> str:
    """A tick: 12.5k for 12500."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{letter}"
    return f"{value:.3g}"


def _svg(frame: _Frame, inner: str, name: str) -> str:
    size = f"0 0 {frame.width:g} {frame.height:.0f}"
    return f'<svg viewBox="{size}" role="img" aria-label="{escape(name)}">{inner}</svg>'
