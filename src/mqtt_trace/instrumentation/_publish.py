"""Publishes of an instrumented client, and their acknowledgements."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

from opentelemetry import trace
from opentelemetry.context import Context
from paho.mqtt.client import Client, MQTTv5
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from mqtt_trace._guard import Guard
from mqtt_trace._paho import packet_size
from mqtt_trace._paho.fast_puback import Acknowledgement, read_puback
from mqtt_trace._paho.hooks import Method
from mqtt_trace._paho.properties import PublishProperties
from mqtt_trace._paho.pubrec import refused_pubrec
from mqtt_trace._propagation import extract
from mqtt_trace._spans import payload as json_payload
from mqtt_trace._spans.pending import PendingSpan
from mqtt_trace._spans.publish import PublishSpans
from mqtt_trace.instrumentation._tracing import Tracing

_NOT_TRACED = Guard("a publish is not traced")
_NOT_ACKNOWLEDGED = Guard("the span of a publish does not end with its acknowledgement")


def publish(tracing: Tracing, client: Client, original: Method, *args: Any, **kwargs: Any) -> Any:
    """Replace `Client.publish`, or another library's wrapper of it, with the program's arguments."""
    begun = _begin(tracing, client, args, kwargs) if tracing.active else None
    if begun is None:
        return original(client, *args, **kwargs)
    return begun.spans.send(begun.pending, begun.qos, partial(original, client, *begun.args, **begun.kwargs))


def do_on_publish(
    tracing: Tracing, client: Client, original: Method, mid: int, reason_code: ReasonCode, properties: Properties
) -> Any:
    """Replace `Client._do_on_publish`, which paho calls with each PUBACK and PUBCOMP, with or without `on_publish`."""
    if tracing.active:
        with _NOT_ACKNOWLEDGED:
            tracing.get(client).publishes.acknowledge(mid, reason_code)
    return original(client, mid, reason_code, properties)


def handle_connack(tracing: Tracing, client: Client, original: Method) -> Any:
    """Replace `Client._handle_connack`: CONNACK limits the packet size."""
    if not tracing.active:
        return original(client)
    return packet_size.note_connack(tracing.get(client).packet_size, client, original)


def send_publish(tracing: Tracing, client: Client, original: Method, *args: Any, **kwargs: Any) -> Any:
    """Replace `Client._send_publish`, which paho calls each time it sends a message."""
    if not tracing.active:
        return original(client, *args, **kwargs)
    return packet_size.send_publish(tracing.get(client).packet_size, client, original, *args, **kwargs)


def handle_pubackcomp(tracing: Tracing, client: Client, original: Method, cmd: Acknowledgement) -> Any:
    """Replace `Client._handle_pubackcomp`: reading most PUBACKs faster saves a good part of a span's cost."""
    return read_puback(client, original, cmd) if tracing.active else original(client, cmd)


def handle_pubrec(tracing: Tracing, client: Client, original: Method) -> Any:
    """Replace `Client._handle_pubrec`: a refusal ends the span, although paho ignores it."""
    if tracing.active:
        with _NOT_ACKNOWLEDGED:
            if (refusal := refused_pubrec(client)) is not None:
                tracing.get(client).publishes.acknowledge(*refusal)
    return original(client)


class _Call(NamedTuple):
    """The arguments of a publish, with paho's names and order."""

    topic: Any
    payload: Any = None
    qos: Any = 0
    retain: Any = False
    properties: Any = None


_PLAIN = frozenset({Properties, type(None)})
_PAYLOAD, _PROPERTIES = _Call._fields.index("payload"), _Call._fields.index("properties")


class _Begun(NamedTuple):
    """A publish whose span has started, and its arguments with the context."""

    spans: PublishSpans
    pending: PendingSpan
    qos: int
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


def _begin(tracing: Tracing, client: Client, args: tuple[Any, ...], kwargs: dict[str, Any]) -> _Begun | None:
    """Start the span of a publish; None if it is not traced or cannot be, which must not prevent the publish."""
    try:
        call = _Call(*args, **kwargs)
        body = json_payload.as_bytes(call.payload)
    except (TypeError, ValueError):
        return None  # paho reports the error
    # Properties of this kind come from `inject` and `TracedPublisher`: the program traces the message itself.
    if isinstance(call.properties, PublishProperties):
        return None
    with _NOT_TRACED:
        return _start(tracing, client, call, body, args, kwargs) if tracing.wants(call.topic) else None
    return None


def _start(
    tracing: Tracing, client: Client, call: _Call, body: bytes | None, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> _Begun:
    context = _parent(tracing, call.properties)
    spans = tracing.get(client).publishes
    pending = spans.start(
        client,
        call.topic,
        call.qos,
        retain=bool(call.retain),
        body_size=len(body or b""),
        properties=call.properties,
        context=context,
    )
    tracing.end_at_exit(pending.span)
    tracing.call_publish_hook(pending.span, client, call.topic, call.payload)
    replaced = _carry(tracing, spans, client, call, body, pending, trace.set_span_in_context(pending.span, context))
    if replaced is None:
        return _Begun(spans, pending, call.qos, args, kwargs)
    position, value = replaced
    if len(args) > position:
        return _Begun(spans, pending, call.qos, (*args[:position], value, *args[position + 1 :]), kwargs)
    return _Begun(spans, pending, call.qos, args, {**kwargs, _Call._fields[position]: value})


def _carry(
    tracing: Tracing,
    spans: PublishSpans,
    client: Client,
    call: _Call,
    body: bytes | None,
    pending: PendingSpan,
    context: Context,
) -> tuple[int, Any] | None:
    """The index of the argument that carries the context, and its new value; the program's object is not changed."""
    if client.protocol == MQTTv5:
        # Properties with their own `pack` are sent unchanged.
        if type(call.properties) not in _PLAIN:
            return None
        return _PROPERTIES, spans.carry(pending, call.properties, context)
    if body is None or not tracing.options.json_fallback:
        return None
    return _PAYLOAD, spans.carry_in_payload(pending, call.topic, body, context)


def _parent(tracing: Tracing, properties: Properties | None) -> Context | None:
    """Outside any span, the parent is the context that the program itself sends, so that the trace stays connected.

    This does not hold if only some topics are trusted: a forwarded message may contain an untrusted context.
    """
    if properties is None or tracing.options.trusted_topics is not None:
        return None
    if trace.get_current_span().get_span_context().is_valid:
        return None
    carried = extract(getattr(properties, "UserProperty", None))
    return carried.context if carried.missing is None else None
