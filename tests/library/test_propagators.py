"""The propagators of `OTEL_PROPAGATORS`, also with publishers that write field names in other cases."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from importlib.metadata import entry_points
from typing import Any

import pytest
from opentelemetry import baggage, propagate, trace
from opentelemetry.context import Context
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags
from paho.mqtt.enums import MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from local.mosquitto import Mosquitto
from mqtt_trace import MissingReason, Options, TracedConsumer, TracedPublisher, context_to_user_properties, extract
from mqtt_trace import inject as inject_into
from tests.library.harness import Connect, Inbox, Instrument, Recorded

TRACE_ID = 0x0AF7651916CD43DD8448EB211C80319C
SPAN_ID = 0xB7AD6B7169203331
TRACE, SPAN = f"{TRACE_ID:032x}", f"{SPAN_ID:016x}"
Pairs = list[tuple[str, str]]
Use = Callable[[str], None]

WRITTEN: dict[str, Pairs] = {
    "tracecontext": [("traceparent", f"00-{TRACE}-{SPAN}-01")],
    "b3": [("b3", f"{TRACE}-{SPAN}-1")],
    "b3multi": [("x-b3-traceid", TRACE), ("x-b3-spanid", SPAN), ("x-b3-sampled", "1")],
    "jaeger": [("uber-trace-id", f"{TRACE}:{SPAN}:{0:016x}:03")],
    "xray": [("x-amzn-trace-id", f"Root=1-{TRACE[:8]}-{TRACE[8:]};Parent={SPAN};Sampled=1")],
}
"""The fields that each of them writes, in lower case."""
AS_IN_HTTP: dict[str, Pairs] = {
    "tracecontext": [("Traceparent", f"00-{TRACE}-{SPAN}-01")],
    "b3": [("B3", f"{TRACE}-{SPAN}-1")],
    "b3multi": [("X-B3-TraceId", TRACE), ("X-B3-SpanId", SPAN), ("X-B3-Sampled", "1")],
    "jaeger": [("Uber-Trace-Id", f"{TRACE}:{SPAN}:0:1")],
    "xray": [("X-Amzn-Trace-Id", f"Root=1-{TRACE[:8]}-{TRACE[8:]};Parent={SPAN};Sampled=1")],
}
"""The same with the names of HTTP headers, as some publishers write them."""


@pytest.fixture
def use() -> Iterator[Use]:
    """Make the propagators of a list, as the variable names them, the global ones; undone at the end."""
    before = propagate.get_global_textmap()

    def use_named(names: str) -> None:
        found = [entry_points(group="opentelemetry_propagator", name=name) for name in names.split(",") if name]
        propagate.set_global_textmap(CompositePropagator([next(iter(one)).load()() for one in found]))

    yield use_named
    propagate.set_global_textmap(before)


def a_context(**entries: str) -> Context:
    """A context with a sampled span and baggage."""
    span_context = SpanContext(TRACE_ID, SPAN_ID, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))
    context = trace.set_span_in_context(NonRecordingSpan(span_context), Context())
    for name, value in entries.items():
        context = baggage.set_baggage(name, value, context)
    return context


def ids(user_properties: Pairs) -> tuple[int, int]:
    """Trace id and span id of what is extracted, which is usable."""
    extracted = extract(user_properties)
    assert extracted.missing is None
    span_context = trace.get_current_span(extracted.context).get_span_context()
    assert span_context.trace_flags.sampled
    return span_context.trace_id, span_context.span_id


def properties_with(user_properties: Pairs) -> Any:
    """PUBLISH properties as another program would set them."""
    properties = Properties(PacketTypes.PUBLISH)
    properties.UserProperty = user_properties
    return properties


@pytest.mark.parametrize("name", WRITTEN)
def test_names_are_written_in_lower_case(use: Use, name: str) -> None:
    """Names are written in lower case, whatever the propagator's spelling."""
    use(name)
    assert context_to_user_properties(a_context()) == WRITTEN[name]


@pytest.mark.parametrize("spelt", [str.lower, str.upper, str.title, str.swapcase])
@pytest.mark.parametrize("name", WRITTEN)
def test_names_are_read_in_any_case(use: Use, name: str, spelt: Callable[[str], str]) -> None:
    """Names are read in any case, because MQTT does not define one."""
    use(name)
    assert ids([(spelt(field), value) for field, value in WRITTEN[name]]) == (TRACE_ID, SPAN_ID)


@pytest.mark.parametrize("name", AS_IN_HTTP)
def test_names_are_read_as_http_headers_are_written(use: Use, name: str) -> None:
    """`X-B3-TraceId` is what most publishers write."""
    use(name)
    assert ids(AS_IN_HTTP[name]) == (TRACE_ID, SPAN_ID)


def test_trace_state_and_baggage_are_read_in_any_case(use: Use) -> None:
    """Trace state and baggage are read in any case, even if their parts differ."""
    use("tracecontext,baggage")
    received = [("TRACEPARENT", f"00-{TRACE}-{SPAN}-01"), ("TRACESTATE", "a=1"), ("Tracestate", "b=2")]
    context = extract([*received, ("Baggage", "tenant=acme"), ("baggage", "site=hq")]).context
    assert dict(trace.get_current_span(context).get_span_context().trace_state) == {"a": "1", "b": "2"}
    assert baggage.get_all(context) == {"tenant": "acme", "site": "hq"}


@pytest.mark.parametrize("name", WRITTEN)
def test_a_field_twice_is_a_duplicate_whatever_its_case(use: Use, name: str) -> None:
    """`traceparent` and `Traceparent` together are a duplicate."""
    use(name)
    assert extract([*WRITTEN[name], *AS_IN_HTTP[name]]).missing is MissingReason.DUPLICATE


@pytest.mark.parametrize(
    ("configured", "received"),
    [
        ("b3", AS_IN_HTTP["b3multi"]),
        ("b3multi", AS_IN_HTTP["b3"]),
        ("tracecontext,baggage,b3multi", AS_IN_HTTP["b3multi"]),
        ("b3multi,tracecontext,baggage", AS_IN_HTTP["tracecontext"]),
        ("baggage,jaeger,xray", AS_IN_HTTP["xray"]),
        ("xray,b3,jaeger,baggage", AS_IN_HTTP["jaeger"]),
        ("tracecontext,b3", [("traceparent", "garbage"), *AS_IN_HTTP["b3"]]),
    ],
)
def test_whatever_a_configured_propagator_reads_is_found(use: Use, configured: str, received: Pairs) -> None:
    """Any field that a listed propagator reads is found, even one that it does not write, as with B3."""
    use(configured)
    assert ids([("other", "x"), *received]) == (TRACE_ID, SPAN_ID)


@pytest.mark.parametrize("name", WRITTEN)
def test_what_is_not_configured_is_absent(use: Use, name: str) -> None:
    """A field of a propagator that is not configured counts as absent."""
    use(name)
    others = [
        pair for other, pairs in WRITTEN.items() if not {name, other} <= {name, "b3", "b3multi"} for pair in pairs
    ]
    assert extract(others).missing is MissingReason.ABSENT


@pytest.mark.parametrize(
    ("name", "garbage"),
    [
        ("b3", [("b3", "garbage")]),
        ("b3multi", [("X-B3-TraceId", "garbage"), ("X-B3-SpanId", SPAN)]),
        ("b3multi", [("X-B3-TraceId", TRACE)]),
        ("jaeger", [("uber-trace-id", "1:2:3")]),
        ("xray", [("X-Amzn-Trace-Id", "Root=1-x")]),
    ],
)
def test_what_the_propagator_refuses_is_malformed(use: Use, name: str, garbage: Pairs) -> None:
    """The reason differs from that of a message without context."""
    use(name)
    assert extract(garbage).missing is MissingReason.MALFORMED


def test_jaegers_baggage_crosses_by_the_list(use: Use) -> None:
    """Each allowed entry is a property `uberctx-…`, written in lower case and read in any case."""
    use("jaeger")
    options = Options(baggage_keys=frozenset({"tenant"}))
    sent = context_to_user_properties(a_context(tenant="acme", user="ada"), options=options)
    assert sent == [*WRITTEN["jaeger"], ("uberctx-tenant", "acme")]
    received = [("Uber-Trace-Id", sent[0][1]), ("Uberctx-Tenant", "acme"), ("uberctx-site", "hq"), ("other", "x")]
    assert baggage.get_all(extract(received).context) == {"tenant": "acme", "site": "hq"}


@pytest.mark.parametrize("name", WRITTEN)
def test_a_context_that_is_passed_on_is_replaced_whatever_its_case(use: Use, name: str) -> None:
    """A forwarded context is replaced completely, in any case; other properties keep their place."""
    use(name)
    received = [("site", "hq"), *AS_IN_HTTP[name], *([("UberCtx-Secret", "1")] if name == "jaeger" else [])]
    again: Any = inject_into(properties_with(received), a_context())
    assert again.UserProperty == [("site", "hq"), *WRITTEN[name]]


def test_none_reads_and_writes_nothing(use: Use) -> None:
    """With `none`, no context is read, and messages are sent as without tracing."""
    use("")
    assert context_to_user_properties(a_context(tenant="acme")) == []
    assert extract([pair for pairs in WRITTEN.values() for pair in pairs]).missing is MissingReason.ABSENT
    own: Any = inject_into(properties_with(AS_IN_HTTP["tracecontext"]), a_context())
    assert own.UserProperty == AS_IN_HTTP["tracecontext"]


@pytest.mark.parametrize("instrumented", [True, False])
@pytest.mark.parametrize("protocol", [MQTTProtocolVersion.MQTTv5, MQTTProtocolVersion.MQTTv311])
def test_with_none_messages_go_out_as_without_tracing_and_are_processed(
    broker: Mosquitto,
    connect: Connect,
    inbox: type[Inbox],
    recorded: Recorded,
    instrument: Instrument,
    use: Use,
    monkeypatch: pytest.MonkeyPatch,
    protocol: MQTTProtocolVersion,
    instrumented: bool,
) -> None:
    """With `none`, both sides have spans, but no context is sent, not even an empty one in the payload."""
    use("")
    monkeypatch.setenv("MQTT_TRACE_JSON_FALLBACK", "true")
    received = inbox(connect(broker), f"none/{protocol}/{instrumented}")
    sender: Any = connect(broker, protocol=protocol)
    if instrumented:
        instrument()
    else:
        sender = TracedPublisher(sender, tracer_provider=recorded.tracer_provider)
    payload = json.dumps({"reading": 21})
    sender.publish(f"none/{protocol}/{instrumented}", payload, 1)
    (message,) = received.wait()
    assert message.payload.decode() == payload
    assert getattr(message.properties, "UserProperty", []) == []
    with TracedConsumer(None, tracer_provider=recorded.tracer_provider).process(message) as span:
        attributes = getattr(span, "attributes", {})
    assert attributes["mqtt.missing_context_reason"] == "absent"
