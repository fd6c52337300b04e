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
"""The attributes of metrics: all of low cardinality. A topic names a device, so only spans have it."""

_OLDER_NAMES = {
    "messaging.operation.name": "messaging.operation",
    "messaging.client.id": "messaging.client_id",
    BODY_SIZE: "messaging.message.payload_size_bytes",
    "server.address": "net.peer.name",
    "server.port": "net.peer.port",
}

_VERSIONS: dict[int, str] = {MQTTv31: "3.1", MQTTv311: "3.1.1", MQTTv5: "5.0"}


class Operation(StrEnum):
    """The operation of a span on a message."""

    CREATE = "create"
    PUBLISH = "publish"
    PROCESS = "process"


def span_name(operation: Operation, attributes: Mapping[str, AttributeValue], conventions: Conventions) -> str:
    """`publish sensors/s1/reading`, as in the guide; with the template (conventions 1.44, "Span name") if opted in.

    A batch of several topics has only the template. An unknown topic alias adds nothing to the name.
    """
    has_topic = DESTINATION in attributes or BATCH_MESSAGE_COUNT not in attributes
    template = None if conventions is Conventions.GUIDE and has_topic else attributes.get(TEMPLATE)
    destination = template or attributes.get(DESTINATION)
    return encodable(f"{operation} {destination}") if destination else operation.value


def encodable(text: str) -> str:
    """The text with surrogates escaped: with one in a span's name, exporters lose the whole batch."""
    return text if text.isascii() else text.encode(errors="backslashreplace").decode()


def operation_attributes(client: Client | None, operation: Operation, conventions: Conventions) -> Attributes:
    """The attributes that all spans of one operation of one client share."""
    renamed = operation is Operation.PUBLISH and conventions is not Conventions.GUIDE
    attributes: Attributes = {
        "messaging.system": "mqtt",
        "messaging.operation.name": operation.value,
        "messaging.operation.type": "send" if renamed else operation.value,
    }
    if client is None:
        return attributes
    # The mock of a unit test may lack some of them.
    host, port, protocol = (getattr(client, name, None) for name in ("host", "port", "protocol"))
    if isinstance(host, str) and host:
        attributes["server.address"] = host
        if isinstance(port, int) and getattr(client, "transport", None) != "unix":
            attributes["server.port"] = port
    if client_id := client_id_of(client):
        attributes["messaging.client.id"] = client_id
    if isinstance(protocol, int):
        attributes["network.protocol.version"] = _VERSIONS.get(protocol, "3.1.1")
    return attributes


class ClientAttributes(NamedTuple):
    """The attributes that all spans of one operation of one client share, and those of them for metrics."""

    span: Attributes
    metric: Attributes

    def metric_with(self, more: Mapping[str, AttributeValue]) -> Attributes:
        """The attributes of metrics for a span with more attributes; callers must not change them."""
        if _METRIC_KEYS.isdisjoint(more):
            return self.metric
        return {**self.metric, **metric_attributes(more)}


class SharedAttributes:
    """Caches the attributes that all spans of one operation share, until the client's broker, id or protocol changes.

    Args:
        operation: The operation of the spans.
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
    """The attributes of one message, on either side of the broker."""
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
    """The id that request and response share (MQTT 5, section 4.10).

    Without Correlation Data, a requester recognizes the response by its topic, which is then the id.
    """
    attributes: Attributes = {}
    if isinstance(response_topic := getattr(properties, "ResponseTopic", None), str) and response_topic:
        attributes[RESPONSE_TOPIC] = attributes[CONVERSATION] = response_topic
    if correlation := received_bytes(getattr(properties, "CorrelationData", None)):
        attributes[CONVERSATION] = _readable(correlation)
    return attributes


def received_attributes(message: ReceivedMessage, topic: str) -> Attributes:
    """The attributes of a received message that are available: aiomqtt's messages have no DUP flag."""
    attributes: Attributes = _conversation(getattr(message, "properties", None))
    if topic:
        attributes[DESTINATION] = topic
    body = received_bytes(getattr(message, "payload", None))
    if body is not None:
        attributes[BODY_SIZE] = len(body)
    qos, retain, duplicate = (getattr(message, name, None) for name in ("qos", "retain", "dup"))
    if isinstance(qos, int):
        attributes["mqtt.qos"] = qos
    if isinstance(retain, int):  # some libraries use 0 and 1 for flags
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
    """The attributes of a span that metrics have, too."""
    return {key: value for key, value in attributes.items() if key in _METRIC_KEYS}


def _readable(correlation: bytes | bytearray) -> str:
    """Correlation data as text, or in hexadecimal: it is binary (MQTT 5, section 3.3.2.3.6), but usually text."""
    text = correlation.decode("utf-8", "replace")
    return text if text.isprintable() and "\N{REPLACEMENT CHARACTER}" not in text else correlation.hex()
