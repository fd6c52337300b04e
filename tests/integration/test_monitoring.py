"""The dashboards and alerts of the chart, with a real Prometheus, in a loaded stack."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from mqtt_trace_operator.metrics import FleetMetrics
from mqtt_trace_operator.reconcile import Outcome, Result
from mqtt_trace_operator.workers import Key
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from local import waiting
from local.monitoring import alerts, grouped, impatient, left_side, panels, with_variables
from local.mosquitto import Mosquitto
from local.needed import skip_without
from local.processes import Process
from local.prometheus import PROMETHEUS, Prometheus
from local.services import Service
from local.stack import COLLECTOR, Stack

PAUSE_S = 22
"""The consumer's pause: a reading that was taken at its beginning is older than 20 s when it is processed."""

CAUSED = {
    "MqttTraceReadingsLost",
    "MqttTraceReadingsDeadLettered",
    "MqttTraceMissingContexts",
    "MqttTraceBrokerDropsMessages",
    "MqttTraceCollectorExportFailing",
    "MqttTraceCollectorFileDamaged",
    "MqttTraceFleetNotReady",
}
"""Of the others, one is caused by a pause of its own, and a queue takes hours to fill."""

MORE_THAN_MOSQUITTO_QUEUES = 2_100
GRAFANA = {"__rate_interval": "10s", "namespace": ".*"}
RULES = [rule for group in alerts()["groups"] for rule in group["rules"]]


def until(condition: Callable[[], bool], what: str, seconds: float = waiting.DEADLINE_S) -> None:
    """Wait until it is true; Prometheus scrapes each second."""
    waiting.until(condition, what, seconds, every_s=0.5)


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack with monitoring, under the load of the sensors of a fleet."""
    for program in (COLLECTOR, PROMETHEUS):
        skip_without(program)
    env = {"producer": {"DEVICE_ID": "iot.demo-00000"}}
    with Stack(devices=20, interval_s=1.0, monitoring=True, env=env, folder=tmp_path_factory.mktemp("loaded")) as stack:
        yield stack


@pytest.fixture(scope="module")
def faults(loaded: Stack) -> Iterator[Faults]:
    """Every fault that an alert is about, caused."""
    with Mosquitto() as without_subscribers:
        faults = Faults(loaded, without_subscribers)
        try:
            faults.cause()
            yield faults
        finally:
            faults.end()
            faults.close()


@pytest.fixture(scope="module")
def prometheus(loaded: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """A Prometheus that scrapes the stack's Collector as the PodMonitor has it."""
    targets = [url.split("/")[2] for url in (loaded.collector_metrics_url, loaded.prometheus_url)]
    with Prometheus(
        targets, {"namespace": "iot", "pod": "collector-0"}, impatient(alerts()), tmp_path_factory.mktemp("prometheus")
    ) as running:
        yield running


class Faults:
    """What the alerts are about, in a stack.

    Args:
        stack: The stack.
        without_subscribers: A broker for a producer that loses its readings.
    """

    def __init__(self, stack: Stack, without_subscribers: Mosquitto) -> None:
        self._stack = stack
        self._losing = losing_producer(stack, without_subscribers)
        exporter = OTLPMetricExporter(f"{stack.otlp_url}/v1/metrics")
        self._provider = MeterProvider([PeriodicExportingMetricReader(exporter, 500)], shutdown_on_exit=False)
        self._fleets = FleetMetrics(self._provider)
        meter = self._provider.get_meter("collector-log")
        self._damaged_files = meter.create_gauge("mqtt_trace.collector.storage.damaged_files")

    def cause(self) -> None:
        """Cause each fault."""
        self._report(connected=19, damaged_files=1)
        self._losing.start()
        fill_the_queue_of_a_session(self._stack)
        self.repeat()
        os.kill(self._stack.parts["scout-sim"].pid, signal.SIGSTOP)

    def repeat(self) -> None:
        """Repeat those faults that do not last."""
        publish(self._stack, "sensors/garbage/reading", 5)
        publish(self._stack, "flood", 5)

    def end(self) -> None:
        """End each fault."""
        self._report(connected=20, damaged_files=0)
        self._losing.stop()
        os.kill(self._stack.parts["scout-sim"].pid, signal.SIGCONT)

    def close(self) -> None:
        """Report no more."""
        self._provider.shutdown()

    def _report(self, connected: int, damaged_files: int) -> None:
        """Report a fleet as the operator does, and damaged files as the Collector's sidecar does."""
        status = {"replicas": 20, "readyReplicas": connected}
        result = Result(fleet={"spec": {"replicas": 20}}, status=status, outcome=Outcome.DONE)
        self._fleets.reconciled(Key("iot", "demo"), result)
        self._damaged_files.set(damaged_files)


def losing_producer(stack: Stack, broker: Mosquitto) -> Process:
    """A producer on a broker without subscribers, which drops its readings."""
    running = stack.parts["producer"]
    assert isinstance(running, Service)
    elsewhere = {"MQTT_BROKER_PORT": str(broker.port), "HEALTH_PORT": "0"}
    env = {**running.env, **elsewhere, "DEVICE_COUNT": "1", "PUBLISH_RETRY_S": "0.1", "PUBLISH_INTERVAL_S": "0.5"}
    return Process("losing", running.command, log=stack.folder / "losing.log", env=env)


def publish(stack: Stack, topic: str, count: int) -> None:
    """Publish messages that are no readings and have no trace context."""
    with connected(stack, "garbage") as client:
        sent = [client.publish(topic, b"5", qos=1) for _ in range(count)]
        for message in sent:
            message.wait_for_publish(60)


def fill_the_queue_of_a_session(stack: Stack) -> None:
    """Publish more for a session that is offline than Mosquitto queues."""
    subscribed: list[int] = []
    session = Properties(PacketTypes.CONNECT)
    session.SessionExpiryInterval = 600
    with connected(stack, "offline", session) as client:
        client.on_subscribe = lambda _client, _userdata, packet_id, *_: subscribed.append(packet_id)
        client.subscribe("flood", 1)
        waiting.until(lambda: subscribed, "the subscription is acknowledged")
    publish(stack, "flood", MORE_THAN_MOSQUITTO_QUEUES)


@contextmanager
def connected(stack: Stack, client_id: str, properties: Properties | None = None) -> Iterator[Client]:
    """A client that is connected to the stack's broker."""
    client = Client(CallbackAPIVersion.VERSION2, client_id, protocol=MQTTProtocolVersion.MQTTv5)
    client.connect(stack.mosquitto.host, stack.mosquitto.port, clean_start=True, properties=properties)
    client.loop_start()
    try:
        yield client
    finally:
        client.disconnect()
        client.loop_stop()


def without_data(prometheus: Prometheus, queries: dict[str, str]) -> list[str]:
    """The names of the queries that return nothing."""
    return [name for name, query in queries.items() if not prometheus.query(query)]


@pytest.mark.usefixtures("faults")
def test_every_panel_and_alert_has_data(prometheus: Prometheus) -> None:
    """Each query of the dashboards, and the left side of each alert, has a value in a stack with every fault."""
    queries = {place: with_variables(query, GRAFANA) for place, query in panels()}
    queries |= {rule["alert"]: left_side(rule["expr"]) for rule in RULES}
    until(lambda: not without_data(prometheus, queries), "every query has data")


@pytest.mark.usefixtures("faults")
def test_every_label_of_a_query_exists(prometheus: Prometheus) -> None:
    """A query that groups by a label that its metric lacks would still return data."""
    queries = [*(query for _, query in panels()), *(left_side(rule["expr"]) for rule in RULES)]
    labels = {
        f"{metric} by {label}": f'{metric}{{{label}!=""}}' for query in queries for metric, label in grouped(query)
    }
    until(lambda: not without_data(prometheus, labels), "every label has a value")


def test_each_alert_fires_while_its_fault_lasts(faults: Faults, prometheus: Prometheus) -> None:
    """Each fault makes its alert fire, and when it has ended, no alert fires."""

    def silent() -> set[str]:
        faults.repeat()
        return CAUSED - prometheus.firing()

    until(lambda: not silent(), "every alert fires", 120)
    faults.end()
    until(lambda: not prometheus.firing(), "no alert fires", 120)


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
