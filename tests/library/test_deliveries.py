"""Attributes of a process span about the delivery of its message."""

from __future__ import annotations

import queue
import threading
import uuid
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
from mqtt_trace import Conventions, Options, TracedConsumer, TracedPublisher
from tests.library.harness import Connect, Inbox, Recorded, parent_id


def consumer_of(recorded: Recorded, client: Client, **arguments: Any) -> TracedConsumer:
    """A consumer that records in memory."""
    return TracedConsumer(
        client, tracer_provider=recorded.tracer_provider, meter_provider=recorded.meter_provider, **arguments
    )


def subscribe(client: Client, topic_filter: str, identifier: int) -> None:
    """Subscribe with a Subscription Identifier, and return after SUBACK."""
    subscribed = threading.Event()
    client.on_subscribe = lambda *_: subscribed.set()
    properties = Properties(PacketTypes.SUBSCRIBE)
    properties.SubscriptionIdentifier = identifier
    client.subscribe(topic_filter, 1, properties=properties)
    assert subscribed.wait(DEADLINE_S), "no SUBACK"


def test_identifiers_tell_overlapping_subscriptions_apart(
    broker: Mosquitto, connect: Connect, recorded: Recorded
) -> None:
    """Each copy names its subscription, and a copy for several subscriptions the most specific one."""
    filters = {1: "overlap/#", 2: "overlap/+/reading", 3: "$share/workers/overlap/s1/reading"}
    expected = {1: ("overlap/#", None), 2: ("overlap/+/reading", None), 3: ("overlap/s1/reading", "workers")}
    receiver = connect(broker)
    received: queue.Queue[MQTTMessage] = queue.Queue()
    receiver.on_message = lambda _client, _userdata, message: received.put(message)
    for identifier, topic_filter in filters.items():
        subscribe(receiver, topic_filter, identifier)
    connect(broker).publish("overlap/s1/reading", "x", 1)
    consumer = consumer_of(recorded, receiver, subscription_identifiers=filters)
    seen: set[int] = set()
    while seen != filters.keys():
        message = received.get(timeout=DEADLINE_S)
        with consumer.process(message):
            pass
        identifiers: list[int] = vars(message.properties)["SubscriptionIdentifier"]
        seen.update(identifiers)
        attributes = recorded.spans[-1].attributes
        found = (attributes["messaging.destination.template"], attributes.get("messaging.consumer.group.name"))
        assert found == expected[max(identifiers)]


@pytest.fixture
def session(broker: Mosquitto) -> Iterator[Callable[..., Client]]:
    """Connect with a session that outlives its connections, and acknowledge nothing."""
    clients: list[Client] = []

    def connect_again(client_id: str, received: queue.Queue[MQTTMessage]) -> Client:
        client = Client(CallbackAPIVersion.VERSION2, client_id, protocol=MQTTProtocolVersion.MQTTv5, manual_ack=True)
        up = threading.Event()
        client.on_connect = lambda *_: up.set()
        client.on_message = lambda _client, _userdata, message: received.put(message)
        properties = Properties(PacketTypes.CONNECT)
        properties.SessionExpiryInterval = 60
        client.connect(broker.host, broker.port, clean_start=False, properties=properties)
        client.loop_start()
        clients.append(client)
        assert up.wait(DEADLINE_S), "no CONNACK"
        return client

    yield connect_again
    for client in clients:
        client.disconnect()
        client.loop_stop()


def test_a_delivery_that_comes_again_is_marked(
    broker: Mosquitto, connect: Connect, session: Callable[..., Client], recorded: Recorded
) -> None:
    """A redelivered message gets a second span in the same trace, with `mqtt.duplicate=true`."""
    received: queue.Queue[MQTTMessage] = queue.Queue()
    client_id = f"redelivered-{uuid.uuid4().hex}"
    first = session(client_id, received)
    subscribe(first, "again/x", 1)
    TracedPublisher(connect(broker), tracer_provider=recorded.tracer_provider).publish("again/x", "x", 1)
    messages = [received.get(timeout=DEADLINE_S)]
    first.disconnect()
    first.loop_stop()
    second = session(client_id, received)
    messages.append(received.get(timeout=DEADLINE_S))
    consumer = consumer_of(recorded, second, subscription_identifiers={1: "again/+"})
    for message in messages:
        with consumer.process(message):
            pass
    spans = [span for span in recorded.spans if span.kind is SpanKind.CONSUMER]
    assert [span.attributes["mqtt.duplicate"] for span in spans] == [False, True]
    assert len({(span.context.trace_id, parent_id(span)) for span in spans}) == 1


@pytest.mark.parametrize("conventions", list(Conventions))
def test_what_the_messages_of_a_batch_differ_in_is_on_their_links(
    broker: Mosquitto, connect: Connect, recorded: Recorded, inbox: type[Inbox], conventions: Conventions
) -> None:
    """The span has the shared attributes; each link has its message's topic and size, and the program's additions."""
    receiver = connect(broker)
    topic = f"linked-{conventions.name.lower()}"
    received = inbox(receiver, f"{topic}/#")
    publisher = TracedPublisher(connect(broker), tracer_provider=recorded.tracer_provider)
    for number in range(3):
        publisher.publish(f"{topic}/{number}", "x" * number, 1)
    consumer = consumer_of(recorded, receiver, subscriptions=[f"{topic}/+"], options=Options(conventions=conventions))
    messages = received.wait(3)
    with consumer.process_batch(
        messages, link_attributes=lambda message: {"messaging.message.id": f"m-{len(message.payload)}"}
    ):
        pass
    batch = next(span for span in recorded.spans if span.kind is SpanKind.CONSUMER)
    older = "messaging.message.payload_size_bytes"
    assert [dict(link.attributes or {}) for link in batch.links] == [
        {
            "messaging.destination.name": f"{topic}/{number}",
            "messaging.message.body.size": number,
            "messaging.message.id": f"m-{number}",
        }
        | ({older: number} if conventions is Conventions.DUPLICATE else {})
        for number in range(3)
    ]
    assert batch.attributes["messaging.destination.template"] == f"{topic}/+"
    assert batch.attributes["mqtt.qos"] == 1
    assert not {"messaging.destination.name", "messaging.message.body.size"} & batch.attributes.keys()


def test_a_request_without_correlation_data_is_known_by_its_response_topic(
    broker: Mosquitto, connect: Connect, recorded: Recorded, inbox: type[Inbox]
) -> None:
    """The response topic is the conversation id, because the requester has no other (MQTT 5, section 4.10)."""
    receiver = connect(broker)
    received = inbox(receiver, "asked/#")
    request = Properties(PacketTypes.PUBLISH)
    request.ResponseTopic = "answers/7"
    publisher = TracedPublisher(connect(broker), tracer_provider=recorded.tracer_provider)
    publisher.publish("asked/x", "x", 1, properties=request)
    with consumer_of(recorded, receiver).process(received.wait()[0]):
        pass
    until(lambda: len(recorded.spans) == 2, "both spans ended")
    for span in recorded.spans:
        assert span.attributes["mqtt.response_topic"] == "answers/7"
        assert span.attributes["messaging.message.conversation_id"] == "answers/7"


@pytest.mark.parametrize(
    ("correlation", "conversation"),
    [(b"request-7", "request-7"), (b"\xff\x00", "ff00"), ("Käse".encode(), "Käse"), (b"a\nb", "610a62")],
)
def test_correlation_data_is_text_where_it_can_be(
    broker: Mosquitto, connect: Connect, recorded: Recorded, inbox: type[Inbox], correlation: bytes, conversation: str
) -> None:
    """Correlation data (MQTT 5, section 3.3.2.3.6) that is not printable text is recorded in hexadecimal."""
    receiver = connect(broker)
    received = inbox(receiver, f"correlated/{conversation}")
    properties = Properties(PacketTypes.PUBLISH)
    properties.CorrelationData = correlation
    connect(broker).publish(f"correlated/{conversation}", "x", 1, properties=properties)
    with consumer_of(recorded, receiver).process(received.wait()[0]):
        pass
    assert recorded.spans[0].attributes["messaging.message.conversation_id"] == conversation


def test_a_topic_that_only_an_alias_stands_for_has_no_name(recorded: Recorded) -> None:
    """If the broker uses a Topic Alias, paho has no topic, and the span is named `process`."""
    message = MQTTMessage(topic=b"")
    message.properties = Properties(PacketTypes.PUBLISH)
    client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    with consumer_of(recorded, client, subscriptions=["#"]).process(message):
        pass
    assert recorded.spans[0].name == "process"
    assert "messaging.destination.name" not in recorded.spans[0].attributes
