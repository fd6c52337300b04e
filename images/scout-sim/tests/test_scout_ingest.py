"""OTLP/HTTP: what is accepted, what is refused and how the answer looks."""

import gzip
import json
import random
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]  # the package has no py.typed marker
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Link, SpanKind, StatusCode, format_span_id, format_trace_id, set_span_in_context
from scout_harness import ScoutSim, logs, metrics, span, trace_id, traces

OTLP = "/demo/otlp/v1/traces"
JSON = {"Content-Type": "application/json"}
PROTOBUF = {"Content-Type": "application/x-protobuf"}
LIMIT = 32 * 1024 * 1024


@pytest.mark.parametrize("compression", [Compression.NoCompression, Compression.Gzip])
def test_the_sdk_exports_spans(scout: ScoutSim, compression: Compression) -> None:
    """What OpenTelemetry's own exporter sends comes back whole: ids, times, kind, status, attributes, links, events."""
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
    """A log record of OpenTelemetry's own exporter comes back with its trace and span id."""
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
    """A counter and a histogram of OpenTelemetry's own exporter come back with what they counted."""
    resource = Resource({"service.name": "sdk-metrics", "service.instance.id": "one"})
    reader = PeriodicExportingMetricReader(OTLPMetricExporter(f"{scout.url}/v1/metrics"))
    provider = MeterProvider([reader], resource=resource, shutdown_on_exit=False)
    meter = provider.get_meter("tests")
    meter.create_counter("sent", unit="{message}").add(3, {"topic": "t"})
    meter.create_histogram("took", unit="s", explicit_bucket_boundaries_advisory=[0.1, 1]).record(0.5)
    provider.shutdown()
    sent, took = scout.ask("/api/metrics", service="sdk-metrics")["metrics"]
    assert (sent["type"], sent["unit"], sent["value"], sent["monotonic"]) == ("sum", "{message}", 3, True)
    assert (sent["attributes"], sent["temporality"]) == ({"topic": "t"}, "CUMULATIVE")
    assert sent["resource"]["service.instance.id"] == "one"
    assert 0 < sent["start_ns"] <= sent["time_ns"]
    assert (took["type"], took["count"], took["sum"], took["min"], took["max"]) == ("histogram", 1, 0.5, 0.5, 0.5)
    assert (took["bounds"], took["buckets"]) == ([0.1, 1], [0, 1, 0])


def test_every_kind_of_attribute_survives(scout: ScoutSim) -> None:
    """OTLP's values arrive as JSON's: bytes as base64, numbers that JSON has not as text, unknown ones as null."""
    sent = {
        "bytes": {"bytesValue": "AAE="},
        "deep": {"kvlistValue": {"values": [{"key": "x", "value": {"intValue": "9007199254740993"}}]}},
        "empty": {},
        "infinite": {"doubleValue": "-Infinity"},
        "nan": {"doubleValue": "NaN"},
        "nothing": {"arrayValue": {}},
    }
    trace = trace_id()
    scout.send_spans(span(trace, attributes=[{"key": key, "value": value} for key, value in sent.items()]))
    [kept] = scout.ask(f"/api/traces/{trace}")["spans"]
    assert kept["attributes"] == {
        "bytes": "AAE=",
        "deep": {"x": 9007199254740993},
        "empty": None,
        "infinite": "-Infinity",
        "nan": "NaN",
        "nothing": [],
    }


@pytest.mark.parametrize("signal", ["traces", "metrics", "logs"])
def test_an_empty_request_is_a_success(scout: ScoutSim, signal: str) -> None:
    """A request without telemetry succeeds in both encodings, and the answer has the content type of the request."""
    for path in (f"/v1/{signal}", f"/demo/otlp/v1/{signal}"):
        answer = scout.client.post(path, content=b"", headers=PROTOBUF)
        assert (answer.status_code, answer.content) == (200, b"")
        assert answer.headers["content-type"] == "application/x-protobuf"
        answer = scout.client.post(path, content=b"{}", headers={"Content-Type": "application/json; charset=utf-8"})
        assert (answer.status_code, answer.json()) == (200, {})
        assert answer.headers["content-type"] == "application/json"


def test_an_invalid_span_is_rejected_and_the_others_are_kept(scout: ScoutSim) -> None:
    """Spans with invalid ids or times are counted in partial_success with a reason; valid ones beside them are kept."""
    trace = trace_id()
    invalid = [
        span(trace, traceId="ab" * 15),
        span(trace, traceId="00" * 16),
        span(trace, spanId="ab" * 9),
        span(trace, spanId=""),
        span(trace, parentSpanId="ab"),
        span(trace, endTimeUnixNano=str(2**63)),
    ]
    answer = scout.send(traces(*invalid, span(trace)))
    assert answer["partialSuccess"]["rejectedSpans"] == "6"
    assert answer["partialSuccess"]["errorMessage"] == (
        "span 'work': trace_id must be 16 bytes, not all zero (and 5 more)"
    )
    assert scout.summary(trace)["span_count"] == 1


def test_partial_success_is_protobuf_for_a_protobuf_request(scout: ScoutSim) -> None:
    """The answer to a protobuf request is protobuf."""
    request = ExportTraceServiceRequest()
    request.resource_spans.add().scope_spans.add().spans.add(name="lost", trace_id=b"short")
    answer = scout.client.post(OTLP, content=request.SerializeToString(), headers=PROTOBUF)
    partial = ExportTraceServiceResponse.FromString(answer.content).partial_success
    assert (answer.status_code, partial.rejected_spans) == (200, 1)
    assert partial.error_message.startswith("span 'lost': trace_id")


def test_invalid_points_and_records_are_rejected(scout: ScoutSim) -> None:
    """Metric points without a name and log records from beyond 2262 are counted in partial_success."""
    point = {"timeUnixNano": "1", "asInt": "1"}
    answer = scout.send(metrics({"gauge": {"dataPoints": [point, point]}}), "metrics")
    assert answer["partialSuccess"] == {
        "rejectedDataPoints": "2",
        "errorMessage": "metric '': the name is empty (and 1 more)",
    }
    answer = scout.send(logs({"timeUnixNano": str(2**64 - 1)}), "logs")
    assert answer["partialSuccess"]["rejectedLogRecords"] == "1"


def test_a_span_delivered_twice_is_kept_once(scout: ScoutSim) -> None:
    """A batch that is sent again, because its answer was lost, changes nothing."""
    trace = trace_id()
    request = traces(span(trace), span(trace))
    assert scout.send(request) == scout.send(request) == {}
    assert scout.summary(trace)["span_count"] == 2


GZIP_JSON = JSON | {"Content-Encoding": "gzip"}
GZIP_PROTOBUF = PROTOBUF | {"Content-Encoding": "gzip"}
BAD_REQUESTS: dict[str, tuple[dict[str, str], bytes, int]] = {
    "no protobuf": (PROTOBUF, b"\xff\xff\xff", 400),
    "JSON as protobuf": (PROTOBUF, b"{}", 400),
    "empty JSON": (JSON, b"", 400),
    "a list": (JSON, b"[]", 400),
    "null": (JSON, b"null", 400),
    "half JSON": (JSON, b"{", 400),
    "no UTF-8": (JSON, b"\xff", 400),
    "a number for a list": (JSON, b'{"resourceSpans": 5}', 400),
    "an id that is no hex": (JSON, json.dumps(traces(span("not hex"))).encode(), 400),
    "an id that is no text": (JSON, json.dumps(traces(span(trace_id(), spanId=5))).encode(), 400),
    "half a surrogate pair": (JSON, json.dumps(traces(span(trace_id(), "\ud800"))).encode(), 400),
    "deep JSON": (JSON, b'{"a":' * 100_000, 400),
    "a long number": (JSON, b'{"resourceSpans": ' + b"9" * 10_000 + b"}", 400),
    "plain as gzip": (GZIP_JSON, b"{}", 400),
    "half gzip": (GZIP_JSON, gzip.compress(b"{}")[:-4], 400),
    "brotli": (JSON | {"Content-Encoding": "br"}, b"{}", 415),
    "text": ({"Content-Type": "text/plain"}, b"{}", 415),
    "no content type": ({}, b"{}", 415),
    "a gzip bomb": (GZIP_JSON, gzip.compress(bytes(LIMIT + 1)), 413),
    "a gzip bomb in two members": (GZIP_PROTOBUF, gzip.compress(bytes(LIMIT // 2 + 1)) * 2, 413),
    "a large body": (PROTOBUF, bytes(LIMIT + 1), 413),
}


@pytest.mark.parametrize(("headers", "body", "status"), BAD_REQUESTS.values(), ids=BAD_REQUESTS.keys())
def test_a_bad_request_is_refused_with_a_status(
    scout: ScoutSim, headers: dict[str, str], body: bytes, status: int
) -> None:
    """What is no OTLP, is not gzip or is too large is 4xx, with a google.rpc.Status in the request's own encoding."""
    answer = scout.client.post(OTLP, content=body, headers=headers)
    assert answer.status_code == status
    if headers.get("Content-Type") == "application/x-protobuf":
        assert answer.headers["content-type"] == "application/x-protobuf"
        refusal = Status.FromString(answer.content)
        assert refusal.code == 3
        assert refusal.message
    else:
        assert answer.json()["code"] == 3
        assert "\n" not in answer.json()["message"]
    assert scout.client.get("/health").status_code == 200


def test_gzip_of_several_members_is_one_body(scout: ScoutSim) -> None:
    """Concatenated gzip members are a valid gzip body (RFC 1952, section 2.2)."""
    trace = trace_id()
    body = json.dumps(traces(span(trace))).encode()
    parts = gzip.compress(body[:40]) + gzip.compress(body[40:])
    answer = scout.client.post(OTLP, content=parts, headers=JSON | {"Content-Encoding": "gzip"})
    assert answer.status_code == 200
    assert scout.summary(trace)["span_count"] == 1


def test_random_bytes_are_refused_or_understood(scout: ScoutSim) -> None:
    """Mutated protobuf is a 200 or a 400, never a failure of the server."""
    valid = ExportTraceServiceRequest()
    of_span = valid.resource_spans.add().scope_spans.add().spans.add(trace_id=b"\x07" * 16, span_id=b"\x01" * 8)
    of_span.attributes.add(key="device.id").value.string_value = "sensor-001"
    body = valid.SerializeToString()
    rng = random.Random(1)  # noqa: S311 - the same bytes in every run
    statuses = set()
    for _ in range(100):
        mutated = bytearray(body)
        for _ in range(rng.randint(1, 4)):
            mutated[rng.randrange(len(mutated))] = rng.randrange(256)
        statuses.add(scout.client.post(OTLP, content=bytes(mutated), headers=PROTOBUF).status_code)
    assert statuses == {200, 400}


def test_unknown_fields_are_ignored(scout: ScoutSim) -> None:
    """A field of a later OTLP is no error."""
    trace = trace_id()
    scout.send_spans(span(trace, fieldOfTomorrow={"traceId": "00"}, kind=99, status={"code": 7}))
    [kept] = scout.ask(f"/api/traces/{trace}")["spans"]
    assert (kept["kind"], kept["status"]["code"]) == ("UNSPECIFIED", "UNSET")


def test_another_tenant_or_signal_is_not_found(scout: ScoutSim, guarded: ScoutSim) -> None:
    """OTLP is taken for the tenant alone, and without a tenant only where no token is asked for."""
    assert scout.client.post("/other/otlp/v1/traces", json={}).json() == {"code": 5, "message": "the tenant is demo"}
    refusal = guarded.client.post("/v1/traces", json={})
    assert refusal.status_code == 404
    assert refusal.json()["message"] == "tokens are required here: send to /demo/otlp/v1/traces"
    assert scout.client.post("/demo/otlp/v1/profiles", json={}).status_code == 404


def test_a_database_that_cannot_be_written_is_503(make_scout: Callable[..., ScoutSim], tmp_path: Path) -> None:
    """When nothing can be kept, the sender is told to try again, and what it sends then is kept."""
    database = tmp_path / "scout.db"
    running = make_scout(require_token=False, database=database)
    request = traces(span(trace_id()))
    another_program = sqlite3.connect(database)
    another_program.execute("BEGIN IMMEDIATE")
    refusal = running.client.post(OTLP, json=request)
    another_program.rollback()
    another_program.close()
    assert (refusal.status_code, refusal.headers["retry-after"], refusal.json()["code"]) == (503, "1", 14)
    assert refusal.json()["message"] == "the database cannot be written: database is locked"
    assert running.send(request) == {}
    assert len(running.trace_ids()) == 1
