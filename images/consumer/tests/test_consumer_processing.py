"""Readings, poison and dead letters, through the whole consumer and a real broker."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from images.consumer.tests.conftest import MakeConsumer
from images.consumer.tests.harness import OK, Backend, Echo, attributes_of, listening, publish, reading
from local.mosquitto import Mosquitto
from local.waiting import until

MakeBroker = Callable[..., Mosquitto]

TOPIC = "sensors/sensor-001/reading"
TRACE_ID, PARENT_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = ("traceparent", f"00-{TRACE_ID}-{PARENT_ID}-01")
POISON = [b"5", b"[1]", b"null", b'"x"', b"not JSON", b"\xff\xfe", b"", b"NaN", b"[" * 100_000]

HOSTILE: dict[str, list[tuple[str, str]]] = {
    "bom in name": [("\ufeffkey", "value")],
    "bom in value": [("key", "\ufeff")],
    "long": [("k", "v" * 60_000)],
    "many": [("k", "v" * 10)] * 20_000,
    "duplicate": [TRACEPARENT, TRACEPARENT],
    "long traceparent": [("traceparent", "00-" + "f" * 60_000)],
    "not W3C": [("traceparent", "\U0001f600"), ("tracestate", "=,=" * 5_000), ("baggage", "%" * 9_000)],
    "our names": [("error.type", "mine"), ("mqtt-trace-probe", "mine"), ("", "")],
}


def properties(*user_properties: tuple[str, str]) -> Properties:
    """PUBLISH properties with these user properties."""
    made = Properties(PacketTypes.PUBLISH)
    made.UserProperty = list(user_properties)
    return made


def telemetry_to(backend: Backend) -> dict[str, str]:
    """Settings that send telemetry there."""
    return {"OTEL_SDK_DISABLED": "", "OTEL_EXPORTER_OTLP_ENDPOINT": backend.endpoint}


def test_readings_reach_echo(make_broker: MakeBroker, make_consumer: MakeConsumer, echo: Echo) -> None:
    """Every reading is posted once, unchanged, and acknowledged; SIGTERM ends the process with 0."""
    broker = make_broker()
    consumer = make_consumer(broker).start_ready()
    payloads = [reading(str(number)) for number in range(200)]
    publish(broker, TOPIC, *payloads)
    consumer.wait_status(processed=200, in_flight=0)
    assert sorted(echo.accepted) == sorted(payloads)
    assert len(consumer.said(f"processed message on {TOPIC}")) == 200
    assert consumer.stop() == 0


def test_poison_between_good_readings(make_broker: MakeBroker, make_consumer: MakeConsumer, echo: Echo) -> None:
    """Poison goes to the dead letters at once, and the readings around it are processed."""
    broker = make_broker()
    consumer = make_consumer(broker).start_ready()
    with listening(broker, "dead-letter/#") as dead_letters:
        for number, poison in enumerate(POISON):
            publish(broker, TOPIC, reading(f"before-{number}"), poison, reading(f"after-{number}"))
        consumer.wait_status(processed=2 * len(POISON), dead_lettered=len(POISON), in_flight=0)
        until(lambda: len(dead_letters) == len(POISON), "all dead letters arrived")
    assert sorted(letter.payload for letter in dead_letters) == sorted(POISON)
    assert {letter.topic for letter in dead_letters} == {f"dead-letter/{TOPIC}"}
    assert echo.calls == 2 * len(POISON)


def test_what_echo_refuses_becomes_a_dead_letter(
    make_broker: MakeBroker, make_consumer: MakeConsumer, echo: Echo
) -> None:
    """After three tries a reading becomes a dead letter with its payload, its properties and the error in its trace."""
    echo.answer = lambda _: (500, {})
    broker = make_broker()
    consumer = make_consumer(broker).start_ready()
    sent = properties(("tenant", "acme"), TRACEPARENT)
    sent.ContentType = "application/json"
    sent.CorrelationData = b"c-1"
    payload = reading("refused")
    with listening(broker, "dead-letter/#") as dead_letters:
        publish(broker, TOPIC, payload, properties=sent)
        until(lambda: bool(dead_letters), "the dead letter arrived")
    consumer.wait_status(processed=0, dead_lettered=1, in_flight=0)
    assert echo.calls == 3
    assert dead_letters[0].payload == payload
    assert dead_letters[0].properties is not None
    received = dead_letters[0].properties.json()
    *kept, trace_context = received.pop("UserProperty")
    assert received == {"ContentType": "application/json", "CorrelationData": b"c-1".hex()}
    assert kept == [
        ("tenant", "acme"),
        ("error.type", "EchoRefusedError"),
        ("error.message", "echo answered 500"),
        ("original.topic", TOPIC),
    ]
    assert trace_context == TRACEPARENT  # with the SDK switched off a span passes on the context of its parent


def test_a_dead_letter_without_subscriber_is_logged_whole(make_broker: MakeBroker, make_consumer: MakeConsumer) -> None:
    """A dead letter without a subscriber is logged with payload, properties and error; the next reading follows."""
    broker = make_broker()
    consumer = make_consumer(broker).start_ready()
    publish(broker, TOPIC, b"\xff\x00", properties=properties(("tenant", "acme")))
    publish(broker, TOPIC, reading("next"))
    consumer.wait_status(processed=1, dead_lettered=1, in_flight=0)
    (line,) = consumer.said("a dead letter has no subscriber")
    record = json.loads(line)
    assert record["level"] == "ERROR"
    document = json.loads(record["message"].partition("here it is: ")[2])
    assert document == {
        "topic": TOPIC,
        "error": {"type": "PoisonPayloadError", "message": "the payload is not UTF-8: invalid start byte at byte 0"},
        "qos": 1,
        "retain": False,
        "properties": {"UserProperty": [["tenant", "acme"]]},
        "payload_base64": "/wA=",
    }


def test_a_dead_letter_that_the_broker_refuses_is_logged_whole(
    make_broker: MakeBroker, make_consumer: MakeConsumer
) -> None:
    """A dead letter that the broker's ACL refuses is logged whole."""
    broker = make_broker(acl=["topic readwrite sensors/#"])
    consumer = make_consumer(broker).start_ready()
    publish(broker, TOPIC, b"5", reading("next"))
    consumer.wait_status(processed=1, dead_lettered=1, in_flight=0)
    assert consumer.said("a dead letter could not be published (0x87")


def test_a_dead_letter_that_is_too_long_for_the_broker(make_broker: MakeBroker, make_consumer: MakeConsumer) -> None:
    """A dead letter beyond the broker's packet limit is logged whole, and the connection stays."""
    broker = make_broker(config=["max_packet_size 3000"])
    consumer = make_consumer(broker).start_ready()
    publish(broker, TOPIC, b"x" * 2_800)
    publish(broker, TOPIC, reading("next"))
    consumer.wait_status(processed=1, dead_lettered=1, in_flight=0)
    assert consumer.said("too_large")
    assert not consumer.said("not connected")


def test_hostile_user_properties(make_consumer: MakeConsumer, make_broker: MakeBroker, echo: Echo) -> None:
    """A reading with hostile user properties and the next one are processed on the same connection."""
    broker = make_broker()
    consumer = make_consumer(broker).start_ready()
    for name, hostile in HOSTILE.items():
        sent = Properties(PacketTypes.PUBLISH)
        vars(sent)["UserProperty"] = hostile  # paho copies the list for each pair that is set
        publish(broker, TOPIC, reading(name), properties=sent)
        publish(broker, TOPIC, reading(f"after {name}"))
    consumer.wait_status(processed=2 * len(HOSTILE), in_flight=0)
    assert set(echo.ids) == {*HOSTILE, *(f"after {name}" for name in HOSTILE)}
    assert len(consumer.said("connected to")) == 1


def test_qos_0_beyond_the_limit_is_dropped_and_logged_once(
    make_broker: MakeBroker, make_consumer: MakeConsumer, echo: Echo
) -> None:
    """Readings of QoS 0 beyond the limit are dropped with one log line, and the others are processed."""
    echo.stop()
    broker = make_broker()
    consumer = make_consumer(broker).start_ready()
    publish(broker, TOPIC, *(reading(str(number)) for number in range(1_500)), qos=0)
    consumer.wait_said("dropping readings of QoS 0")
    publish(broker, TOPIC, reading("last"))
    consumer.wait_status(in_flight=1)  # all before it have arrived
    echo.start()
    until(lambda: "last" in echo.ids, "echo has the last reading")
    publish(broker, TOPIC, reading("after"), qos=0)
    until(lambda: "after" in echo.ids, "echo has the reading after it")
    assert len(consumer.said("dropping readings of QoS 0")) == 2
    assert len(consumer.said("no longer dropping")) == 1
    assert 1_000 <= len(echo.accepted) <= 1_020


def test_without_propagators_readings_are_processed_all_the_same(
    make_broker: MakeBroker, make_consumer: MakeConsumer, echo: Echo
) -> None:
    """With `OTEL_PROPAGATORS=none` a reading reaches echo, and its process span is a root with the reason."""
    with Backend() as backend:
        broker = make_broker()
        consumer = make_consumer(broker, OTEL_PROPAGATORS="none", **telemetry_to(backend)).start_ready()
        payload = reading("m-1")
        publish(broker, TOPIC, payload, properties=properties(TRACEPARENT))
        consumer.wait_status(processed=1, in_flight=0)
        assert consumer.stop() == 0
    assert echo.accepted == [payload]
    (process,), (call,) = backend.named(f"process {TOPIC}"), backend.named("POST")
    assert (process.parent_span_id, call.parent_span_id) == (b"", process.span_id)
    assert process.trace_id.hex() != TRACE_ID
    assert attributes_of(process)["mqtt.missing_context_reason"] == "absent"


def test_the_spans_of_one_reading(make_broker: MakeBroker, make_consumer: MakeConsumer, echo: Echo) -> None:
    """One process span, child of the publish span and linked to nothing, and under it exactly one for the call."""
    with Backend() as backend:
        broker = make_broker()
        consumer = make_consumer(broker, **telemetry_to(backend)).start_ready()
        payload = reading("m-1")
        publish(broker, TOPIC, payload, properties=properties(TRACEPARENT))
        consumer.wait_status(processed=1, in_flight=0)
        assert consumer.stop() == 0  # which exports what is left
    (process,), (call,) = backend.named(f"process {TOPIC}"), backend.named("POST")
    (line,) = consumer.said(f"processed message on {TOPIC}")
    assert TRACE_ID in line
    assert process.span_id.hex() in line
    assert process.kind == Span.SPAN_KIND_CONSUMER
    assert process.trace_id.hex() == call.trace_id.hex() == TRACE_ID
    assert process.parent_span_id.hex() == PARENT_ID
    assert not process.links
    assert process.status.code == Status.STATUS_CODE_UNSET
    assert attributes_of(process) == {
        "messaging.system": "mqtt",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": TOPIC,
        "messaging.destination.template": "sensors/+/reading",
        "messaging.message.id": "m-1",
        "messaging.message.body.size": len(payload),
        "messaging.client.id": "consumer-0",
        "server.address": broker.host,
        "server.port": broker.port,
        "network.protocol.version": "5.0",
        "mqtt.qos": 1,
        "mqtt.retain": False,
        "mqtt.duplicate": False,
    }
    assert call.kind == Span.SPAN_KIND_CLIENT
    assert call.parent_span_id == process.span_id
    assert attributes_of(call) == {
        "http.request.method": "POST",
        "url.full": echo.url,
        "server.address": broker.host,
        "server.port": echo.port,
        "http.response.status_code": 200,
        "network.protocol.version": "1.1",
        "network.peer.address": "127.0.0.1",
        "network.peer.port": echo.port,
    }


def test_every_processed_reading_has_its_age(make_broker: MakeBroker, make_consumer: MakeConsumer, echo: Echo) -> None:
    """Ages count from the measurement: of readings in time, delivered again and retained; dead letters have none."""
    with Backend() as backend:
        broker = make_broker()
        publish(broker, TOPIC, reading("retained", ts=time.time() - 7200), retain=True)
        consumer = make_consumer(broker, **telemetry_to(backend)).start_ready()
        publish(broker, TOPIC, b"poison")
        consumer.wait_status(processed=1, dead_lettered=1, in_flight=0)
        echo.stop()
        publish(broker, TOPIC, reading("again", device_id="iot.demo-00001", ts=time.time() - 90))
        consumer.wait_status(in_flight=1)
        broker.restart()
        echo.start()
        consumer.wait_status(processed=2, in_flight=0)
        assert consumer.stop() == 0
    (histogram,) = [metric.histogram for metric in backend.metrics if metric.name == "iot.reading.age"][-1:]
    ages = {
        (attributes_of(point).get("fleet.id"), attributes_of(point).get("mqtt.retain")): (point.count, point.sum // 30)
        for point in histogram.data_points
    }
    assert ages == {(None, True): (1, 240), ("demo", None): (1, 3)}


def test_the_spans_of_a_dead_letter(make_broker: MakeBroker, make_consumer: MakeConsumer, echo: Echo) -> None:
    """Each try is a span of its own, and the dead letter's publish span is a child of the failed process span."""
    echo.answer = lambda _: (500, {})
    with Backend() as backend:
        broker = make_broker()
        consumer = make_consumer(broker, **telemetry_to(backend)).start_ready()
        publish(broker, TOPIC, reading("m-1"))
        consumer.wait_status(dead_lettered=1, in_flight=0)
        assert consumer.stop() == 0
    (process,) = backend.named(f"process {TOPIC}")
    (dead_letter,) = backend.named(f"publish dead-letter/{TOPIC}")
    assert process.status.code == Status.STATUS_CODE_ERROR
    assert attributes_of(process)["error.type"] == "EchoRefusedError"
    assert attributes_of(process)["mqtt.missing_context_reason"] == "absent"
    assert [event.name for event in process.events] == ["exception"]
    assert dead_letter.parent_span_id == process.span_id
    assert attributes_of(dead_letter)["messaging.destination.template"] == "dead-letter/sensors/+/reading"
    assert [call.parent_span_id for call in backend.named("POST")] == [process.span_id] * 3


def test_a_reading_that_echo_keeps_postponing_is_named(
    make_broker: MakeBroker, make_consumer: MakeConsumer, echo: Echo
) -> None:
    """A reading that echo keeps postponing blocks later PUBACKs, so one log line names it."""
    sick = True
    echo.answer = lambda payload: (503, {}) if sick and json.loads(payload)["message_id"] == "m-3" else OK
    broker = make_broker()
    consumer = make_consumer(broker).start_ready()
    publish(broker, TOPIC, *(reading(f"m-{number}") for number in range(10)))
    consumer.wait_said("echo did not accept message m-3 on sensors/sensor-001/reading in 3 tries (echo answered 503)")
    sick = False
    consumer.wait_status(processed=10, dead_lettered=0, in_flight=0)
    assert len(consumer.said("echo did not accept message")) == 1
