"""The will of an instrumented client."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import wraps
from typing import Any

from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind
from paho.mqtt.client import Client, MQTTv5
from paho.mqtt.properties import Properties

from mqtt_trace import attributes as names
from mqtt_trace.instrumentation._tracing import Tracing
from mqtt_trace.propagation import inject

_log = logging.getLogger(__name__)


def send_connect(tracing: Tracing, original: Callable[..., Any]) -> Callable[..., Any]:
    """For `Client._send_connect`: each CONNECT hands a will to the broker, which publishes it or never does.

    So its span is one of creating a message, as the conventions call it, and carried by this CONNECT alone.
    """

    @wraps(original)
    def traced_send_connect(self: Client, *args: Any, **kwargs: Any) -> Any:
        own = self._will_properties
        span = _start(tracing, self, own) if tracing.active and self._will and self.protocol == MQTTv5 else None
        if span is None:
            return original(self, *args, **kwargs)
        try:
            return original(self, *args, **kwargs)
        finally:
            self._will_properties = own
            span.end()

    return traced_send_connect


def _start(tracing: Tracing, client: Client, own: Properties | None) -> Span | None:
    """Start the span and let the will carry it; None if it is not to be traced, or cannot be."""
    try:
        topic = client._will_topic.decode()
        if type(own) not in {Properties, type(None)} or not tracing.wants(topic):
            return None
        attributes = {
            **names.operation_attributes(client, names.Operation.CREATE, tracing.options.conventions),
            **names.message_attributes(
                topic,
                client._will_qos,
                retain=bool(client._will_retain),
                body_size=len(client._will_payload),
                properties=own,
            ),
        }
        span = tracing.tracer.start_span(
            names.span_name(names.Operation.CREATE, topic),
            kind=SpanKind.PRODUCER,
            attributes=names.with_older_names(attributes, tracing.options.conventions),
        )
        client._will_properties = inject(own, trace.set_span_in_context(span), options=tracing.options)
    except Exception:
        _log.exception("a will is not traced")
        return None
    else:
        return span
