"""The dashboards and alerts of the chart, with a real Prometheus, in a loaded stack."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator

import pytest
from mqtt_trace_operator.metrics import FleetMetrics
from mqtt_trace_operator.reconcile import Outcome, Result
from mqtt_trace_operator.workers import Key
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from local import waiting
from local.monitoring import alerts, grouped, left_side, panels, with_variables
from local.mosquitto import Mosquitto
from local.needed import skip_without
from local.processes import Process
from local.prometheus import PROMETHEUS, Prometheus
from local.services import Service
from local.stack import COLLECTOR, Stack

PAUSE_S = 22
"""The consumer's pause: a reading that was taken at its beginning is older than 20 s when it is processed."""

GRAFANA = {"__rate_interval": "10s", "namespace": ".*"}
AGE = "iot_reading_age_seconds_bucket"
RULES = [rule for group in alerts()["groups"] for rule in group["rules"]]


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait until it is true; Prometheus scrapes each second."""
    waiting.until(condition, what, every_s=0.5)


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack with monitoring, under load: sensors of a fleet, and readings that are dropped and dead-lettered."""
    for program in (COLLECTOR, PROMETHEUS):
        skip_without(program)
    folder = tmp_path_factory.mktemp("loaded")
    env = {"producer": {"DEVICE_ID": "iot.demo-00000"}}
    with (
        Stack(devices=20, interval_s=1.0, monitoring=True, env=env, folder=folder) as stack,
        Mosquitto() as other_broker,
    ):
        publish_garbage(stack)
        without_consumer = producer_without_consumer(stack, other_broker)
        without_consumer.start()
        fleets = report_fleet(stack)
        try:
            yield stack
        finally:
            fleets.shutdown()
            without_consumer.stop()


@pytest.fixture(scope="module")
def prometheus(loaded: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """A Prometheus that scrapes the stack's Collector as the PodMonitor has it."""
    targets = [url.split("/")[2] for url in (loaded.collector_metrics_url, loaded.prometheus_url)]
    with Prometheus(
        targets, {"namespace": "iot", "pod": "collector-0"}, tmp_path_factory.mktemp("prometheus")
    ) as running:
        yield running


def publish_garbage(stack: Stack) -> None:
    """Publish a message that is no reading, without a trace context."""
    client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    client.connect(stack.mosquitto.host, stack.mosquitto.port)
    client.loop_start()
    client.publish("sensors/garbage/reading", b"5", qos=1).wait_for_publish(60)
    client.disconnect()
    client.loop_stop()


def producer_without_consumer(stack: Stack, broker: Mosquitto) -> Process:
    """A producer on a broker without subscribers, so that it drops its readings."""
    running = stack.parts["producer"]
    assert isinstance(running, Service)
    elsewhere = {"MQTT_BROKER_PORT": str(broker.port), "HEALTH_PORT": "0"}
    env = {**running.env, **elsewhere, "DEVICE_COUNT": "1", "PUBLISH_RETRY_S": "0.1", "PUBLISH_INTERVAL_S": "0.5"}
    return Process("without_consumer", running.command, log=stack.folder / "without_consumer.log", env=env)


def report_fleet(stack: Stack) -> MeterProvider:
    """Report a fleet as the operator does, and a damaged file as the Collector's sidecar does."""
    exporter = OTLPMetricExporter(f"{stack.otlp_url}/v1/metrics")
    provider = MeterProvider([PeriodicExportingMetricReader(exporter, 500)], shutdown_on_exit=False)
    status = {"replicas": 20, "readyReplicas": 20}
    FleetMetrics(provider).reconciled(
        Key("iot", "demo"), Result(fleet={"spec": {"replicas": 20}}, status=status, outcome=Outcome.DONE)
    )
    provider.get_meter("collector-log").create_gauge("mqtt_trace.collector.storage.damaged_files").set(1)
    return provider


def without_data(prometheus: Prometheus, queries: dict[str, str]) -> list[str]:
    """The names of the queries that return nothing."""
    return [name for name, query in queries.items() if not prometheus.query(query)]


def test_every_panel_and_alert_has_data(prometheus: Prometheus) -> None:
    """Each query of the dashboards, and the left side of each alert, has a value in a stack with every fault."""
    queries = {place: with_variables(query, GRAFANA) for place, query in panels()}
    queries |= {rule["alert"]: left_side(rule["expr"]) for rule in RULES}
    until(lambda: not without_data(prometheus, queries), "every query has data")


def test_every_label_of_a_query_exists(prometheus: Prometheus) -> None:
    """A query that groups by a label that its metric lacks would still return data."""
    queries = [*(query for _, query in panels()), *(left_side(rule["expr"]) for rule in RULES)]
    labels = {
        f"{metric} by {label}": f'{metric}{{{label}!=""}}' for query in queries for metric, label in grouped(query)
    }
    until(lambda: not without_data(prometheus, labels), "every label has a value")


def test_the_lag_rises_while_the_consumer_is_paused(loaded: Stack, prometheus: Prometheus) -> None:
    """The age's p99 reaches 20 s when the consumer goes on after a pause of 20 s, and falls again."""
    (rule,) = (rule for rule in RULES if rule["alert"] == "MqttTraceReadingsLate")
    lag = left_side(rule["expr"]).replace("[5m]", "[15s]")
    until(lambda: max(prometheus.query(lag), default=99) < 2, "readings are processed at once")
    consumer = loaded.parts["consumer"]
    paused = time.monotonic()
    os.kill(consumer.pid, signal.SIGSTOP)
    try:
        until(lambda: time.monotonic() - paused >= PAUSE_S, "the pause is over")
    finally:
        os.kill(consumer.pid, signal.SIGCONT)
    until(lambda: max(prometheus.query(lag), default=0) >= 20, "the lag rises to 20 s")
    until(lambda: max(prometheus.query(lag), default=99) < 2, "the lag falls")
