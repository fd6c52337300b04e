"""The process spans of one client, for explicit code and the instrumentation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import INVALID_SPAN, Link, SpanContext, SpanKind, Tracer
from opentelemetry.util.types import AttributeValue
from paho.mqtt.client import Client

from mqtt_trace._guard import Guard
from mqtt_trace._message import Message, ReceivedMessage
from mqtt_trace._options import Options, Relation
from mqtt_trace._paho.client import WITHOUT_PROPERTIES
from mqtt_trace._paho.tolerant import topic_of
from mqtt_trace._propagation import Extracted, MissingReason, extract
from mqtt_trace._spans import payload as json_payload
from mqtt_trace._spans import semconv
from mqtt_trace._spans.metrics import ProcessMetrics
from mqtt_trace._spans.process_span import ProcessSpan
from mqtt_trace._spans.tracer import stand_in, start_span
from mqtt_trace.topics import Subscriptions

_NOT_TRACED = Guard("a message is not traced")
_NOT_COUNTED = Guard("a message is not counted")
_NOT_LINKED = Guard("the link of a message has no attributes of the program's")

LinkAttributes = Callable[[Message], Mapping[str, AttributeValue]]
"""More attributes for the link of a message in a batch."""


class ProcessSpans:
    """Starts a span per message, or per batch, of one client. It holds no reference to the client.

    Args:
        tracer: Starts the spans.
        metrics: Counts the messages.
        options: The relation of a span to its message, and the names of the conventions.
        subscriptions: The client's known subscriptions.
    """

    def __init__(self, tracer: Tracer, metrics: ProcessMetrics, options: Options, subscriptions: Subscriptions) -> None:
        self._tracer = tracer
        self._metrics = metrics
        self._options = options
        self._relation = options.effective_relation
        self._subscriptions = subscriptions
        self._trusted = None if options.trusted_topics is None else Subscriptions(options.trusted_topics)
        self._shared = semconv.SharedAttributes(semconv.Operation.PROCESS, options.conventions)

    def start(
        self,
        client: Client | None,
        message: ReceivedMessage,
        *,
        message_id: str | None = None,
        attributes: Mapping[str, AttributeValue] | None = None,
    ) -> ProcessSpan:
        """Start the span of one message, related to the context of the message; it raises no error."""
        with _NOT_TRACED:
            return self._start(client, message, message_id, attributes)
        return self._stand_in()

    def _start(
        self,
        client: Client | None,
        message: ReceivedMessage,
        message_id: str | None,
        attributes: Mapping[str, AttributeValue] | None,
    ) -> ProcessSpan:
        received = self._receive(client, message)
        span_attributes = received.attributes
        if attributes:
            span_attributes.update(attributes)
        if message_id is not None:
            span_attributes[semconv.MESSAGE_ID] = message_id
        metric_attributes = self._shared.describe(client).metric_with(span_attributes)
        self._count([received], metric_attributes)
        parent, is_linked = self._relate(received)
        span = start_span(
            self._tracer,
            semconv.span_name(semconv.Operation.PROCESS, span_attributes, self._options.conventions),
            parent,
            SpanKind.CONSUMER,
            semconv.with_older_names(span_attributes, self._options.conventions),
            [Link(received.origin)] if is_linked else (),
        )
        return ProcessSpan(span, parent, self._metrics, metric_attributes)

    def start_batch(
        self,
        client: Client | None,
        messages: Sequence[Message],
        *,
        attributes: Mapping[str, AttributeValue] | None = None,
        link_attributes: LinkAttributes[Message] | None = None,
    ) -> ProcessSpan:
        """Start one span for several messages, linked to the context of each.

        Attributes that the messages share are on the span, the others on the links.
        """
        with _NOT_TRACED:
            return self._start_batch(client, messages, attributes, link_attributes)
        return self._stand_in()

    def _start_batch(
        self,
        client: Client | None,
        messages: Sequence[Message],
        attributes: Mapping[str, AttributeValue] | None,
        link_attributes: LinkAttributes[Message] | None,
    ) -> ProcessSpan:
        received = [self._receive(client, message) for message in messages]
        common = _common([one.attributes for one in received])
        shared = self._shared.describe(client)
        span_attributes = {**shared.span, **common, semconv.BATCH_MESSAGE_COUNT: len(messages)}
        span_attributes |= attributes or {}
        metric_attributes = shared.metric_with(span_attributes)
        reasons = {one.missing.value for one in received if one.missing is not None}
        if reasons:
            span_attributes[semconv.MISSING_CONTEXT] = True
        if len(reasons) == 1:
            span_attributes[semconv.MISSING_CONTEXT_REASON] = reasons.pop()
        self._count(received, metric_attributes)
        links = []
        for message, one in zip(messages, received, strict=True):
            if one.missing is None:
                own = {name: value for name, value in one.attributes.items() if name not in common}
                with _NOT_LINKED:
                    own |= link_attributes(message) if link_attributes else {}
                links.append(Link(one.origin, semconv.with_older_names(own, self._options.conventions)))
        span = start_span(
            self._tracer,
            semconv.span_name(semconv.Operation.PROCESS, span_attributes, self._options.conventions),
            None,
            SpanKind.CONSUMER,
            semconv.with_older_names(span_attributes, self._options.conventions),
            links,
        )
        return ProcessSpan(span, otel_context.get_current(), self._metrics, metric_attributes)

    def _stand_in(self) -> ProcessSpan:
        return ProcessSpan(stand_in(), otel_context.get_current(), self._metrics, {})

    def _receive(self, client: Client | None, message: ReceivedMessage) -> _Received:
        extracted = self._extract(client, message)
        topic = topic_of(message)
        attributes = {**self._shared.describe(client).span, **semconv.received_attributes(message, topic)}
        subscription = self._subscriptions.match(topic, _listed(message, "SubscriptionIdentifier"))
        if subscription is not None:
            attributes[semconv.TEMPLATE] = subscription.topic_filter
            if subscription.group is not None:
                attributes[semconv.GROUP] = subscription.group
        is_trusted = self._trusted is None or self._trusted.match(topic) is not None
        if extracted.missing is not None:
            attributes[semconv.MISSING_CONTEXT] = True
            attributes[semconv.MISSING_CONTEXT_REASON] = extracted.missing.value
        elif not is_trusted:
            attributes[semconv.UNTRUSTED_CONTEXT] = True
        is_retained = bool(attributes.get(semconv.RETAIN))
        return _Received(topic, extracted.context, extracted.missing, is_trusted, is_retained, attributes)

    def _relate(self, received: _Received) -> tuple[Context, bool]:
        """The context that the span continues (all, baggage only, none), and whether the span links to its origin."""
        if received.missing is not None:
            return received.context, False
        if not received.is_trusted:
            return Context(), True
        if received.is_retained or self._relation is Relation.LINK:
            return trace.set_span_in_context(INVALID_SPAN, received.context), True
        return received.context, self._relation is Relation.BOTH

    def _extract(self, client: Client | None, message: ReceivedMessage) -> Extracted:
        extracted = extract(_listed(message, "UserProperty"))
        if extracted.missing is not MissingReason.ABSENT:
            return extracted
        if self._options.json_fallback:
            carried = extract(json_payload.read_context(getattr(message, "payload", None)))
            if carried.missing is not MissingReason.ABSENT:
                return carried
        if getattr(client, "protocol", None) in WITHOUT_PROPERTIES:
            return Extracted(missing=MissingReason.MQTT311)
        return extracted

    def _count(self, received: Sequence[_Received], attributes: semconv.Attributes) -> None:
        with _NOT_COUNTED:
            self._metrics.consumed.add(len(received), attributes)
            for one in received:
                if one.missing is not None:
                    reason = {semconv.MISSING_CONTEXT_REASON: one.missing.value}
                    self._metrics.missing_contexts.add(1, {**attributes, **reason})


def _listed(message: ReceivedMessage, name: str) -> Sequence[Any]:
    """All values of a property; a mock of a message may lack it."""
    values = getattr(getattr(message, "properties", None), name, None)
    return values if isinstance(values, list | tuple) else ()


class _Received(NamedTuple):
    """The attributes and the origin of a message."""

    topic: str
    context: Context
    missing: MissingReason | None
    is_trusted: bool
    is_retained: bool
    attributes: semconv.Attributes

    @property
    def origin(self) -> SpanContext:
        """The publish span."""
        return trace.get_current_span(self.context).get_span_context()


def _common(each: Sequence[semconv.Attributes]) -> semconv.Attributes:
    """The attributes that are equal in all."""
    first, *others = each or [{}]
    return {name: value for name, value in first.items() if all(other.get(name) == value for other in others)}
