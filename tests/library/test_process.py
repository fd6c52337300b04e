"""Process spans for messages from a real broker."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest
from opentelemetry import baggage, trace
from opentelemetry.trace import SpanKind, StatusCode
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from local.mosquitto import Mosquitto
from local.waiting import DEADLINE_S, until
from mqtt_trace import Conventions, Options, Relation, TracedConsumer, TracedPublisher
from tests.library.harness import Connect, Inbox, MakeBroker, Recorded, parent_id

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def consumer_of(recorded: Recorded, client: Client | None = None, *filters: str, **options: Any) -> TracedConsumer:
    """A consumer that records in memory."""
    return TracedConsumer(
        client,
        filters,
        tracer_provider=recorded.tracer_provider,
        meter_provider=recorded.meter_provider,
        options=Options(**options),
    )


def properties_with(*user_properties: tuple[str, str]) -> Properties:
    """PUBLISH properties as another program would set them."""
    properties = Properties(PacketTypes.PUBLISH)
    properties.UserProperty = list(user_properties)
    return properties


def test_a_process_span_is_exactly_this(
    broker: Mosquitto, connect: Connect, recorded: Recorded, inbox: type[Inbox]
) -> None:
    """Name, kind, parent and every attribute of an ordinary message, through a shared subscription; and no link."""
    receiver = connect(broker, "exact-consumer")
    received = inbox(receiver, "$share/workers/exact/+/reading")
    properties = properties_with(("traceparent", TRACEPARENT))
    properties.CorrelationData = b"request-7"
    connect(broker).publish("exact/s1/reading", "hello", 1, properties=properties)
    (message,) = received.wait()
    with consumer_of(recorded, receiver, "$share/workers/exact/+/reading").process(message, message_id="m-1"):
        pass
    (span,) = recorded.spans
    assert (span.name, span.kind) == ("process exact/s1/reading", SpanKind.CONSUMER)
    assert f"{span.context.trace_id:032x}" == TRACEPARENT[3:35]
    assert parent_id(span) == int(TRACEPARENT[36:52], 16)
    assert not span.links
    assert dict(span.attributes) == {
        "messaging.system": "mqtt",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": "exact/s1/reading",
        "messaging.destination.template": "exact/+/reading",
        "messaging.consumer.group.name": "workers",
        "messaging.message.id": "m-1",
        "messaging.message.conversation_id": "request-7",
        "messaging.client.id": "exact-consumer",
        "messaging.message.body.size": 5,
        "server.address": broker.host,
        "server.port": broker.port,
        "network.protocol.version": "5.0",
        "mqtt.qos": 1,
        "mqtt.retain": False,
        "mqtt.duplicate": False,
    }


@pytest.mark.parametrize(
    ("user_properties", "reason"),
    [
        ([], "absent"),
        ([("other", "x")], "absent"),
        ([("traceparent", "garbage")], "malformed"),
        ([("traceparent", TRACEPARENT), ("traceparent", TRACEPARENT)], "duplicate"),
        ([(f"k{n}", "v" * 200) for n in range(300)], "absent"),
        ([("traceparent", "binary \u00ff\ufffd" * 1000)], "malformed"),
    ],
)
def test_a_message_without_usable_context_starts_a_trace_that_says_why(
    broker: Mosquitto,
    connect: Connect,
    recorded: Recorded,
    inbox: type[Inbox],
    user_properties: list[tuple[str, str]],
    reason: str,
) -> None:
    """A root, `mqtt.missing_context=true`, the reason, and a counter by reason; also inside another span."""
    receiver = connect(broker)
    received = inbox(receiver, "missing/#")
    connect(broker).publish("missing/x", "x", 1, properties=properties_with(*user_properties))
    (message,) = received.wait()
    tracer = recorded.tracer_provider.get_tracer("test")
    with tracer.start_as_current_span("unrelated"), consumer_of(recorded, receiver).process(message):
        pass
    span = recorded.spans[0]
    assert span.parent is None
    assert not span.links
    assert span.attributes["mqtt.missing_context"] is True
    assert span.attributes["mqtt.missing_context_reason"] == reason
    (point,) = recorded.points("mqtt.client.missing_contexts")
    assert (point.value, point.attributes["mqtt.missing_context_reason"]) == (1, reason)


def test_an_mqtt_311_consumer_cannot_see_a_context(
    broker: Mosquitto, connect: Connect, recorded: Recorded, inbox: type[Inbox]
) -> None:
    """The reason names the consumer's own connection, which user properties do not reach."""
    receiver = connect(broker, protocol=MQTTProtocolVersion.MQTTv311)
    received = inbox(receiver, "old/#")
    connect(broker).publish("old/x", "x", 1, properties=properties_with(("traceparent", TRACEPARENT)))
    (message,) = received.wait()
    with consumer_of(recorded, receiver).process(message):
        pass
    assert recorded.spans[0].attributes["mqtt.missing_context_reason"] == "mqtt311"
    assert recorded.spans[0].attributes["network.protocol.version"] == "3.1.1"


def test_the_json_fallback_connects_mqtt_311_programs(
    broker: Mosquitto, connect: Connect, recorded: Recorded, inbox: type[Inbox]
) -> None:
    """With the option on both sides, the payload carries the context and is otherwise unchanged."""
    receiver = connect(broker, protocol=MQTTProtocolVersion.MQTTv311)
    received = inbox(receiver, "fallback/#")
    sender = connect(broker, protocol=MQTTProtocolVersion.MQTTv311)
    publisher = TracedPublisher(sender, tracer_provider=recorded.tracer_provider, options=Options(json_fallback=True))
    publisher.publish("fallback/x", json.dumps({"reading": 21}), 1)
    (message,) = received.wait()
    payload = json.loads(message.payload)
    assert payload.pop("_trace").keys() == {"traceparent"}
    assert payload == {"reading": 21}
    with consumer_of(recorded, receiver, json_fallback=True).process(message):
        pass
    process = next(span for span in recorded.spans if span.kind is SpanKind.CONSUMER)
    assert process.attributes.get("mqtt.missing_context") is None
    assert process.parent is not None


def test_the_payload_is_left_alone_without_the_fallback(
    broker: Mosquitto, connect: Connect, recorded: Recorded, inbox: type[Inbox]
) -> None:
    """By default no key is added to the payload, and none is read."""
    receiver = connect(broker)
    received = inbox(receiver, "nofallback/#")
    sender = connect(broker, protocol=MQTTProtocolVersion.MQTTv311)
    payload = json.dumps({"_trace": {"traceparent": TRACEPARENT}})
    TracedPublisher(sender, tracer_provider=recorded.tracer_provider).publish("nofallback/x", payload, 1)
    (message,) = received.wait()
    assert message.payload.decode() == payload
    with consumer_of(recorded, receiver).process(message) as span:
        assert f"{span.get_span_context().trace_id:032x}" != TRACEPARENT[3:35]


@pytest.mark.parametrize(
    ("options", "is_child", "is_linked"),
    [
        (Options(), True, False),
        (Options(relation=Relation.PARENT), True, False),
        (Options(relation=Relation.LINK), False, True),
        (Options(relation=Relation.BOTH), True, True),
        (Options(conventions=Conventions.STABLE), True, True),
        (Options(conventions=Conventions.DUPLICATE), True, True),
        (Options(conventions=Conventions.STABLE, relation=Relation.PARENT), True, False),
        (Options(conventions=Conventions.DUPLICATE, relation=Relation.LINK), False, True),
    ],
)
def test_one_edge_leads_to_the_publish_span_unless_both_are_asked_for(
    broker: Mosquitto,
    connect: Connect,
    recorded: Recorded,
    inbox: type[Inbox],
    options: Options,
    is_child: bool,
    is_linked: bool,
) -> None:
    """The publish span is either parent or link unless both are chosen: Jaeger's API would lose the parent."""
    receiver = connect(broker)
    received = inbox(receiver, "related/#")
    connect(broker).publish("related/x", "x", 1, properties=properties_with(("traceparent", TRACEPARENT)))
    (message,) = received.wait()
    consumer = TracedConsumer(receiver, tracer_provider=recorded.tracer_provider, options=options)
    with consumer.process(message):
        pass
    (span,) = recorded.spans
    references = [] if span.parent is None else [("CHILD_OF", f"{span.parent.span_id:016x}")]
    references += [("FOLLOWS_FROM", f"{link.context.span_id:016x}") for link in span.links]
    wanted = {"CHILD_OF": is_child, "FOLLOWS_FROM": is_linked}
    assert references == [(kind, TRACEPARENT[36:52]) for kind, is_there in wanted.items() if is_there]


@pytest.mark.parametrize("relation", list(Relation))
def test_a_message_without_context_has_neither_parent_nor_link(recorded: Recorded, relation: Relation) -> None:
    """Without a context there is neither parent nor link."""
    message = MQTTMessage(topic=b"alone/x")
    with consumer_of(recorded, relation=relation).process(message):
        pass
    assert (recorded.spans[0].parent, list(recorded.spans[0].links)) == (None, [])


@pytest.mark.parametrize(
    ("retain", "relation"), [(True, Relation.PARENT), (True, Relation.BOTH), (False, Relation.LINK)]
)
def test_retained_messages_and_the_link_policy_start_a_linked_trace(
    make_broker: MakeBroker, connect: Connect, recorded: Recorded, inbox: type[Inbox], retain: bool, relation: Relation
) -> None:
    """A retained message, which may be days old, starts a new trace with a link to the publish span."""
    broker = make_broker()
    sender, receiver = connect(broker), connect(broker)
    received = None if retain else inbox(receiver, "linked/#")
    sender.publish("linked/x", "x", 1, retain, properties_with(("traceparent", TRACEPARENT))).wait_for_publish(10)
    received = received or inbox(receiver, "linked/#")
    (message,) = received.wait()
    with consumer_of(recorded, receiver, relation=relation).process(message):
        pass
    (span,) = recorded.spans
    assert span.parent is None
    assert [f"{link.context.trace_id:032x}" for link in span.links] == [TRACEPARENT[3:35]]
    assert f"{span.context.trace_id:032x}" != TRACEPARENT[3:35]
    assert span.attributes["mqtt.retain"] is retain
    assert "mqtt.missing_context" not in span.attributes


def test_the_process_span_is_current_while_it_lasts(
    broker: Mosquitto, connect: Connect, recorded: Recorded, inbox: type[Inbox]
) -> None:
    """Spans of the processing are its children, and the baggage of the message is current."""
    receiver = connect(broker)
    received = inbox(receiver, "current/#")
    properties = properties_with(("traceparent", TRACEPARENT), ("baggage", "tenant=acme"))
    connect(broker).publish("current/x", "x", 1, properties=properties)
    (message,) = received.wait()
    with consumer_of(recorded, receiver).process(message) as span:
        assert trace.get_current_span() is span
        assert baggage.get_all() == {"tenant": "acme"}
        recorded.tracer_provider.get_tracer("test").start_span("work").end()
    assert not trace.get_current_span().get_span_context().is_valid
    assert baggage.get_all() == {}
    work, process = recorded.spans
    assert parent_id(work) == process.context.span_id


def test_an_exception_is_recorded_and_goes_on(
    broker: Mosquitto, connect: Connect, recorded: Recorded, inbox: type[Inbox]
) -> None:
    """The exception propagates to the caller, and the span and the metric name its type."""
    receiver = connect(broker)
    received = inbox(receiver, "failing/#")
    connect(broker).publish("failing/x", "x", 1)
    (message,) = received.wait()
    with pytest.raises(KeyError), consumer_of(recorded, receiver).process(message):
        raise KeyError("nope")
    (span,) = recorded.spans
    assert (span.status.status_code, span.attributes["error.type"]) == (StatusCode.ERROR, "KeyError")
    assert [event.name for event in span.events] == ["exception"]
    (point,) = recorded.points("messaging.process.duration")
    assert point.attributes["error.type"] == "KeyError"


@pytest.mark.parametrize("payload", ["5", "[1]", "null", '"x"', "not json", b"\xff\xfe"])
def test_a_handler_that_fails_does_not_end_the_network_thread(
    broker: Mosquitto,
    connect: Connect,
    recorded: Recorded,
    payload: str | bytes,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Messages before and after a failing one are handled, and the failure is recorded."""
    receiver, sender = connect(broker), connect(broker)
    handled: list[float] = []

    def handle(_client: Client, _userdata: Any, message: Any) -> None:
        handled.append(json.loads(message.payload)["reading"])

    receiver.on_message = consumer_of(recorded, receiver).handler(handle)
    subscribed = threading.Event()
    receiver.on_subscribe = lambda *_: subscribed.set()
    receiver.subscribe("poison/#", 1)
    assert subscribed.wait(DEADLINE_S)
    for one in ('{"reading": 1}', payload, '{"reading": 2}'):
        sender.publish("poison/x", one, 1)
    until(lambda: handled == [1, 2], "both readings were handled")
    statuses = [span.status.status_code for span in recorded.spans]
    assert statuses.count(StatusCode.ERROR) == 1
    assert "poison/x" in caplog.text


@pytest.mark.parametrize("protocol", [MQTTProtocolVersion.MQTTv31, MQTTProtocolVersion.MQTTv311])
def test_an_older_publisher_is_missing_context(
    broker: Mosquitto, connect: Connect, recorded: Recorded, inbox: type[Inbox], protocol: MQTTProtocolVersion
) -> None:
    """For an MQTT 5 consumer the reason is `absent`, as with a publisher that does not inject."""
    receiver = connect(broker)
    received = inbox(receiver, "older/#")
    connect(broker, f"older-{protocol}", protocol=protocol).publish("older/x", "x", 1)
    (message,) = received.wait()
    with consumer_of(recorded, receiver).process(message):
        pass
    attributes = recorded.spans[0].attributes
    assert (attributes["mqtt.missing_context"], attributes["mqtt.missing_context_reason"]) == (True, "absent")


def test_a_topic_that_is_no_text_is_handled_all_the_same(caplog: pytest.LogCaptureFixture, recorded: Recorded) -> None:
    """A message on a topic that is not UTF-8 is handled, and its failure is logged with the readable part."""
    message = MQTTMessage(topic=b"bad/\xff")
    message.properties = Properties(PacketTypes.PUBLISH)
    client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)

    def handle(*_: object) -> None:
        raise RuntimeError

    consumer_of(recorded).handler(handle)(client, None, message)
    assert "bad/\N{REPLACEMENT CHARACTER}" in caplog.text
    assert recorded.spans[0].name == "process bad/\N{REPLACEMENT CHARACTER}"
