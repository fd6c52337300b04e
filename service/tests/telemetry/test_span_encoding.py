"""Our encoder of spans, compared with the SDK's."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mqtt_trace_service.telemetry import _encoding
from mqtt_trace_service.telemetry._encoding import encode_spans
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans as sdk_encode_spans
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    StatusCode,
    TraceFlags,
    Tracer,
    TraceState,
    set_span_in_context,
)
from opentelemetry.util.types import Attributes, AttributeValue

KEYS = st.text(min_size=1, max_size=5) | st.sampled_from(["k" * 200, "mqtt.qos", "messaging.system"])
TEXTS = st.text(max_size=5) | st.sampled_from(["", "mqtt", "t" * 127, "t" * 300, "ä" * 20_000])
NUMBERS = (
    st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats() | st.sampled_from([0, 1, 127, 128, -1, 0.0, -0.0])
)
VALUES = TEXTS | NUMBERS | st.lists(TEXTS, max_size=2) | st.lists(st.integers(0, 300), max_size=2)
ATTRIBUTES = st.dictionaries(KEYS, VALUES, max_size=6)
CONTEXTS = st.builds(
    SpanContext,
    st.integers(1, 2**128 - 1),
    st.integers(1, 2**64 - 1),
    st.booleans(),
    st.just(TraceFlags(TraceFlags.SAMPLED)),
    st.sampled_from([None, TraceState(), TraceState([("vendor", "one"), ("other", "two")])]),
)
TIMES = st.integers(1, 2**64 - 1)


def _ended(
    make: Callable[[Tracer], None],
    *,
    resource: Resource | None = None,
    scope: str = "test",
    schema_url: str | None = None,
    scope_attributes: Attributes = None,
    limits: SpanLimits | None = None,
) -> Sequence[ReadableSpan]:
    """What is exported of the spans that `make` ends."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(resource=resource or Resource({}), span_limits=limits, shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    make(provider.get_tracer(scope, "1.0", schema_url, scope_attributes))
    return exporter.get_finished_spans()


def _drawn(data: st.DataObject) -> Sequence[ReadableSpan]:
    """One span of one resource and scope, with anything that a program can put into it."""
    parent = data.draw(st.none() | CONTEXTS)
    links = [
        Link(context, attributes)
        for context, attributes in data.draw(st.lists(st.tuples(CONTEXTS, ATTRIBUTES), max_size=2))
    ]

    def make(tracer: Tracer) -> None:
        span = tracer.start_span(
            data.draw(TEXTS),
            set_span_in_context(NonRecordingSpan(parent)) if parent else None,
            data.draw(st.sampled_from(SpanKind)),
            data.draw(ATTRIBUTES),
            links,
            start_time=data.draw(TIMES),
        )
        for name in data.draw(st.lists(TEXTS, max_size=2)):
            span.add_event(name, data.draw(ATTRIBUTES), data.draw(TIMES))
        status = data.draw(st.sampled_from(StatusCode))
        span.set_status(status, data.draw(TEXTS) if status is StatusCode.ERROR else None)
        span.end(data.draw(TIMES))

    return _ended(
        make,
        resource=Resource(data.draw(ATTRIBUTES), data.draw(st.sampled_from(["", "https://schema.example/1"]))),
        scope=data.draw(st.sampled_from(["one", "other"])),
        schema_url=data.draw(st.sampled_from([None, "https://schema.example/2"])),
        scope_attributes=data.draw(st.none() | ATTRIBUTES),
        limits=data.draw(st.sampled_from([None, SpanLimits(max_span_attributes=1, max_events=1, max_links=1)])),
    )


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # a busy machine must not fail it
@given(st.data())
def test_the_bytes_are_those_of_the_sdk(data: st.DataObject) -> None:
    """Spans of any content, resources and scopes, in any order, get the same bytes as from the SDK."""
    spans = [span for _ in range(data.draw(st.integers(0, 4))) for span in [*_drawn(data)] * 2]
    spans = data.draw(st.permutations(spans))
    assert encode_spans(spans) == sdk_encode_spans(spans).SerializeToString()


@pytest.mark.parametrize("equal", [(1, True), (True, 1), (0, False), (0.0, -0.0), (1.0, 1)])
def test_equal_values_of_another_type_stay_what_they_are(equal: tuple[AttributeValue, AttributeValue]) -> None:
    """An attribute that equals an earlier one of another type keeps its type."""

    def make(tracer: Tracer) -> None:
        for value in equal:
            tracer.start_span("span", attributes={"key": value}).end()

    spans = _ended(make)
    assert encode_spans(spans) == sdk_encode_spans(spans).SerializeToString()


@pytest.mark.parametrize("value", [0, 127, 128, 2**14, 2**63 - 1, -1, -128, -(2**63), 0.5, -0.0, float("inf")])
def test_numbers_of_any_size_and_sign_are_encoded(value: float) -> None:
    """A number of one byte, of many, or below zero is encoded as the SDK encodes it."""
    spans = _ended(lambda tracer: tracer.start_span("span", attributes={"key": value}).end())
    assert encode_spans(spans) == sdk_encode_spans(spans).SerializeToString()


@pytest.mark.parametrize("value", ["\ud800", 2**63, -(2**63) - 1])
def test_a_value_that_cannot_be_encoded_costs_only_its_attribute(value: AttributeValue) -> None:
    """An unpaired surrogate or a number beyond 64 bits is omitted, and the other attributes arrive."""
    spans = _ended(lambda tracer: tracer.start_span("span", attributes={"bad": value, "good": 1}).end())
    encoded = encode_spans(spans)
    assert encoded == sdk_encode_spans(spans).SerializeToString()
    assert b"good" in encoded
    assert b"bad" not in encoded


def test_only_unusual_spans_are_left_to_the_sdk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Typical publish and process spans do not need the SDK's encoder."""
    context = SpanContext(1, 2, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED))
    attributes: dict[str, AttributeValue] = {"text": "mqtt", "number": 1, "flag": False, "share": 0.5}
    monkeypatch.delattr(_encoding, "_encode_span")

    def make(tracer: Tracer) -> None:
        tracer.start_span(
            "process", set_span_in_context(NonRecordingSpan(context)), attributes=attributes, links=[Link(context)]
        ).end()

    assert b"process" in encode_spans(_ended(make))


def test_long_values_are_not_kept() -> None:
    """Long texts, which rarely recur, are not cached."""
    before = _encoding._short_text_attribute.cache_info().currsize  # noqa: SLF001 - nothing else shows it
    encode_spans(_ended(lambda tracer: tracer.start_span("n" * 9_999, attributes={"key": "t" * 9_999}).end()))
    assert _encoding._short_text_attribute.cache_info().currsize == before  # noqa: SLF001 - as above
