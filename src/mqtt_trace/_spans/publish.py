"""The publish spans of one client, for explicit code and the instrumentation."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import TypeVar

from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer
from opentelemetry.util.types import AttributeValue
from paho.mqtt.client import Client, MQTTMessageInfo
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from mqtt_trace._guard import Guard, words_of
from mqtt_trace._options import Options
from mqtt_trace._paho.acknowledgements import listen, listen_by_callback
from mqtt_trace._paho.packet_size import LARGEST_PACKET, OmittedReason, publish_311_size
from mqtt_trace._propagation import carrying, mark_traced, serialized
from mqtt_trace._spans import semconv
from mqtt_trace._spans.metrics import PublishMetrics
from mqtt_trace._spans.outcome import PublishOutcome
from mqtt_trace._spans.payload import add_context
from mqtt_trace._spans.pending import PendingSpan, PendingSpans, report
from mqtt_trace._spans.tracer import stand_in, start_span
from mqtt_trace.topics import TopicAliases

Answer = TypeVar("Answer")

_NOT_TRACED = Guard("a publish is not traced")
_NO_CONTEXT = Guard("a publish carries no context")
_NOT_DESCRIBED = Guard("a publish span does not say how its publish ended")
_NOT_COUNTED = Guard("a publish is not counted")
_NOT_ENDED = Guard("a publish span did not end")


class PublishSpans:
    """Starts a span per publish and ends it when the publish has ended.

    It holds no reference to the client, so the client can hold it without a cycle.

    Args:
        tracer: Starts the spans.
        metrics: Counts ended publishes.
        options: Names of the conventions.
        max_pending: Maximum number of spans that wait for an acknowledgement; beyond it, the oldest ends with
            `error.type=overflow`.
        timeout: Maximum wait in seconds, after which a span ends with `error.type=timeout`.

    Attributes:
        tracer: Starts new spans; a new value does not affect current ones.
    """

    def __init__(
        self, tracer: Tracer, metrics: PublishMetrics, options: Options, *, max_pending: int, timeout: float
    ) -> None:
        self.tracer = tracer
        self._options = options
        self._metrics = metrics
        self._listens = True
        self._needs_callback = False
        self._end = partial(_end, metrics)
        self._pending = PendingSpans(max_pending, timeout, self._end)
        self._aliases = TopicAliases()
        self._shared = semconv.SharedAttributes(semconv.Operation.PUBLISH, options.conventions)

    def __len__(self) -> int:
        """Number of spans that wait for an acknowledgement."""
        return len(self._pending)

    def start(
        self,
        client: Client,
        topic: str,
        qos: int,
        *,
        retain: bool,
        body_size: int,
        properties: Properties | None,
        context: Context | None = None,
        attributes: Mapping[str, AttributeValue] | None = None,
        on_outcome: Callable[[PublishOutcome], None] | None = None,
    ) -> PendingSpan:
        """Start the span of one publish, by default as a child of the current span; it raises no error."""
        with _NOT_TRACED:
            return self._start(client, topic, qos, retain, body_size, properties, context, attributes, on_outcome)
        return PendingSpan(stand_in(context), time.monotonic(), {}, on_outcome)

    def _start(
        self,
        client: Client,
        topic: str,
        qos: int,
        retain: bool,
        body_size: int,
        properties: Properties | None,
        context: Context | None,
        attributes: Mapping[str, AttributeValue] | None,
        on_outcome: Callable[[PublishOutcome], None] | None,
    ) -> PendingSpan:
        destination = self._aliases.topic(topic, properties)
        own = semconv.message_attributes(destination, qos, retain=retain, body_size=body_size, properties=properties)
        if attributes:
            own.update(attributes)
        shared = self._shared.describe(client)
        span_attributes = {**shared.span, **own}
        span = start_span(
            self.tracer,
            semconv.span_name(semconv.Operation.PUBLISH, own, self._options.conventions),
            context,
            SpanKind.PRODUCER,
            semconv.with_older_names(span_attributes, self._options.conventions),
        )
        return PendingSpan(span, time.monotonic(), shared.metric_with(attributes or {}), on_outcome)

    def send(self, pending: PendingSpan, qos: int, publish: Callable[[], Answer]) -> Answer:
        """Call paho's `publish`; the span ends with the call or with the acknowledgement.

        A `BaseException` that is no `Exception`, such as KeyboardInterrupt, is not recorded as an error.
        """
        self._pending.call_begins()
        try:
            info = publish()
        except BaseException as error:
            self._pending.call_ends()
            outcome = PublishOutcome(0, 0, type(error).__qualname__, words_of(error))
            if isinstance(error, Exception):
                with _NOT_DESCRIBED:
                    pending.span.record_exception(error)
                self._end(pending, outcome)
            else:
                _report_and_end(pending, outcome)
            raise
        self._settle(pending, info, qos)
        return info

    def carry(self, pending: PendingSpan, properties: Properties | None, context: Context) -> Properties:
        """PUBLISH properties with the context, unless that makes the packet too large.

        If the context cannot be written, the program's properties.
        """
        with _NO_CONTEXT:
            carried = carrying(properties, context, self._options)
            vars(carried)["on_omission"] = partial(self._note_size, pending)
            return carried
        self._note_omission(pending, OmittedReason.ERROR)
        return mark_traced(properties)

    def carry_in_payload(self, pending: PendingSpan, topic: str, body: bytes, context: Context) -> bytes:
        """The payload with the context; its size is recorded in the span.

        If the context cannot be written, or no packet would hold it, the program's payload.
        """
        with _NO_CONTEXT:
            carried = add_context(body, serialized(context, self._options))
            if publish_311_size(len(topic.encode()), len(carried)) > LARGEST_PACKET:
                self._note_omission(pending, OmittedReason.PACKET_TOO_LARGE)
                return body
            pending.span.set_attribute(semconv.BODY_SIZE, len(carried))
            return carried
        self._note_omission(pending, OmittedReason.ERROR)
        return body

    def _note_size(self, pending: PendingSpan, omitted: bool) -> None:
        if omitted:
            self._note_omission(pending, OmittedReason.PACKET_TOO_LARGE)
            return
        with _NOT_DESCRIBED:
            if pending.span.is_recording():  # a broker with a lower limit got it without the context before
                pending.span.set_attribute(semconv.OMITTED_CONTEXT, value=False)

    def _note_omission(self, pending: PendingSpan, reason: OmittedReason) -> None:
        note_omission(pending.span, self._metrics, pending.metric_attributes, reason)

    def listen(self, client: Client) -> None:
        """Receive a client's acknowledgements before its `on_publish`."""
        self._needs_callback = not listen(client, self._pending)

    def listen_again(self, client: Client) -> None:
        """Call it before each publish: the program may have replaced `on_publish`."""
        if self._needs_callback:
            listen_by_callback(client)

    def end_with_the_call(self) -> None:
        """End each span with the call of `publish`, because acknowledgements are not reported."""
        self._listens = False

    def acknowledge(self, packet_id: int, reason: ReasonCode | None) -> None:
        """Call it with every PUBACK, PUBCOMP or refusal that the client does not report."""
        self._pending.acknowledge(packet_id, reason)

    def close(self) -> None:
        """End every pending span with `error.type=closed`; later spans do not wait."""
        self._pending.close()

    def _settle(self, pending: PendingSpan, info: object, qos: int) -> None:
        """End a span that waits for nothing: with QoS 1 or 2 paho keeps the message for the next connection."""
        # The result of another library's wrapper or of a mock has no reason code.
        if not self._listens or type(info) is not MQTTMessageInfo:
            self._pending.call_ends()
            self._end(pending, PublishOutcome(0))
            return
        queued = qos > 0 and info.rc != MQTTErrorCode.MQTT_ERR_QUEUE_SIZE
        if queued:
            self._pending.call_ends(info.mid, pending)
            return
        self._pending.call_ends()
        if info.rc == MQTTErrorCode.MQTT_ERR_SUCCESS:
            self._end(pending, PublishOutcome(info.mid))
        else:
            error = MQTTErrorCode(info.rc)
            self._end(pending, PublishOutcome(info.mid, 0, error.name, f"paho did not take the message: {error.name}"))


def note_omission(
    span: Span, metrics: PublishMetrics, metric_attributes: semconv.Attributes, reason: OmittedReason
) -> None:
    """Record in a span and a counter that the message is sent without the context."""
    omission: semconv.Attributes = {semconv.OMITTED_CONTEXT_REASON: reason.value}
    with _NOT_DESCRIBED:
        if span.is_recording():
            span.set_attributes({semconv.OMITTED_CONTEXT: True, **omission})
    with _NOT_COUNTED:
        metrics.omitted_contexts.add(1, {**metric_attributes, **omission})


def _end(metrics: PublishMetrics, pending: PendingSpan, outcome: PublishOutcome) -> None:
    """End the span. An error in tracing must not reach the program, paho's thread or other spans."""
    span = pending.span
    attributes = pending.metric_attributes
    if outcome.reason_code:
        with _NOT_DESCRIBED:
            span.set_attribute(semconv.REASON_CODE, outcome.reason_code)
    if outcome.error_type is not None:
        attributes = {**attributes, semconv.ERROR_TYPE: outcome.error_type}
        with _NOT_DESCRIBED:
            span.set_attribute(semconv.ERROR_TYPE, outcome.error_type)
            span.set_status(StatusCode.ERROR, semconv.encodable(outcome.description))
    with _NOT_COUNTED:
        metrics.sent.add(1, attributes)
        metrics.duration.record(time.monotonic() - pending.started, attributes)
    _report_and_end(pending, outcome)


def _report_and_end(pending: PendingSpan, outcome: PublishOutcome) -> None:
    try:
        report(pending, outcome)
    finally:
        with _NOT_ENDED:
            pending.span.end()
