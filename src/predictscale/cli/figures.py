"""Numbers as a person compares them: four digits that count, thousands parted, no exponent for what is large.

Refuses to be read by programs: those get JSON, in full.
"""

TO_PEAK = "to peak fleet"
"""Heads a column of multiples of a fixed fleet for the highest demand that came. No row is that fleet: one
called `static` chooses its size by the past alone."""
TO_PEAK_SAID = "Peak fleet: fixed, for the highest demand that came."


def figure(value: float) -> str:
    """A number with four significant digits, or all digits before the point if there are more."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
