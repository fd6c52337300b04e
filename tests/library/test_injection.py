"""A program's own properties after a context is added."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry import baggage, propagate, trace
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.propagators.textmap import CarrierT, Setter, default_setter
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from mqtt_trace import Options, inject
from mqtt_trace._paho.tolerant import unpack

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


pytestmark = pytest.mark.usefixtures("default_propagator")


def a_context() -> Context:
    """A context with the span of `TRACEPARENT`."""
    trace_id, span_id = int(TRACEPARENT[3:35], 16), int(TRACEPARENT[36:52], 16)
    span_context = SpanContext(trace_id, span_id, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))
    return trace.set_span_in_context(NonRecordingSpan(span_context), Context())


def properties_with(*user_properties: tuple[str, str]) -> Any:
    """PUBLISH properties as a program sets them."""
    properties = Properties(PacketTypes.PUBLISH)
    properties.UserProperty = list(user_properties)
    return properties


class _Verbose(W3CBaggagePropagator):
    """A propagator that adds more than a packet can hold."""

    def inject(
        self, carrier: CarrierT, context: Context | None = None, setter: Setter[CarrierT] = default_setter
    ) -> None:
        del context
        setter.set(carrier, "baggage", "a=" + "ä" * 40_000)


def test_of_the_context_alone_too_much_is_left_out() -> None:
    """Only parts of the context that do not fit are left out, never the program's own properties."""
    propagate.set_global_textmap(CompositePropagator([TraceContextTextMapPropagator(), _Verbose()]))
    document = ("document", "x" * 70_000)
    sent: Any = inject(properties_with(document), a_context())
    assert sent.UserProperty == [document, ("traceparent", TRACEPARENT)]


def test_baggage_alone_replaces_no_context() -> None:
    """Without a span, baggage does not replace the context of a forwarded message."""
    passed_on = [("traceparent", TRACEPARENT), ("tracestate", "vendor=value"), ("baggage", "tenant=other")]
    context = baggage.set_baggage("tenant", "acme", Context())
    sent = inject(properties_with(*passed_on), context, options=Options(baggage_keys=frozenset({"tenant"})))
    assert sent.UserProperty == [*passed_on[:2], ("baggage", "tenant=acme")]


class _Stamped(Properties):
    """A program's properties that add to every packet a value that no attribute holds."""

    ContentType: str

    def pack(self) -> bytes:
        stamped = properties_with(("mark", "\ufeff"), ("traceparent", TRACEPARENT.replace("7", "8")))
        stamped.ContentType = self.ContentType
        return bytes(stamped.pack())


def test_properties_that_pack_themselves_are_sent_as_they_pack() -> None:
    """The packed form of a subclass of paho's class is sent with the context, which replaces one that it contains."""
    own = _Stamped(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]  # paho leaves it untyped
    own.ContentType = "text/plain"
    sent: Any = Properties(PacketTypes.PUBLISH)
    unpack(sent, inject(own, a_context()).pack())
    assert sent.ContentType == "text/plain"
    assert sent.UserProperty == [("mark", "\ufeff"), ("traceparent", TRACEPARENT)]
