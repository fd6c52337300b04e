"""Spans from any provider; if it fails, a span that records nothing replaces its span."""

from __future__ import annotations

from collections.abc import Sequence

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, NonRecordingSpan, NoOpTracer, Span, SpanKind, Tracer, TracerProvider

from mqtt_trace._guard import Guard
from mqtt_trace._spans.semconv import Attributes
from mqtt_trace._version import __version__

_NO_TRACER = Guard("nothing is traced")
_NO_SPAN = Guard("a span did not start")


def tracer_of(provider: TracerProvider | None) -> Tracer:
    """The tracer of a provider, by default of the global one."""
    with _NO_TRACER:
        return trace.get_tracer("mqtt_trace", __version__, provider)
    return NoOpTracer()


def start_span(
    tracer: Tracer,
    name: str,
    context: Context | None,
    kind: SpanKind,
    attributes: Attributes,
    links: Sequence[Link] = (),
) -> Span:
    """Start a span."""
    with _NO_SPAN:
        return tracer.start_span(name, context, kind, attributes, links)
    return stand_in(context)


def stand_in(context: Context | None = None) -> Span:
    """A span that records nothing; its children continue the trace of the context, by default the current one."""
    return NonRecordingSpan(trace.get_current_span(context).get_span_context())
