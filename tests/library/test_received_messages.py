"""Messages of other libraries than paho, and of a program's own classes."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import aiomqtt
import pytest
from opentelemetry.trace import SpanKind
from paho.mqtt.client import MQTTMessage
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from mqtt_trace import Options, ReceivedMessage, TracedConsumer
from tests.library.harness import Recorded, parent_id

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = ("traceparent", f"00-{TRACE}-{SPAN}-01")
TOPIC = "sensors/s1/reading"

SYSTEM = {
    "messaging.system": "mqtt",
    "messaging.operation.name": "process",
    "messaging.operation.type": "process",
    "messaging.destination.name": TOPIC,
    "messaging.destination.template": "sensors/+/reading",
}
SIZED = SYSTEM | {"messaging.message.body.size": 5}
FLAGS = {"mqtt.qos": 1, "mqtt.retain": False}


def properties_with(*user_properties: tuple[str, str]) -> Properties:
    """PUBLISH properties of paho."""
    properties = Properties(PacketTypes.PUBLISH)
    properties.UserProperty = list(user_properties)
    return properties


def paho_message() -> MQTTMessage:
    """A message of paho's."""
    message = MQTTMessage(topic=TOPIC.encode())
    message.payload, message.qos, message.properties = b"hello", 1, properties_with(TRACEPARENT)
    return message


def aiomqtt_message(*, retain: bool = False, properties: Properties | None = None) -> aiomqtt.Message:
    """A message of aiomqtt's."""
    return aiomqtt.Message(TOPIC, b"hello", 1, retain, 7, properties or properties_with(TRACEPARENT))


@dataclass
class OwnMessage:
    """A message that a program creates from the arguments of gmqtt and fastapi-mqtt callbacks."""

    topic: str
    payload: str | bytes
    properties: object = None


def consumer_of(recorded: Recorded, **options: Any) -> TracedConsumer:
    """A consumer without a client, which records in memory."""
    return TracedConsumer(
        None,
        ["sensors/+/reading"],
        tracer_provider=recorded.tracer_provider,
        meter_provider=recorded.meter_provider,
        options=Options(**options),
    )


@pytest.mark.parametrize(
    ("message", "attributes"),
    [
        (paho_message(), SIZED | FLAGS | {"mqtt.duplicate": False}),
        (aiomqtt_message(), SIZED | FLAGS),
        (OwnMessage(TOPIC, "hello", properties_with(TRACEPARENT)), SIZED),
        (OwnMessage(TOPIC, b"hello", SimpleNamespace(UserProperty=[TRACEPARENT])), SIZED),
        (
            SimpleNamespace(
                topic=TOPIC.encode(),
                payload=bytearray(b"hello"),
                qos=0,
                retain=0,
                dup=1,
                properties=SimpleNamespace(UserProperty=(TRACEPARENT,), SubscriptionIdentifier=None),
            ),
            SIZED | {"mqtt.qos": 0, "mqtt.retain": False, "mqtt.duplicate": True},
        ),
        (
            SimpleNamespace(
                topic=aiomqtt.Topic(TOPIC),
                payload={"reading": 21},
                properties=SimpleNamespace(
                    UserProperty=[TRACEPARENT], CorrelationData="request-7", ResponseTopic="answers/7"
                ),
            ),
            SYSTEM | {"messaging.message.conversation_id": "request-7", "mqtt.response_topic": "answers/7"},
        ),
    ],
    ids=["paho", "aiomqtt", "text", "bytes", "flags as numbers", "decoded"],
)
def test_a_message_is_described_by_what_it_has(recorded: Recorded, message: ReceivedMessage, attributes: Any) -> None:
    """The context of a message is continued, and its span has only the available attributes."""
    with consumer_of(recorded).process(message):
        pass
    (span,) = recorded.spans
    assert (span.name, span.kind) == (f"process {TOPIC}", SpanKind.CONSUMER)
    assert (span.context.trace_id, parent_id(span)) == (int(TRACE, 16), int(SPAN, 16))
    assert dict(span.attributes) == attributes


@pytest.mark.parametrize(
    "message",
    [
        aiomqtt.Message(TOPIC, b"hello", 0, False, 0, None),  # noqa: FBT003 - aiomqtt's parameter
        OwnMessage(TOPIC, ""),
        OwnMessage(TOPIC, "", {"user_property": [TRACEPARENT]}),
        OwnMessage(TOPIC, "", SimpleNamespace(UserProperty=None)),
        SimpleNamespace(topic=TOPIC, payload=None),
    ],
    ids=["MQTT 3.1.1", "no properties", "a dictionary", "none of them", "no payload"],
)
def test_a_message_without_user_properties_is_missing_context(recorded: Recorded, message: ReceivedMessage) -> None:
    """A message without user properties has no context, even if it lacks other attributes."""
    with consumer_of(recorded).process(message):
        pass
    (span,) = recorded.spans
    assert span.parent is None
    assert span.attributes["mqtt.missing_context_reason"] == "absent"


def test_retained_messages_of_other_libraries_are_linked(recorded: Recorded) -> None:
    """Retained messages of other libraries are linked."""
    with consumer_of(recorded).process(aiomqtt_message(retain=True)):
        pass
    (span,) = recorded.spans
    assert span.parent is None
    assert [f"{link.context.span_id:016x}" for link in span.links] == [SPAN]


@pytest.mark.parametrize("encode", [str, str.encode, lambda text: bytearray(text.encode())])
def test_the_fallback_reads_text_and_bytes(recorded: Recorded, encode: Callable[[str], Any]) -> None:
    """The fallback reads payloads as text and as bytes."""
    payload = encode(json.dumps({"reading": 21, "_trace": dict([TRACEPARENT])}))
    with consumer_of(recorded, json_fallback=True).process(SimpleNamespace(topic=TOPIC, payload=payload)):
        pass
    assert parent_id(recorded.spans[0]) == int(SPAN, 16)


def test_a_batch_takes_messages_of_any_library(recorded: Recorded) -> None:
    """A batch may mix messages of different libraries, and each link has its message's attributes."""
    mixed: list[ReceivedMessage] = [
        aiomqtt_message(),
        paho_message(),
        OwnMessage(TOPIC, "hi", properties_with(TRACEPARENT)),
    ]
    with consumer_of(recorded).process_batch(mixed, link_attributes=lambda message: {"kind": type(message).__name__}):
        pass
    (span,) = recorded.spans
    assert (span.name, span.attributes["messaging.batch.message_count"]) == (f"process {TOPIC}", 3)
    size = "messaging.message.body.size"
    assert [dict(link.attributes or {}) for link in span.links] == [
        {"kind": "Message", size: 5, "mqtt.qos": 1, "mqtt.retain": False},
        {"kind": "MQTTMessage", size: 5, "mqtt.qos": 1, "mqtt.retain": False, "mqtt.duplicate": False},
        {"kind": "OwnMessage", size: 2},
    ]


def test_the_link_attributes_of_a_batch_are_called_with_the_programs_own_kind_of_message(recorded: Recorded) -> None:
    """`link_attributes` gets the program's own kind of message, which a type checker knows."""

    def link_attributes(message: aiomqtt.Message) -> dict[str, str]:
        return {"sensor": message.topic.value.split("/")[1]}

    with consumer_of(recorded).process_batch([aiomqtt_message(), aiomqtt_message()], link_attributes=link_attributes):
        pass
    assert [dict(link.attributes or {}) for link in recorded.spans[0].links] == [{"sensor": "s1"}] * 2
