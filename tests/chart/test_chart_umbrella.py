"""The chart as a dependency of another, once or twice."""

from __future__ import annotations

import shutil
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from charts.generate import CHART
from tests.chart.api_objects import faults, parsed
from tests.chart.conftest import Manifest, template

VERSION = yaml.safe_load((CHART / "Chart.yaml").read_text())["version"]

VALUES: dict[str, Any] = {
    "global": {"imagePullSecrets": ["pull"], "storageClass": "of-a-sibling", "postgresql": {"auth": {"a": "b"}}},
    "east": {"enabled": True, "commonLabels": {"team": "east"}},
    "west": {
        "enabled": True,
        "operator": {"enabled": False},
        "namespaceOverride": "west",
        "extraManifests": [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "extra"}}],
    },
}


@pytest.fixture
def umbrella(tmp_path: Path) -> Path:
    """A chart that depends on this one twice, each time on a condition."""
    (tmp_path / "templates").mkdir()
    shutil.copytree(CHART, tmp_path / "charts" / CHART.name)
    dependencies = [
        {"name": CHART.name, "version": VERSION, "alias": alias, "condition": f"{alias}.enabled"}
        for alias in ("east", "west")
    ]
    chart = {"apiVersion": "v2", "name": "umbrella", "version": "0.1.0", "dependencies": dependencies}
    (tmp_path / "Chart.yaml").write_text(yaml.safe_dump(chart))
    (tmp_path / "values.yaml").write_text(yaml.safe_dump(VALUES))
    return tmp_path


def rendered(helm: str, chart: Path, *values: str, release: str = "demo") -> list[Manifest]:
    """The manifests of an umbrella chart."""
    done = template(helm, values, chart=chart, release=release)
    assert done.returncode == 0, done.stderr
    return parsed(done.stdout)


def key(manifest: Manifest) -> tuple[str, ...]:
    """What two objects of a cluster must not share."""
    metadata = manifest["metadata"]
    return manifest["kind"], metadata.get("namespace", ""), metadata["name"]


def of_alias(manifests: list[Manifest], alias: str) -> list[Manifest]:
    """The manifests of one of the two."""
    return [m for m in manifests if m["metadata"].get("labels", {}).get("app.kubernetes.io/name") == alias]


@pytest.mark.parametrize("release", ["demo", "east-west", "a-very-long-name-of-a-release-in-an-umbrella-x"])
def test_the_chart_installs_twice_under_two_aliases(helm: str, umbrella: Path, release: str) -> None:
    """No two objects collide, also in one namespace and whatever the release's name, and there is one CRD."""
    manifests = rendered(helm, umbrella, "west.namespaceOverride=", release=release)
    assert [key for key, count in Counter(map(key, manifests)).items() if count > 1] == []
    assert [fault for manifest in manifests for fault in faults(manifest)] == []
    assert [key(m)[0] for m in manifests].count("CustomResourceDefinition") == 1
    selectors = [m["spec"]["selector"]["matchLabels"] for m in manifests if m["kind"] in ("Deployment", "StatefulSet")]
    assert len({tuple(sorted(labels.items())) for labels in selectors}) == len(selectors) == 13


def test_values_of_the_umbrella_reach_the_alias_that_they_are_for(helm: str, umbrella: Path) -> None:
    """Labels, namespace and further manifests are one alias's, and what is global is everybody's."""
    manifests = rendered(helm, umbrella)
    east, west = of_alias(manifests, "east"), of_alias(manifests, "west")
    assert {m["metadata"]["labels"].get("team") for m in east} == {"east"}
    assert {m["metadata"]["labels"].get("team") for m in west} == {None}
    assert {m["metadata"]["namespace"] for m in east if m["kind"] != "CustomResourceDefinition"} == {"iot"}
    assert {m["metadata"]["namespace"] for m in west} == {"west"}
    assert ("ConfigMap", "", "extra") in map(key, manifests)
    pods = [m["spec"]["template"]["spec"] for m in manifests if m["kind"] in ("Deployment", "StatefulSet")]
    assert [pod["imagePullSecrets"] for pod in pods] == [[{"name": "pull"}]] * len(pods)


def test_null_reaches_the_alias_that_it_is_for(helm: str, umbrella: Path) -> None:
    """It removes a default of this chart. In the umbrella's own values.yaml, Helm 4 ignores it."""
    given = ("east.podSecurityContext=null", "east.broker.podSecurityContext=null", "east.echo.startupProbe=null")
    manifests = rendered(helm, umbrella, *given)
    for alias, kept in (("east", False), ("west", True)):
        pods = [m["spec"]["template"]["spec"] for m in of_alias(manifests, alias) if "template" in m.get("spec", {})]
        assert [pod for pod in pods if ("securityContext" in pod) != kept] == []
        (echo,) = (pod["containers"][0] for pod in pods if pod["containers"][0]["name"] == "echo")
        assert ("startupProbe" in echo) == kept


def test_a_condition_leaves_an_alias_out(helm: str, umbrella: Path) -> None:
    """`east.enabled: false` is Helm's to read, and the other alias does not notice."""
    manifests = rendered(helm, umbrella, "east.enabled=false")
    assert of_alias(manifests, "east") == []
    assert of_alias(manifests, "west")


def test_helm_lints_an_umbrella(helm: str, umbrella: Path) -> None:
    """`helm lint --strict` finds nothing in it."""
    command = [helm, "lint", "--strict", str(umbrella)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_an_unknown_value_is_refused_in_an_umbrella(helm: str, umbrella: Path) -> None:
    """Only `global` is open."""
    done = template(helm, ("east.scuot.environment=x",), chart=umbrella)
    assert "additional properties 'scuot' not allowed" in done.stderr
