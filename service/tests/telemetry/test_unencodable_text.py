"""Text that UTF-8 cannot encode, such as an unpaired surrogate, which JSON can carry into any program."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from mqtt_trace_service.telemetry._sanitizing import sanitize_span
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import Link, SpanContext, StatusCode
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from mqtt_trace import TracedConsumer, TracedPublisher
from service.tests.telemetry.conftest import MakeTelemetry
from service.tests.telemetry.otlp_backend import GrpcTraceBackend, OtlpBackend, attributes


def _client() -> Client:
    return Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)


def _process_hostile_payload(provider: TracerProvider) -> None:
    message = MQTTMessage(topic=b"sensors/x")
    message.payload = rb'{"device_id": "\ud800"}'
    message.properties = Properties(PacketTypes.PUBLISH)

    def handle(_client: Client, _userdata: object, message: MQTTMessage) -> None:
        raise ValueError(f"unknown device {json.loads(message.payload)['device_id']}")

    TracedConsumer(tracer_provider=provider).handler(handle)(_client(), None, message)


def _publish_to_hostile_topic(provider: TracerProvider) -> None:
    with pytest.raises(UnicodeEncodeError):
        TracedPublisher(_client(), tracer_provider=provider).publish("bad/\ud800", "x")


def _hold_that_texts_are_escaped(spans: list[Any]) -> None:
    by_name = {span.name: span for span, _ in spans}
    assert by_name.keys() == {"process sensors/x", "publish bad/\\ud800"}
    process = by_name["process sensors/x"]
    assert process.status.message == "ValueError: unknown device \\ud800"
    (event,) = process.events
    assert attributes(event.attributes)["exception.message"] == "unknown device \\ud800"
    assert attributes(event.attributes)["exception.stacktrace"].endswith("ValueError: unknown device \\ud800\n")


def test_our_spans_suit_any_exporter(backend: OtlpBackend) -> None:
    """What a message or a topic brings into a span is made text that the SDK's own exporter can encode, too."""
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(f"{backend.url}/v1/traces")))
    _process_hostile_payload(provider)
    _publish_to_hostile_topic(provider)
    _hold_that_texts_are_escaped(backend.received.spans)


def test_a_hostile_payload_costs_no_telemetry(backend: OtlpBackend, make_telemetry: MakeTelemetry) -> None:
    """A hostile payload costs no other span, and its own span keeps the error message."""
    telemetry = make_telemetry(backend.url)
    for _ in range(50):
        telemetry.tracer_provider.get_tracer("test").start_span("good").end()
    _process_hostile_payload(telemetry.tracer_provider)
    _publish_to_hostile_topic(telemetry.tracer_provider)
    telemetry.shutdown()
    _hold_that_texts_are_escaped([one for one in backend.received.spans if one[0].name != "good"])
    assert len(backend.received.spans) == 52
    assert telemetry.dropped()["traces"] == 0


def _end_bad_spans(telemetry: Any) -> None:
    """Spans of some other library: one that can be sanitized, one with an impossible time, and good ones."""
    tracer = telemetry.tracer_provider.get_tracer("other")
    for _ in range(20):
        tracer.start_span("good").end()
    bad = tracer.start_span("name \ud800", attributes={"kept": 1})
    bad.add_event("event \ud800", {"text": "attribute \ud800", "kept": 2})
    bad.set_status(StatusCode.ERROR, "description \ud800")
    bad.end()
    tracer.start_span("hopeless", start_time=1.5).end()
    tracer.start_span("good").end()


def _hold_that_one_was_sanitized(spans: list[Any]) -> None:
    assert sorted(span.name for span, _ in spans) == ["good"] * 21 + ["name \\ud800"]
    (sanitized,) = [span for span, _ in spans if span.name != "good"]
    assert attributes(sanitized.attributes) == {"kept": 1}
    assert sanitized.status.message == "description \\ud800"
    assert sanitized.events[0].name == "event \\ud800"
    assert attributes(sanitized.events[0].attributes) == {"text": "attribute \\ud800", "kept": 2}


def test_a_span_that_cannot_be_encoded_costs_no_other(backend: OtlpBackend, make_telemetry: MakeTelemetry) -> None:
    """A span with invalid text arrives escaped, and one that still cannot be encoded is left out and counted."""
    telemetry = make_telemetry(backend.url)
    _end_bad_spans(telemetry)
    telemetry.shutdown()
    _hold_that_one_was_sanitized(backend.received.spans)
    assert telemetry.dropped()["traces"] == 1


def test_a_sanitized_span_keeps_its_dropped_counts() -> None:
    """A sanitized span keeps its counts of dropped attributes, events and links."""
    limits = SpanLimits(max_span_attributes=1, max_events=1, max_links=1)
    provider = TracerProvider(span_limits=limits, shutdown_on_exit=False)
    link = Link(SpanContext(1, 1, is_remote=True))
    span = provider.get_tracer("other").start_span("name \ud800", attributes={"a": 1, "b": 2}, links=[link, link, link])
    for _ in range(4):
        span.add_event("event")
    span.end()
    assert isinstance(span, ReadableSpan)
    sanitized = sanitize_span(span)
    assert sanitized is not None
    assert sanitized.name == "name \\ud800"
    assert (sanitized.dropped_attributes, sanitized.dropped_links, sanitized.dropped_events) == (1, 2, 3)
    assert len(sanitized.events) == 1


def test_nor_does_it_over_grpc(make_telemetry: MakeTelemetry) -> None:
    """Over gRPC too, a span that cannot be encoded costs no other."""
    backend = GrpcTraceBackend()
    with backend.serving() as url:
        telemetry = make_telemetry(
            url, OTEL_EXPORTER_OTLP_PROTOCOL="grpc", OTEL_LOGS_EXPORTER="none", OTEL_METRICS_EXPORTER="none"
        )
        _end_bad_spans(telemetry)
        telemetry.shutdown()
    _hold_that_one_was_sanitized(backend.received.spans)
    assert telemetry.dropped()["traces"] == 1


def test_a_batch_without_any_good_span_is_counted_once(backend: OtlpBackend, make_telemetry: MakeTelemetry) -> None:
    """A batch without any valid span is not sent, and its spans are counted once."""
    telemetry = make_telemetry(backend.url, OTEL_METRICS_EXPORTER="none", OTEL_LOGS_EXPORTER="none")
    for _ in range(3):
        telemetry.tracer_provider.get_tracer("test").start_span("hopeless", start_time=1.5).end()  # type: ignore[arg-type]  # what a program gets wrong
    telemetry.shutdown()
    assert backend.received.requests == []
    assert telemetry.dropped()["traces"] == 3


def test_a_log_line_that_cannot_be_encoded_costs_no_other(backend: OtlpBackend, make_telemetry: MakeTelemetry) -> None:
    """A log line with invalid text arrives escaped, with all others."""
    telemetry = make_telemetry(backend.url)
    telemetry.collect_logs()
    logger = logging.getLogger("tested")
    for _ in range(20):
        logger.warning("good")
    logger.warning("message id %s", "\ud800")
    telemetry.shutdown()
    assert backend.received.log_bodies() == ["good"] * 20 + ["message id \\ud800"]
    assert telemetry.dropped()["logs"] == 0
