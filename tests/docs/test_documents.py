"""What the documents say can be done, is done here; what cannot says why.

Shell runs in `document_scene`; Python runs as it stands; YAML is what the service, Helm or Kubernetes takes.
"""

import contextlib
import io
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import typer
import yaml

from document_scene import TOOLS, Scene, tools_are_here
from documents import DOCUMENTS, ROOT, Block, blocks, commands, links, name_of
from predictscale.cli import app
from predictscale.config.load import load_service
from predictscale.config.manifests import check_file

ELSEWHERE = {"docs/api.md": "tests/e2e/test_api_schema.py"}
"""Documents whose shell another test runs as it is printed."""
FOREIGN = {"PredictiveHorizontalPodAutoscaler", "MetricPredictor"}
"""Kinds of other projects, shown as what one comes from."""
FRAGMENTS = {"# before", "# before, in part", "# after"}
VALUES = "# values of the chart"
LANGUAGES = {"sh", "python", "yaml", "json", "text"}
SERVICE = ROOT / "predictscale.example.yaml"
KUBERNETES = "1.31"

ALL = [block for document in DOCUMENTS for block in blocks(document)]
SHELL = [b for b in ALL if b.language == "sh" and not b.not_run and b.document not in ELSEWHERE]
PROGRAMS = [document for document in DOCUMENTS if any(b.language == "python" for b in blocks(document))]


def of(language: str) -> list[Block]:
    return [block for block in ALL if block.language == language]


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_each_block_is_of_a_kind_that_is_checked_or_says_why_it_is_not(document: Path) -> None:
    before: Block | None = None
    for block in blocks(document):
        assert block.language in LANGUAGES, f"{block}: {block.language or 'no language'}"
        if block.said.startswith("not run"):
            assert len(block.not_run.split()) > 1, f"{block}: a reason is missing"
            assert block.language == "sh", f"{block}: only shell is run"
        if block.language == "text":
            assert block.is_printed, f"{block}: nothing prints it"
            assert before is not None, block
            assert before.language == "python", f"{block}: nothing before it prints"
        before = block


def test_documents_that_are_run_elsewhere_are_run_there() -> None:
    for document, where in ELSEWHERE.items():
        assert Path(document).name in (ROOT / where).read_text()


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_what_is_linked_and_shown_exists(document: Path) -> None:
    missing = [target for target in links(document) if not (document.parent / target).exists()]
    assert not missing


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_each_command_that_is_named_exists_with_its_options(document: Path) -> None:
    wrong = [f"{' '.join(words)}: {why}" for words in commands(document) if (why := unknown(words))]
    assert not wrong


def unknown(words: list[str]) -> str:
    """What of a command does not exist; empty if all does, or if it is another's."""
    match words:
        case [program, *rest] if program.removeprefix(".venv/bin/") == "predictscale":
            return _unknown_option(rest)
        case ["make", target, *_] if re.fullmatch(r"[a-z-]+", target):
            known = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
            return "" if target in known else f"make has {known}"
        case [program, "-m", module, *_] if program.endswith("python"):
            path = ROOT / module.replace(".", "/")
            return "" if path.is_dir() or path.with_suffix(".py").is_file() else f"no module {module}"
        case [program, *rest] if program.endswith("pytest"):
            gone = [one for one in rest if one.startswith("tests") and not (ROOT / one).exists()]
            return f"no {gone}" if gone else ""
        case [program, *_] if program.startswith("scripts/"):
            return "" if (ROOT / program).is_file() else "no such script"
        case _:
            return ""


def _unknown_option(words: list[str]) -> str:
    command: Any = typer.main.get_command(app)  # of a click that is typer's own
    rest = list(words)
    while (known := getattr(command, "commands", None)) and rest and not rest[0].startswith("-"):
        # `events list|add|remove` names three.
        names = rest.pop(0).split("|")
        if gone := [name for name in names if name not in known]:
            return f"no command {gone}"
        command = known[names[0]]
    options = {
        option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)
    }
    given = {word.partition("=")[0] for word in rest if word.startswith("--")} - {"--help"}
    return f"no options {sorted(given - options)}" if given - options else ""


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("predictscale plan llm/chat --url x", False),
        ("predictscale plam llm/chat", True),
        (".venv/bin/predictscale plan llm/chat --uri x", True),
        ("predictscale events list|add demo/chat", False),
        ("predictscale events lost demo/chat", True),
        ("make run", False),
        ("make haste", True),
        (".venv/bin/python -m benchmarks.rpc --quick", False),
        (".venv/bin/python -m benchmarks.rcp", True),
        (".venv/bin/pytest tests/test_none.py -q", True),
        ("scripts/none", True),
        ("kubectl get pods", False),
    ],
)
def test_what_does_not_exist_is_found(line: str, wrong: bool) -> None:  # noqa: FBT001 - parametrized
    assert bool(unknown(line.split())) is wrong


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    if not tools_are_here():
        pytest.skip("no Helm or no Prometheus here: `make test` brings them, where there is npm and apt")
    with Scene(tmp_path_factory.mktemp("documents")) as scene:
        yield scene


@pytest.mark.e2e
@pytest.mark.parametrize("block", SHELL, ids=str)
def test_commands_run_as_they_are_printed(scene: Scene, block: Block) -> None:
    done = scene.run(block.body)
    assert done.returncode == 0, f"{block.body}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"


@pytest.mark.e2e
def test_a_command_that_fails_is_seen(scene: Scene) -> None:
    assert scene.run("predictscale plan llm/nobody --url http://127.0.0.1:8080 | cat").returncode != 0
    assert scene.run("kubectl delete deployment chat").returncode != 0
    assert scene.run("helm install predictscale deploy/chart/predictscale").returncode != 0


@pytest.mark.parametrize("document", PROGRAMS, ids=name_of)
def test_programs_print_what_the_documents_say(document: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    names: dict[str, Any] = {"__name__": "document"}
    printed = ""
    for block in blocks(document):
        if block.language == "python":
            with contextlib.redirect_stdout(io.StringIO()) as out:
                exec(compile(block.body, str(block), "exec"), names)  # noqa: S102 - the project's own document
            printed = out.getvalue()
        elif block.is_printed:
            assert printed == block.body, block


@pytest.mark.parametrize("block", of("json"), ids=str)
def test_json_is_json(block: Block) -> None:
    yaml.safe_load(block.body)
    assert block.body.lstrip()[0] in "{["


@pytest.mark.parametrize("block", of("yaml"), ids=str)
def test_yaml_is_what_its_reader_takes(block: Block, tmp_path: Path) -> None:
    documents = [one for one in yaml.safe_load_all(block.body) if one is not None]
    assert documents, block
    if block.body.startswith(VALUES):
        _taken_by_the_chart(block, tmp_path)
        return
    for document in documents:
        if "kind" in document:
            _taken_by_kubernetes(document, tmp_path)
        elif set(document) == {"triggers"}:
            assert block.body.splitlines()[0] in FRAGMENTS, f"{block}: a fragment says of what"
            _taken_by_kubernetes(_around(document["triggers"]), tmp_path)
        else:
            _taken_by_the_service(document, tmp_path)


def _taken_by_the_chart(block: Block, tmp_path: Path) -> None:
    if not tools_are_here():
        pytest.skip("no Helm here: scripts/install-deploy-tools brings it, where there is npm")
    values = tmp_path / "values.yaml"
    values.write_text(block.body)
    chart = ROOT / "deploy/chart/predictscale"
    command = (TOOLS / "helm4", "template", "predictscale", chart, "--values", values)
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr
    maps = [one for one in yaml.safe_load_all(done.stdout) if one and one["kind"] == "ConfigMap"]
    (file,) = [one["data"]["predictscale.yaml"] for one in maps if "predictscale.yaml" in one["data"]]
    _taken_by_the_service(yaml.safe_load(file), tmp_path)


def _taken_by_kubernetes(document: dict[str, Any], tmp_path: Path) -> None:
    assert {"apiVersion", "metadata", "spec"} <= set(document), document
    if document["kind"] in FOREIGN:
        return
    if document["kind"] != "ScaledObject":
        kubernetes_validate.validate(document, KUBERNETES, strict=True)
        return
    for trigger in document["spec"]["triggers"]:
        assert all(isinstance(value, str) for value in trigger["metadata"].values()), "metadata is text"
    if any(trigger["type"].startswith("external") for trigger in document["spec"]["triggers"]):
        path = tmp_path / "manifest.yaml"
        path.write_text(yaml.safe_dump(document))
        checked = check_file(path, service=load_service(SERVICE, env={}))
        assert checked.good, checked.problems


def _around(triggers: list[dict[str, Any]]) -> dict[str, Any]:
    """A ScaledObject for triggers that are shown by themselves."""
    return {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": {"name": "shop", "namespace": "web"},
        "spec": {"scaleTargetRef": {"name": "shop"}, "maxReplicaCount": 25, "triggers": triggers},
    }


def _taken_by_the_service(document: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "service.yaml"
    path.write_text(yaml.safe_dump({"prometheus": {"url": "http://prometheus:9090"}} | document))
    checked = check_file(path)
    assert checked.good, checked.problems


def test_a_wrong_manifest_and_a_wrong_setting_are_seen(tmp_path: Path) -> None:
    external = {
        "type": "external",
        "metadata": {"scalerAddress": "a:1", "backend": "http", "maxReplica": "25"},
    }
    with pytest.raises(AssertionError, match="maxReplica"):
        _taken_by_kubernetes(_around([external]), tmp_path)
    with pytest.raises(AssertionError, match="workload"):
        _taken_by_the_service({"workload": []}, tmp_path)
