"""What a real Mosquitto says of itself, as metrics."""

from __future__ import annotations

import asyncio
import contextlib
import sysconfig
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import httpx
import pytest
from mqtt_trace_broker_metrics import monitor
from mqtt_trace_broker_metrics.monitor import Monitor
from mqtt_trace_broker_metrics.settings import Settings
from mqtt_trace_broker_metrics.statistics import CURRENT, TOTALS, Statistics
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from pydantic import SecretStr

from local.mosquitto import Mosquitto
from local.ports import HOST, free_port
from local.processes import Process
from local.waiting import DEADLINE_S, until, until_async
from service.tests.telemetry.otlp_backend import OtlpBackend

MakeBroker = Callable[..., Mosquitto]

EACH_SECOND = "sys_interval 1"
ALL = {statistic.metric: statistic.unit for statistic in (*CURRENT, *TOTALS)}


@pytest.fixture
def backend() -> Iterator[OtlpBackend]:
    """A running OTLP backend."""
    with OtlpBackend() as running:
        yield running


@pytest.fixture
def start(backend: OtlpBackend, tmp_path: Path) -> Iterator[Callable[[Mosquitto], str]]:
    """Start the command; returns the URL of its readiness."""
    with contextlib.ExitStack() as started:

        def start_for(broker: Mosquitto) -> str:
            port = free_port()
            process = Process(
                "broker-metrics",
                [str(Path(sysconfig.get_path("scripts")) / "mqtt-trace-broker-metrics")],
                log=tmp_path / "log",
                env={
                    "MQTT_BROKER_HOST": broker.host,
                    "MQTT_BROKER_PORT": str(broker.port),
                    "HEALTH_HOST": HOST,
                    "HEALTH_PORT": str(port),
                    "OTEL_EXPORTER_OTLP_ENDPOINT": backend.url,
                    "OTEL_METRIC_EXPORT_INTERVAL": "200",
                },
            )
            process.start()
            started.callback(process.stop)
            url = f"http://{HOST}:{port}/ready"
            process.wait_until(lambda: is_ready(url), timeout_s=DEADLINE_S)
            return url

        yield start_for


def is_ready(url: str) -> bool:
    """Whether the service is ready."""
    try:
        return httpx.get(url, trust_env=False).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


def value(backend: OtlpBackend, metric: str) -> int:
    """The latest value of a metric, -1 without one."""
    if metric not in backend.received.metrics:
        return -1
    [point] = backend.received.metrics[metric].sum.data_points
    number: int = point.as_int
    return number


def absent_subscriber(broker: Mosquitto) -> None:
    """Leave a session that keeps messages for a client that is not connected."""
    client = Client(CallbackAPIVersion.VERSION2, "absent", protocol=MQTTProtocolVersion.MQTTv5)
    properties = Properties(PacketTypes.CONNECT)
    properties.SessionExpiryInterval = 3600
    subscribed: list[object] = []
    client.on_subscribe = lambda *call: subscribed.append(call)
    client.connect(broker.host, broker.port, properties=properties)
    client.loop_start()
    client.subscribe("readings", qos=1)
    until(lambda: subscribed, "the subscription")
    client.disconnect()
    client.loop_stop()


def publish(broker: Mosquitto, count: int) -> None:
    """Publish messages of QoS 1, and wait until the broker has acknowledged them."""
    client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    client.connect(broker.host, broker.port)
    client.loop_start()
    for info in [client.publish("readings", b"21.5", qos=1) for _ in range(count)]:
        info.wait_for_publish(DEADLINE_S)
    client.disconnect()
    client.loop_stop()


def test_messages_that_mosquitto_drops_silently_are_counted(
    make_broker: MakeBroker, start: Callable[[Mosquitto], str], backend: OtlpBackend
) -> None:
    """Acknowledged messages beyond the queue of an absent client appear as dropped, the others as stored."""
    broker = make_broker(config=[EACH_SECOND, "max_queued_messages 2"])
    start(broker)
    until(lambda: value(backend, "mosquitto.publish.messages.dropped") == 0, "nothing is dropped yet")
    stored = value(backend, "mosquitto.store.messages.count")
    absent_subscriber(broker)
    publish(broker, 5)
    until(lambda: value(backend, "mosquitto.publish.messages.dropped") == 3, "three messages are dropped")
    until(lambda: value(backend, "mosquitto.store.messages.count") >= stored + 2, "two messages are stored")
    until(lambda: value(backend, "mosquitto.clients.disconnected") == 1, "one client is away")


def test_each_statistic_is_one_that_mosquitto_publishes(
    make_broker: MakeBroker, start: Callable[[Mosquitto], str], backend: OtlpBackend
) -> None:
    """Every metric arrives with its unit, and counters are monotonic."""
    start(make_broker(config=[EACH_SECOND]))
    until(lambda: backend.received.metrics.keys() >= ALL.keys(), "every metric")
    metrics = {name: metric for name, metric in backend.received.metrics.items() if name in ALL}
    assert {name: metric.unit for name, metric in metrics.items()} == ALL
    totals = {name for name, metric in metrics.items() if metric.sum.is_monotonic}
    assert totals == {statistic.metric for statistic in TOTALS}
    until(lambda: value(backend, "mosquitto.clients.connected") == 1, "it counts this service")


def test_values_of_a_lost_broker_are_forgotten(make_broker: MakeBroker, start: Callable[[Mosquitto], str]) -> None:
    """The service is not ready while the broker is away, and ready again after its restart."""
    broker = make_broker(config=[EACH_SECOND])
    url = start(broker)
    broker.stop()
    until(lambda: not is_ready(url), "the service is not ready")
    assert httpx.get(url, trust_env=False).json() == {"ready": False, "connected": False, "statistics": 0}
    broker.start()
    until(lambda: is_ready(url), "the service is ready again")


def test_a_broker_that_forbids_them_is_named(
    make_broker: MakeBroker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Mosquitto grants a SUBSCRIBE that its ACL forbids; a warning and the readiness show it."""
    monkeypatch.setattr(monitor, "_FIRST_WITHIN_S", 0.5)
    broker = make_broker(users={"somebody": "secret"}, acl=["user somebody", "topic read other"], config=[EACH_SECOND])
    settings = Settings(
        mqtt_broker_host=broker.host,
        mqtt_broker_port=broker.port,
        mqtt_username="somebody",
        mqtt_password=SecretStr("secret"),
    )

    async def watch() -> None:
        async with running(settings) as watching:
            await until_async(lambda: "no statistics on $SYS/broker/#" in caplog.text, "the warning")
            assert watching.status() == (False, {"connected": True, "statistics": 0})

    asyncio.run(watch())


@contextlib.asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[Monitor]:
    """A monitor that stays connected during the block."""
    stop = asyncio.Event()
    watching = Monitor(settings, Statistics())
    task = asyncio.create_task(watching.run(stop))
    try:
        yield watching
    finally:
        stop.set()
        await task


@pytest.mark.parametrize(
    ("topic", "payload"),
    [
        ("$SYS/broker/version", b"mosquitto version 2.0.22"),
        ("$SYS/broker/clients/connected", b"many"),
        ("sensors/clients/connected", b"1"),
    ],
)
def test_what_is_no_statistic_is_ignored(topic: str, payload: bytes) -> None:
    """Texts and other topics change nothing."""
    statistics = Statistics()
    statistics.received(topic, payload)
    assert statistics.known == 0
