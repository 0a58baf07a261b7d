"""Public traces in their own formats become rates, and bad rows are named."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from predictscale.errors import FileUnusable
from predictscale.sources.traces import LlmTrace, load_azure_llm, load_mooncake

START = datetime(2024, 3, 4, tzinfo=UTC)
AZURE = "TIMESTAMP,ContextTokens,GeneratedTokens\n"


def azure(folder: Path, text: str, *, step_s: float = 60.0) -> LlmTrace:
    path = folder / "trace.csv"
    path.write_text(text, encoding="utf-8")
    return load_azure_llm(path, step_s=step_s)


def mooncake(folder: Path, text: str, *, step_s: float = 60.0) -> LlmTrace:
    path = folder / "trace.jsonl"
    path.write_text(text, encoding="utf-8")
    return load_mooncake(path, step_s=step_s, start=START)


def test_azure_requests_become_rates_of_whole_bins(tmp_path: Path) -> None:
    trace = azure(
        tmp_path,
        AZURE + "2023-11-16 18:15:46.6805900,4808,10\r\n"  # half a bin: left out
        "2023-11-16 18:16:00.0000000,60,6\r\n"
        "2023-11-16 18:16:59.9999990,120,12\r\n"
        "2023-11-16 18:18:10.0000000,600,60\r\n"
        "2023-11-16 18:19:30.0000000,1,1\r\n",  # another half
    )
    assert trace.requests.start == datetime(2023, 11, 16, 18, 16, tzinfo=UTC)
    np.testing.assert_allclose(trace.requests.values, [2 / 60, 0, 1 / 60])
    np.testing.assert_allclose(trace.input_tokens.values, [3, 0, 10])
    np.testing.assert_allclose(trace.output_tokens.values, [0.3, 0, 1])


def test_azure_stamps_with_a_zone_are_read_as_well(tmp_path: Path) -> None:
    trace = azure(
        tmp_path,
        AZURE + "2024-05-10 00:00:00.009930+00:00,2162,5\n2024-05-10 00:03:00.017335+00:00,2399,6\n",
    )
    assert trace.requests.start == datetime(2024, 5, 10, 0, 1, tzinfo=UTC)


def test_mooncake_requests_begin_where_they_are_told_to(tmp_path: Path) -> None:
    trace = mooncake(
        tmp_path,
        '{"timestamp": 0, "input_length": 6758, "output_length": 500, "hash_ids": [0, 1]}\n'
        '{"timestamp": 3052, "input_length": 7322, "output_length": 490, "hash_ids": []}\n'
        '{"timestamp": 120000, "input_length": 1, "output_length": 1}\n',
    )
    assert trace.requests.start == START
    np.testing.assert_allclose(trace.requests.values, [2 / 60, 0])
    np.testing.assert_allclose(trace.input_tokens.values, [14080 / 60, 0])
    np.testing.assert_allclose(trace.output_tokens.values, [990 / 60, 0])


@settings(deadline=None)
@given(
    arrivals_ms=st.lists(st.integers(0, 600_000), min_size=1, max_size=60),
    tokens=st.integers(0, 10_000),
)
def test_no_token_of_a_whole_bin_is_lost(
    tmp_path_factory: pytest.TempPathFactory, arrivals_ms: list[int], tokens: int
) -> None:
    ends_ms = [0, *arrivals_ms, 660_000]
    text = "\n".join(f'{{"timestamp": {at}, "input_length": {tokens}, "output_length": 1}}' for at in ends_ms)
    trace = mooncake(tmp_path_factory.mktemp("trace"), text, step_s=60)
    assert trace.requests.duration_s == 660
    assert trace.requests.values.sum() * 60 == pytest.approx(len(arrivals_ms) + 1)
    assert trace.input_tokens.values.sum() * 60 == pytest.approx(tokens * (len(arrivals_ms) + 1))


ROW = "2023-11-16 18:16:00,60,6\n"
LINE = '{"timestamp": 0, "input_length": 1, "output_length": 1}\n'


@pytest.mark.parametrize(
    ("load", "text", "told"),
    [
        (azure, "", r"trace\.csv:1: ''; the first line must be TIMESTAMP,"),
        (azure, "timestamp,value\n", ":1: 'timestamp,value'"),
        (azure, AZURE, "covers 0 s; must cover a whole bin of 60 s"),
        (azure, AZURE + ROW, "covers 0 s"),
        (azure, AZURE + ROW + "2023-11-16 18:16:10\n", ":3: 1 columns"),
        (azure, AZURE + ROW + "later,1,1\n", ":3: TIMESTAMP 'later'; must look like"),
        (azure, AZURE + ROW + "\n2023-11-16 18:16:10,few,1\n", ":4: 'few' tokens; must be a number"),
        (azure, AZURE + "2023-11-16 18:16:10,1,-1\n", ":2: '-1' tokens"),
        (azure, AZURE + "2023-11-16 18:16:10,1,nan\n", ":2: 'nan' tokens"),
        (mooncake, "", "covers 0 s"),
        (mooncake, LINE + "{\n", r"trace\.jsonl:2: '\{'; must be JSON with timestamp"),
        (mooncake, "7\n", ":1: '7'; must be JSON"),
        (mooncake, '{"timestamp": 0}\n', ":1: .*must be JSON with timestamp"),
        (mooncake, LINE.replace("0", "-5"), ":1: timestamp -5; must be milliseconds from 0 up"),
        (mooncake, LINE.replace(': 1, "out', ': null, "out'), ":1: 'None' tokens"),
    ],
)
def test_a_bad_row_is_refused_with_its_line(
    tmp_path: Path, load: Callable[[Path, str], LlmTrace], text: str, told: str
) -> None:
    with pytest.raises(FileUnusable, match=told):
        load(tmp_path, text)


def test_a_trace_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileUnusable, match=r"gone\.csv"):
        load_azure_llm(tmp_path / "gone.csv", step_s=60)
    (tmp_path / "bytes.jsonl").write_bytes(b"\xff\xfe")
    with pytest.raises(FileUnusable, match="UTF-8"):
        load_mooncake(tmp_path / "bytes.jsonl", step_s=60, start=START)
