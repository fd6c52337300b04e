"""Dockerfiles, Skaffold and the chart speak of the same images."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from charts.generate import CHART

ROOT = Path(__file__).parents[2]
# The operator is no service and has a folder of its own.
DOCKERFILES = sorted([*ROOT.glob("images/*/Dockerfile"), *ROOT.glob("operator/Dockerfile")])
PROJECTS = sorted([*ROOT.glob("images/*/pyproject.toml"), *ROOT.glob("operator/pyproject.toml")])
FOLDERS = {path.parent.name: path.parent for path in DOCKERFILES}
SERVICES = list(FOLDERS)

by_service = pytest.mark.parametrize("service", SERVICES)


def load(path: Path) -> Any:
    """The content of a YAML file."""
    return yaml.safe_load(path.read_text())


def dockerfile(service: str) -> str:
    """A service's Dockerfile."""
    return (FOLDERS[service] / "Dockerfile").read_text()


def value_path(service: str) -> str:
    """The chart's name of a service: `scoutSim` for `scout-sim`."""
    return re.sub(r"-(.)", lambda match: match[1].upper(), service)


def test_every_service_has_a_dockerfile() -> None:
    """The Dockerfiles are those of the services, and no others."""
    assert [path.parent.name for path in PROJECTS] == SERVICES


def test_skaffold_builds_the_same_images() -> None:
    """Each artifact has its Dockerfile, and each Dockerfile its artifact."""
    artifacts = load(ROOT / "skaffold.yaml")["build"]["artifacts"]
    built = {artifact["image"]: artifact["docker"]["dockerfile"] for artifact in artifacts}
    assert built == {f"mqtt-trace-{path.parent.name}": str(path.relative_to(ROOT)) for path in DOCKERFILES}


def test_skaffold_hands_each_image_to_the_chart() -> None:
    """Repository and tag of each artifact go to the chart's values of that service."""
    (release,) = load(ROOT / "skaffold.yaml")["deploy"]["helm"]["releases"]
    variable = {service: f"mqtt-trace-{service}".replace("-", "_") for service in SERVICES}
    expected = {
        f"{value_path(service)}.image.{part}": f"{{{{.IMAGE_{name}_{variable[service]}}}}}"
        for service in SERVICES
        for part, name in (("repository", "REPO"), ("tag", "TAG"))
    }
    assert release["setValueTemplates"] == expected
    assert (ROOT / release["chartPath"]) == CHART


def test_everything_of_a_version_has_its_number() -> None:
    """Chart, images and Python packages are released together: Chart.yaml says as what."""
    chart = load(CHART / "Chart.yaml")
    projects = [ROOT / "pyproject.toml", ROOT / "service" / "pyproject.toml", *PROJECTS]
    versions = {str(path.relative_to(ROOT)): tomllib.loads(path.read_text())["project"]["version"] for path in projects}
    assert versions == dict.fromkeys(versions, chart["appVersion"])
    assert chart["version"] == chart["appVersion"]
    assert f"}}:{chart['appVersion']}\n" in (CHART / "README.md").read_text()


@by_service
def test_the_chart_runs_the_image_that_is_built(service: str) -> None:
    """Its repository is the image's name, its tag the chart's appVersion."""
    image = load(CHART / "values.yaml")[value_path(service)]["image"]
    assert image == {"repository": f"mqtt-trace-{service}", "registry": "", "tag": "", "digest": ""}


@by_service
def test_an_image_starts_its_own_command(service: str) -> None:
    """In exec form, so that SIGTERM reaches Python, and one that the project installs."""
    command = f"mqtt-trace-{service}"
    assert f'\nENTRYPOINT ["{command}"]\n' in dockerfile(service)
    assert f"\n{command} = " in (FOLDERS[service] / "pyproject.toml").read_text()


@by_service
def test_an_image_installs_what_is_locked(service: str) -> None:
    """With hashes required, and nothing beyond it for our own packages, which are built by what is locked, too."""
    text = dockerfile(service)
    assert f"COPY requirements/{service}.txt requirements.txt\n" in text
    installs = re.findall(r"uv pip install (--\S+)", text)
    assert installs == ["--require-hashes", "--no-deps"]
    assert "COPY requirements/build.txt build.txt\n" in text
    assert "uv pip install --no-deps --build-constraints build.txt " in text


@by_service
def test_an_image_runs_as_a_number_that_is_not_root(service: str) -> None:
    """Kubernetes can check `runAsNonRoot` of a number only."""
    assert re.findall(r"^USER (.*)$", dockerfile(service), re.MULTILINE) == ["10001:10001"]
