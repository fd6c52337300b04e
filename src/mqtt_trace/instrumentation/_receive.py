"""Messages that an instrumented client receives, and its subscriptions."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import LogLevel
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from mqtt_trace._guard import Guard
from mqtt_trace._paho.client import has_filtered_callback, is_traced_explicitly
from mqtt_trace._paho.hooks import Method
from mqtt_trace._paho.properties import init_quickly, unpack_user_properties
from mqtt_trace._spans.process_span import ProcessSpan
from mqtt_trace.instrumentation._aiomqtt import is_queued
from mqtt_trace.instrumentation._tracing import ClientTracing, Tracing

_ERROR = LogLevel.MQTT_LOG_ERR
_CAUGHT = ("Caught exception in on_message", "Caught exception in user defined callback")
"""The beginning of paho's log line for a suppressed exception of a callback."""

_NOT_TRACED = Guard("a message is not traced")
_NOT_NOTED = Guard("a subscription is not known")


def handle_on_message(tracing: Tracing, client: Client, original: Method, message: MQTTMessage) -> Any:
    """Replace `Client._handle_on_message`, which calls all callbacks of a message."""
    processing = _start(tracing, client, message) if tracing.active else None
    if processing is None:
        return original(client, message)
    traced = tracing.get(client)
    with processing as span:
        tracing.call_process_hook(span, client, message)
        traced.processing = processing
        try:
            return original(client, message)
        finally:
            traced.processing = None


def easy_log(tracing: Tracing, client: Client, original: Method, level: LogLevel, fmt: str, *args: Any) -> Any:
    """Replace `Client._easy_log`: with `suppress_exceptions` only the log gets the exception of a callback."""
    if level == _ERROR and tracing.active and fmt.startswith(_CAUGHT) and client.suppress_exceptions:
        processing, error = tracing.get(client).processing, sys.exception()
        if processing is not None and isinstance(error, Exception):
            processing.fail(error)
    return original(client, level, fmt, *args)


def send_subscribe(
    tracing: Tracing,
    client: Client,
    original: Method,
    dup: int,
    topics: Sequence[tuple[bytes, Any]],
    properties: Properties | None = None,
) -> Any:
    """Replace `Client._send_subscribe`, which every form of `subscribe` calls."""
    if tracing.active:
        with _NOT_NOTED:
            _note(tracing.get(client), topics, properties)
    return original(client, dup, topics, properties)


def send_unsubscribe(
    tracing: Tracing, client: Client, original: Method, dup: int, topics: Sequence[bytes], *args: Any, **kwargs: Any
) -> Any:
    """Replace `Client._send_unsubscribe`."""
    if tracing.active:
        with _NOT_NOTED:
            for topic in topics:
                tracing.get(client).subscriptions.remove(topic.decode(errors="replace"))
    return original(client, dup, topics, *args, **kwargs)


def init_properties(tracing: Tracing, properties: Properties, original: Method, packetType: int) -> None:  # noqa: N803 - paho's name for it
    """Replace `Properties.__init__`: paho creates an object for every message, even without properties."""
    if tracing.active:
        init_quickly(properties, packetType)
    else:
        original(properties, packetType)


def unpack(tracing: Tracing, properties: Properties, original: Method, buffer: bytes) -> Any:
    """Replace `Properties.unpack`, so that reading a context does not cost more than tracing itself."""
    is_publish = tracing.active and properties.packetType == PacketTypes.PUBLISH
    read = unpack_user_properties(properties, buffer) if is_publish else None
    return original(properties, buffer) if read is None else (properties, read)


def _start(tracing: Tracing, client: Client, message: MQTTMessage) -> ProcessSpan | None:
    """Start the span of a message; None if it is not traced or cannot be. The callbacks are called in any case."""
    with _NOT_TRACED, suppress(UnicodeDecodeError):  # the program gets the same error when it reads the topic
        if (
            is_traced_explicitly(client)
            or not tracing.wants(message.topic)
            or not _has_callback(tracing, client, message)
        ):
            return None
        return tracing.get(client).processes.start(client, message)
    return None


def _has_callback(tracing: Tracing, client: Client, message: MQTTMessage) -> bool:
    if client.on_message and not is_queued(tracing, client):
        return True
    return has_filtered_callback(client, message)


def _note(client: ClientTracing, topics: Sequence[tuple[bytes, Any]], properties: Properties | None) -> None:
    identifiers = getattr(properties, "SubscriptionIdentifier", None)
    identifier = identifiers[0] if identifiers else None
    for topic, _ in topics:
        client.subscriptions.add(topic.decode(errors="replace"), identifier)
