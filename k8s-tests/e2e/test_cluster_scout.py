"""Autoscaled consumers, TLS, and an external Scout: here, another namespace's scout-sim."""

import json
import re
import shutil
from base64 import b64decode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from e2e.fleets import SensorFleet
from e2e.release import Release, now, spans_of, until, values_of
from local.commands import CommandError, Helm, Kubectl
from local.forward import PortForward
from local.scout import Scout

NAMESPACE = "mqtt-trace-e2e-scout"
SECRET = "scout"  # noqa: S105 - the name of a Secret
VALUES = [
    f"scout.existingSecret={SECRET}",
    "scout.environment=the-real-scout",
    "networkPolicy.scoutPorts={4320}",
    "broker.tls.enabled=true",
    "consumer.autoscaling.enabled=true",
    "consumer.autoscaling.minReplicas=2",
    "consumer.podDisruptionBudget.enabled=true",
]


@pytest.fixture(scope="module")
def credentials(release: Release) -> Iterator[dict[str, str]]:
    """The credentials of a Scout customer, and network access for the customer's namespace."""
    release.kubectl("apply", "--filename", "-", stdin=json.dumps(door(release)))
    backend = release.object("scout-sim")
    data = release.kubectl.json("get", "secret", backend)["data"]
    address = f"{backend}.{release.kubectl.namespace}"
    yield {key: b64decode(value).decode().replace(backend, address) for key, value in data.items()}
    release.kubectl("delete", "networkpolicy", NAMESPACE)


def door(release: Release) -> dict[str, Any]:
    """Return a NetworkPolicy that lets the namespace of these tests reach a release's scout-sim."""
    customer = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": NAMESPACE}}}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": NAMESPACE},
        "spec": {
            "podSelector": {
                "matchLabels": dict(label.split("=") for label in release.selector("scout-sim").split(","))
            },
            "policyTypes": ["Ingress"],
            "ingress": [{"from": [customer], "ports": [{"port": 4320}]}],
        },
    }


@pytest.fixture(scope="module")
def customer(
    credentials: dict[str, str], make_namespace: Callable[[str], Kubectl], options: tuple[str, ...]
) -> Iterator[Release]:
    """A release with these credentials, TLS with the chart's own certificate, and autoscaled consumers."""
    kubectl = make_namespace(NAMESPACE)
    kubectl("create", "secret", "generic", SECRET, *(f"--from-literal={key}={credentials[key]}" for key in credentials))
    # The release of the other tests was installed by Helm 3.
    helm = "helm4" if shutil.which("helm4") else "helm"
    installed = Release("customer", Helm(kubectl.kubeconfig, NAMESPACE, helm), kubectl, options)
    installed.apply(*VALUES)
    yield installed
    kubectl("delete", "namespace", NAMESPACE, "--wait=false")


@pytest.fixture
def patch_secret(customer: Release, credentials: dict[str, str]) -> Iterator[Callable[[dict[str, Any]], None]]:
    """Patch the Secret; the end of the test restores it."""

    def patch(content: dict[str, Any]) -> None:
        customer.kubectl("patch", "secret", SECRET, "--patch", json.dumps(content))

    yield patch
    patch({"stringData": credentials})
    customer.roll_out(f"statefulset/{customer.object('otel-collector')}")


def counters(customer: Release, log: Path) -> dict[str, float]:
    """Return the span counters of the Collector's exporter to Scout, by name."""
    with (
        PortForward(customer.kubectl, customer.object("otel-collectors"), 8888, log) as forward,
        httpx.Client(base_url=forward.url, transport=forward) as http,
    ):
        metrics = http.get("/metrics").text
    samples = re.findall(
        r'^(otelcol_exporter_\w+_spans)\w*\{.*exporter="otlp_http/b14".*\} (\S+)$', metrics, re.MULTILINE
    )
    return {name: float(value) for name, value in samples}


def test_helm_test_passes_when_scout_takes_the_spans(customer: Release, scout: Scout, tmp_path: Path) -> None:
    """The Collector's counters show spans sent and none failed; Scout has the four spans of the check's reading."""
    start = now()
    customer.helm("test", customer.name, "--timeout", "5m")
    counted = counters(customer, tmp_path / "port-forward.log")
    assert counted["otelcol_exporter_sent_spans"] > 0
    assert counted.get("otelcol_exporter_send_failed_spans", 0) == 0
    (trace_id,) = scout.trace_ids(service="mqtt-trace-check", since=str(start.timestamp()))
    spans = until(lambda: spans if len(spans := spans_of(scout, trace_id)) == 4 else [], "the check's four spans", 60)
    assert values_of(spans, "resource", "environment") == {"the-real-scout"}


def test_helm_test_names_a_refused_client_secret(
    customer: Release, patch_secret: Callable[[dict[str, Any]], None]
) -> None:
    """`helm test` fails with the answer of Scout's token endpoint and the command for the Collector's log."""
    patch_secret({"stringData": {"client-secret": "wrong"}})
    said = customer.failing_test()
    assert "credentials: FAILED: " in said
    assert "invalid_client" in said
    assert f"next: kubectl -n {NAMESPACE} " in said


def test_a_key_that_the_secret_lacks_is_named(
    customer: Release, patch_secret: Callable[[dict[str, Any]], None]
) -> None:
    """A pod's event and `helm test` name the missing key, and the notes lead to the event."""
    patch_secret({"data": {"token-url": None}})
    customer.delete_pod("otel-collector")
    look = f"kubectl -n {NAMESPACE} get events --field-selector type=Warning"
    assert look in customer.helm("get", "notes", customer.name)
    missing = f"couldn't find key token-url in Secret {NAMESPACE}/{SECRET}"
    until(lambda: missing in customer.kubectl(*look.split()[3:]), f"an event says: {missing}", 60)
    said = customer.failing_test()
    assert f"credentials: FAILED: Secret {SECRET} has no token-url" in said
    assert f"next: kubectl -n {NAMESPACE} describe secret {SECRET}" in said


def test_the_autoscaler_scales_the_consumer(customer: Release) -> None:
    """The autoscaler scales the StatefulSet to its minimum, is able to scale, and an upgrade keeps that."""
    consumer = customer.object("consumer")

    def conditions() -> dict[str, str]:
        status = customer.kubectl.json("get", "horizontalpodautoscaler", consumer)["status"]
        return {condition["type"]: condition["status"] for condition in status.get("conditions", [])}

    until(lambda: ready_replicas(customer) == 2, "two consumers", 300)
    until(lambda: conditions().get("AbleToScale") == "True", "the autoscaler is able to scale", 120)
    customer.apply(*VALUES, "consumer.env.LOG_LEVEL=DEBUG")
    assert customer.kubectl.json("get", "statefulset", consumer)["spec"]["replicas"] == 2
    assert ready_replicas(customer) == 2


def test_a_drain_takes_one_consumer_at_a_time(customer: Release) -> None:
    """While one replica is missing, the budget refuses to evict the other."""
    consumer = customer.object("consumer")

    def allowed() -> int:
        status = customer.kubectl.json("get", "poddisruptionbudget", consumer)["status"]
        return int(status["disruptionsAllowed"]) if status["expectedPods"] == 2 else 0

    until(lambda: allowed() == 1, "one of two consumers may go", 300)
    evict(customer.kubectl, f"{consumer}-0")
    with pytest.raises(CommandError, match="disruption budget"):
        evict(customer.kubectl, f"{consumer}-1")


def ready_replicas(customer: Release) -> int:
    """Return the number of ready consumers."""
    status = customer.kubectl.json("get", "statefulset", customer.object("consumer"))["status"]
    return int(status.get("readyReplicas", 0))


def evict(kubectl: Kubectl, pod: str) -> None:
    """Request an eviction, as `kubectl drain` does."""
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod}}
    path = f"/api/v1/namespaces/{kubectl.namespace}/pods/{pod}/eviction"
    kubectl("create", "--raw", path, "--filename", "-", stdin=json.dumps(eviction))


def test_sensors_with_certificates_are_renewed_and_revoked(customer: Release) -> None:
    """A new certificate disconnects nobody; a revoked sensor is cut off and refused, without a restart of a pod."""
    fleet = SensorFleet(customer.kubectl, "certified")
    fleet.apply(10, identity={"type": "Certificate"})
    fleet.wait_ready(10)
    before = fleet.pod_uids()
    renewed, revoked = (f"{customer.kubectl.namespace}.certified-{number:05d}" for number in (3, 7))
    secret, key = "certified-identity-0", f"{renewed}.pem"
    former = customer.kubectl.json("get", "secret", secret)["data"]
    patch = json.dumps([{"op": "remove", "path": f"/data/{key}"}])
    customer.kubectl("patch", "secret", secret, "--type=json", "--patch", patch)
    until(lambda: key in customer.kubectl.json("get", "secret", secret)["data"], "a new certificate", 60)
    current = customer.kubectl.json("get", "secret", secret)["data"]
    assert [name for name in former if current[name] != former[name]] == [key]
    fleet.patch(identity={"revoked": [7]})
    words = f"9 of 10 sensors connected, revoked: {revoked}"
    assert fleet.wait_reason("Revoked").startswith(words)
    assert fleet.pod_uids() == before
    fleet.patch(identity={"revoked": None})
    fleet.wait_ready(10)
    fleet.delete()
