"""The will of an instrumented client."""

from __future__ import annotations

from typing import Any

from opentelemetry import trace
from opentelemetry.trace import INVALID_SPAN, Span, SpanKind
from paho.mqtt.client import Client, MQTTv5
from paho.mqtt.properties import Properties

from mqtt_trace._guard import Guard
from mqtt_trace._paho.hooks import Method
from mqtt_trace._paho.packet_size import OmittedReason, connect_size
from mqtt_trace._paho.properties import PublishProperties
from mqtt_trace._paho.will import Will, set_will_properties, will_of
from mqtt_trace._propagation import carrying
from mqtt_trace._spans import semconv
from mqtt_trace._spans.tracer import start_span
from mqtt_trace.instrumentation._tracing import Tracing

_NOT_TRACED = Guard("a will is not traced")
_NO_CONTEXT = Guard("a will carries no context")
_NOT_ENDED = Guard("the span of a will did not end")


def send_connect(tracing: Tracing, client: Client, original: Method, *args: Any, **kwargs: Any) -> Any:
    """Replace `Client._send_connect`: each CONNECT hands a will to the broker.

    The broker may publish it or not, so its span is a create span of the conventions, for this CONNECT only.
    """
    will = will_of(client) if tracing.active and client.protocol == MQTTv5 else None
    if will is None:
        return original(client, *args, **kwargs)
    if isinstance(will.properties, PublishProperties):  # from `inject`: the program traces the will itself
        _limit(tracing, client, will.properties)
    span = _start(tracing, client, will)
    try:
        return original(client, *args, **kwargs)
    finally:
        set_will_properties(client, will.properties)
        with _NOT_ENDED:
            span.end()


def _start(tracing: Tracing, client: Client, will: Will) -> Span:
    """Start the span and put it into the will; a span that records nothing if the will is not traced or cannot be."""
    with _NOT_TRACED:
        topic = will.topic.decode()
        if type(will.properties) not in {Properties, type(None)} or not tracing.wants(topic):
            return INVALID_SPAN
        attributes = {
            **semconv.operation_attributes(client, semconv.Operation.CREATE, tracing.options.conventions),
            **semconv.message_attributes(
                topic, will.qos, retain=will.retain, body_size=len(will.payload), properties=will.properties
            ),
        }
        span = start_span(
            tracing.tracer,
            semconv.span_name(semconv.Operation.CREATE, attributes, tracing.options.conventions),
            None,
            SpanKind.PRODUCER,
            semconv.with_older_names(attributes, tracing.options.conventions),
        )
        if (reason := _carry(tracing, client, will.properties, span)) is not None:
            tracing.note_omission(span, attributes, reason)
        return span
    return INVALID_SPAN


def _carry(tracing: Tracing, client: Client, own: Properties | None, span: Span) -> OmittedReason | None:
    """Put the context into the will, or return why it is left out."""
    packet_size = tracing.get(client).packet_size
    with _NO_CONTEXT:
        properties = carrying(own, trace.set_span_in_context(span), tracing.options)
        reason = packet_size.refuses_will(client, connect_size(client, properties))
        if reason is None:
            set_will_properties(client, properties)
        return reason
    return OmittedReason.ERROR


def _limit(tracing: Tracing, client: Client, own: PublishProperties) -> None:
    """Remove the program's own context from a will that makes CONNECT too large."""
    with _NO_CONTEXT:
        if (
            own.without_context is None
            or tracing.get(client).packet_size.refuses_will(client, connect_size(client, own)) is None
        ):
            return
        set_will_properties(client, PublishProperties(own.without_context, own))
