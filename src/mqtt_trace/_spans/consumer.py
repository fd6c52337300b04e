"""Spans around the processing of received messages."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from opentelemetry.metrics import MeterProvider
from opentelemetry.trace import TracerProvider
from opentelemetry.util.types import AttributeValue
from paho.mqtt.client import Client, MQTTMessage

from mqtt_trace._guard import log
from mqtt_trace._message import Message, ReceivedMessage
from mqtt_trace._options import Options
from mqtt_trace._paho.client import is_paho, trace_explicitly
from mqtt_trace._paho.tolerant import topic_of
from mqtt_trace._propagation import propagator
from mqtt_trace._spans.metrics import ProcessMetrics
from mqtt_trace._spans.process import LinkAttributes, ProcessSpans
from mqtt_trace._spans.process_span import ProcessSpan
from mqtt_trace._spans.tracer import tracer_of
from mqtt_trace.topics import Subscriptions

Handler = Callable[[Client, Any, MQTTMessage], None]

_log = logging.getLogger(__name__)


class TracedConsumer:
    """Opens CONSUMER spans that continue the traces of received messages.

    Args:
        client: The client that receives the messages; None if they come from elsewhere.
        subscriptions: The filters of its subscriptions, `$share/…` included; they become destination template and
            group.
        subscription_identifiers: The filters of subscriptions with a Subscription Identifier (MQTT 5, section
            3.8.2.1.2), by identifier; `subscriptions` need not repeat them. If filters overlap, only the identifier
            shows which one a message matched.
        tracer_provider: The global one by default.
        meter_provider: The global one by default.
        options: The options; read from the environment by default.

    Raises:
        ConfigurationError: An environment variable has an invalid value.
    """

    def __init__(
        self,
        client: Client | None = None,
        subscriptions: Iterable[str] = (),
        *,
        subscription_identifiers: Mapping[int, str] | None = None,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
        options: Options | None = None,
    ) -> None:
        self._client = client
        propagator()  # raises for a wrong name now, not at the first message
        self._spans = ProcessSpans(
            tracer_of(tracer_provider),
            ProcessMetrics(meter_provider),
            options or Options.from_env(),
            Subscriptions(subscriptions, subscription_identifiers),
        )
        if is_paho(client):
            trace_explicitly(client, self)

    def process(
        self,
        message: ReceivedMessage,
        *,
        message_id: str | None = None,
        attributes: Mapping[str, AttributeValue] | None = None,
    ) -> ProcessSpan:
        """Make a process span the current one; an exception is recorded in it and propagates.

        A `BaseException` that is no `Exception`, such as SystemExit or asyncio's CancelledError, is not recorded as an
        error. Errors in tracing are never raised: the first of each kind is logged, and the span records nothing.

        The span is a child of the publish span; with `MQTT_TRACE_RELATION=both`, which is the default of the opt-in
        conventions, it links to it, too. A retained message, and any message when `MQTT_TRACE_RELATION=link`, starts a
        new trace that links to it. So does a message on a topic outside `MQTT_TRACE_TRUSTED_TOPICS`; its span has
        `mqtt.untrusted_context=true`, and its baggage is dropped. A message without usable context starts a trace with
        `mqtt.missing_context=true` and the reason.
        """
        return self._spans.start(self._client, message, message_id=message_id, attributes=attributes)

    def process_batch(
        self,
        messages: Sequence[Message],
        *,
        attributes: Mapping[str, AttributeValue] | None = None,
        link_attributes: LinkAttributes[Message] | None = None,
    ) -> ProcessSpan:
        """Make one process span for several messages the current one, with a link to the publish span of each.

        A batch has no single parent, so the span continues the current trace or starts one. Attributes that all
        messages share are on the span, the others on the links. The SDK keeps the last 128 links, unless
        `OTEL_SPAN_LINK_COUNT_LIMIT` or the provider's `SpanLimits` says otherwise.

        Args:
            messages: The batch, in any order, of any topics.
            attributes: More attributes for the span.
            link_attributes: More attributes for the link of a message, such as its `messaging.message.id`.

        Raises:
            TypeError: The messages are not a sequence.
        """
        if not isinstance(messages, Sequence):
            # Reading an iterator here would leave it empty for the program.
            raise TypeError(f"messages must be a sequence, such as a list, not {type(messages).__qualname__}")
        return self._spans.start_batch(self._client, messages, attributes=attributes, link_attributes=link_attributes)

    def handler(self, handle: Handler) -> Handler:
        """Wrap an `on_message` callback in a process span.

        An exception is recorded and logged but does not propagate: it would end paho's network thread, and the client
        would receive nothing more.
        """

        def on_message(client: Client, userdata: Any, message: MQTTMessage) -> None:
            try:
                with self.process(message):
                    handle(client, userdata, message)
            except Exception as error:  # noqa: BLE001 - no exception may reach paho's thread
                log(_log, logging.ERROR, "the handler failed for a message on %s", topic_of(message), exc_info=error)

        return on_message
