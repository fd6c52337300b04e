"""The resource attributes that the chart gives to all telemetry."""

from __future__ import annotations

import pytest

from tests.chart.conftest import Manifest, Render

OURS = [
    "k8s.pod.name=$(K8S_POD_NAME)",
    "k8s.namespace.name=$(K8S_NAMESPACE_NAME)",
    "k8s.node.name=$(K8S_NODE_NAME)",
    "service.namespace=mqtt-trace",
]


def variables(manifests: list[Manifest], component: str) -> list[dict[str, object]]:
    """The variables of a component's container, in order."""
    (pod,) = [
        manifest["spec"]["template"]["spec"]
        for manifest in manifests
        if manifest["kind"] in {"Deployment", "StatefulSet"}
        and manifest["metadata"]["name"] == f"demo-mqtt-trace-{component}"
    ]
    found: list[dict[str, object]] = pod["containers"][0]["env"]
    return found


def attributes(manifests: list[Manifest], component: str) -> list[str]:
    """The resource attributes of a component, as they are written."""
    (value,) = [v["value"] for v in variables(manifests, component) if v["name"] == "OTEL_RESOURCE_ATTRIBUTES"]
    return str(value).split(",")


@pytest.mark.parametrize("component", ["producer", "consumer", "echo", "operator"])
def test_a_users_attributes_join_the_charts(render: Render, component: str) -> None:
    """They come last, so that they win over the chart's of the same name."""
    given = f"{component}.env.OTEL_RESOURCE_ATTRIBUTES=site.region=emea\\,service.version=mine"
    joined = attributes(render(given), component)
    assert joined[:4] == OURS
    assert joined[-2:] == ["site.region=emea", "service.version=mine"]


def test_attributes_from_a_secret_join_as_well(render: Render) -> None:
    """By a variable of their own, which comes first, so that the other can refer to it."""
    path = "echo.env.OTEL_RESOURCE_ATTRIBUTES.configMapKeyRef"
    manifests = render(f"{path}.name=site", f"{path}.key=attributes")
    assert attributes(manifests, "echo")[-1] == "$(USER_RESOURCE_ATTRIBUTES)"
    names = [variable["name"] for variable in variables(manifests, "echo")]
    assert names.index("USER_RESOURCE_ATTRIBUTES") < names.index("OTEL_RESOURCE_ATTRIBUTES")


def test_the_version_is_the_images(render: Render) -> None:
    """A tag of a user's own is the version that their telemetry has."""
    assert "service.version=1.2.3-mine" in attributes(render("echo.image.tag=1.2.3-mine"), "echo")


def test_the_collector_has_what_its_own_resource_needs(render: Render) -> None:
    """Its configuration refers to these variables."""
    names = {variable["name"] for variable in variables(render(), "otel-collector")}
    assert names >= {"K8S_POD_NAME", "K8S_NAMESPACE_NAME", "K8S_NODE_NAME"}
