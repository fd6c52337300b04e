"""Publishing with a span that lasts until the broker has acknowledged the message."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.metrics import MeterProvider
from opentelemetry.trace import Span, SpanKind, StatusCode, TracerProvider
from opentelemetry.util.types import AttributeValue
from paho.mqtt.client import Client, MQTTMessageInfo, MQTTv5
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from mqtt_trace import attributes as names
from mqtt_trace import payload as json_payload
from mqtt_trace._paho import report_refused_pubrec
from mqtt_trace._pending import PendingSpan, PendingSpans, PublishOutcome
from mqtt_trace._version import __version__
from mqtt_trace.metrics import PublishMetrics
from mqtt_trace.options import Options
from mqtt_trace.propagation import context_to_user_properties, inject
from mqtt_trace.reasons import REFUSED_FROM

Payload = str | bytes | bytearray | int | float | None

_log = logging.getLogger(__name__)


class TracedPublisher:
    """Publishes through a paho client, with one PRODUCER span per message.

    The span opens before the packet is sent and ends on PUBACK (QoS 1), PUBCOMP (QoS 2) or hand-off to the client
    (QoS 0). A reason code of 0x80 or more, a time-out or a closed publisher ends it with an error.

    It listens to the client's `on_publish` and calls the function that was set there before, so set yours first.

    Args:
        client: A paho client of either callback API version.
        tracer_provider: The global one by default.
        meter_provider: The global one by default.
        options: Those of the environment by default.
        max_pending: Spans that may wait for an acknowledgement; the oldest gives way with `error.type=overflow`.
        timeout: Seconds that a span may wait, after which it ends with `error.type=timeout`.
    """

    def __init__(
        self,
        client: Client,
        *,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
        options: Options | None = None,
        max_pending: int = 10_000,
        timeout: float = 300.0,
    ) -> None:
        self._client = client
        self._options = options or Options.from_env()
        self._tracer = trace.get_tracer("mqtt_trace", __version__, tracer_provider)
        self._metrics = PublishMetrics(meter_provider)
        self._pending = PendingSpans(max_pending, timeout, self._end)
        self._shared: names.Attributes = {}
        self._shared_for: object = None
        self._chain(client.on_publish)
        report_refused_pubrec(client)

    @property
    def pending(self) -> int:
        """How many spans wait for an acknowledgement."""
        return len(self._pending)

    def publish(
        self,
        topic: str,
        payload: Payload = None,
        qos: int = 0,
        retain: bool = False,
        properties: Properties | None = None,
        *,
        message_id: str | None = None,
        template: str | None = None,
        context: Context | None = None,
        attributes: Mapping[str, AttributeValue] | None = None,
        on_outcome: Callable[[PublishOutcome], None] | None = None,
    ) -> MQTTMessageInfo:
        """Publish as paho's `Client.publish` does, traced.

        Args:
            topic: The topic to publish to.
            payload: As paho takes it.
            qos: 0, 1 or 2.
            retain: Whether the broker keeps the message.
            properties: The message's own PUBLISH properties; never changed.
            message_id: For `messaging.message.id`.
            template: Low-cardinality name of the topic, for `messaging.destination.template`.
            context: Parent of the span; the current context by default.
            attributes: More attributes for the span.
            on_outcome: Called once, with the span as the current one, when the publish has ended; from whichever
                thread learned of it.

        Returns:
            paho's own handle of the message.

        Raises:
            ValueError: As paho does, for a topic, QoS or payload that cannot be sent; the span ends with the error.
            TypeError: The payload is of no type that paho takes.
        """
        body = _body(payload)
        shared = self._shared_attributes()
        own = names.message_attributes(topic, qos, retain=retain, body_size=len(body or b""), properties=properties)
        span_attributes = {**shared, **own, **(attributes or {})}
        if message_id is not None:
            span_attributes[names.MESSAGE_ID] = message_id
        if template is not None:
            span_attributes[names.TEMPLATE] = template
        span = self._tracer.start_span(
            f"{names.Operation.PUBLISH} {topic}",
            context,
            SpanKind.PRODUCER,
            names.with_older_names(span_attributes, self._options.conventions),
        )
        pending = PendingSpan(span, time.monotonic(), names.metric_attributes(span_attributes), on_outcome)
        carrying = trace.set_span_in_context(span, context)
        self._pending.call_begins()
        try:
            info = self._send(span, topic, body, qos, retain, properties, carrying)
        except BaseException as error:
            self._pending.call_ends()
            span.record_exception(error)
            self._end(pending, PublishOutcome(0, 0, type(error).__qualname__, str(error)))
            raise
        self._settle(pending, info, qos)
        return info

    def close(self) -> None:
        """End every pending span with `error.type=closed`; to be called when the client will not be used again."""
        self._pending.close()

    def _send(
        self,
        span: Span,
        topic: str,
        body: bytes | None,
        qos: int,
        retain: bool,
        properties: Properties | None,
        context: Context,
    ) -> MQTTMessageInfo:
        if self._client.protocol == MQTTv5:
            properties = inject(properties, context, options=self._options)
        elif body is not None and self._options.json_fallback:
            body = json_payload.add_context(body, context_to_user_properties(context, options=self._options))
            span.set_attribute(names.BODY_SIZE, len(body))
        return self._client.publish(topic, body, qos, retain, properties)

    def _settle(self, pending: PendingSpan, info: MQTTMessageInfo, qos: int) -> None:
        """With QoS 1 or 2 paho keeps the message and sends it on the next connection, unless its queue is full."""
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

    def _end(self, pending: PendingSpan, outcome: PublishOutcome) -> None:
        span = pending.span
        attributes = pending.metric_attributes
        if outcome.reason_code:
            span.set_attribute(names.REASON_CODE, outcome.reason_code)
        if outcome.error_type is not None:
            span.set_attribute(names.ERROR_TYPE, outcome.error_type)
            span.set_status(StatusCode.ERROR, outcome.description)
            attributes = {**attributes, names.ERROR_TYPE: outcome.error_type}
        self._metrics.sent.add(1, attributes)
        self._metrics.duration.record(time.monotonic() - pending.started, attributes)
        if pending.on_outcome is not None:
            with trace.use_span(span, record_exception=False, set_status_on_exception=False):
                _report(outcome, pending.on_outcome)
        span.end()

    def _shared_attributes(self) -> names.Attributes:
        """Known once the client knows its broker, and the same until it gets another one."""
        key = (self._client.host, self._client.port)
        if self._shared_for != key:
            self._shared = names.operation_attributes(self._client, names.Operation.PUBLISH, self._options.conventions)
            self._shared_for = key
        return self._shared

    def _chain(self, previous: Callable[..., None] | None) -> None:
        def on_publish(client: Client, userdata: Any, mid: int, *rest: Any) -> None:
            self._pending.acknowledge(_outcome(mid, rest))
            if previous is not None:
                previous(client, userdata, mid, *rest)

        self._client.on_publish = on_publish


def _report(outcome: PublishOutcome, on_outcome: Callable[[PublishOutcome], None]) -> None:
    """Call whoever waits for the outcome; what is raised must reach neither paho's thread nor other publishes."""
    try:
        on_outcome(outcome)
    except Exception:  # noqa: BLE001 - whatever it is, the spans of others must end
        _log.exception("on_outcome failed for packet id %d", outcome.packet_id)


def _outcome(packet_id: int, rest: tuple[Any, ...]) -> PublishOutcome:
    """Callback API version 1 has no reason code; with MQTT 3.1.1 there is none to have."""
    reason: ReasonCode | None = rest[0] if rest else None
    if reason is None or reason.value < REFUSED_FROM:
        return PublishOutcome(packet_id, reason.value if reason else 0)
    return PublishOutcome(packet_id, reason.value, f"0x{reason.value:02x}", str(reason))


def _body(payload: Payload) -> bytes | None:
    """The bytes that paho would send for a payload."""
    if payload is None or isinstance(payload, bytes):
        return payload
    if isinstance(payload, bytearray):
        return bytes(payload)
    if isinstance(payload, str | int | float):
        return str(payload).encode()
    raise TypeError(f"payload must be str, bytes, bytearray, int, float or None, not {type(payload).__qualname__}")
