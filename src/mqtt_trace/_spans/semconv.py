"""Span and metric attributes, as the OpenTelemetry messaging conventions name them (1.44, in development).

The conventions' names are spelled out here because the Python package keeps them in a private module that changes
between minor releases.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, NamedTuple

from opentelemetry.util.types import AttributeValue
from paho.mqtt.client import Client, MQTTv5, MQTTv31, MQTTv311
from paho.mqtt.properties import Properties

from mqtt_trace._message import ReceivedMessage
from mqtt_trace._options import Conventions
from mqtt_trace._paho.client import client_id_of, identity
from mqtt_trace._spans.payload import received_bytes

Attributes = dict[str, AttributeValue]

MESSAGE_ID = "messaging.message.id"
BODY_SIZE = "messaging.message.body.size"
BATCH_MESSAGE_COUNT = "messaging.batch.message_count"
DESTINATION = "messaging.destination.name"
TEMPLATE = "messaging.destination.template"
GROUP = "messaging.consumer.group.name"
ERROR_TYPE = "error.type"
REASON_CODE = "mqtt.reason_code"
MISSING_CONTEXT = "mqtt.missing_context"
MISSING_CONTEXT_REASON = "mqtt.missing_context_reason"
OMITTED_CONTEXT = "mqtt.omitted_context"
OMITTED_CONTEXT_REASON = "mqtt.omitted_context_reason"
UNTRUSTED_CONTEXT = "mqtt.untrusted_context"
CONVERSATION = "messaging.message.conversation_id"
RESPONSE_TOPIC = "mqtt.response_topic"
RETAIN = "mqtt.retain"

_METRIC_KEYS = frozenset(
    (
        "messaging.system",
        "messaging.operation.name",
        "messaging.operation.type",
        TEMPLATE,
        GROUP,
        "server.address",
        "server.port",
    )
)
"""What a metric is split by: everything of low cardinality. A topic names a device, so it is left to the spans."""

_OLDER_NAMES = {
    "messaging.operation.name": "messaging.operation",
    "messaging.client.id": "messaging.client_id",
    BODY_SIZE: "messaging.message.payload_size_bytes",
    "server.address": "net.peer.name",
    "server.port": "net.peer.port",
}

_VERSIONS: dict[int, str] = {MQTTv31: "3.1", MQTTv311: "3.1.1", MQTTv5: "5.0"}


class Operation(StrEnum):
    """What a span does with a message."""

    CREATE = "create"
    PUBLISH = "publish"
    PROCESS = "process"


def span_name(operation: Operation, attributes: Mapping[str, AttributeValue], conventions: Conventions) -> str:
    """`publish sensors/s1/reading`, as the guide has it; by the template (conventions 1.44, "Span name") if opted in.

    A batch of several topics has only the template. Behind a topic alias that is not known there is nothing to name.
    """
    has_topic = DESTINATION in attributes or BATCH_MESSAGE_COUNT not in attributes
    template = None if conventions is Conventions.GUIDE and has_topic else attributes.get(TEMPLATE)
    destination = template or attributes.get(DESTINATION)
    return encodable(f"{operation} {destination}") if destination else operation.value


def encodable(text: str) -> str:
    """The text with escapes for halves of surrogate pairs: over one in a span's name exporters lose the whole batch."""
    return text if text.isascii() else text.encode(errors="backslashreplace").decode()


def operation_attributes(client: Client | None, operation: Operation, conventions: Conventions) -> Attributes:
    """What all spans of one operation of one client share."""
    renamed = operation is Operation.PUBLISH and conventions is not Conventions.GUIDE
    attributes: Attributes = {
        "messaging.system": "mqtt",
        "messaging.operation.name": operation.value,
        "messaging.operation.type": "send" if renamed else operation.value,
    }
    if client is None:
        return attributes
    # A stand-in for a client, as unit tests have them, says what it has.
    host, port, protocol = (getattr(client, name, None) for name in ("host", "port", "protocol"))
    if isinstance(host, str) and host:
        attributes["server.address"] = host
        if isinstance(port, int) and getattr(client, "transport", None) != "unix":
            attributes["server.port"] = port
    if client_id := _text(client_id_of(client)):
        attributes["messaging.client.id"] = client_id
    if isinstance(protocol, int):
        attributes["network.protocol.version"] = _VERSIONS.get(protocol, "3.1.1")
    return attributes


class ClientAttributes(NamedTuple):
    """What all spans of one operation of one client share, and what of that a metric is split by."""

    span: Attributes
    metric: Attributes

    def metric_with(self, more: Mapping[str, AttributeValue]) -> Attributes:
        """What a metric is split by when a span has more attributes; callers must not change it."""
        if _METRIC_KEYS.isdisjoint(more):
            return self.metric
        return {**self.metric, **metric_attributes(more)}


class SharedAttributes:
    """What all spans of one operation of one client share, until the client gets another broker, id or protocol.

    Args:
        operation: What the spans do.
        conventions: Names of the conventions.
    """

    def __init__(self, operation: Operation, conventions: Conventions) -> None:
        self._operation = operation
        self._conventions = conventions
        self._known = ClientAttributes({}, {})
        self._known_for: object = self

    def describe(self, client: Client | None) -> ClientAttributes:
        """Return the attributes, which callers must not change."""
        key = None if client is None else identity(client)
        if self._known_for != key:
            attributes = operation_attributes(client, self._operation, self._conventions)
            self._known = ClientAttributes(attributes, metric_attributes(attributes))
            self._known_for = key
        return self._known


def message_attributes(
    topic: str, qos: Any, *, retain: Any, body_size: Any, properties: Properties | None
) -> Attributes:
    """What one message adds, on either side of the broker."""
    attributes: Attributes = {
        BODY_SIZE: body_size,
        "mqtt.qos": qos,
        RETAIN: retain,
    }
    if topic:
        attributes[DESTINATION] = topic
    if properties is not None:
        attributes |= _conversation(properties)
    return attributes


def _conversation(properties: Properties | None) -> Attributes:
    """What makes request and response one conversation (MQTT 5, section 4.10).

    A requester that sends no Correlation Data knows the response by its topic alone, so that is then the conversation.
    """
    attributes: Attributes = {}
    if isinstance(response_topic := getattr(properties, "ResponseTopic", None), str) and response_topic:
        attributes[RESPONSE_TOPIC] = attributes[CONVERSATION] = response_topic
    if correlation := received_bytes(getattr(properties, "CorrelationData", None)):
        attributes[CONVERSATION] = _readable(correlation)
    return attributes


def received_attributes(message: ReceivedMessage, topic: str) -> Attributes:
    """What a received message adds, as far as it is there: aiomqtt's has no DUP flag."""
    attributes: Attributes = _conversation(getattr(message, "properties", None))
    if topic:
        attributes[DESTINATION] = topic
    body = received_bytes(getattr(message, "payload", None))
    if body is not None:
        attributes[BODY_SIZE] = len(body)
    qos, retain, duplicate = (getattr(message, name, None) for name in ("qos", "retain", "dup"))
    if isinstance(qos, int):
        attributes["mqtt.qos"] = qos
    if isinstance(retain, int):  # a flag is 0 or 1 to some libraries
        attributes[RETAIN] = bool(retain)
    if isinstance(duplicate, int):
        attributes["mqtt.duplicate"] = bool(duplicate)
    return attributes


def with_older_names(attributes: Attributes, conventions: Conventions) -> Attributes:
    """Add the names before conventions 1.24 to the new ones when the options ask for both."""
    if conventions is not Conventions.DUPLICATE:
        return attributes
    return attributes | {old: attributes[new] for new, old in _OLDER_NAMES.items() if new in attributes}


def metric_attributes(attributes: Mapping[str, AttributeValue]) -> Attributes:
    """What a metric is split by, of those that a span has."""
    return {key: value for key, value in attributes.items() if key in _METRIC_KEYS}


def _readable(correlation: bytes | bytearray) -> str:
    """Correlation data is binary (MQTT 5, section 3.3.2.3.6), yet most applications put text into it."""
    text = correlation.decode("utf-8", "replace")
    return text if text.isprintable() and "\N{REPLACEMENT CHARACTER}" not in text else correlation.hex()


def _text(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value if isinstance(value, str) else ""
