"""The chart next to the Prometheus Operator: `E2E_PROMETHEUS_CRDS` is the folder with that operator's CRDs."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from e2e.prometheus import IMAGES, install_crds, installed
from e2e.release import Release, until
from local import cluster
from local.commands import Helm, Kubectl
from local.monitoring import impatient
from local.prometheus import PrometheusApi

NAMESPACE = "mqtt-trace-e2e-monitoring"
VALUES = [
    "monitoring.podMonitor.enabled=true",
    "monitoring.prometheusRule.enabled=true",
    "monitoring.dashboards.enabled=true",
    "operator.enabled=false",
    *(f"{part}.persistence.enabled=false" for part in ("broker", "collector", "scoutSim")),
    "brokerMetrics.env.OTEL_METRIC_EXPORT_INTERVAL=2000",
]
ALERT = "MqttTraceCollectorExportFailing"
CRDS = os.environ.get("E2E_PROMETHEUS_CRDS")

pytestmark = pytest.mark.skipif(
    CRDS is None, reason="no Prometheus Operator: set E2E_PROMETHEUS_CRDS to the folder with its CRDs"
)


@pytest.fixture(scope="module")
def monitored(make_namespace: Callable[[str], Kubectl], options: tuple[str, ...]) -> Iterator[Release]:
    """A release with everything of `monitoring`, whose alerts fire at once."""
    kubectl = make_namespace(NAMESPACE)
    install_crds(kubectl, Path(CRDS or ""))
    release = Release("monitored", Helm(kubectl.kubeconfig, NAMESPACE), kubectl, options)
    release.apply(*VALUES)
    rules = kubectl.json("get", "prometheusrule", release.object("alerts"))
    metadata = {key: rules["metadata"][key] for key in ("name", "namespace")}
    faster = {**rules, "metadata": metadata, "spec": impatient(rules["spec"])}
    kubectl("apply", "--filename", "-", stdin=json.dumps(faster))
    yield release
    kubectl("delete", "namespace", NAMESPACE, "--wait=false")


@pytest.fixture(scope="module")
def prometheus(
    monitored: Release,
    make_namespace: Callable[[str], Kubectl],
    kubeconfig: Path | None,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[PrometheusApi]:
    """A Prometheus in a namespace of its own."""
    del monitored  # comes first: kubelet may take a minute to give Prometheus another configuration
    kubectl = make_namespace(f"{NAMESPACE}-prometheus")
    if kubeconfig is not None:
        cluster.load(IMAGES.values(), print)
    with installed(kubectl, tmp_path_factory.mktemp("prometheus") / "port-forward.log") as running:
        yield running
    kubectl("delete", "namespace", kubectl.namespace, "--wait=false")


def test_the_targets_are_up(monitored: Release, prometheus: PrometheusApi) -> None:
    """Prometheus, in another namespace, scrapes both ports of the Collector through the NetworkPolicy."""
    up = f'up{{namespace="{monitored.kubectl.namespace}"}}'
    until(lambda: prometheus.query(up) == [1, 1], "two targets are up", 120)


def test_metrics_of_services_and_broker_arrive(monitored: Release, prometheus: PrometheusApi) -> None:
    """Readings are counted, and Mosquitto lets its statistics be read."""
    for metric in ("iot_readings_published_total", "mosquitto_clients_connected"):
        query = f'{metric}{{namespace="{monitored.kubectl.namespace}", k8s_namespace_name="{NAMESPACE}"}}'
        until(lambda query=query: max(prometheus.query(query), default=0) > 0, metric, 120)  # type: ignore[misc] # mypy does not infer a lambda with a default


def test_an_alert_fires_while_its_fault_lasts(monitored: Release, prometheus: PrometheusApi) -> None:
    """While scout-sim is away, the alert about the Collector's export fires; once it is back, the alert ends."""
    rules = monitored.kubectl.json("get", "prometheusrule", monitored.object("alerts"))
    expected = {rule["alert"] for group in rules["spec"]["groups"] for rule in group["rules"]}
    until(lambda: expected <= prometheus.rules(), "Prometheus has the chart's rules", 120)
    backend = f"statefulset/{monitored.object('scout-sim')}"
    until(lambda: ALERT not in prometheus.firing(), "the alert is silent", 120)
    monitored.kubectl("scale", backend, "--replicas=0")
    until(lambda: ALERT in prometheus.firing(), "the alert fires", 120)
    monitored.kubectl("scale", backend, "--replicas=1")
    monitored.roll_out(backend)
    until(lambda: ALERT not in prometheus.firing(), "the alert ends", 180)
