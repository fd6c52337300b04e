"""Publishing with a span that lasts until the broker has acknowledged the message."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.metrics import MeterProvider
from opentelemetry.trace import TracerProvider
from opentelemetry.util.types import AttributeValue
from paho.mqtt.client import Client, MQTTMessageInfo
from paho.mqtt.properties import Properties

from mqtt_trace._options import Options
from mqtt_trace._paho.client import WITHOUT_PROPERTIES, is_paho
from mqtt_trace._paho.packet_size import heed_packet_size
from mqtt_trace._paho.puback import read_pubacks_quickly
from mqtt_trace._paho.pubrec import report_refused_pubrec
from mqtt_trace._propagation import of_program, propagator
from mqtt_trace._spans import payload as json_payload
from mqtt_trace._spans import semconv
from mqtt_trace._spans.metrics import PublishMetrics
from mqtt_trace._spans.outcome import PublishOutcome
from mqtt_trace._spans.pending import PendingSpan
from mqtt_trace._spans.publish import PublishSpans
from mqtt_trace._spans.tracer import tracer_of


class TracedPublisher:
    """Publishes through a paho client, with one PRODUCER span per message.

    The span opens before the packet is sent and ends on PUBACK (QoS 1), PUBCOMP (QoS 2) or hand-off to the client
    (QoS 0). A reason code of 0x80 or more, a time-out or a closed publisher ends it with an error.

    A context that would make the packet too large for the broker is left out: the span has `mqtt.omitted_context=true`.
    An error in tracing is logged, once of each kind, and costs no message.

    The client's `on_publish` stays the program's, to be set at any time. It is called when the span has ended, unless
    the broker is so quick that `publish` has not returned yet.

    Args:
        client: A paho client of either callback API version. Nothing tells of the acknowledgements of anything else,
            such as a wrapper or a mock: the span ends with the call.
        tracer_provider: The global one by default.
        meter_provider: The global one by default.
        options: Those of the environment by default.
        max_pending: Spans that may wait for an acknowledgement; the oldest gives way with `error.type=overflow`.
        timeout: Seconds that a span may wait, after which it ends with `error.type=timeout`.

    Raises:
        ConfigurationError: An environment variable has a value that is not understood.
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
        propagator()  # a wrong name is found here, and not with the first message
        self._spans = PublishSpans(
            tracer_of(tracer_provider),
            PublishMetrics(meter_provider),
            self._options,
            max_pending=max_pending,
            timeout=timeout,
        )
        if is_paho(client):
            self._spans.listen(client)
            report_refused_pubrec(client)
            read_pubacks_quickly(client)
            heed_packet_size(client)
        else:
            self._spans.end_with_the_call()

    @property
    def pending(self) -> int:
        """How many spans wait for an acknowledgement."""
        return len(self._spans)

    def publish(
        self,
        topic: str,
        payload: json_payload.Payload = None,
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
            topic: The topic to publish to; empty where a Topic Alias stands for it.
            payload: As paho takes it.
            qos: 0, 1 or 2.
            retain: Whether the broker keeps the message.
            properties: The message's own PUBLISH properties; never changed.
            message_id: For `messaging.message.id`.
            template: Low-cardinality name of the topic, for `messaging.destination.template`.
            context: Parent of the span; the current context by default.
            attributes: More attributes for the span.
            on_outcome: Called once, with the span as the current one, when the publish has ended, by paho's network
                thread or, after a time-out, by the thread that watches all publishers; then the span itself has ended,
                too. It must not block: other acknowledgements and time-outs wait for it.

        Returns:
            paho's own handle of the message.

        Raises:
            ValueError: As paho does, for a topic, QoS or payload that cannot be sent; the span ends with the error.
            TypeError: The payload is of no type that paho takes.
        """
        body = json_payload.as_bytes(payload)
        own: dict[str, AttributeValue] = dict(attributes or {})
        if message_id is not None:
            own[semconv.MESSAGE_ID] = message_id
        if template is not None:
            own[semconv.TEMPLATE] = template
        pending = self._spans.start(
            self._client,
            topic,
            qos,
            retain=retain,
            body_size=len(body or b""),
            properties=properties,
            context=context,
            attributes=own,
            on_outcome=on_outcome,
        )
        carrying = trace.set_span_in_context(pending.span, context)
        self._spans.listen_again(self._client)
        return self._spans.send(
            pending, qos, lambda: self._send(pending, topic, body, qos, retain, properties, carrying)
        )

    def set_tracer_provider(self, tracer_provider: TracerProvider) -> None:
        """Make further spans with another provider, whose resource is another; those under way keep theirs."""
        self._spans.tracer = tracer_of(tracer_provider)

    def close(self) -> None:
        """End every pending span with `error.type=closed`; to be called when the client will not be used again.

        The span of a publish with QoS 1 or 2 that is under way, or comes later, ends in the same way and does not wait.
        """
        self._spans.close()

    def _send(
        self,
        pending: PendingSpan,
        topic: str,
        body: bytes | None,
        qos: int,
        retain: bool,
        properties: Properties | None,
        context: Context,
    ) -> MQTTMessageInfo:
        if getattr(self._client, "protocol", None) not in WITHOUT_PROPERTIES:
            carried = self._spans.carry(pending, properties, context)
        else:
            # MQTT 3.1.1 sends no properties: these tell an instrumented client that the message has its span.
            carried = of_program(properties)
            if body is not None and self._options.json_fallback:
                body = self._spans.carry_in_payload(pending, topic, body, context)
        return self._client.publish(topic, body, qos, retain, carried)
