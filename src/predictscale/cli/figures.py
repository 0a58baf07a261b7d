"""Numbers as a person compares them: four digits that count, thousands parted, no exponent for what is large.

Refuses to be read by programs: those get JSON, in full.
"""


def figure(value: float) -> str:
    """A number with four significant digits, or all digits before the point if there are more."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
