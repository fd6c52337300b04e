"""The will of an instrumented client."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from opentelemetry import trace
from opentelemetry.trace import INVALID_SPAN, Span, SpanKind
from paho.mqtt.client import Client, MQTTv5
from paho.mqtt.properties import Properties

from mqtt_trace._guard import Guard
from mqtt_trace._paho.packet_size import connect_size
from mqtt_trace._propagation import carrying
from mqtt_trace._spans import semconv
from mqtt_trace._spans.tracer import start_span
from mqtt_trace.instrumentation._tracing import Tracing

_NOT_TRACED = Guard("a will is not traced")
_NO_CONTEXT = Guard("a will carries no context")
_NOT_ENDED = Guard("the span of a will did not end")


def send_connect(tracing: Tracing, original: Callable[..., Any]) -> Callable[..., Any]:
    """For `Client._send_connect`: each CONNECT hands a will to the broker, which publishes it or never does.

    So its span is one of creating a message, as the conventions call it, and carried by this CONNECT alone.
    """

    @wraps(original)
    def traced_send_connect(self: Client, *args: Any, **kwargs: Any) -> Any:
        if not (tracing.active and self._will and self.protocol == MQTTv5):
            return original(self, *args, **kwargs)
        own = self._will_properties
        span = _start(tracing, self, own)
        try:
            return original(self, *args, **kwargs)
        finally:
            self._will_properties = own
            with _NOT_ENDED:
                span.end()

    return traced_send_connect


def _start(tracing: Tracing, client: Client, own: Properties | None) -> Span:
    """Start the span and let the will carry it; one that records nothing if that is not to be, or cannot be."""
    with _NOT_TRACED:
        topic = client._will_topic.decode()
        if type(own) not in {Properties, type(None)} or not tracing.wants(topic):
            return INVALID_SPAN
        attributes = {
            **semconv.operation_attributes(client, semconv.Operation.CREATE, tracing.options.conventions),
            **semconv.message_attributes(
                topic,
                client._will_qos,
                retain=bool(client._will_retain),
                body_size=len(client._will_payload),
                properties=own,
            ),
        }
        span = start_span(
            tracing.tracer,
            semconv.span_name(semconv.Operation.CREATE, attributes, tracing.options.conventions),
            None,
            SpanKind.PRODUCER,
            semconv.with_older_names(attributes, tracing.options.conventions),
        )
        if (reason := _carry(tracing, client, own, span)) is not None:
            tracing.note_omission(span, attributes, reason)
        return span
    return INVALID_SPAN


def _carry(tracing: Tracing, client: Client, own: Properties | None, span: Span) -> semconv.OmittedReason | None:
    """Put the context into the will, or say why it is left out."""
    packet_size = tracing.of(client).packet_size
    with _NO_CONTEXT:
        properties = carrying(own, trace.set_span_in_context(span), tracing.options)
        reason = packet_size.refuses_will(client, connect_size(client, properties))
        if reason is None:
            client._will_properties = properties
        return reason
    return semconv.OmittedReason.ERROR
