"""The fallback of MQTT 3.1.1, as a publish needs it."""

from __future__ import annotations

from opentelemetry.context import Context
from opentelemetry.trace import Span

from mqtt_trace import attributes as names
from mqtt_trace import payload as json_payload
from mqtt_trace.options import Options
from mqtt_trace.propagation import context_to_user_properties


def carry_in_payload(span: Span, body: bytes, context: Context, options: Options) -> bytes:
    """The payload with the context in it, whose size becomes that of the span's message."""
    body = json_payload.add_context(body, context_to_user_properties(context, options=options))
    span.set_attribute(names.BODY_SIZE, len(body))
    return body
