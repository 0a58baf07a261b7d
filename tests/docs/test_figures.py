"""Headline figures of README and docs are those of the recorded results, rounded as they are printed."""

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
OURS = ("auto", "native", "boosted")
RIVALS = ("predictscale", "tuned-reactive", "holt-winters", "seasonal-naive", "cron", "stock-reactive")


@cache
def results(name: str) -> Any:
    return json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text())["results"]


def text(path: str) -> str:
    """A document on one line, bold left out."""
    return re.sub(r"\s+", " ", (ROOT / path).read_text()).replace("**", "")


def honest(lead_s: float) -> dict[str, Any]:
    one: dict[str, Any]
    (one,) = [each for each in results("closed-loop")["summary"] if each["lead_time_s"] == lead_s]
    return one


def row(policy: str, asked: str) -> str:
    """A policy's lateness and cost, as the table of results has them."""
    found = honest(240)["honest"][policy][asked]
    return f"{100 * found['violation']:.2f} % / {found['cost']:.3f}, {found['within']}"


def simpler_wins(asked: str) -> set[str]:
    """Traces on which a rival cost less and was within what was asked, or no later than ours."""
    found: set[str] = set()
    for trace in results("closed-loop")["traces"]:
        if trace["lead_time_s"] != 240:
            continue
        each = {name: family["honest"][asked] for name, family in trace["families"].items()}
        ours = each["predictscale"]
        late = max(float(asked), ours["violation"])
        if any(one["cost"] < ours["cost"] and one["violation"] <= late for one in each.values()):
            found.add(trace["trace"])
    return found


def figures() -> Iterator[tuple[str, str]]:
    """A document, and what it must say."""
    forecast = results("forecast")["summary"]
    every = forecast["all"]
    rival = min(loss for name, loss in every.items() if name not in OURS)
    low, middle, high = (f"{100 * share:.1f}" for share in forecast["peak_coverage"]["auto"]["mean"])
    for document in ("README.md", "docs/forecasting.md"):
        yield document, f"{every['auto']:.3f}"
        yield document, f"best single rival {rival:.3f}"
        yield document, f"{every['prophet']:.3f}"
        yield document, f"{low}, {middle} and {high} % of cases"
    calls = {(one["workloads"], one["in_flight"]): one["ratio"]["p99_ms"] for one in results("rpc")}
    yield "README.md", f"{calls[1000, 1]:.2f} times with 1,000 workloads"
    for in_flight in (1, 50):
        first, second, third = (f"{calls[workloads, in_flight]:.2f}" for workloads in (1, 100, 1000))
        yield "docs/results.md", f"{first}, {second} and {third} times"
    yield "README.md", f"{calls[1, 1]:.2f} with one"
    looked = results("page")
    yield "docs/results.md", f"paints {looked['page']['first_contentful_paint_median_ms']:.0f} ms"
    yield "docs/results.md", f"takes {looked['list']['p50_ms']:.1f} ms, {looked['list']['p99_ms']:.1f} at p99"
    beside = {kind: ratio["p99_ms"] for kind, ratio in looked["rpc_ratio_to_nobody"].items()}
    yield "docs/results.md", f"GetMetrics' p99 was {beside['program']:.2f} times"
    yield "docs/results.md", f"and {beside['browser']:.2f} times with a browser open"
    for goal in results("spot")["goals"]:
        if found := re.search(r"kept: ([\d.]+)% short at ([\d.]+)%", goal):
            yield "README.md", f"{found[1]} % at {float(found[2]):.0f} %"
    same = [one["learned_from"] == one["asked_for"] for one in results("capacity")]
    for seen in (True, False):
        kept = [
            share
            for one, is_same in zip(results("capacity"), same, strict=True)
            if is_same is seen
            for share in one["shares"]["ours"]
        ]
        yield "README.md", f"{100 * min(kept):.0f} to {100 * max(kept):.0f} %"


def figures_of_the_closed_loop() -> Iterator[tuple[str, str]]:
    """The same of eleven traces."""
    ours, tuned = (honest(240)["honest"][name]["0.01"] for name in ("predictscale", "tuned-reactive"))
    yield "README.md", f"{100 * ours['violation']:.2f} % late at {ours['cost']:.3f} times"
    yield "README.md", f"tuned reactive scaling {100 * tuned['violation']:.2f} % at {tuned['cost']:.3f}"
    yield "README.md", f"which is {100 * (tuned['cost'] / ours['cost'] - 1):.0f} % more"
    stock = honest(240)["honest"]["stock-reactive"]["0.01"]
    yield "README.md", f"stock reactive scaling {100 * stock['violation']:.2f} % at {stock['cost']:.3f}"
    yield "README.md", f"a fixed fleet {honest(240)['static_peak']:.2f}"
    yield "README.md", f"on {len(simpler_wins('0.01'))} of the {ours['traces']} a simpler rule was cheaper"
    count = {2: "two", 3: "three", 4: "four", 5: "five", 6: "six", 7: "seven"}[
        len(simpler_wins("0.01") | simpler_wins("0.005"))
    ]
    yield "docs/results.md", f"on {count} traces [simpler rules win]"
    yield "docs/migrating.md", f"On {count} of eleven real traces a simpler rule was cheaper and no later"
    less = sorted(
        100 * (1 - honest(240)["honest"]["predictscale"][one]["cost"] / cost["cost"])
        for one, cost in honest(240)["honest"]["tuned-reactive"].items()
    )
    yield "docs/results.md", f"{less[0]:.0f} to {less[-1]:.0f} % less than tuned reactive scaling"
    yield "README.md", f"on {ours['within']} of the 11, tuned reactive on {tuned['within']}"
    for asked, name in (("0.01", "1 %"), ("0.005", "0.5 %")):
        yield "docs/results.md", f"| {name} | " + " | ".join(row(policy, asked) for policy in RIVALS) + " |"


def figures_of_all_traces_and_the_month() -> Iterator[tuple[str, str]]:
    """The same of what the closed loop was run on beside them."""
    wide: dict[str, Any] = {}
    for name in ("closed-loop-all", "closed-loop-all-prophet"):
        (one,) = [each for each in results(name)["summary"] if each["lead_time_s"] == 240]
        wide |= one["honest"]
    for policy, asked in (
        ("predictscale", "0.01"),
        ("predictscale", "0.005"),
        ("tuned-reactive", "0.01"),
        ("tuned-reactive", "0.005"),
        ("prophet", "0.01"),
        ("holt-winters", "0.01"),
    ):
        one = wide[policy][asked]
        yield "docs/results.md", f"{100 * one['violation']:.2f} % at {one['cost']:.3f}"
        yield "docs/results.md", f"within on {one['within']}"
    month = results("self-tuning")
    yield "docs/results.md", f"{100 * month['achieved']:.2f} % late in all"
    yield "docs/results.md", f"more than asked on {month['days_worse_than_asked']} of the"
    best, reactive = (
        month[f"best_fixed{kind}_in_hindsight"]["tuned_costs_times"] for kind in ("", "_reactive")
    )
    yield "docs/results.md", f"{best:.2f} times the cost of the best fixed settings of that month"
    yield "docs/results.md", f"{reactive:.2f} times that of the best fixed reactive ones"


def figures_of_a_live_service() -> Iterator[tuple[str, str]]:
    """The same of the most workloads that a live service was watched with."""
    most = max(results("live")["rows"], key=lambda row: float(row["workloads"]))
    fits = most["workloads"] * most["fits"]["cpu_s_each"] / 3600
    yield "docs/sizing.md", f"took {most['memory_mib']['together_peak']:.0f} MiB together at the most"
    yield "docs/sizing.md", f"the service {most['cpu']['service_cores']:.2f} of a core"
    yield "docs/sizing.md", f"fits {fits:.2f} more on average"
    line, workers = results("live")["line"], most["memory_mib"]["workers_peak"]
    asked = yaml.safe_load((ROOT / "deploy/chart/predictscale/values.yaml").read_text(encoding="utf-8"))[
        "resources"
    ]
    assert (asked["requests"]["memory"], asked["limits"]["memory"]) == ("768Mi", "1Gi")
    for mib, words in ((768, "for are enough for about"), (1024, "1 GiB for about")):
        room = (mib - workers - line["memory_mib"]) // line["memory_mib_per_workload"]
        yield "docs/sizing.md", f"{words} {room:.0f} workloads"
    yield "docs/sizing.md", f"by {line['memory_mib_per_workload']:.1f} MiB a workload"
    yield "docs/sizing.md", f"of more than {most['workloads']} workloads on a Prometheus was not measured"


def test_no_rival_costs_less_in_the_mean_with_the_usual_cold_start() -> None:
    policies = honest(240)["honest"]
    assert len(policies) - 1 == 12, "results.md says twelve rivals"
    for asked in ("0.01", "0.005"):
        costs = {name: each[asked]["cost"] for name, each in policies.items()}
        assert min(costs.values()) == costs["predictscale"]


@pytest.mark.parametrize(
    ("document", "figure"),
    [
        *figures(),
        *figures_of_the_closed_loop(),
        *figures_of_all_traces_and_the_month(),
        *figures_of_a_live_service(),
    ],
)
def test_a_figure_is_that_of_the_recorded_result(document: str, figure: str) -> None:
    assert figure in text(document)
