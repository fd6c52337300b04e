"""Receiving by an instrumented client, and what it has subscribed to."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import wraps
from typing import Any

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import LogLevel
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from mqtt_trace._guard import Guard
from mqtt_trace._paho.client import is_traced_explicitly
from mqtt_trace._paho.properties import init_quickly, unpack_user_properties
from mqtt_trace._spans.process_span import ProcessSpan
from mqtt_trace.instrumentation._aiomqtt import is_queued
from mqtt_trace.instrumentation._tracing import ClientTracing, Tracing

_ERROR = LogLevel.MQTT_LOG_ERR
_CAUGHT = ("Caught exception in on_message", "Caught exception in user defined callback")
"""What paho logs when it suppresses what a callback raised."""

_NOT_TRACED = Guard("a message is not traced")
_NOT_NOTED = Guard("a subscription is not known")


def handle_on_message(tracing: Tracing, original: Callable[..., Any]) -> Callable[..., Any]:
    """For `Client._handle_on_message`, which calls the callbacks of a message, however they were set."""

    @wraps(original)
    def traced_handle_on_message(self: Client, message: MQTTMessage) -> Any:
        processing = _start(tracing, self, message) if tracing.active else None
        if processing is None:
            return original(self, message)
        client = tracing.of(self)
        with processing as span:
            tracing.call_process_hook(span, self, message)
            client.processing = processing
            try:
                return original(self, message)
            finally:
                client.processing = None

    return traced_handle_on_message


def init_properties(tracing: Tracing, original: Callable[..., Any]) -> Callable[..., Any]:
    """For `Properties.__init__`: paho makes an object for every message, whether or not it has any property."""

    @wraps(original)
    def quick_init(self: Properties, packetType: int) -> None:  # noqa: N803 - paho's name for it
        if tracing.active:
            init_quickly(self, packetType)
        else:
            original(self, packetType)

    return quick_init


def unpack(tracing: Tracing, original: Callable[..., Any]) -> Callable[..., Any]:
    """For `Properties.unpack`, so that reading a context does not cost more than tracing does."""

    @wraps(original)
    def quick_unpack(self: Properties, buffer: bytes) -> Any:
        read = (
            unpack_user_properties(self, buffer) if tracing.active and self.packetType == PacketTypes.PUBLISH else None
        )
        return original(self, buffer) if read is None else (self, read)

    return quick_unpack


def easy_log(tracing: Tracing, original: Callable[..., Any]) -> Callable[..., Any]:
    """For `Client._easy_log`: with `suppress_exceptions` nothing else tells what a callback raised."""

    @wraps(original)
    def traced_easy_log(self: Client, level: LogLevel, fmt: str, *args: Any) -> Any:
        if level == _ERROR and tracing.active and fmt.startswith(_CAUGHT) and self.suppress_exceptions:
            processing, error = tracing.of(self).processing, sys.exception()
            if processing is not None and isinstance(error, Exception):
                processing.fail(error)
        return original(self, level, fmt, *args)

    return traced_easy_log


def send_subscribe(tracing: Tracing, original: Callable[..., Any]) -> Callable[..., Any]:
    """For `Client._send_subscribe`, to which every form of `subscribe` leads."""

    @wraps(original)
    def traced_send_subscribe(
        self: Client, dup: int, topics: Sequence[tuple[bytes, Any]], properties: Properties | None = None
    ) -> Any:
        if tracing.active:
            with _NOT_NOTED:
                _note(tracing.of(self), topics, properties)
        return original(self, dup, topics, properties)

    return traced_send_subscribe


def send_unsubscribe(tracing: Tracing, original: Callable[..., Any]) -> Callable[..., Any]:
    """For `Client._send_unsubscribe`."""

    @wraps(original)
    def traced_send_unsubscribe(self: Client, dup: int, topics: Sequence[bytes], *args: Any, **kwargs: Any) -> Any:
        if tracing.active:
            with _NOT_NOTED:
                for topic in topics:
                    tracing.of(self).subscriptions.remove(topic.decode(errors="replace"))
        return original(self, dup, topics, *args, **kwargs)

    return traced_send_unsubscribe


def _start(tracing: Tracing, client: Client, message: MQTTMessage) -> ProcessSpan | None:
    """Start the span of a message; None if it is not to be traced, or cannot be: the callbacks are called anyway."""
    with _NOT_TRACED, suppress(UnicodeDecodeError):  # the program sees the same when it asks for the topic
        if (
            is_traced_explicitly(client)
            or not tracing.wants(message.topic)
            or not _has_callback(tracing, client, message)
        ):
            return None
        return tracing.of(client).processes.start(client, message)
    return None


def _has_callback(tracing: Tracing, client: Client, message: MQTTMessage) -> bool:
    if client.on_message and not is_queued(tracing, client):
        return True
    return next(client._on_message_filtered.iter_match(message.topic), None) is not None


def _note(client: ClientTracing, topics: Sequence[tuple[bytes, Any]], properties: Properties | None) -> None:
    identifiers = getattr(properties, "SubscriptionIdentifier", None)
    identifier = identifiers[0] if identifiers else None
    for topic, _ in topics:
        client.subscriptions.add(topic.decode(errors="replace"), identifier)
