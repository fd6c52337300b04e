"""The producer's messages and telemetry, as the broker and the backend receive them."""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from collections.abc import Callable
from functools import partial

from images.producer.tests.conftest import StartProducer
from images.producer.tests.producer_harness import Backend, Listener, Producer
from local.mosquitto import Mosquitto
from local.waiting import until

TRACEPARENT = re.compile(r"00-(?P<trace>[0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")


def has_published(producer: Producer, count: int) -> bool:
    """Whether at least `count` readings were logged as published."""
    return len(producer.published()) >= count


def all_arrived(producer: Producer, listener: Listener) -> bool:
    """Whether every reading that was logged as published has arrived."""
    return set(producer.published()) <= listener.message_ids


def test_any_client_sees_the_context_in_user_properties(broker: Mosquitto, start_producer: StartProducer) -> None:
    """mosquitto_sub prints the traceparent of the trace that the producer logs for the message."""
    producer = start_producer(broker.port, DEVICE_ID="props-1")
    listening = [
        "mosquitto_sub",
        "-h",
        broker.host,
        "-p",
        str(broker.port),
        "-V",
        "5",
        "-q",
        "1",
        "-t",
        "sensors/props-1/reading",
    ]
    shown = subprocess.run(
        [*listening, "-F", "%t %q %P %p", "-C", "1", "-W", "30"], capture_output=True, text=True, check=True, timeout=40
    ).stdout
    match = re.fullmatch(
        r'(\S+) 1 traceparent:(\S+) .*"reading": \d\d\.\d+, "message_id": "([0-9a-f-]{36})", "ts": \d+\.\d+}\n', shown
    )
    assert match is not None, shown
    topic, traceparent, message_id = match.groups()
    carried = TRACEPARENT.fullmatch(traceparent)
    assert topic == "sensors/props-1/reading"
    assert carried is not None
    until(lambda: message_id in producer.published(), "the reading to be logged as published")
    assert producer.published()[message_id] == carried["trace"]


def test_without_propagators_readings_go_out_without_context(broker: Mosquitto, start_producer: StartProducer) -> None:
    """`OTEL_PROPAGATORS=none`: they are published all the same, and each has its trace id in the log."""
    with Listener(broker, "sensors/bare-1/reading") as listener:
        producer = start_producer(broker.port, DEVICE_ID="bare-1", OTEL_PROPAGATORS="none")
        until(lambda: has_published(producer, 2) and all_arrived(producer, listener), "two readings")
        assert all(producer.published().values())
        received = listener.messages.copy()
    assert [getattr(message.properties, "UserProperty", []) for message in received] == [[]] * len(received)


def test_devices_take_readings_at_the_same_rate(broker: Mosquitto, start_producer: StartProducer) -> None:
    """After two hundred readings, the counts of all devices differ by no more than the jitter."""
    with Listener(broker, "sensors/+/reading") as listener:
        start_producer(broker.port, DEVICE_ID="pace-08", DEVICE_COUNT=5)
        counts = Counter[str]()

        def enough() -> bool:
            devices = [reading["device_id"] for reading in listener.readings()]
            counts.clear()
            counts.update(device for device in devices if device.startswith("pace-"))
            return counts.total() >= 200

        until(enough, "two hundred readings")
    assert sorted(counts) == ["pace-08", "pace-09", "pace-10", "pace-11", "pace-12"]
    assert max(counts.values()) - min(counts.values()) <= 3


def test_every_device_has_a_resource_and_metrics_have_no_device(
    make_broker: Callable[..., Mosquitto], backend: Backend, start_producer: StartProducer
) -> None:
    """The resource of spans has the device, logs have the trace, and metrics are those of the fleet."""
    broker = make_broker()
    settings = {
        "FLEET_ID": "f1",
        "FLEET_PRIORITY": "high",
        "FLEET_TENANT": "t1",
        "SITE_ID": "s1",
        "DEVICE_BATTERY_LEVEL": 55,
    }
    producer = start_producer(broker.port, DEVICE_ID="own-1", DEVICE_COUNT=2, **settings, **backend.exports())
    until(lambda: len(producer.published()) >= 10, "ten readings")
    assert producer.stop() == 0

    published = producer.published()
    message_id, trace_id = next(iter(published.items()))
    (span,) = backend.query(f"traces/{trace_id}")["spans"]
    device_id = span["resource"]["device.id"]
    assert span["name"] == f"publish sensors/{device_id}/reading"
    assert span["kind"] == "PRODUCER"
    assert span["parent_span_id"] is None
    assert span["status"]["code"] == "UNSET"
    size = span["attributes"].pop("messaging.message.body.size")
    assert size > 100
    assert span["attributes"] == {
        "messaging.system": "mqtt",
        "messaging.operation.name": "publish",
        "messaging.operation.type": "publish",
        "messaging.destination.name": f"sensors/{device_id}/reading",
        "messaging.destination.template": "sensors/{device_id}/reading",
        "messaging.message.id": message_id,
        "messaging.client.id": device_id,
        "server.address": broker.host,
        "server.port": broker.port,
        "network.protocol.version": "5.0",
        "mqtt.qos": 1,
        "mqtt.retain": False,
        # No subscriber, which is not an error.
        "mqtt.reason_code": 0x10,
    }
    own = {name: value for name, value in span["resource"].items() if name.split(".")[0] in {"device", "fleet", "site"}}
    assert own == {
        "device.id": device_id,
        "device.kind": "sensor",
        "device.firmware.version": "1.4.2",
        "device.firmware.channel": "stable",
        "device.battery.level": 55,
        "fleet.id": "f1",
        "fleet.tenant": "t1",
        "fleet.priority": "high",
        "site.id": "s1",
    }
    for device in ("own-1", "own-2"):
        assert backend.query("traces", attribute=f"device.id={device}")["traces"]

    metrics = {metric["name"]: metric for metric in backend.query("metrics")["metrics"]}
    assert metrics["iot.readings.published"]["value"] == len(published)
    assert metrics["iot.readings.published"]["attributes"] == {}
    assert metrics["iot.sensor.temperature"]["unit"] == "Cel"
    assert metrics["messaging.client.sent.messages"]["value"] == len(published)
    assert not any("device.id" in metric["resource"] for metric in metrics.values())

    (log,) = backend.query("logs", trace_id=trace_id)["logs"]
    assert log["body"].startswith("published reading")
    assert f"sensors/{device_id}/reading" in log["body"]
    assert log["span_id"] == span["span_id"]


def test_qos_0_and_2_are_published(broker: Mosquitto, start_producer: StartProducer) -> None:
    """With QoS 0 a reading counts as published when it is handed to paho, with QoS 2 when PUBCOMP arrives."""
    with Listener(broker, "sensors/+/reading") as listener:
        for qos in (0, 2):
            producer = start_producer(broker.port, DEVICE_ID=f"qos-{qos}", PUBLISH_QOS=qos)
            until(partial(has_published, producer, 5), "five readings")
            assert producer.stop() == 0
            until(partial(all_arrived, producer, listener), "them to arrive")
            qualities = {message.qos for message in listener.messages if f"qos-{qos}" in message.topic}
            assert qualities == {qos}
