"""Pods start again when a Secret or ConfigMap has changed that the values of their component refer to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart.component_values import PODS, pods_of
from tests.chart.conftest import Render

ANNOTATION = "checksum/references"


def references(name: str) -> dict[str, dict[str, Any]]:
    """Values of a component that refer to an object, by the form of the reference."""
    key = {"name": name, "key": "a"}
    container = {"name": "a", "image": "a", "env": [{"name": "A", "valueFrom": {"secretKeyRef": key}}]}
    return {
        "variable of a Secret": {"env": {"A": {"secretKeyRef": key}}},
        "variable of a ConfigMap": {"env": {"A": {"configMapKeyRef": key}}},
        "all variables of a Secret": {"envFrom": [{"secretRef": {"name": name}}]},
        "all variables of a ConfigMap": {"envFrom": [{"configMapRef": {"name": name}}]},
        "volume of a Secret": {"extraVolumes": [{"name": "a", "secret": {"secretName": name}}]},
        "volume of a ConfigMap": {"extraVolumes": [{"name": "a", "configMap": {"name": name}}]},
        "volume of several": {"extraVolumes": [{"name": "a", "projected": {"sources": [{"secret": {"name": name}}]}}]},
        "sidecar": {"sidecars": [container]},
        "init container": {"initContainers": [container]},
    }


@pytest.mark.parametrize("form", references("any"))
def test_a_reference_of_a_component_is_in_the_checksum_of_its_pods(render: Render, tmp_path: Path, form: str) -> None:
    """The checksum depends on the object; those of the test in the cluster show that it depends on the content."""
    values = {component: references(f"of-{component}".lower())[form] for component in PODS}
    values["brokerMetrics"]["enabled"] = True
    file = tmp_path / "values.yaml"
    file.write_text(yaml.safe_dump(values))
    pods = pods_of(render(options=("--values", str(file))))
    checksums = {pod: manifest["metadata"]["annotations"].get(ANNOTATION) for pod, manifest in pods.items()}
    assert checksums.pop("test") is None
    assert checksums.pop("fleet") == checksums["producer"]
    assert len({*checksums.values()} - {None}) == len(PODS)


def test_pods_without_references_have_no_such_checksum(render: Render) -> None:
    """A literal variable and an empty volume are no references."""
    manifests = render("echo.env.A=secretKeyRef", "echo.extraVolumes[0].name=secret")
    pods = pods_of(manifests)
    assert [pod for pod, manifest in pods.items() if ANNOTATION in manifest["metadata"].get("annotations", {})] == []
