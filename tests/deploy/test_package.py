"""The wheel, the source archive and the steps of the image, each tried in an environment of its own."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest

from patience import WITHIN_S

ROOT = Path(__file__).resolve().parents[2]
IMAGE = ROOT / "deploy" / "image"
STEPS = IMAGE / "steps"
UV = Path(sys.executable).parent / "uv"
_PATIENT = {"PIP_RETRIES": "10", "PIP_TIMEOUT": "60", "UV_HTTP_RETRIES": "10", "UV_HTTP_TIMEOUT": "60"}
"""With an index of packages that hiccups."""
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def run(*command: object) -> str:
    """What a command prints; fails with all that it said."""
    environment = {**os.environ, **_PATIENT, "PYTHON": sys.executable, "UV_PYTHON_DOWNLOADS": "never"}
    done = subprocess.run(
        [str(word) for word in command],
        cwd=ROOT,
        env=environment,
        check=False,
        capture_output=True,
        text=True,
        timeout=10 * WITHIN_S,
    )
    assert done.returncode == 0, f"{command}: {done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What builds, as the image has it."""
    folder = tmp_path_factory.mktemp("image") / "tools"
    run(STEPS, "tools", folder)
    return folder


@pytest.fixture(scope="module")
def wheel(tools: Path) -> Path:
    """The wheel of this checkout."""
    run(STEPS, "wheel", tools, ROOT, tools.parent / "wheels")
    (built,) = (tools.parent / "wheels").glob("*.whl")
    return built


def _contents(wheel: Path) -> dict[str, str]:
    with zipfile.ZipFile(wheel) as archive:
        return {
            name: hashlib.sha256(archive.read(name)).hexdigest()
            for name in archive.namelist()
            if not name.endswith("/")
        }


def test_the_wheel_holds_what_runs_and_nothing_that_only_develops(wheel: Path) -> None:
    names = set(_contents(wheel))
    for needed in (
        "predictscale/py.typed",
        "predictscale/_proto/externalscaler_pb2.py",
        "predictscale/_models/backends/vllm.yaml",
        "predictscale/serving/web/index.html",
        "predictscale/serving/web/app.js",
        "predictscale/serving/web/app.css",
    ):
        assert needed in names
    models = {str(path.relative_to(ROOT / "models")) for path in (ROOT / "models").rglob("*.yaml")}
    packed = {name.removeprefix("predictscale/_models/") for name in names if "/_models/" in name}
    assert models <= packed
    sources = {f"predictscale/{p.relative_to(ROOT / 'src/predictscale')}" for p in _sources()}
    assert sources <= names
    info = f"predictscale-{_version()}.dist-info/"
    others = {n for n in names if not n.startswith(("predictscale/", info))}
    assert not others, "tests, benchmarks and tools stay at home"
    suffixes = {Path(name).suffix for name in names if name.startswith("predictscale/")}
    assert suffixes <= {
        ".py",
        ".pyi",
        ".yaml",
        ".md",
        ".typed",
        ".html",
        ".js",
        ".css",
        ".svg",
        ".txt",
        ".json",
    }


def _sources() -> list[Path]:
    return [p for p in (ROOT / "src" / "predictscale").rglob("*.py") if "__pycache__" not in p.parts]


def _version() -> str:
    text = (ROOT / "src" / "predictscale" / "__init__.py").read_text()
    found = re.search(r'__version__ = "([^"]+)"', text)
    assert found
    return found[1]


def test_the_source_archive_builds_the_same_wheel(tools: Path, wheel: Path, tmp_path: Path) -> None:
    run(tools / "bin" / "python", "-m", "hatchling", "build", "--target", "sdist", "--directory", tmp_path)
    (archive,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as packed:
        tops = {Path(name).parts[1] for name in packed.getnames()}
        packed.extractall(tmp_path / "unpacked", filter="data")
    assert "src" in tops
    assert tops.isdisjoint({"tests", "benchmarks", "web", "shared", ".ci"})
    (source,) = (tmp_path / "unpacked").iterdir()
    run(STEPS, "wheel", tools, source, tmp_path / "again")
    (again,) = (tmp_path / "again").glob("*.whl")
    assert again.name == wheel.name
    assert _contents(again) == _contents(wheel)


def test_the_images_steps_give_a_service_that_runs_and_a_list_of_what_is_in_it(
    tools: Path, wheel: Path, tmp_path: Path
) -> None:
    prefix = tmp_path / "prefix"
    run(STEPS, "dependencies", tools, prefix, "base")
    run(STEPS, "install", tools, prefix, wheel.parent)
    run(STEPS, "sbom", tools, prefix, tmp_path / "sbom.json")
    listed = _components(tmp_path / "sbom.json")
    assert listed["predictscale"] == _version()
    assert {name for name in listed if name != "predictscale"} == set(_locked("base")) - _of_other_platforms(
        prefix, "base"
    )
    assert not (prefix / "bin" / "pip").exists(), "what is in the image cannot install anything"
    _demo_runs(prefix)


def _components(sbom: Path) -> dict[str, str]:
    document: dict[str, Any] = json.loads(sbom.read_text())
    return {_plain(part["name"]): part["version"] for part in document["components"]}


def _of_other_platforms(prefix: Path, lock: str) -> set[str]:
    """What a lock for all platforms names and this one does not install."""
    (site,) = prefix.glob("lib/python3.*/site-packages")
    here = {_plain(found.name.split("-")[0]) for found in site.glob("*.dist-info")}
    absent = set(_locked(lock)) - here
    assert absent <= {"colorama", "httpx2-jsfetch"}, "of Windows and of browsers"
    return absent


def _demo_runs(prefix: Path) -> None:
    """Until it tells of a forecast, however long the first start of all that was just installed takes."""
    ports = ("--grpc-port", "0", "--http-port", "0", "--metrics-port", "0")
    # As many replayed hours as would last `WITHIN_S`, and more.
    lasting = ("--speed", "300", "--stop-after", f"{2 * WITHIN_S * 300 / 3600:g}")
    command = [str(prefix / "bin" / "predictscale"), "demo", *lasting, *ports]
    said = ""
    with subprocess.Popen(
        command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as demo:
        try:
            assert demo.stdout is not None
            for line in demo.stdout:
                said += line
                if re.search(r"chat +demand [\d,]+ tokens/s; expects up to [\d,]+ in 360 s", line):
                    break
            else:
                pytest.fail(f"ended without a forecast: {said}")
            demo.terminate()
            said += demo.communicate(timeout=WITHIN_S)[0]
        finally:
            demo.kill()  # `with` would wait for one that does not end
    assert demo.returncode == 0, said


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
def test_the_wheel_installs_into_an_empty_environment_and_runs_the_demo(
    version: str, wheel: Path, tmp_path: Path
) -> None:
    """As `pip install predictscale` does, with the versions that this commit was tested with."""
    python = _interpreter(version)
    if python is None:
        pytest.skip(f"there is no Python {version} on this machine")
    venv = tmp_path / "venv"
    run(UV, "venv", "--quiet", "--python", python, venv)
    into = ("--quiet", "--python", venv / "bin" / "python")
    run(
        UV, "pip", "install", *into, "--only-binary", ":all:", "--constraint", ROOT / "constraints.txt", wheel
    )
    run(UV, "pip", "check", *into)
    assert run(venv / "bin" / "predictscale", "version").strip() == _version()
    _demo_runs(venv)


def _interpreter(version: str) -> Path | None:
    """A Python of a release, from the path or from pyenv."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    on_path = shutil.which(f"python{version}")
    candidates = [*([on_path] if on_path else []), *sorted(map(str, pyenv.glob(f"{version}.*/bin/python")))]
    for found in candidates:
        asked = subprocess.run(
            [found, "-c", "import sys, venv, ensurepip; print('%d.%d' % sys.version_info[:2])"],
            check=False,
            capture_output=True,
            text=True,
        )
        if asked.stdout.strip() == version:
            return Path(found)
    return None


@pytest.mark.parametrize("lock", ["base", "prophet", "tools"])
def test_the_locks_hold_the_tested_versions_with_a_hash_for_each_file(lock: str) -> None:
    tested = dict(_pinned(ROOT / "constraints.txt"))
    for name, version in _locked(lock).items():
        assert tested.get(name, version) == version, f"{name}: run scripts/lock-image"
    text = (IMAGE / f"{lock}.lock").read_text()
    for block in re.split(r"\n(?=\S)", text.strip()):
        assert "--hash=sha256:" in block, block.splitlines()[0]
    assert "://" not in text, "whoever installs chooses the index"


def test_the_locks_hold_each_dependency_that_the_project_names() -> None:
    extras = PROJECT["optional-dependencies"]
    for lock, named in (("base", ["trees"]), ("prophet", ["trees", "prophet"])):
        wanted = [*PROJECT["dependencies"], *(line for extra in named for line in extras[extra])]
        names = {_plain(re.split(r"[\s<>=!~\[;]", line)[0]) for line in wanted}
        assert names <= set(_locked(lock)), "run scripts/lock-image"
    assert "prophet" not in _locked("base")


def _pinned(file: Path) -> list[tuple[str, str]]:
    lines = re.findall(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", file.read_text(), flags=re.MULTILINE)
    return [(_plain(name), version) for name, version in lines]


def _locked(lock: str) -> dict[str, str]:
    return dict(_pinned(IMAGE / f"{lock}.lock"))


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_the_dockerfile_is_linted_and_names_no_base_without_its_digest() -> None:
    run(Path(sys.executable).parent / "hadolint", IMAGE / "Dockerfile")
    text = (IMAGE / "Dockerfile").read_text()
    bases = re.findall(r"^FROM (\S+)", text, flags=re.MULTILINE)
    assert len(bases) == 2
    assert all(base.endswith("@${PYTHON_DIGEST}") for base in bases)
    assert "sha256:" not in re.sub(r"^#.*$", "", text, flags=re.MULTILINE), "a digest is an argument"
    users = re.findall(r"^USER (\S+)", text, flags=re.MULTILINE)
    assert users == ["65532:65532"]


def test_each_step_of_the_dockerfile_is_one_that_these_tests_take() -> None:
    taken = set(re.findall(r"\./steps (\w+)", (IMAGE / "Dockerfile").read_text()))
    known = set(re.findall(r"^(\w+)\)$", STEPS.read_text(), flags=re.MULTILINE))
    assert taken == known == {"tools", "dependencies", "wheel", "install", "sbom"}
