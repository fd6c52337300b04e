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
from mqtt_trace._paho.fast_puback import read_pubacks_quickly
from mqtt_trace._paho.packet_size import heed_packet_size
from mqtt_trace._paho.pubrec import report_refused_pubrec
from mqtt_trace._propagation import mark_traced, propagator
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

    A context that would make the packet too large for the broker is left out, and the span has
    `mqtt.omitted_context=true`. Errors in tracing cost no message; the first of each kind is logged.

    The program may set the client's `on_publish` at any time. It is called when the span has ended, unless the broker
    answers before `publish` returns.

    Args:
        client: A paho client of either callback API version. With any other object, such as a wrapper or a mock,
            acknowledgements are unknown and the span ends with the call.
        tracer_provider: The global one by default.
        meter_provider: The global one by default.
        options: The options; read from the environment by default.
        max_pending: Maximum number of spans that wait for an acknowledgement; beyond it, the oldest ends with
            `error.type=overflow`.
        timeout: Maximum wait in seconds, after which a span ends with `error.type=timeout`.

    Raises:
        ConfigurationError: An environment variable has an invalid value.
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
        propagator()  # raises for a wrong name now, not at the first message
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
        """Number of spans that wait for an acknowledgement."""
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
            topic: The topic; empty if a Topic Alias replaces it.
            payload: Any payload that paho accepts.
            qos: 0, 1 or 2.
            retain: Whether the broker keeps the message.
            properties: The message's own PUBLISH properties; never changed.
            message_id: For `messaging.message.id`.
            template: Low-cardinality name of the topic, for `messaging.destination.template`.
            context: Parent of the span; the current context by default.
            attributes: More attributes for the span.
            on_outcome: Called once, with the span as the current one, when the publish and its span have ended: by
                paho's network thread, or after a time-out by the thread that watches all publishers. It must not block,
                because it delays other acknowledgements and time-outs.

        Returns: paho's own handle of the message.

        Raises:
            ValueError: As in paho, the topic, QoS or payload cannot be sent; the span ends with the error.
            TypeError: paho does not accept the type of the payload.
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
        """Create new spans with another provider, which may have another resource; current spans keep theirs."""
        self._spans.tracer = tracer_of(tracer_provider)

    def close(self) -> None:
        """End every pending span with `error.type=closed`; call it when the client is no longer used.

        Spans of current or later publishes with QoS 1 or 2 end in the same way and do not wait.
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
            # MQTT 3.1.1 sends no properties; these show an instrumented client that the message has a span.
            carried = mark_traced(properties)
            if body is not None and self._options.json_fallback:
                body = self._spans.carry_in_payload(pending, topic, body, context)
        return self._client.publish(topic, body, qos, retain, carried)
