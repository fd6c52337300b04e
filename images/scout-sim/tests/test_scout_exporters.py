"""The telemetry of OpenTelemetry's own OTLP/HTTP exporters."""

import pytest
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Link, SpanKind, StatusCode, format_span_id, format_trace_id, set_span_in_context
from scout_harness import ScoutSim


@pytest.mark.parametrize("compression", [Compression.NoCompression, Compression.Gzip])
def test_the_sdk_exports_spans(scout: ScoutSim, compression: Compression) -> None:
    """The API returns every part of an exported span: ids, times, kind, status, attributes, links, events."""
    resource = Resource({"service.name": "sdk", "device.id": "sensor-001"})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    exporter = OTLPSpanExporter(f"{scout.url}/v1/traces", compression=compression)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    tracer = provider.get_tracer("tests")
    root = tracer.start_span("root", kind=SpanKind.PRODUCER, start_time=1_000_000_000, attributes={"a": True, "b": 2.5})
    root_context = root.get_span_context()
    child = tracer.start_span(
        "child",
        kind=SpanKind.CONSUMER,
        context=set_span_in_context(root),
        start_time=1_001_000_000,
        links=[Link(root_context, {"why": "parent"})],
        attributes={"list": ["x", "y"], "number": -7},
    )
    child.add_event("exception", {"exception.type": "E"}, timestamp=1_002_000_000)
    child.set_status(StatusCode.ERROR, "broken")
    child.end(1_004_000_000)
    root.end(1_003_000_000)
    provider.shutdown()

    trace = format_trace_id(root_context.trace_id)
    root_id, child_id = format_span_id(root_context.span_id), format_span_id(child.get_span_context().span_id)
    resource_attributes = {"service.name": "sdk", "device.id": "sensor-001"}
    assert scout.ask(f"/api/traces/{trace.upper()}") == {
        "trace_id": trace,
        "spans": [
            {
                "trace_id": trace,
                "span_id": root_id,
                "parent_span_id": None,
                "name": "root",
                "kind": "PRODUCER",
                "service": "sdk",
                "start_ns": 1_000_000_000,
                "end_ns": 1_003_000_000,
                "duration_ms": 3.0,
                "status": {"code": "UNSET", "message": ""},
                "attributes": {"a": True, "b": 2.5},
                "resource": resource_attributes,
                "links": [],
                "events": [],
                "scope": "tests",
            },
            {
                "trace_id": trace,
                "span_id": child_id,
                "parent_span_id": root_id,
                "name": "child",
                "kind": "CONSUMER",
                "service": "sdk",
                "start_ns": 1_001_000_000,
                "end_ns": 1_004_000_000,
                "duration_ms": 3.0,
                "status": {"code": "ERROR", "message": "broken"},
                "attributes": {"list": ["x", "y"], "number": -7},
                "resource": resource_attributes,
                "links": [{"trace_id": trace, "span_id": root_id, "attributes": {"why": "parent"}}],
                "events": [{"name": "exception", "time_ns": 1_002_000_000, "attributes": {"exception.type": "E"}}],
                "scope": "tests",
            },
        ],
    }


def test_the_sdk_exports_logs(scout: ScoutSim) -> None:
    """The API returns an exported log record with its trace and span id."""
    resource = Resource({"service.name": "sdk-logs"})
    spans = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider = LoggerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter(f"{scout.url}/v1/logs")))
    writing = spans.get_tracer("tests").start_span("writing")
    record = LogRecord(
        timestamp=5_000_000_000,
        context=set_span_in_context(writing),
        severity_number=SeverityNumber.WARN2,
        severity_text="WARNING",
        body="it is warm",
        attributes={"celsius": 31.5},
    )
    provider.get_logger("tests").emit(record)
    provider.shutdown()
    context = writing.get_span_context()
    assert scout.ask("/api/logs", service="sdk-logs") == {
        "logs": [
            {
                "time_ns": 5_000_000_000,
                "severity": "WARN",
                "body": "it is warm",
                "service": "sdk-logs",
                "trace_id": format_trace_id(context.trace_id),
                "span_id": format_span_id(context.span_id),
                "attributes": {"celsius": 31.5},
                "resource": {"service.name": "sdk-logs"},
            }
        ]
    }


def test_the_sdk_exports_metrics(scout: ScoutSim) -> None:
    """The API returns an exported counter with its value, and a histogram with its name and unit."""
    resource = Resource({"service.name": "sdk-metrics", "service.instance.id": "one"})
    reader = PeriodicExportingMetricReader(OTLPMetricExporter(f"{scout.url}/v1/metrics"))
    provider = MeterProvider([reader], resource=resource, shutdown_on_exit=False)
    meter = provider.get_meter("tests")
    meter.create_counter("sent", unit="{message}").add(3, {"topic": "t"})
    meter.create_histogram("took", unit="s", explicit_bucket_boundaries_advisory=[0.1, 1]).record(0.5)
    provider.shutdown()
    sent, took = scout.ask("/api/metrics", service="sdk-metrics")["metrics"]
    assert (sent["name"], sent["unit"], sent["value"]) == ("sent", "{message}", 3)
    assert (sent["attributes"], sent["resource"]["service.instance.id"]) == ({"topic": "t"}, "one")
    assert (took["name"], took["unit"], took["value"]) == ("took", "s", None)
