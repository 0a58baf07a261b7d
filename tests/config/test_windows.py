"""The sections of presets that keep pods apart."""

from pathlib import Path

import pytest
import yaml

from predictscale.config import promql
from predictscale.config.packaged import home
from predictscale.config.presets import load_presets
from predictscale.config.windows import NEEDED, Column, Counts, Limit, PodWindows
from predictscale.errors import SettingsError

PRESETS = load_presets()
WITH = sorted(name for name, preset in PRESETS.items() if preset.windows is not None)
LLM = [
    "vllm",
    "vllm-tokens",
    "sglang",
    "sglang-tokens",
    "tgi",
    "tensorrt-llm",
    "lmdeploy",
    "llama-cpp",
    "nim",
]


def windows_of(name: str) -> PodWindows:
    found = PRESETS[name].windows
    assert found is not None
    return found


@pytest.mark.parametrize("name", LLM)
def test_engines_tell_what_a_law_of_tokens_is_learned_from(name: str) -> None:
    windows = windows_of(name)
    assert windows.counts is Counts.TOKENS
    assert set(NEEDED[Counts.TOKENS]) <= windows.columns.keys()


def test_vllm_and_sglang_tell_all_there_is() -> None:
    for name in ("vllm", "sglang"):
        assert set(windows_of(name).columns) == set(Column)
        assert Limit.KV_TOKENS in windows_of(name).limits
        assert windows_of(name).ttft_buckets is not None


def test_a_preset_that_leans_on_another_has_its_windows() -> None:
    assert windows_of("vllm-tokens") == windows_of("vllm")
    assert windows_of("sglang-tokens") == windows_of("sglang")


@pytest.mark.parametrize("name", ["envoy", "nginx", "production-stack", "llm-d", "dynamo"])
def test_a_gateway_does_not_speak_for_the_pods_behind_it(name: str) -> None:
    assert PRESETS[name].windows is None


@pytest.mark.parametrize("name", WITH)
@pytest.mark.parametrize("width_s", [60.0, 120.0, 300.0])
def test_every_template_is_promql_by_pod_and_bound_to_its_namespace(name: str, width_s: float) -> None:
    preset, windows = PRESETS[name], windows_of(name)
    selector = promql.parse_selector("", "own", where="selector", label=preset.confined_by)
    told = windows.queries(selector=selector, namespace=selector, window_s=width_s)
    for column, query in told.items():
        promql.parse(query, where=column)
        assert promql.unconfined(query, "own", label=preset.confined_by) == []
        assert f"by ({windows.pod}" in query, column
        assert "$" not in query
    buckets = windows.buckets_query(selector=selector, namespace=selector, window_s=width_s)
    assert buckets is None or "$" not in buckets
    for limit, _ in windows.limit_queries(selector=selector, namespace=selector).values():
        assert "$" not in limit


def test_a_window_is_as_wide_as_it_is_asked_for() -> None:
    query = windows_of("vllm").queries(selector='namespace="own"', namespace="", window_s=120.0)
    assert "[2m]" in query[Column.OUTPUT_TOKENS]
    assert "offset 2m" in query[Column.REQUESTS]


def broken(tmp_path: Path, section: object) -> list[str]:
    """The problems of vLLM's preset with another section."""
    told = yaml.safe_load((home("backends") / "vllm.yaml").read_text())
    (tmp_path / "vllm.yaml").write_text(yaml.safe_dump({**told, "windows": section}))
    with pytest.raises(SettingsError) as caught:
        load_presets(tmp_path)
    return [f"{problem.where}: {problem.got}" for problem in caught.value.problems]


def column(query: str) -> dict[str, str]:
    return {"query": query}


GOOD = {
    "latency_time": column("sum by (pod) (rate(a{$selector}[$window]))"),
    "latency_count": column("sum by (pod) (rate(b{$selector}[$window]))"),
}


def test_what_a_fit_needs_must_be_there(tmp_path: Path) -> None:
    assert broken(tmp_path, {"counts": "tokens", "columns": GOOD}) == [
        "vllm.yaml: windows.columns.output_tokens: is missing",
        "vllm.yaml: windows.columns.input_tokens: is missing",
    ]


@pytest.mark.parametrize(
    ("query", "wrong"),
    [
        ("sum by (pod) (rate(a{$selector}[$window])", "is not PromQL"),
        ("sum by (pod) (rate(a[$window]))", "unbound"),
        ("sum by (pod) (rate(a{$selector}[$wide]))", "holds the placeholder"),
        ("a{$selector}[$window]", "gives a range"),
    ],
)
def test_a_template_is_proved_when_it_is_loaded(tmp_path: Path, query: str, wrong: str) -> None:
    section = {"counts": "requests", "columns": {**GOOD, "running": column(query)}}
    (problem,) = broken(tmp_path, section)
    assert problem.startswith("vllm.yaml: windows.columns.running.query: ")
    assert wrong in problem


def test_limits_and_buckets_are_proved_too(tmp_path: Path) -> None:
    section = {
        "counts": "requests",
        "columns": GOOD,
        "ttft_buckets": column("sum by (le) (rate(a[$window]))"),
        "limits": {"kv_tokens": column("a{$unknown}")},
    }
    first, second = broken(tmp_path, section)
    assert (
        first.startswith("vllm.yaml: windows.ttft_buckets.query: selects a[1m] unbound") or "unbound" in first
    )
    assert second.startswith("vllm.yaml: windows.limits.kv_tokens.query: holds the placeholder")
