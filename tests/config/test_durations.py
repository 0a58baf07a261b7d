import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from predictscale.config.durations import duration_s, duration_text, share


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("90s", 90),
        ("4m", 240),
        ("2h", 7200),
        ("28d", 28 * 86400),
        ("1h30m", 5400),
        ("250ms", 0.25),
        ("1.5m", 90),
        ("300", 300),
        (" 4m ", 240),
        (30, 30),
        (0.5, 0.5),
    ],
)
def test_a_duration_is_seconds_or_text_with_units(written: object, seconds: float) -> None:
    assert duration_s(written) == seconds


@pytest.mark.parametrize(
    "written",
    [
        "",
        "m",
        "4 m",
        "-4m",
        "4M",
        "1y",
        "4m!",
        "1_000",
        "٣s",
        "nan",
        "inf",
        "1e3s",
        "m4",
        True,
        None,
        [4],
        b"4m",
    ],
)
def test_what_could_be_read_in_two_ways_is_no_duration(written: object) -> None:
    with pytest.raises(ValueError, match="90s"):
        duration_s(written)


@pytest.mark.parametrize("written", [math.nan, math.inf, -math.inf, 10**400, "9" * 400, "9" * 400 + "d"])
def test_a_duration_is_finite(written: object) -> None:
    with pytest.raises(ValueError, match="finite"):
        duration_s(written)


@settings(deadline=None)
@given(st.floats(min_value=0, max_value=1e9, allow_subnormal=False).filter(lambda s: s == 0 or s > 1e-4))
def test_a_duration_survives_being_written_and_read(seconds: float) -> None:
    assert duration_s(duration_text(seconds)) == seconds


@settings(deadline=None)
@given(st.integers(min_value=1, max_value=10**6), st.sampled_from("smhd"))
def test_whole_units_are_written_as_whole_units(count: int, unit: str) -> None:
    text = duration_text(duration_s(f"{count}{unit}"))
    assert text[:-1].isdigit()
    assert duration_s(text) == duration_s(f"{count}{unit}")


@pytest.mark.parametrize(
    ("written", "value"), [("0.5%", 0.005), ("0.005", 0.005), (0.01, 0.01), ("1 %", 0.01), (1, 1)]
)
def test_a_share_is_a_number_or_a_percentage(written: object, value: float) -> None:
    assert share(written) == value


@pytest.mark.parametrize(
    "written", ["", "%", "5%%", "-1%", "half", "nan", math.nan, math.inf, True, None, "1e-2"]
)
def test_what_is_no_share_is_refused_with_an_example(written: object) -> None:
    with pytest.raises(ValueError, match=r"0\.5%"):
        share(written)
