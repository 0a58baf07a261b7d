"""Files say what they hold, or say in which line they do not."""

import builtins
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from predictscale.core.series import MetricWindow
from predictscale.errors import FileUnusable
from predictscale.sources.files import load_csv, load_parquet

START = datetime(2024, 3, 4, tzinfo=UTC)


def a_file(folder: Path, text: str, name: str = "series.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_csv_is_read_with_its_gaps(tmp_path: Path) -> None:
    path = a_file(
        tmp_path,
        "timestamp,value\n"
        "2024-03-04T00:00:00Z,1.5\n"
        "2024-03-04T00:01:00Z,\n"
        "2024-03-04T01:03:00+01:00,0\n"
        "\n"
        "2024-03-04T00:04:00Z,1e3\n",
    )
    window = load_csv(path)
    assert window.start == START
    assert window.step_s == 60
    np.testing.assert_equal(window.values, [1.5, np.nan, np.nan, 0, 1000])


def test_a_single_row_needs_its_step(tmp_path: Path) -> None:
    path = a_file(tmp_path, "timestamp,value\n2024-03-04T00:00:00Z,7\n")
    with pytest.raises(FileUnusable, match="give step_s"):
        load_csv(path)
    assert load_csv(path, step_s=30).values == [7]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", r"series\.csv:1: ''; the first line must be timestamp,value"),
        ("time,value\n", r":1: 'time,value'; the first line must be timestamp,value"),
        ("timestamp,value\n", "has no rows"),
        (
            "timestamp,value\n2024-03-04T00:00:00Z,1\nyesterday,2\n",
            r":3: timestamp 'yesterday'; must look like",
        ),
        ("timestamp,value\n2024-03-04T00:00:00,1\n", r":2: timestamp '2024-03-04T00:00:00' has no time zone"),
        ("timestamp,value\n2024-03-04T00:00:00Z,1,2\n", ":2: 3 columns"),
        ("timestamp,value\n2024-03-04T00:00:00Z,many\n", ":2: value 'many'; must be a number from 0 up"),
        ("timestamp,value\n2024-03-04T00:00:00Z,-1\n", ":2: value '-1'"),
        ("timestamp,value\n2024-03-04T00:00:00Z,nan\n", ":2: value 'nan'"),
        ("timestamp,value\n2024-03-04T00:00:00Z,inf\n", ":2: value 'inf'"),
        (
            "timestamp,value\n2024-03-04T00:01:00Z,1\n2024-03-04T00:01:00Z,2\n",
            ":3: not later than the row before",
        ),
        (
            "timestamp,value\n2024-03-04T00:01:00Z,1\n\n2024-03-04T00:00:00Z,2\n",
            ":4: not later than the row before",
        ),
        (
            "timestamp,value\n2024-03-04T00:00:00Z,1\n2024-03-04T00:01:00Z,2\n2024-03-04T00:02:30Z,2\n",
            r":4: lies 150 s after the first row; must be a whole number of steps of 60 s",
        ),
        (
            "timestamp,value\n1970-01-01T00:00:00Z,1\n1970-01-01T00:00:01Z,1\n2024-03-04T00:00:00Z,2\n",
            "give a wider step_s",
        ),
    ],
)
def test_a_bad_csv_is_refused_with_its_line(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(FileUnusable, match=told):
        load_csv(a_file(tmp_path, text))


def test_a_file_that_is_not_there_or_no_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileUnusable, match=r"gone\.csv"):
        load_csv(tmp_path / "gone.csv")
    (tmp_path / "bytes.csv").write_bytes(b"timestamp,value\n\xff\xfe,1\n")
    with pytest.raises(FileUnusable, match="UTF-8"):
        load_csv(tmp_path / "bytes.csv")


@settings(deadline=None)
@given(
    values=st.lists(st.one_of(st.none(), st.floats(0, 1e12)), min_size=2, max_size=50),
    step_s=st.sampled_from([1, 15, 60, 195, 86_400]),
)
def test_csv_and_parquet_of_one_series_read_the_same(
    tmp_path_factory: pytest.TempPathFactory, values: list[float | None], step_s: int
) -> None:
    folder = tmp_path_factory.mktemp("files")
    window = MetricWindow(START, step_s, np.array([np.nan if v is None else v for v in values]))
    stamps = [datetime.fromtimestamp(stamp, UTC) for stamp in window.stamps_s]
    rows = [
        f"{at.isoformat()},{'' if value is None else repr(value)}"
        for at, value in zip(stamps, values, strict=True)
    ]
    from_csv = load_csv(a_file(folder, "\n".join(["timestamp,value", *rows])))
    table = pa.table({"value": values, "timestamp": pa.array(stamps, pa.timestamp("ms", tz="UTC"))})
    pq.write_table(table, folder / "series.parquet")
    from_parquet = load_parquet(folder / "series.parquet")
    for read in (from_csv, from_parquet):
        assert (read.start, read.step_s) == (window.start, window.step_s)
        np.testing.assert_array_equal(read.values, window.values)


STAMP = pa.array([START], pa.timestamp("us", tz="UTC"))


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ({"timestamp": STAMP}, "columns timestamp and value"),
        ({"timestamp": pa.array([START.replace(tzinfo=None)]), "value": [1.0]}, "with a time zone"),
        ({"timestamp": ["now"], "value": [1.0]}, "timestamp"),
        ({"timestamp": pa.array([None], pa.timestamp("us", tz="UTC")), "value": [1.0]}, "has nulls"),
        ({"timestamp": STAMP, "value": ["many"]}, "many"),
        ({"timestamp": STAMP, "value": [-1.0]}, "row 1: value -1; must be a number from 0 up"),
        ({"timestamp": STAMP, "value": [np.inf]}, "row 1: value inf"),
    ],
)
def test_a_bad_parquet_is_refused(tmp_path: Path, columns: dict[str, object], told: str) -> None:
    pq.write_table(pa.table(columns), tmp_path / "series.parquet")
    with pytest.raises(FileUnusable, match=told):
        load_parquet(tmp_path / "series.parquet", step_s=60)


def test_what_is_no_parquet_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileUnusable, match="must be Parquet"):
        load_parquet(a_file(tmp_path, "timestamp,value\n", "series.parquet"))
    with pytest.raises(FileUnusable, match=r"gone\.parquet"):
        load_parquet(tmp_path / "gone.parquet")


def test_without_pyarrow_parquet_is_refused_with_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    really = builtins.__import__

    def without(name: str, *more: object, **named: object) -> object:
        if name.startswith("pyarrow"):
            raise ImportError(name)
        return really(name, *more, **named)  # type: ignore[arg-type]  # passed on as it came

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(FileUnusable, match=r"install predictscale\[parquet\]"):
        load_parquet(tmp_path / "series.parquet")
