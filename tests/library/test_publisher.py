"""Publish spans against a real broker."""

from __future__ import annotations

import gc
import threading
import weakref
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.trace import SpanKind, StatusCode
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from local.mosquitto import Mosquitto
from local.waiting import DEADLINE_S, until
from mqtt_trace import Conventions, Options, TracedPublisher, extract
from tests.library.harness import Connect, Inbox, Recorded, parent_id


def publisher_of(client: Client, recorded: Recorded, **options: Any) -> TracedPublisher:
    """A publisher that records in memory."""
    return TracedPublisher(
        client, tracer_provider=recorded.tracer_provider, meter_provider=recorded.meter_provider, **options
    )


def test_a_publish_span_is_exactly_this(broker: Mosquitto, connect: Connect, recorded: Recorded) -> None:
    """Name, kind and every attribute of an ordinary QoS 1 publish."""
    client = connect(broker, "exact-publisher")
    publisher = publisher_of(client, recorded)
    publisher.publish(
        "sensors/s1/reading", '{"reading": 21}', 1, message_id="m-1", template="sensors/{device_id}/reading"
    )
    until(lambda: len(recorded.spans) == 1, "the span ended")
    (span,) = recorded.spans
    assert (span.name, span.kind, span.status.status_code) == (
        "publish sensors/s1/reading",
        SpanKind.PRODUCER,
        StatusCode.UNSET,
    )
    assert dict(span.attributes) == {
        "messaging.system": "mqtt",
        "messaging.operation.name": "publish",
        "messaging.operation.type": "publish",
        "messaging.destination.name": "sensors/s1/reading",
        "messaging.destination.template": "sensors/{device_id}/reading",
        "messaging.message.id": "m-1",
        "messaging.client.id": "exact-publisher",
        "messaging.message.body.size": 15,
        "server.address": broker.host,
        "server.port": broker.port,
        "network.protocol.version": "5.0",
        "mqtt.qos": 1,
        "mqtt.retain": False,
        "mqtt.reason_code": 0x10,
    }


@pytest.mark.parametrize(
    ("conventions", "added"),
    [
        (Conventions.STABLE, {}),
        (
            Conventions.DUPLICATE,
            {
                "messaging.operation": "publish",
                "messaging.client_id": "opted",
                "messaging.message.payload_size_bytes": 1,
            },
        ),
    ],
)
def test_the_opt_in_says_send(
    broker: Mosquitto, connect: Connect, recorded: Recorded, conventions: Conventions, added: dict[str, object]
) -> None:
    """Conventions 1.28 and later call the operation `send`; `messaging/dup` adds the older names."""
    publisher = publisher_of(connect(broker, "opted"), recorded, options=Options(conventions=conventions))
    publisher.publish("opted/in", "x", 1)
    until(lambda: len(recorded.spans) == 1, "the span ended")
    attributes = dict(recorded.spans[0].attributes)
    assert attributes["messaging.operation.type"] == "send"
    assert attributes["messaging.operation.name"] == "publish"
    assert attributes.items() >= added.items()
    assert ("messaging.operation" in attributes) is bool(added)


@pytest.mark.parametrize(
    ("protocol", "version"),
    [
        (MQTTProtocolVersion.MQTTv31, "3.1"),
        (MQTTProtocolVersion.MQTTv311, "3.1.1"),
        (MQTTProtocolVersion.MQTTv5, "5.0"),
    ],
)
def test_the_protocols_version_is_the_clients(recorded: Recorded, protocol: MQTTProtocolVersion, version: str) -> None:
    """Each protocol version of paho is recorded."""
    publisher_of(Client(CallbackAPIVersion.VERSION2, protocol=protocol), recorded).publish("version/x", "x", 0)
    assert recorded.spans[0].attributes["network.protocol.version"] == version


def test_a_unix_socket_has_an_address_and_no_port(recorded: Recorded) -> None:
    """With a Unix socket, spans and metrics have the address and no port."""
    client = Client(CallbackAPIVersion.VERSION2, transport="unix")
    client.connect_async("/run/mosquitto.sock")
    publisher_of(client, recorded).publish("unix/x", "x", 0)
    (point,) = recorded.points("messaging.client.sent.messages")
    for attributes in (recorded.spans[0].attributes, point.attributes):
        assert attributes["server.address"] == "/run/mosquitto.sock"
        assert "server.port" not in attributes


def test_a_client_that_changes_is_named_as_it_is_now(recorded: Recorded) -> None:
    """After `reinitialise`, spans have the new client id and protocol."""
    client = Client(CallbackAPIVersion.VERSION2, "first", protocol=MQTTProtocolVersion.MQTTv5)
    publisher = publisher_of(client, recorded)
    publisher.publish("named/x", "x", 0)
    client.reinitialise("second")
    publisher.publish("named/x", "x", 0)
    keys = ("messaging.client.id", "network.protocol.version")
    assert [tuple(span.attributes[key] for key in keys) for span in recorded.spans] == [
        ("first", "5.0"),
        ("second", "3.1.1"),
    ]


@pytest.mark.filterwarnings("ignore:Callback API version 1 is deprecated")
@pytest.mark.parametrize("qos", [0, 1, 2])
@pytest.mark.parametrize("api", list(CallbackAPIVersion))
@pytest.mark.parametrize("protocol", [MQTTProtocolVersion.MQTTv311, MQTTProtocolVersion.MQTTv5])
def test_every_publish_ends_its_span_once(
    broker: Mosquitto,
    connect: Connect,
    recorded: Recorded,
    protocol: MQTTProtocolVersion,
    api: CallbackAPIVersion,
    qos: int,
) -> None:
    """PUBACK, PUBCOMP or hand-off, with either callback API and either protocol, while another thread reads."""
    publisher = publisher_of(connect(broker, protocol=protocol, api=api), recorded)
    for number in range(300):
        publisher.publish(f"many/{number}", "x", qos)
    until(lambda: len(recorded.spans) == 300, "every span ended")
    assert {span.name for span in recorded.spans} == {f"publish many/{number}" for number in range(300)}
    assert {span.status.status_code for span in recorded.spans} == {StatusCode.UNSET}
    assert publisher.pending == 0


def test_the_message_carries_the_publish_spans_context(
    broker: Mosquitto, connect: Connect, recorded: Recorded, inbox: type[Inbox]
) -> None:
    """The context is added once to the program's own properties, however often they are used."""
    received = inbox(connect(broker), "carried/#")
    publisher = publisher_of(connect(broker), recorded)
    own = Properties(PacketTypes.PUBLISH)
    own.UserProperty = ("site", "hq")
    for _ in range(2):
        publisher.publish("carried/x", "x", 1, properties=own)
    messages = received.wait(2)
    until(lambda: len(recorded.spans) == 2, "both spans ended")
    for message, span in zip(messages, recorded.spans, strict=True):
        assert [name for name, _ in vars(message.properties)["UserProperty"]] == ["site", "traceparent"]
        remote = trace.get_current_span(extract(vars(message.properties)["UserProperty"]).context).get_span_context()
        assert (remote.trace_id, remote.span_id) == (span.context.trace_id, span.context.span_id)


def test_a_topic_alias_is_named_by_its_topic(
    broker: Mosquitto, connect: Connect, recorded: Recorded, inbox: type[Inbox]
) -> None:
    """The span has the topic that an alias replaces (MQTT 5, section 3.3.2.3.4), or no name if the alias is unknown."""
    received = inbox(connect(broker), "aliased/#")
    publisher = publisher_of(connect(broker), recorded)
    alias = Properties(PacketTypes.PUBLISH)
    alias.TopicAlias = 3
    publisher.publish("aliased/x", "x", 1, properties=alias)
    publisher.publish("", "x", 1, properties=alias)
    assert [message.topic for message in received.wait(2)] == ["aliased/x"] * 2
    until(lambda: len(recorded.spans) == 2, "both spans ended")
    assert [span.name for span in recorded.spans] == ["publish aliased/x"] * 2
    assert {span.attributes["messaging.destination.name"] for span in recorded.spans} == {"aliased/x"}
    unconnected = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    publisher_of(unconnected, recorded).publish("", "x", 0, properties=alias)
    assert recorded.spans[-1].name == "publish"
    assert "messaging.destination.name" not in recorded.spans[-1].attributes


def test_a_publish_span_is_a_child_of_the_current_span(broker: Mosquitto, connect: Connect, recorded: Recorded) -> None:
    """A publish span is a child of the current span."""
    publisher = publisher_of(connect(broker), recorded)
    with recorded.tracer_provider.get_tracer("test").start_as_current_span("around") as around:
        publisher.publish("child/x", "x", 1)
    until(lambda: len(recorded.spans) == 2, "both spans ended")
    publish = next(span for span in recorded.spans if span.name.startswith("publish"))
    assert parent_id(publish) == around.get_span_context().span_id


def test_the_programs_own_on_publish_is_still_called(broker: Mosquitto, connect: Connect, recorded: Recorded) -> None:
    """The program's callback is called for all messages, traced or not."""
    client = connect(broker)
    acknowledged: list[int] = []
    two = threading.Event()

    def on_publish(_client: Client, _userdata: Any, mid: int, *_: Any) -> None:
        acknowledged.append(mid)
        if len(acknowledged) == 2:
            two.set()

    client.on_publish = on_publish
    publisher = publisher_of(client, recorded)
    mids = [publisher.publish("own/x", "x", 1).mid, client.publish("own/y", "x", 1).mid]
    assert two.wait(DEADLINE_S)
    assert acknowledged == mids
    assert [span.name for span in recorded.spans] == ["publish own/x"]


def test_the_span_is_current_when_the_outcome_is_reported(
    broker: Mosquitto, connect: Connect, recorded: Recorded
) -> None:
    """A log line written there carries the ids of the publish."""
    seen: list[int] = []
    publisher = publisher_of(connect(broker), recorded)
    publisher.publish(
        "current/x", "x", 1, on_outcome=lambda _: seen.append(trace.get_current_span().get_span_context().span_id)
    )
    until(lambda: len(recorded.spans) == 1, "the span ended")
    assert seen == [recorded.spans[0].context.span_id]


def test_metrics_are_split_by_what_is_few(broker: Mosquitto, connect: Connect, recorded: Recorded) -> None:
    """Metrics have the template but not the topic, which names a device."""
    publisher = publisher_of(connect(broker), recorded)
    for number in range(20):
        publisher.publish(f"sensors/{number}/reading", "x", 1, template="sensors/{device_id}/reading")
    until(lambda: len(recorded.spans) == 20, "every span ended")
    (sent,) = recorded.points("messaging.client.sent.messages")
    (duration,) = recorded.points("messaging.client.operation.duration")
    assert (sent.value, duration.count) == (20, 20)
    assert sent.attributes["messaging.destination.template"] == "sensors/{device_id}/reading"
    assert not {"messaging.destination.name", "messaging.client.id"} & sent.attributes.keys()
    assert duration.explicit_bounds[0] == 0.005
    assert duration.explicit_bounds[-1] == 10


def test_a_publisher_that_nobody_holds_is_forgotten(recorded: Recorded) -> None:
    """Neither the sweeper nor a cycle keeps a publisher or its client alive."""

    def publish_once() -> weakref.ref[Client]:
        client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        for _ in range(2):
            publisher_of(client, recorded, timeout=0.01).publish("forgotten/x", "x", 1)
        return weakref.ref(client)

    gc.disable()
    try:
        forgotten = publish_once()
        until(lambda: len(recorded.spans) == 2, "the sweep has seen both")
        until(lambda: forgotten() is None, "the client is gone")
    finally:
        gc.enable()
