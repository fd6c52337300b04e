"""The content and the metadata of the distributions."""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Callable
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest

from tests.packaging.conftest import ROOT, THIN, Distributions, build, clean_environment
from tests.packaging.test_matrix import PYTHONS

Install = Callable[..., Path]

LOCK = str(ROOT / "requirements" / "dev.txt")
HOME = "https://github.com/mqtt-trace/mqtt-trace"
PROJECTS = [
    tomllib.loads(path.read_text())
    for pattern in ("pyproject.toml", "*/pyproject.toml", "images/*/pyproject.toml", "instrumentation/*/pyproject.toml")
    for path in sorted(ROOT.glob(pattern))
]
"""The pyproject.toml of each distribution."""

both = pytest.mark.parametrize("name", ["distributions", "thin"])


def metadata(wheel: Path) -> Message:
    """The METADATA of a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return Parser().parsestr(archive.read(name).decode())


def content(wheel: Path) -> set[str]:
    """The files of a wheel, without its metadata."""
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name and not name.endswith("/")}


def sources(folder: Path) -> set[str]:
    """The modules in a folder, and `py.typed`."""
    files = [path for path in folder.rglob("*") if path.suffix == ".py" or path.name == "py.typed"]
    return {str(path.relative_to(folder)) for path in files}


def test_the_wheel_holds_the_library_and_its_types(distributions: Distributions) -> None:
    """Every module of the sources and `py.typed`; nothing else."""
    assert content(distributions.wheel) == sources(ROOT / "src")


def test_the_thin_wheel_claims_no_package_of_opentelemetry(thin: Distributions) -> None:
    """Its modules have their own package; the packages above it stay namespaces for OpenTelemetry's own."""
    assert content(thin.wheel) == sources(THIN / "src")
    assert {str(Path(name).parent) for name in content(thin.wheel)} == {"opentelemetry/instrumentation/paho_mqtt"}


@both
def test_the_sdist_holds_what_the_wheel_is_built_from(name: str, request: pytest.FixtureRequest) -> None:
    """The sources, README and LICENSE; no test and no service."""
    distributions: Distributions = request.getfixturevalue(name)
    with tarfile.open(distributions.sdist) as sdist:
        files = {"/".join(Path(member).parts[1:]) for member in sdist.getnames()}
    readme = "README.md" if name == "distributions" else "README.rst"
    expected = {f"src/{module}" for module in content(distributions.wheel)}
    assert files == expected | {readme, "LICENSE", "pyproject.toml", "PKG-INFO", ".gitignore"}


def test_only_paho_and_the_api_are_required(distributions: Distributions) -> None:
    """Only paho and the API are required, without an upper limit on OpenTelemetry; the rest is an extra."""
    requirements = metadata(distributions.wheel).get_all("Requires-Dist", [])
    needed = [text for text in requirements if "extra ==" not in text or "'instrumentation'" in text.replace('"', "'")]
    assert sorted(needed) == [
        "opentelemetry-api>=1.30",
        "opentelemetry-instrumentation>=0.51b0; extra == 'instrumentation'",
        "paho-mqtt<3,>=2.1",
    ]


@both
def test_a_distribution_says_where_it_comes_from(name: str, request: pytest.FixtureRequest) -> None:
    """Its page has the project's addresses, a license, keywords and the Pythons that it is tested with."""
    distributions: Distributions = request.getfixturevalue(name)
    said = metadata(distributions.wheel)
    urls = dict(text.split(", ") for text in said.get_all("Project-URL", []))
    assert urls.keys() == {"Homepage", "Documentation", "Repository", "Issues", "Changelog"}
    assert urls["Repository"] == HOME
    assert all(url.startswith(HOME) for url in urls.values())
    assert (said["License-Expression"], said["License-File"]) == ("Apache-2.0", "LICENSE")
    assert said["Keywords"]
    assert said["Summary"]
    prefix = "Programming Language :: Python :: "
    classified = [text.removeprefix(prefix) for text in said.get_all("Classifier", []) if text.startswith(prefix)]
    assert classified == ["3", "3 :: Only", *PYTHONS]


@pytest.mark.parametrize("path", ["blob/main", "tree/main"])
def test_addresses_within_the_repository_exist(path: str) -> None:
    """Links of a package index page into the repository exist."""
    texts = [(ROOT / "pyproject.toml").read_text(), *(file.read_text() for file in THIN.glob("[pR]*.*"))]
    linked = {target for text in texts for target in re.findall(rf"{HOME}/{path}/([\w./-]+)", text)}
    assert linked
    assert {target for target in linked if not (ROOT / target).exists()} == set()


@pytest.mark.parametrize("project", PROJECTS, ids=lambda project: project["project"]["name"])
def test_any_index_can_build_it(project: dict[str, dict[str, object]]) -> None:
    """The build requires hatchling, without an upper limit."""
    assert project["build-system"] == {"requires": ["hatchling>=1.27"], "build-backend": "hatchling.build"}


@both
def test_the_oldest_hatchling_builds_the_same(name: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """With the oldest allowed hatchling, the wheel has the same files and metadata."""
    distributions: Distributions = request.getfixturevalue(name)
    (tmp_path / "oldest.txt").write_text("hatchling==1.27.0\n")
    project = {"distributions": ROOT, "thin": THIN}[name]
    oldest = build(project, tmp_path / "dist", "--build-constraints", str(tmp_path / "oldest.txt"))
    assert content(oldest.wheel) == content(distributions.wheel)
    said, expected = metadata(oldest.wheel), metadata(distributions.wheel)
    del said["Metadata-Version"], expected["Metadata-Version"]
    assert sorted(said.items()) == sorted(expected.items())


def test_the_extra_brings_what_the_instrumentation_needs(distributions: Distributions, install: Install) -> None:
    """With `[instrumentation]`, the instrumentation imports."""
    python = install(sys.executable, f"{distributions.wheel}[instrumentation]", "--constraint", LOCK)
    assert run(python, "import mqtt_trace.instrumentation") == (0, "")


def test_the_distribution_of_the_services_brings_what_they_share(
    distributions: Distributions, install: Install, tmp_path: Path
) -> None:
    """With `mqtt-trace-service`, settings, health, runner and telemetry import."""
    service = build(ROOT / "service", tmp_path / "dist")
    python = install(sys.executable, service.wheel, distributions.wheel, "--constraint", LOCK)
    assert run(python, "import mqtt_trace_service, mqtt_trace_service.telemetry") == (0, "")


def run(python: Path, program: str) -> tuple[int, str]:
    """Exit code and standard error of a program for which each warning is an error."""
    command: list[str | Path] = [python, "-IW", "error", "-c", program]
    done = subprocess.run(command, env=clean_environment(), capture_output=True, text=True, check=False, timeout=120)
    return done.returncode, done.stderr
