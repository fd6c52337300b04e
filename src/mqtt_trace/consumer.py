"""Spans around the processing of received messages."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.metrics import MeterProvider
from opentelemetry.trace import INVALID_SPAN, Link, SpanKind, TracerProvider
from opentelemetry.util.types import AttributeValue
from paho.mqtt.client import Client, MQTTMessage, MQTTv5

from mqtt_trace import attributes as names
from mqtt_trace import payload as json_payload
from mqtt_trace._process_span import ProcessSpan
from mqtt_trace._version import __version__
from mqtt_trace.metrics import ProcessMetrics
from mqtt_trace.options import Options, Relation
from mqtt_trace.propagation import Extracted, MissingReason, extract
from mqtt_trace.tolerant import topic_of
from mqtt_trace.topics import Subscriptions

Handler = Callable[[Client, Any, MQTTMessage], None]

_log = logging.getLogger(__name__)


class TracedConsumer:
    """Opens CONSUMER spans that continue the traces of received messages.

    Args:
        client: The client that receives; None if messages come from elsewhere.
        subscriptions: The filters it subscribed to, `$share/…` included: they become destination template and group.
        tracer_provider: The global one by default.
        meter_provider: The global one by default.
        options: Those of the environment by default.
    """

    def __init__(
        self,
        client: Client | None = None,
        subscriptions: Iterable[str] = (),
        *,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
        options: Options | None = None,
    ) -> None:
        self._client = client
        self._subscriptions = Subscriptions(subscriptions)
        self._options = options or Options.from_env()
        self._tracer = trace.get_tracer("mqtt_trace", __version__, tracer_provider)
        self._metrics = ProcessMetrics(meter_provider)
        self._shared = names.SharedAttributes(names.Operation.PROCESS, self._options.conventions)

    def process(
        self,
        message: MQTTMessage,
        *,
        message_id: str | None = None,
        attributes: Mapping[str, AttributeValue] | None = None,
    ) -> ProcessSpan:
        """Make a process span the current one; an exception is recorded in it and goes on.

        The span is a child of the publish span, and links to it. A retained message, and any message when
        `MQTT_TRACE_RELATION=link`, starts a trace of its own that links to it. Without usable context it starts one
        with `mqtt.missing_context=true` and the reason.
        """
        extracted = self._extract(message)
        span_attributes = self._attributes(message) | dict(attributes or {})
        if message_id is not None:
            span_attributes[names.MESSAGE_ID] = message_id
        metric_attributes = names.metric_attributes(span_attributes)
        if extracted.missing is not None:
            span_attributes[names.MISSING_CONTEXT] = True
            span_attributes[names.MISSING_CONTEXT_REASON] = extracted.missing.value
        self._count([extracted], metric_attributes)
        linked = message.retain or self._options.relation is Relation.LINK
        span = self._tracer.start_span(
            names.span_name(names.Operation.PROCESS, message.topic),
            trace.set_span_in_context(INVALID_SPAN, extracted.context) if linked else extracted.context,
            SpanKind.CONSUMER,
            names.with_older_names(span_attributes, self._options.conventions),
            _links([extracted]),
        )
        return ProcessSpan(span, extracted.context, self._metrics, metric_attributes)

    def process_batch(
        self, messages: Sequence[MQTTMessage], *, attributes: Mapping[str, AttributeValue] | None = None
    ) -> ProcessSpan:
        """Make one process span for several messages the current one, with a link to each one's publish span.

        A single parent would misrepresent where the batch came from, so the span continues the current trace, or starts
        one.
        """
        extracted = [self._extract(message) for message in messages]
        each = [self._attributes(message) for message in messages]
        common = (
            {key: value for key, value in each[0].items() if all(a.get(key) == value for a in each)} if each else {}
        )
        span_attributes = common | {names.BATCH_MESSAGE_COUNT: len(messages)} | dict(attributes or {})
        metric_attributes = names.metric_attributes(span_attributes)
        reasons = {one.missing.value for one in extracted if one.missing is not None}
        if reasons:
            span_attributes[names.MISSING_CONTEXT] = True
        if len(reasons) == 1:
            span_attributes[names.MISSING_CONTEXT_REASON] = reasons.pop()
        self._count(extracted, metric_attributes)
        destination = common.get(names.DESTINATION) or common.get(names.TEMPLATE)
        span = self._tracer.start_span(
            names.span_name(names.Operation.PROCESS, destination),
            None,
            SpanKind.CONSUMER,
            names.with_older_names(span_attributes, self._options.conventions),
            _links(extracted),
        )
        return ProcessSpan(span, otel_context.get_current(), self._metrics, metric_attributes)

    def handler(self, handle: Handler) -> Handler:
        """Wrap an `on_message` callback in a process span.

        An exception is recorded and logged, and goes no further: in paho's network thread it would end the thread, and
        nothing would be received any more.
        """

        def on_message(client: Client, userdata: Any, message: MQTTMessage) -> None:
            try:
                with self.process(message):
                    handle(client, userdata, message)
            except Exception:  # noqa: BLE001 - whatever it is, it must not reach paho's thread
                _log.exception("the handler failed for a message on %s", topic_of(message))

        return on_message

    def _extract(self, message: MQTTMessage) -> Extracted:
        extracted = extract(getattr(message.properties, "UserProperty", None))
        if extracted.missing is not MissingReason.ABSENT:
            return extracted
        if self._options.json_fallback:
            carried = extract(json_payload.read_context(message.payload))
            if carried.missing is not MissingReason.ABSENT:
                return carried
        if self._client is not None and self._client.protocol != MQTTv5:
            return Extracted(missing=MissingReason.MQTT311)
        return extracted

    def _attributes(self, message: MQTTMessage) -> names.Attributes:
        attributes = {**self._shared.of(self._client), **names.received_attributes(message)}
        subscription = self._subscriptions.match(message.topic)
        if subscription is not None:
            attributes[names.TEMPLATE] = subscription.topic_filter
            if subscription.group is not None:
                attributes[names.GROUP] = subscription.group
        return attributes

    def _count(self, extracted: Sequence[Extracted], attributes: names.Attributes) -> None:
        self._metrics.consumed.add(len(extracted), attributes)
        for one in extracted:
            if one.missing is not None:
                self._metrics.missing_contexts.add(1, {**attributes, names.MISSING_CONTEXT_REASON: one.missing.value})


def _links(extracted: Sequence[Extracted]) -> list[Link]:
    contexts = (trace.get_current_span(one.context).get_span_context() for one in extracted if one.missing is None)
    return [Link(context) for context in contexts]
