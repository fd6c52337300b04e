"""What Chart.yaml says of the chart, and how the published chart differs from the one in the repository."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
import yaml

from charts.artifacthub import changes, with_annotations
from charts.generate import CHART, METADATA
from charts.published import REGISTRY, with_registry
from local.needed import skip_without
from tests.chart.component_values import pods_of
from tests.chart.conftest import Manifest, Refuse, Render

ROOT = Path(__file__).parents[2]
RAW = "https://raw.githubusercontent.com/mqtt-trace/mqtt-trace/main/"


def chart() -> dict[str, Any]:
    """The content of Chart.yaml."""
    content: dict[str, Any] = yaml.safe_load(METADATA.read_text())
    return content


def annotation(name: str) -> Any:
    """An annotation for Artifact Hub."""
    return yaml.safe_load(chart()["annotations"][f"artifacthub.io/{name}"])


def images(manifests: list[Manifest]) -> set[str]:
    """The images of all containers."""
    specs = [pod["spec"] for pod in pods_of(manifests).values()]
    containers = [container for spec in specs for container in (*spec.get("initContainers", ()), *spec["containers"])]
    return {container["image"] for container in containers}


@pytest.fixture
def published(tmp_path: Path) -> tuple[str, ...]:
    """The options that give the chart the values of the published one."""
    values = tmp_path / "values.yaml"
    values.write_text(with_registry((CHART / "values.yaml").read_text(), REGISTRY))
    return ("--values", str(values))


def test_the_annotations_follow_from_the_chart() -> None:
    """`python -m charts.generate` has been run."""
    skip_without("helm")
    assert METADATA.read_text() == with_annotations(METADATA.read_text())


def test_the_images_are_those_that_the_published_chart_runs(render: Render, published: tuple[str, ...]) -> None:
    """Artifact Hub scans them; the README lists them for registries without access to others."""
    rendered = images(render("brokerMetrics.enabled=true", options=published))
    assert {image["image"] for image in annotation("images")} == rendered
    readme = (CHART / "README.md").read_text()
    assert [image for image in rendered if f"`{image}`" not in readme] == []


def test_the_published_chart_takes_every_own_image_from_the_registry(
    render: Render, published: tuple[str, ...]
) -> None:
    """Those that this repository builds, and no others."""
    every = images(render("brokerMetrics.enabled=true"))
    own = {image for image in every if image.startswith("mqtt-trace-")}
    others = every - own
    from_registry = images(render("brokerMetrics.enabled=true", options=published))
    assert from_registry == {f"{REGISTRY}/{image}" for image in own} | others


def test_a_registry_of_yours_replaces_that_of_every_image(render: Render, published: tuple[str, ...]) -> None:
    """Mosquitto's and the Collector's, too, with and without a slash at its end."""
    expected = {f"registry.example.com/iot/{image}" for image in images(render())}
    for registry in ("registry.example.com/iot", "registry.example.com/iot/"):
        assert images(render(f"global.imageRegistry={registry}", options=published)) == expected


def test_the_custom_resource_is_the_one_that_the_chart_installs(render: Render) -> None:
    """Artifact Hub shows its name, kind and version, and an example of it."""
    (crd,) = (m for m in render() if m["kind"] == "CustomResourceDefinition")
    (shown,) = annotation("crds")
    (version,) = crd["spec"]["versions"]
    assert (shown["name"], shown["kind"]) == (crd["metadata"]["name"], crd["spec"]["names"]["kind"])
    assert shown["version"] == version["name"]
    (example,) = annotation("crdsExamples")
    assert example["apiVersion"] == f"{crd['spec']['group']}/{version['name']}"
    assert example["spec"].keys() <= version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"].keys()


def test_the_changes_are_those_of_the_newest_release() -> None:
    """The ones of chart and operator; other parts have lists of their own."""
    assert changes(
        "## Unreleased\n\n## [0.3.0] - 2026-01-01\n\n### Fixed\n\n- Chart: more\n  words.\n- Else.\n\n## [0.2.0]"
    ) == [{"kind": "fixed", "description": "More words."}]
    assert {change["kind"] for change in annotation("changes")} <= {
        "added",
        "changed",
        "deprecated",
        "removed",
        "fixed",
    }


def test_the_icon_is_a_drawing_in_the_repository() -> None:
    """Its address is that of a file here."""
    icon = ROOT / chart()["icon"].removeprefix(RAW)
    assert ET.parse(icon).getroot().tag == "{http://www.w3.org/2000/svg}svg"  # noqa: S314 - our own file


@pytest.mark.parametrize("version", ["1.28.0", "1.33.4-gke.1172000", "1.30.5-eks-ce1d5eb"])
def test_versions_of_clouds_are_accepted(render: Render, version: str) -> None:
    """A suffix is no pre-release of Kubernetes."""
    assert render(options=("--kube-version", version))


def test_an_older_kubernetes_is_refused(refuse: Refuse) -> None:
    """The refusal names both versions, also where Helm assumes an older one without a cluster."""
    said = refuse(options=("--kube-version", "1.27.9-gke.1"))
    assert re.search(r"Kubernetes v1\.27\.9(-gke\.1)? is too old: the chart requires 1\.28 or later\.", said)
    assert "Kubernetes 1.28 or later" in " ".join((CHART / "README.md").read_text().split())
