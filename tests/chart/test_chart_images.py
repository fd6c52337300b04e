"""Dockerfiles, Skaffold and the chart speak of the same images."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from charts.generate import CHART

ROOT = Path(__file__).parents[2]
DOCKERFILES = sorted(ROOT.glob("images/*/Dockerfile"))
SERVICES = [path.parent.name for path in DOCKERFILES]

by_service = pytest.mark.parametrize("service", SERVICES)


def load(path: Path) -> Any:
    """The content of a YAML file."""
    return yaml.safe_load(path.read_text())


def dockerfile(service: str) -> str:
    """A service's Dockerfile."""
    return (ROOT / "images" / service / "Dockerfile").read_text()


def value_path(service: str) -> str:
    """The chart's name of a service: `scoutSim` for `scout-sim`."""
    return re.sub(r"-(.)", lambda match: match[1].upper(), service)


def test_every_service_has_a_dockerfile() -> None:
    """There is none without, and none for something else."""
    assert sorted(path.parent.name for path in ROOT.glob("images/*/pyproject.toml")) == SERVICES


def test_skaffold_builds_the_same_images() -> None:
    """Each artifact has its Dockerfile, and each Dockerfile its artifact."""
    artifacts = load(ROOT / "skaffold.yaml")["build"]["artifacts"]
    built = {artifact["image"]: artifact["docker"]["dockerfile"] for artifact in artifacts}
    assert built == {f"mqtt-trace-{service}": f"images/{service}/Dockerfile" for service in SERVICES}


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


@by_service
def test_the_chart_runs_the_image_that_is_built(service: str) -> None:
    """Its repository is the image's name, its tag the chart's appVersion, and that the version of the Dockerfile."""
    image = load(CHART / "values.yaml")[value_path(service)]["image"]
    assert image == {"repository": f"mqtt-trace-{service}", "tag": ""}
    assert f"ARG VERSION={load(CHART / 'Chart.yaml')['appVersion']}\n" in dockerfile(service)


@by_service
def test_an_image_starts_its_own_command(service: str) -> None:
    """In exec form, so that SIGTERM reaches Python, and one that the project installs."""
    command = f"mqtt-trace-{service}"
    assert f'\nENTRYPOINT ["{command}"]\n' in dockerfile(service)
    assert f"\n{command} = " in (ROOT / "images" / service / "pyproject.toml").read_text()


@by_service
def test_an_image_installs_what_is_locked(service: str) -> None:
    """With hashes required, and nothing beyond it for our own packages."""
    text = dockerfile(service)
    assert f"COPY requirements/{service}.txt requirements.txt\n" in text
    installs = re.findall(r"uv pip install (--\S+)", text)
    assert installs == ["--require-hashes", "--no-deps"]


@by_service
def test_an_image_runs_as_a_number_that_is_not_root(service: str) -> None:
    """Kubernetes can check `runAsNonRoot` of a number only."""
    assert re.findall(r"^USER (.*)$", dockerfile(service), re.MULTILINE) == ["10001:10001"]
