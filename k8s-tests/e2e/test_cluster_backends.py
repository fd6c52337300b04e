"""A Scout that only a proxy reaches and a private authority certifies, and a second backend next to it."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from e2e import outside
from e2e.fleets import SERVICES, SensorFleet
from e2e.release import VERSION, Release, until
from local.cluster import CHART
from local.commands import Helm, Kubectl
from local.forward import PortForward
from local.golden import Json
from local.scout import Scout

NAMESPACE = "mqtt-trace-e2e-backends"
VALUES = [
    "scout.existingSecret=scout",
    f"collector.env.HTTPS_PROXY=http://proxy:{outside.PROXY_PORT}",
    "collector.env.NO_PROXY=backend",
    "collector.caBundle.secretKeyRef.name=private-ca",
    "collector.caBundle.secretKeyRef.key=ca.crt",
    f"collector.exporters.second.endpoint=http://backend:{outside.BACKEND_PORT}",
    "collector.exporters.second.protocol=grpc",
    "collector.exporters.second.signals={traces}",
    "echo.env.OTEL_RESOURCE_ATTRIBUTES=site.region=emea",
]
PARTS = ("scout-sim", "opentelemetry-collector")
RESOURCE = {"service.namespace": "mqtt-trace", "service.version": VERSION, "k8s.namespace.name": NAMESPACE}


@pytest.fixture(scope="module")
def proxied(
    make_namespace: Callable[[str], Kubectl], options: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Release]:
    """A release whose Collector may reach Scout by the proxy alone, with a fleet."""
    kubectl = make_namespace(NAMESPACE)
    installed = Release("proxied", Helm(kubectl.kubeconfig, NAMESPACE), kubectl, options)
    rendered = installed.helm("template", installed.name, str(CHART), *options)
    images = {name: found[0] for name in PARTS if (found := re.findall(rf'image: "?(\S*{name}[^\s"]*)', rendered))}
    outside.start_outside(kubectl, images, tmp_path_factory.mktemp("outside"))
    installed.apply(*VALUES)
    fleet = SensorFleet(kubectl, "devices")
    fleet.apply(1)
    fleet.wait_ready(1)
    yield installed
    fleet.delete()
    kubectl("delete", "namespace", NAMESPACE, "--wait=false")


@pytest.fixture(scope="module")
def proxied_scout(proxied: Release, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scout]:
    """The query API of the Scout behind the proxy."""
    forward = PortForward(proxied.kubectl, "scout", outside.API_PORT, tmp_path_factory.mktemp("forward") / "log")
    with Scout(forward.url, forward) as scout:
        yield scout


def test_helm_test_waits_for_both_backends(proxied: Release) -> None:
    """It gets a token as the Collector does, and both backends take the spans."""
    assert "Phase:          Succeeded" in proxied.helm("test", proxied.name, "--timeout", "5m")


def test_only_what_the_proxy_is_for_goes_through_it(proxied: Release) -> None:
    """The Collector's way to Scout; not that to the second backend, nor those of the services."""
    tunnels = set(proxied.kubectl("logs", outside.POD, "--container=proxy").split("\n")) - {""}
    assert tunnels == {f"CONNECT scout:{outside.SCOUT_PORT}"}


def test_the_second_backend_has_whole_traces(proxied: Release) -> None:
    """The four spans of readings, as Scout has them."""

    def names() -> set[str]:
        log = proxied.kubectl("logs", outside.POD, "--container=backend", "--tail=5000")
        return set(re.findall(r"^ +Name +: (publish|process|POST /echo|POST)", log, re.MULTILINE))

    until(lambda: names() == {"publish", "process", "POST", "POST /echo"}, "spans of all four kinds", 60)


@pytest.mark.parametrize("records", ["spans", "metrics", "logs"])
def test_all_telemetry_says_where_it_comes_from(proxied: Release, proxied_scout: Scout, records: str) -> None:
    """Pod, namespace, node, version and namespace of the service are on everything, and what a user adds joins them."""
    fleet = f"{NAMESPACE}.devices-00000"
    pods = {pod["metadata"]["name"] for pod in proxied.kubectl.json("get", "pods")["items"]}

    def resources() -> list[Json]:
        return [record["resource"] for record in recorded(proxied_scout, records)]

    until(lambda: {r["service.name"] for r in resources()} >= SERVICES, f"{records} of each service", 120)
    if records == "spans":
        until(lambda: fleet in {r.get("device.id") for r in resources()}, "spans of the fleet's device", 60)
    for resource in resources():
        assert resource.items() >= RESOURCE.items(), resource
        assert resource["k8s.pod.name"] in pods
        assert resource["k8s.node.name"]
        assert ("site.region" in resource) is (resource["service.name"] == "mqtt-trace-echo")


def test_the_collectors_own_log_says_where_it_comes_from(proxied: Release) -> None:
    """Its pod and namespace are in each line."""
    line = proxied.log("otel-collector").splitlines()[0]
    assert f'"k8s.pod.name": "{proxied.object("otel-collector")}-0"' in line
    assert f'"k8s.namespace.name": "{NAMESPACE}"' in line


def recorded(scout: Scout, records: str) -> list[Any]:
    """All spans, metrics or log records that a Scout has, the check's of `helm test` left out."""
    if records == "spans":
        found = [span for trace in scout.trace_ids(limit=200) for span in scout.get(f"/api/traces/{trace}")["spans"]]
    else:
        found = scout.get(f"/api/{records}")[records]
    return [record for record in found if record["service"] != "mqtt-trace-check"]
