"""The publish spans of one client, whoever sends its messages and whoever hears of the acknowledgements."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import TypeVar

from opentelemetry.context import Context
from opentelemetry.trace import SpanKind, StatusCode, Tracer
from opentelemetry.util.types import AttributeValue
from paho.mqtt.client import Client, MQTTMessageInfo
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from mqtt_trace import attributes as names
from mqtt_trace._acknowledgements import hear_acknowledgements, outcome_of
from mqtt_trace._pending import PendingSpan, PendingSpans, PublishOutcome, report
from mqtt_trace.metrics import PublishMetrics
from mqtt_trace.options import Options
from mqtt_trace.topics import TopicAliases

Answer = TypeVar("Answer")

_log = logging.getLogger(__name__)


class PublishSpans:
    """Starts a span per publish and ends it when the publish has ended.

    It does not hold the client: the client can hold this without a cycle.

    Args:
        tracer: Starts the spans.
        metrics: Where ended publishes are counted.
        options: Names of the conventions.
        max_pending: Spans that may wait for an acknowledgement; the oldest gives way with `error.type=overflow`.
        timeout: Seconds that a span may wait, after which it ends with `error.type=timeout`.

    Attributes:
        tracer: Starts further spans; those under way keep theirs.
    """

    def __init__(
        self, tracer: Tracer, metrics: PublishMetrics, options: Options, *, max_pending: int, timeout: float
    ) -> None:
        self.tracer = tracer
        self._options = options
        self._end = partial(_end, metrics)
        self._pending = PendingSpans(max_pending, timeout, self._end)
        self._aliases = TopicAliases()
        self._shared = names.SharedAttributes(names.Operation.PUBLISH, options.conventions)

    def __len__(self) -> int:
        """How many spans wait for an acknowledgement."""
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
        """Start the span of one publish, below the current span unless a context is given."""
        destination = self._aliases.topic(topic, properties)
        own = names.message_attributes(destination, qos, retain=retain, body_size=body_size, properties=properties)
        if attributes:
            own.update(attributes)
        span_attributes = {**self._shared.of(client), **own}
        span = self.tracer.start_span(
            names.span_name(names.Operation.PUBLISH, destination),
            context,
            SpanKind.PRODUCER,
            names.with_older_names(span_attributes, self._options.conventions),
        )
        return PendingSpan(span, time.monotonic(), self._shared.of_metrics(attributes or {}), on_outcome)

    def send(self, pending: PendingSpan, qos: int, publish: Callable[[], Answer]) -> Answer:
        """Call paho's `publish`; the span ends with it, or with what acknowledges the message."""
        self._pending.call_begins()
        try:
            info = publish()
        except BaseException as error:
            self._pending.call_ends()
            pending.span.record_exception(error)
            self._end(pending, PublishOutcome(0, 0, type(error).__qualname__, str(error)))
            raise
        self._settle(pending, info, qos)
        return info

    def hear(self, client: Client) -> None:
        """Be told by a client of its acknowledgements, before its `on_publish` is."""
        hear_acknowledgements(client, self._pending)

    def acknowledge(self, packet_id: int, reason: ReasonCode | None) -> None:
        """To be called with every PUBACK, PUBCOMP or refusal, unless the client tells of them."""
        self._pending.acknowledge(outcome_of(packet_id, reason))

    def close(self) -> None:
        """End every pending span with `error.type=closed`; from then on none waits."""
        self._pending.close()

    def _settle(self, pending: PendingSpan, info: object, qos: int) -> None:
        """With QoS 1 or 2 paho keeps the message and sends it on the next connection, unless its queue is full."""
        if not isinstance(info, MQTTMessageInfo):  # from another library's wrapper: nothing to go by
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


def _end(metrics: PublishMetrics, pending: PendingSpan, outcome: PublishOutcome) -> None:
    """End the span. An error in tracing must reach neither the program, nor paho's thread, nor other spans."""
    try:
        _describe(metrics, pending, outcome)
    except Exception:  # noqa: BLE001 - whatever it is, the rest must go on
        _log.exception("the span of packet id %d does not say how its publish ended", outcome.packet_id)
    report(pending, outcome)
    try:
        pending.span.end()
    except Exception:  # noqa: BLE001 - as above
        _log.exception("the span of packet id %d did not end", outcome.packet_id)


def _describe(metrics: PublishMetrics, pending: PendingSpan, outcome: PublishOutcome) -> None:
    span = pending.span
    attributes = pending.metric_attributes
    if outcome.reason_code:
        span.set_attribute(names.REASON_CODE, outcome.reason_code)
    if outcome.error_type is not None:
        span.set_attribute(names.ERROR_TYPE, outcome.error_type)
        span.set_status(StatusCode.ERROR, names.encodable(outcome.description))
        attributes = {**attributes, names.ERROR_TYPE: outcome.error_type}
    metrics.sent.add(1, attributes)
    metrics.duration.record(time.monotonic() - pending.started, attributes)
