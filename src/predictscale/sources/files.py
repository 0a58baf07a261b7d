"""Series in the project's own files: `timestamp,value`, as CSV or Parquet.

ISO 8601 in UTC; the value is the average rate over the step that begins there;
empty is missing. Refuses to repair: what does not fit is named with its line.
"""

import csv
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from predictscale.core.series import Floats, MetricWindow
from predictscale.errors import FileUnusable

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MOST_BINS = 20_000_000  # a file of single seconds over half a year


def load_csv(path: Path, *, step_s: float | None = None) -> MetricWindow:
    """The series of a CSV file; rows that are left out are gaps.

    Args:
        path: The file.
        step_s: Width of a bin [s]; the smallest distance of two rows if None.

    Raises:
        FileUnusable: It is not such a file; the message names the line.
    """
    stamps, values, lines = [], [], []
    for line, row in _rows(path):
        if not row:
            continue
        if len(row) != 2:
            raise FileUnusable(f"{path}:{line}: {len(row)} columns; must be timestamp,value")
        stamps.append(_instant_s(row[0], f"{path}:{line}"))
        values.append(_value(row[1], f"{path}:{line}"))
        lines.append(f"{path}:{line}")
    return _window(np.array(stamps), np.array(values), where=lines, file=path, step_s=step_s)


def load_parquet(path: Path, *, step_s: float | None = None) -> MetricWindow:
    """The series of a Parquet file with the columns `timestamp` (with a time zone) and `value`.

    Args:
        path: The file.
        step_s: Width of a bin [s]; the smallest distance of two rows if None.

    Raises:
        FileUnusable: It is not such a file, or pyarrow is not installed.
    """
    try:
        import pyarrow as pa  # noqa: PLC0415 - 40 MB that most installs do not have
        import pyarrow.parquet as pq  # noqa: PLC0415 - the same
    except ImportError:
        raise FileUnusable(
            f"{path}: reading Parquet needs pyarrow; install predictscale[parquet], or write CSV"
        ) from None
    try:
        table = pq.read_table(path, columns=["timestamp", "value"])
        kind = table.schema.field("timestamp").type
        if table["timestamp"].null_count:
            raise FileUnusable(f"{path}: column timestamp has nulls; every row needs its instant")
        stamps = table["timestamp"].cast(pa.timestamp("us", tz="UTC")).cast(pa.int64()).to_numpy() / 1e6
        values = table["value"].cast(pa.float64()).to_numpy(zero_copy_only=False)
    except (OSError, KeyError, pa.ArrowException) as error:
        raise FileUnusable(f"{path}: {error}; must be Parquet with the columns timestamp and value") from None
    if getattr(kind, "tz", None) is None:
        raise FileUnusable(f"{path}: column timestamp is {kind}; must be a timestamp with a time zone")
    where = [f"{path}: row {row}" for row in range(1, len(values) + 1)]
    for place in np.flatnonzero(np.isinf(values) | (values < 0)):
        raise FileUnusable(f"{where[place]}: value {values[place]:g}; must be a number from 0 up, or null")
    return _window(stamps, values, where=where, file=path, step_s=step_s)


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            header = next(reader, [])
            if [name.strip() for name in header] != ["timestamp", "value"]:
                raise FileUnusable(
                    f"{path}:1: {','.join(header)[:60]!r}; the first line must be timestamp,value"
                )
            for row in reader:
                yield reader.line_num, row
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise FileUnusable(f"{path}: {error}; must be CSV in UTF-8") from None


def _instant_s(text: str, where: str) -> float:
    try:
        at = datetime.fromisoformat(text.strip())
    except ValueError:
        raise FileUnusable(f"{where}: timestamp {text[:40]!r}; must look like 2026-01-31T23:59:00Z") from None
    if at.tzinfo is None:
        raise FileUnusable(f"{where}: timestamp {text[:40]!r} has no time zone; end it with Z if it is UTC")
    return (at - _EPOCH).total_seconds()


def _value(text: str, where: str) -> float:
    if not text.strip():
        return np.nan
    try:
        value = float(text)
    except ValueError:
        value = np.nan
    if not (np.isfinite(value) and value >= 0):
        raise FileUnusable(f"{where}: value {text[:40]!r}; must be a number from 0 up, or empty if missing")
    return value


def _window(
    stamps_s: Floats, values: Floats, *, where: list[str], file: Path, step_s: float | None
) -> MetricWindow:
    if not stamps_s.size:
        raise FileUnusable(f"{file}: has no rows")
    distances = np.diff(stamps_s)
    for place in np.flatnonzero(distances <= 0):
        raise FileUnusable(f"{where[place + 1]}: not later than the row before; rows must ascend in time")
    if step_s is None and not distances.size:
        raise FileUnusable(f"{file}: has one row, which does not tell its step; give step_s")
    step_s = float(distances.min()) if step_s is None else step_s
    places = (stamps_s - stamps_s[0]) / step_s
    for place in np.flatnonzero(np.abs(places - np.rint(places)) > 1e-6):
        raise FileUnusable(
            f"{where[place]}: lies {stamps_s[place] - stamps_s[0]:g} s after the first row; "
            f"must be a whole number of steps of {step_s:g} s"
        )
    if places[-1] >= _MOST_BINS:
        raise FileUnusable(
            f"{file}: {places[-1] + 1:.0f} steps of {step_s:g} s; "
            f"must be at most {_MOST_BINS}; give a wider step_s"
        )
    start = _EPOCH + timedelta(seconds=float(stamps_s[0]))
    gridded = np.full(round(places[-1]) + 1, np.nan)
    gridded[np.rint(places).astype(np.int64)] = values
    return MetricWindow(start, step_s, gridded)
