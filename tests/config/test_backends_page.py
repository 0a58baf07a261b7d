"""docs/backends.md, and what is read from a query's tree to be said there."""

import re
from pathlib import Path

import promql_parser as pp
import pytest

from predictscale.config.backends import OwnBackend
from predictscale.config.backendspage import backends_markdown
from predictscale.config.cluster import load_cluster
from predictscale.config.presets import Extra, Preset, SignalTemplate, load_presets
from predictscale.config.promql import children
from predictscale.config.reading import MetricType, aggregation_of, metrics_of
from predictscale.config.yamlfile import read_yaml

PAGE = Path(__file__).parents[2] / "docs" / "backends.md"
PRESETS, CLUSTER = load_presets(), load_cluster()
TEXT = backends_markdown(PRESETS, CLUSTER)

# By unit: how many pods' series may become one number.
ALLOWED = {
    "share": ("mean", "mean of the largest by namespace, pod, instance, dp_rank", "largest", "ratio of sums"),
    "s": ("quantile of all buckets", "ratio of sums", "largest"),
    "tokens/request": ("ratio of sums",),
}
SUMS = ("sum", "sum, each pod by its newest name", "ratio of sums")


def queries(preset: Preset) -> dict[str, tuple[str, SignalTemplate]]:
    """Each signal's query as it is asked, and its template."""
    return {
        str(name): (preset.query(name, selector='namespace="x"') or "", template)
        for name, template in preset.signals.items()
    }


def selected(node: pp.Expr) -> set[str]:
    own = {node.name or ""} if isinstance(node, pp.VectorSelector) else set()
    return own.union(*map(selected, children(node)))


def test_the_page_of_backends_is_what_the_presets_say() -> None:
    assert PAGE.read_text(encoding="utf-8") == TEXT, (
        "write it anew: python -c 'from predictscale.config.backendspage import *; "
        "from predictscale.config.presets import load_presets; "
        "from predictscale.config.cluster import load_cluster; "
        'print(backends_markdown(load_presets(), load_cluster()), end="")\' > docs/backends.md'
    )


@pytest.mark.parametrize("preset", PRESETS.values(), ids=str)
def test_every_signal_of_every_backend_is_on_the_page_with_what_it_reads(preset: Preset) -> None:
    (section,) = re.findall(rf"(?ms)^### {re.escape(preset.name)}\n(.*?)(?=^##|\Z)", TEXT)
    for name, (query, template) in queries(preset).items():
        (row,) = (line for line in section.splitlines() if line.startswith(f"| `{name}` | "))
        assert f"| {template.unit} | {template.meaning} |" in row
        for metric in selected(pp.parse(query)):
            assert re.search(rf"`{re.escape(re.sub('_(bucket|sum|count)$', '', metric))}(_count)?` \(", row)


def test_every_signal_of_the_cluster_is_on_the_page() -> None:
    for preset in CLUSTER.values():
        assert f"### {preset.name}\n" in TEXT
        assert all(f"| `{name}` | {signal.unit} |" in TEXT for name, signal in preset.signals.items())


def test_every_link_leads_to_a_heading() -> None:
    assert {f"### {target}" for target in re.findall(r"\]\(#([^)]+)\)", TEXT)} <= set(TEXT.splitlines())


def test_the_example_of_the_page_is_a_good_one(tmp_path: Path) -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", TEXT, flags=re.DOTALL)
    (tmp_path / "example.yaml").write_text(example)
    (tree,) = read_yaml(tmp_path / "example.yaml")
    mine, vllm = (OwnBackend.model_validate(each) for each in tree["backends"])
    assert mine.said() == "backend my-engine is the service's own"
    assert vllm.said() == "backend vllm extends the packaged vllm: window_s, signals.queue"


@pytest.mark.parametrize("preset", PRESETS.values(), ids=str)
def test_counts_add_up_and_shares_and_times_do_not(preset: Preset) -> None:
    for name, (query, template) in queries(preset).items():
        unit, how = template.unit, aggregation_of(query)
        if unit in ALLOWED:
            assert how in ALLOWED[unit], name
        elif name == Extra.KV_TOKENS:
            assert how.startswith("mean"), name
        else:
            # Of ranks or routers that repeat one level, the largest; then all of them.
            assert how in SUMS or how.startswith("sum of the largest by namespace, "), name


@pytest.mark.parametrize(
    ("query", "how"),
    [
        ("sum(rate(a[2m]))", "sum"),
        ("sum(max by (pod, rank) (a))", "sum of the largest by pod, rank"),
        ("sum(sum by (pod) (rate(a[2m])) or sum by (pod) (rate(b[2m])))", "sum, each pod by its newest name"),
        ("clamp_min(sum(rate(a[2m])) + (sum(b) - sum(b offset 2m)) / 120, 0)", "sum"),
        ("sum(rate(a_sum[2m])) / sum(rate(a_count[2m]))", "ratio of sums"),
        ("histogram_quantile(0.95, sum by (le) (rate(a_bucket[2m]))) / 1000", "quantile of all buckets"),
        ("avg(a or b)", "mean"),
        ("max(a / b)", "largest"),
        ("rate(a[2m])", ""),
    ],
)
def test_how_pods_become_one_number_is_read_from_the_query(query: str, how: str) -> None:
    assert aggregation_of(query) == how


def test_types_are_read_from_how_metrics_are_asked_for() -> None:
    counter, gauge, histogram = MetricType.COUNTER, MetricType.GAUGE, MetricType.HISTOGRAM
    assert metrics_of("sum(rate(a_total[2m])) + sum(b)") == {"a_total": counter, "b": gauge}
    assert metrics_of("sum(rate(a_sum[2m])) / sum(rate(a_count[2m]))") == {"a": histogram}
    assert metrics_of("sum(rate(a_count[2m]))") == {"a_count": counter}
    assert metrics_of("sum(rate(a_count[2m]))", "sum(rate(a_bucket[2m]))") == {"a": histogram}
    assert metrics_of("sum(a) + sum(increase(a[2m]))") == {"a": counter}
