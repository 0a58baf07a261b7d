"""Public traces of LLM inference, one request a line, as rates on a grid.

Each reader knows one format and refuses what is not it, by file and line.
A log of requests tells zeros too: a bin inside it without a request is 0. The
bins at both ends that it covers only in part are left out.
"""

import csv
import json
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TextIO

import numpy as np

from predictscale.core.series import MetricWindow
from predictscale.errors import FileUnusable

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_AZURE_COLUMNS = ["TIMESTAMP", "ContextTokens", "GeneratedTokens"]

_Request = tuple[float, float, float]  # seconds since some origin, tokens in, tokens out
_Reader = Callable[[TextIO, Path], Iterator[_Request]]


@dataclass(frozen=True, slots=True, eq=False)
class LlmTrace:
    """Arrivals per second: requests, tokens that came in, tokens that were asked for."""

    requests: MetricWindow
    input_tokens: MetricWindow
    output_tokens: MetricWindow


def load_azure_llm(path: Path, *, step_s: float) -> LlmTrace:
    """A CSV of the Azure LLM inference traces (2023 and 2024): TIMESTAMP,ContextTokens,GeneratedTokens.

    A timestamp without a time zone is UTC.

    Raises:
        FileUnusable: A line is not such a request, or fewer than one whole bin is covered.
    """
    return _gridded(_read(path, _azure), path=path, step_s=step_s)


def load_mooncake(path: Path, *, step_s: float, start: datetime) -> LlmTrace:
    """A JSONL of the Mooncake traces: timestamp [ms since the trace began], input_length, output_length.

    Args:
        path: The file.
        step_s: Width of a bin [s].
        start: When the trace is to begin; its own dates were removed.

    Raises:
        FileUnusable: A line is not such a request, or fewer than one whole bin is covered.
    """
    origin_s = (start - _EPOCH).total_seconds()
    return _gridded(
        ((origin_s + at_s, came, asked) for at_s, came, asked in _read(path, _mooncake)),
        path=path,
        step_s=step_s,
    )


def _gridded(requests: Iterable[_Request], *, path: Path, step_s: float) -> LlmTrace:
    bins: dict[int, list[float]] = {}
    first_s, last_s = math.inf, -math.inf
    for at_s, came, asked in requests:
        first_s, last_s = min(first_s, at_s), max(last_s, at_s)
        sums = bins.setdefault(math.floor(at_s / step_s), [0.0, 0.0, 0.0])
        sums[0] += 1
        sums[1] += came
        sums[2] += asked
    first, stop = (math.ceil(first_s / step_s), math.floor(last_s / step_s)) if bins else (0, 0)
    if stop <= first:
        covered_s = max(0.0, last_s - first_s)
        raise FileUnusable(f"{path}: covers {covered_s:g} s; must cover a whole bin of {step_s:g} s")
    rates = np.array([bins.get(place, (0.0, 0.0, 0.0)) for place in range(first, stop)]) / step_s
    start = _EPOCH + timedelta(seconds=first * step_s)
    return LlmTrace(*(MetricWindow(start, step_s, rates[:, column]) for column in range(3)))


def _read(path: Path, reader: _Reader) -> Iterator[_Request]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            yield from reader(file, path)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise FileUnusable(f"{path}: {error}; must be text in UTF-8") from None


def _azure(file: TextIO, path: Path) -> Iterator[_Request]:
    rows = csv.reader(file)
    header = next(rows, [])
    if header != _AZURE_COLUMNS:
        raise FileUnusable(
            f"{path}:1: {','.join(header)[:60]!r}; the first line must be {','.join(_AZURE_COLUMNS)}"
        )
    for row in rows:
        if not row:
            continue
        where = f"{path}:{rows.line_num}"
        if len(row) != len(_AZURE_COLUMNS):
            raise FileUnusable(f"{where}: {len(row)} columns; must be {','.join(_AZURE_COLUMNS)}")
        try:
            at = datetime.fromisoformat(row[0])
        except ValueError:
            raise FileUnusable(
                f"{where}: TIMESTAMP {row[0][:40]!r}; must look like 2023-11-16 18:15:46.680590"
            ) from None
        at = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
        yield (at - _EPOCH).total_seconds(), _tokens(row[1], where), _tokens(row[2], where)


def _mooncake(file: TextIO, path: Path) -> Iterator[_Request]:
    for line, text in enumerate(file, start=1):
        if not text.strip():
            continue
        where = f"{path}:{line}"
        try:
            request = json.loads(text)
            at_ms = float(request["timestamp"])
            came, asked = request["input_length"], request["output_length"]
        except (ValueError, KeyError, TypeError):
            raise FileUnusable(
                f"{where}: {text.strip()[:60]!r}; "
                "must be JSON with timestamp [ms], input_length, output_length"
            ) from None
        if not (math.isfinite(at_ms) and at_ms >= 0):
            raise FileUnusable(f"{where}: timestamp {at_ms:g}; must be milliseconds from 0 up")
        yield at_ms / 1000, _tokens(came, where), _tokens(asked, where)


def _tokens(given: object, where: str) -> float:
    try:
        tokens = float(str(given))
    except ValueError:
        tokens = math.nan
    if not (math.isfinite(tokens) and tokens >= 0):
        raise FileUnusable(f"{where}: {str(given)[:40]!r} tokens; must be a number from 0 up")
    return tokens
