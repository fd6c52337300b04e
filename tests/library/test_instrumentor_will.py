"""The will of an instrumented program, published by a real broker."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from opentelemetry.trace import SpanKind
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from local.mosquitto import Mosquitto
from local.waiting import DEADLINE_S, until
from tests.library.harness import Connect, EndedSpan, Instrument, Recorded, parent_id
from tests.library.looping import loop_until


def process_spans(recorded: Recorded) -> list[EndedSpan]:
    """The ended process spans."""
    return [span for span in recorded.spans if span.kind is SpanKind.CONSUMER]


def subscribe(client: Client, *filters: str) -> None:
    """Subscribe a client that has a network thread, and return after SUBACK."""
    for topic_filter in filters:
        subscribed = threading.Event()
        client.on_subscribe = lambda *_, subscribed=subscribed: subscribed.set()
        client.subscribe(topic_filter, 1)
        assert subscribed.wait(DEADLINE_S), "no SUBACK"


@pytest.fixture
def willing(broker: Mosquitto, instrument: Instrument) -> Iterator[Callable[..., Client]]:
    """Instrumented clients with a will, connected; breaking their connection makes the broker publish it."""
    instrument()
    clients: list[Client] = []

    def connect_one(topic: str, protocol: MQTTProtocolVersion, properties: Properties | None = None) -> Client:
        client = Client(CallbackAPIVersion.VERSION2, f"willing-{len(clients)}", protocol=protocol)
        client.will_set(topic, "gone", 1, properties=properties)
        client.connect(broker.host, broker.port)
        clients.append(client)
        loop_until(client, client.is_connected, "a CONNACK")
        return client

    yield connect_one
    for client in clients:
        client.disconnect()


def break_off(client: Client) -> None:
    """Let the broker find the connection gone."""
    sock: Any = client.socket()
    sock.shutdown(socket.SHUT_RDWR)


def test_a_will_is_one_trace_with_the_connect_that_left_it(
    broker: Mosquitto, connect: Connect, recorded: Recorded, willing: Callable[..., Client]
) -> None:
    """Each connect creates a new context; the program's own properties of the will arrive unchanged."""
    heir = connect(broker)
    received: list[MQTTMessage] = []
    heir.on_message = lambda _client, _userdata, message: received.append(message)
    subscribe(heir, "wills/mine")
    own = Properties(PacketTypes.WILLMESSAGE)
    own.UserProperty = ("site", "hq")
    own.ContentType = "text/plain"
    before = own.json()
    with recorded.tracer_provider.get_tracer("test").start_as_current_span("connecting") as connecting:
        client = willing("wills/mine", MQTTProtocolVersion.MQTTv5, own)
    for count in (1, 2):
        break_off(client)
        until(lambda count=count: len(process_spans(recorded)) == count, "the will was processed")  # type: ignore[misc] # mypy does not infer a lambda with a default
        client.reconnect()
        loop_until(client, client.is_connected, "a CONNACK")
    assert own.json() == before
    assert client._will_properties is own  # noqa: SLF001 - nothing public tells
    creates = [span for span in recorded.spans if span.name == "create wills/mine"]
    assert [span.kind for span in creates] == [SpanKind.PRODUCER] * 3
    assert parent_id(creates[0]) == connecting.get_span_context().span_id
    assert [parent_id(span) for span in process_spans(recorded)] == [one.context.span_id for one in creates[:2]]
    assert creates[0].attributes["messaging.operation.type"] == "create"
    for message in received:
        properties: Any = message.properties
        assert properties.ContentType == "text/plain"
        assert [name for name, _ in properties.UserProperty] == ["site", "traceparent"]


def test_a_will_of_mqtt_311_is_left_alone(
    broker: Mosquitto, connect: Connect, recorded: Recorded, willing: Callable[..., Client]
) -> None:
    """A will of MQTT 3.1.1, which has no properties, gets no span."""
    heir = connect(broker)
    heir.on_message = lambda *_: None
    subscribe(heir, "wills/old")
    break_off(willing("wills/old", MQTTProtocolVersion.MQTTv311))
    until(lambda: len(recorded.spans) == 1, "the will was processed")
    (span,) = recorded.spans
    assert (span.name, span.attributes["mqtt.missing_context_reason"]) == ("process wills/old", "absent")
