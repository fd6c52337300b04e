"""Publish spans of instrumented programs, against a real broker."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.trace import SpanKind, StatusCode
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from local.mosquitto import Mosquitto
from local.waiting import until
from mqtt_trace import TracedPublisher, extract, inject
from tests.library.harness import Connect, EndedSpan, Inbox, Instrument, MakeBroker, Recorded, parent_id


def new_client(protocol: MQTTProtocolVersion = MQTTProtocolVersion.MQTTv5, client_id: str = "") -> Client:
    """A client that is not connected."""
    return Client(CallbackAPIVersion.VERSION2, client_id, protocol=protocol)


def test_a_publish_span_is_exactly_this(
    broker: Mosquitto, connect: Connect, instrument: Instrument, recorded: Recorded
) -> None:
    """Name, kind and every attribute of an ordinary QoS 1 publish."""
    instrument()
    connect(broker, "instrumented-publisher").publish("instrumented/s1/reading", '{"reading": 21}', 1)
    until(lambda: len(recorded.spans) == 1, "the span ended")
    (span,) = recorded.spans
    assert (span.name, span.kind, span.status.status_code) == (
        "publish instrumented/s1/reading",
        SpanKind.PRODUCER,
        StatusCode.UNSET,
    )
    assert dict(span.attributes) == {
        "messaging.system": "mqtt",
        "messaging.operation.name": "publish",
        "messaging.operation.type": "publish",
        "messaging.destination.name": "instrumented/s1/reading",
        "messaging.client.id": "instrumented-publisher",
        "messaging.message.body.size": 15,
        "server.address": broker.host,
        "server.port": broker.port,
        "network.protocol.version": "5.0",
        "mqtt.qos": 1,
        "mqtt.retain": False,
        "mqtt.reason_code": 0x10,
    }
    (sent,) = recorded.points("messaging.client.sent.messages")
    assert sent.value == 1


@pytest.mark.filterwarnings("ignore:Callback API version 1 is deprecated")
@pytest.mark.parametrize("qos", [0, 1, 2])
@pytest.mark.parametrize("api", list(CallbackAPIVersion))
@pytest.mark.parametrize("protocol", [MQTTProtocolVersion.MQTTv311, MQTTProtocolVersion.MQTTv5])
def test_every_publish_ends_its_span_once_whenever_on_publish_is_set(
    broker: Mosquitto,
    connect: Connect,
    instrument: Instrument,
    recorded: Recorded,
    protocol: MQTTProtocolVersion,
    api: CallbackAPIVersion,
    qos: int,
) -> None:
    """Every span ends once while the callback is set, replaced and removed, and the callback gets its messages."""
    instrument()
    client = connect(broker, protocol=protocol, api=api)
    first: list[int] = []
    second: list[int] = []

    def publish(count: int) -> list[int]:
        before = len(recorded.spans)
        infos = [client.publish(f"many/{number}", "x", qos) for number in range(count)]
        for info in infos:
            info.wait_for_publish(10)
        until(lambda: len(recorded.spans) == before + count, "every span ended")
        return [info.mid for info in infos]

    publish(50)
    client.on_publish = lambda _client, _userdata, mid, *_: first.append(mid)
    expected = publish(50)
    until(lambda: first == expected, "on_publish was called for each")

    @client.publish_callback()
    def on_publish(_client: Client, _userdata: Any, mid: int, *_: Any) -> None:
        second.append(mid)

    expected = publish(50)
    until(lambda: second == expected, "the new on_publish was called for each")
    client.on_publish = None
    publish(50)
    assert (len(first), len(second)) == (50, 50)
    assert {span.status.status_code for span in recorded.spans} == {StatusCode.UNSET}


@pytest.mark.parametrize("keyword", [True, False])
def test_the_message_carries_context_beside_what_the_program_sends(
    broker: Mosquitto, connect: Connect, instrument: Instrument, recorded: Recorded, inbox: type[Inbox], keyword: bool
) -> None:
    """The message has the context and the program's properties, for any form of arguments or reused properties."""
    instrument()
    received = inbox(connect(broker), f"carried/{keyword}/#")
    own = Properties(PacketTypes.PUBLISH)
    own.UserProperty = [("site", "hq"), ("site", "hq"), ("baggage", "suitcase")]
    own.MessageExpiryInterval = 60
    before = own.json()
    client = connect(broker)
    for _ in range(2):
        if keyword:
            client.publish(topic=f"carried/{keyword}/x", payload="x", qos=1, properties=own)
        else:
            client.publish(f"carried/{keyword}/x", "x", 1, False, own)  # noqa: FBT003 - as a program may
    messages = received.wait(2)
    until(lambda: len(publish_spans(recorded)) == 2, "both spans ended")
    assert own.json() == before
    for message, span in zip(messages, publish_spans(recorded), strict=True):
        pairs = vars(message.properties)["UserProperty"]
        assert pairs[:3] == [("site", "hq"), ("site", "hq"), ("baggage", "suitcase")]
        assert [name for name, _ in pairs[3:]] == ["traceparent"]
        assert vars(message.properties)["MessageExpiryInterval"] in {59, 60}
        remote = trace.get_current_span(extract(pairs).context).get_span_context()
        assert (remote.trace_id, remote.span_id) == (span.context.trace_id, span.context.span_id)


def publish_spans(recorded: Recorded) -> list[EndedSpan]:
    """The ended publish spans, by start."""
    return sorted((s for s in recorded.spans if s.kind is SpanKind.PRODUCER), key=lambda span: span.start_time or 0)


def test_a_publish_before_connect_is_traced(broker: Mosquitto, instrument: Instrument, recorded: Recorded) -> None:
    """A publish before connect is sent once connected, and its span lasts until the acknowledgement."""
    instrument()
    client = new_client()
    assert client.publish("early/x", "x", 1).rc == MQTTErrorCode.MQTT_ERR_NO_CONN
    assert not recorded.spans
    client.connect(broker.host, broker.port)
    client.loop_start()
    until(lambda: len(recorded.spans) == 1, "the span ended")
    client.disconnect()
    client.loop_stop()
    assert recorded.spans[0].status.status_code is StatusCode.UNSET


def test_a_refused_qos_2_publish_is_an_error_and_paho_continues_as_before(
    make_broker: MakeBroker, connect: Connect, instrument: Instrument, recorded: Recorded
) -> None:
    """The span ends with the code of PUBREC; `on_publish` gets the same as without tracing."""
    broker = make_broker(acl=["topic read #"])

    def publish() -> list[Any]:
        calls: list[Any] = []
        client = connect(broker)
        client.on_publish = lambda *arguments: calls.append([str(one) for one in arguments[2:]])
        client.publish("forbidden/x", "x", 2)
        until(lambda: len(calls) == 1, "on_publish was called")
        return calls

    untraced = publish()
    instrument()
    assert publish() == untraced
    until(lambda: len(recorded.spans) == 1, "the span ended")
    (span,) = recorded.spans
    assert (span.attributes["error.type"], span.attributes["mqtt.reason_code"]) == ("0x87", 0x87)


def test_outside_of_any_span_the_programs_own_context_is_the_parent(instrument: Instrument, recorded: Recorded) -> None:
    """A program that forwards a message, or calls `inject` itself, stays in its trace."""
    instrument()
    client = new_client()
    own = Properties(PacketTypes.PUBLISH)
    own.UserProperty = [("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")]
    client.publish("forwarded/x", "x", 0, properties=own)
    with recorded.tracer_provider.get_tracer("test").start_as_current_span("around") as around:
        client.publish("forwarded/y", "x", 0, properties=own)
    forwarded, within, _ = recorded.spans
    assert f"{forwarded.context.trace_id:032x}" == "4bf92f3577b34da6a3ce929d0e0e4736"
    assert parent_id(forwarded) == int("00f067aa0ba902b7", 16)
    assert parent_id(within) == around.get_span_context().span_id


@pytest.mark.parametrize("protocol", [MQTTProtocolVersion.MQTTv311, MQTTProtocolVersion.MQTTv5])
def test_the_explicit_publisher_keeps_its_one_span(
    broker: Mosquitto,
    connect: Connect,
    instrument: Instrument,
    recorded: Recorded,
    protocol: MQTTProtocolVersion,
) -> None:
    """An explicitly traced publish has one span on an instrumented client, as has each other publish."""
    instrument()
    client = connect(broker, protocol=protocol)
    publisher = TracedPublisher(client, tracer_provider=recorded.tracer_provider)
    for number in range(20):
        publisher.publish(f"explicit/{number}", "x", number % 3)
        client.publish(f"implicit/{number}", "x", number % 3)
    until(lambda: len(recorded.spans) == 40, "every span ended")
    expected = [f"publish {kind}/{number}" for kind in ("explicit", "implicit") for number in range(20)]
    assert sorted(span.name for span in recorded.spans) == sorted(expected)


def test_a_message_with_an_injected_context_has_a_span_already(
    broker: Mosquitto, connect: Connect, instrument: Instrument, recorded: Recorded, inbox: type[Inbox]
) -> None:
    """A message with properties from `inject` gets no second span."""
    instrument()
    received = inbox(connect(broker), "injected/#")
    with recorded.tracer_provider.get_tracer("test").start_as_current_span("own") as own:
        connect(broker).publish("injected/x", "x", 1, properties=inject())
    (message,) = received.wait()
    remote = trace.get_current_span(extract(vars(message.properties)["UserProperty"]).context).get_span_context()
    assert remote.span_id == own.get_span_context().span_id
    assert not publish_spans(recorded)
