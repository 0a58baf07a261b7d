"""The rules are sound, each alert is proven on troubled and on healthy series, and has its page."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from grafana_boards import DEPLOY, RULES, alerts, names_in, recorded, rules
from predictscale.config.promql import parse

HERE = Path(__file__).parent
CASES = HERE / "rules_test.yaml"
REPLICAS = HERE / "rules_of_two_replicas_test.yaml"
DAYS = HERE / "rules_over_days_test.yaml"
RUNBOOK = DEPLOY.parent / "docs" / "runbook.md"
SOURCE = DEPLOY.parent / "src" / "predictscale"
SECTIONS: dict[str, str] = dict(
    re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", RUNBOOK.read_text(), re.MULTILINE | re.DOTALL)
)
PARTS = ("**Means.**", "**Users f", "**Look.**", "**Do.**", "**Leave it**")


def promtool(*arguments: str) -> str:
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_rules_are_sound() -> None:
    assert "SUCCESS" in promtool("check", "rules", "--lint=all", "--lint-fatal", str(RULES))


@pytest.mark.parametrize("cases", [CASES, REPLICAS, DAYS], ids=lambda cases: cases.stem)
def test_each_alert_fires_when_it_should_and_not_when_it_should_not(cases: Path) -> None:
    assert "SUCCESS" in promtool("test", "rules", str(cases))


EQUAL = {"predictscale_decision_timestamp_seconds", "predictscale_last_asked_timestamp_seconds"}
"""Of these PredictscaleKedaNeverAsked asks only whether there are any."""
TURNED = {"max by": "min by", "min by": "max by"}


def turned() -> Iterator[tuple[str, str, str]]:
    """Each aggregation over replicas of the service, turned round: a rule, its text, and the wrong one."""
    for rule in rules():
        name, text = rule.get("alert") or rule["record"], rule["expr"]
        for found in re.finditer(r"(max by|min by) \([^)]*\) \((\w+)", text):
            if name != "PredictscaleKedaNeverAsked" or found[2] not in EQUAL:
                yield name, text, text[: found.start()] + TURNED[found[1]] + text[found.end(1) :]


@pytest.mark.parametrize(("name", "text", "wrong"), list(turned()), ids=lambda part: part[:60])
def test_which_replica_of_the_service_counts_is_proven(
    tmp_path: Path, name: str, text: str, wrong: str
) -> None:
    """A rule that took the best replica for the worst, or the other way round, fails a case."""
    groups = yaml.safe_load(RULES.read_text())
    for rule in (rule for group in groups["groups"] for rule in group["rules"]):
        rule["expr"] = wrong if rule["expr"] == text else rule["expr"]
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(groups))
    # As text: YAML of Python reads 0x60 as a number.
    _, *cases = re.split(r"(?m)^  - name:", REPLICAS.read_text())
    head = "rule_files: [rules.yaml]\nevaluation_interval: 1m\ntests:\n"
    file = tmp_path / "cases.yaml"
    file.write_text("  - name:".join([head, *(case for case in cases if name in case)]))
    done = subprocess.run(
        ["promtool", "test", "rules", str(file)], capture_output=True, text=True, check=False
    )
    assert done.returncode != 0, f"nothing fails with {wrong}"
    assert name in done.stdout + done.stderr, "another thing fails"


def test_every_alert_is_seen_to_wait_to_fire_and_to_end() -> None:
    seen: dict[str, list[int]] = {}
    for case in yaml.safe_load(CASES.read_text())["tests"]:
        for check in case["alert_rule_test"]:
            seen.setdefault(check["alertname"], []).append(len(check["exp_alerts"]))
    assert set(seen) == set(alerts())
    for name, counts in seen.items():
        fired = [place for place, count in enumerate(counts) if count]
        assert counts[0] == 0, f"{name} is not seen to wait"
        assert fired, f"{name} is not seen to fire"
        ended = any(count < counts[fired[0]] for count in counts[fired[0] + 1 :])
        assert ended, f"{name} is not seen to end"


@pytest.mark.parametrize("name", list(alerts()))
def test_an_alert_says_how_bad_it_is_what_it_is_and_where_to_read_on(name: str) -> None:
    rule = alerts()[name]
    assert rule["labels"]["severity"] in {"info", "warning", "critical"}
    assert rule["for"]
    annotations = rule["annotations"]
    assert set(annotations) == {"summary", "description", "runbook_url"}
    assert annotations["runbook_url"] == f"docs/runbook.md#{name.lower()}"
    assert name in SECTIONS
    # Who is paged about a workload is told which.
    if "namespace, workload" in rule["expr"] or "workload:" in rule["expr"]:
        assert "{{ $labels.namespace }}/{{ $labels.workload }}" in annotations["summary"]


@pytest.mark.parametrize("name", list(SECTIONS))
def test_a_section_of_the_runbook_is_of_an_alert_and_whole(name: str) -> None:
    assert name in alerts()
    places = [SECTIONS[name].find(part) for part in PARTS]
    assert -1 not in places
    assert places == sorted(places)


def test_the_runbooks_own_links_lead_somewhere() -> None:
    text = RUNBOOK.read_text()
    linked = re.findall(r"\]\(#([\w-]+)\)", text)
    assert linked
    headings = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert set(linked) <= {heading.lower().replace(" ", "-") for heading in headings}


def test_rules_are_promql_and_are_named_by_level_metric_and_operation() -> None:
    for rule in rules():
        parse(rule["expr"], where=str(rule))
    for name in recorded():
        level, metric, _ = name.split(":")
        assert level in {"workload", "pool", "method"}
        assert metric.startswith("predictscale_")


def test_every_metric_that_rules_and_runbook_name_is_one_that_the_service_tells() -> None:
    told = metric_names()
    asked = {name for rule in rules() for name in names_in(rule["expr"])} - recorded() - {"up"}
    asked |= set(re.findall(r"`(predictscale_[a-z_]+)`", RUNBOOK.read_text()))
    assert len(asked) > 20
    assert {
        name for name in asked if re.sub(r"_info$", "", name) not in told | {n + "_info" for n in told}
    } == set()


def metric_names() -> set[str]:
    """All names that the source makes metrics of."""
    text = "".join(path.read_text() for path in SOURCE.rglob("*.py"))
    return set(re.findall(r'"(predictscale_[a-z_0-9]+)"', text))


def test_settings_that_the_runbook_names_are_settings() -> None:
    documented = (DEPLOY.parent / "docs" / "settings.md").read_text()
    named = set(re.findall(r"`(?:[a-z_]+\.)?([a-z]+_[a-z_]+)`", RUNBOOK.read_text()))
    named -= {name for name in named if name.startswith("predictscale_")} | {
        "rpc_failed",
        "honor_labels",
        "valid_until",
    }
    assert len(named) > 10
    assert {one for one in named if f"`{one}`" not in documented} == set()
