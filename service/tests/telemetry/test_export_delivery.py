"""Exports of spans and log records to a backend that is away, busy, silent or refusing."""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Callable, Iterator

import grpc  # type: ignore[import-untyped]  # ships no types
import pytest
from mqtt_trace_service.telemetry._delivery import RetryingExporter
from mqtt_trace_service.telemetry._export_status import ExportStatus
from mqtt_trace_service.telemetry._sanitizing import sanitize_span
from mqtt_trace_service.telemetry._setup import Telemetry
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from local.waiting import until
from service.tests.telemetry.conftest import MakeTelemetry
from service.tests.telemetry.otlp_backend import GrpcTraceBackend, OtlpBackend


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Iterator[list[str]]:
    """The log lines about exports of spans."""
    said: list[str] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if "traces" in record.getMessage():
                said.append(record.getMessage())

    handler = Handler()
    logger = logging.getLogger("mqtt_trace_service.telemetry.export")
    logger.addHandler(handler)
    with caplog.at_level(logging.INFO, logger.name):
        yield said
    logger.removeHandler(handler)


def _end_spans(telemetry: Telemetry, count: int) -> None:
    tracer = telemetry.tracer_provider.get_tracer("test")
    for number in range(count):
        tracer.start_span(f"span-{number:03}").end()


def _ended_span() -> ReadableSpan:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    provider.get_tracer("test").start_span("span").end()
    return exporter.get_finished_spans()[0]


def _returns(call: Callable[[], None]) -> None:
    """Assert that a call returns before the SDK's own time-out of 60 s."""
    calling = threading.Thread(target=call, daemon=True)
    calling.start()
    until(lambda: not calling.is_alive(), "the call returned")


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


def test_all_signals_arrive_with_the_process_resource(backend: OtlpBackend, make_telemetry: MakeTelemetry) -> None:
    """Shutdown flushes traces, logs and metrics, each with the attributes of the process."""
    telemetry = make_telemetry(backend.url)
    _end_spans(telemetry, 3)
    telemetry.meter_provider.get_meter("test").create_counter("readings").add(2)
    telemetry.collect_logs()
    logging.getLogger("tested").warning("hello")
    telemetry.shutdown()
    received = backend.received
    assert received.span_names() == ["span-000", "span-001", "span-002"]
    assert received.log_bodies() == ["hello"]
    assert received.metrics["readings"].sum.data_points[0].as_int == 2
    for resource in (received.spans[0][1], received.logs[0][1], received.metric_resources[0]):
        assert resource["service.name"] == "tested"
        assert resource["process.attribute"] == 1
        assert resource["service.instance.id"]
        assert "device.id" not in resource


def test_a_backend_that_comes_back_gets_what_it_missed(make_telemetry: MakeTelemetry, lines: list[str]) -> None:
    """A backend that comes back receives all spans, with one log line for the failure and one for the recovery."""
    port = _free_port()
    telemetry = make_telemetry(f"http://127.0.0.1:{port}")
    _end_spans(telemetry, 20)
    until(lambda: lines, "the failure was noticed")
    with OtlpBackend(port) as backend:
        until(lambda: len(backend.received.spans) == 20, "all spans arrived")
        until(lambda: len(lines) == 2, "the recovery was noticed")
        telemetry.shutdown()
    to = f"http://127.0.0.1:{port}/v1/traces"
    assert lines == [
        f"cannot export traces to {to}: [Errno 111] Connection refused; retrying",
        f"export of traces to {to} works again; given up so far: 0",
    ]
    assert telemetry.dropped() == {"traces": 0, "logs": 0}


def test_a_busy_backend_is_retried_and_logged_once(
    backend: OtlpBackend, make_telemetry: MakeTelemetry, lines: list[str]
) -> None:
    """An export that gets the status 503 is retried, and logged once."""
    backend.status = 503
    telemetry = make_telemetry(backend.url, OTEL_METRICS_EXPORTER="none")
    _end_spans(telemetry, 1)
    until(lambda: len(backend.received.requests) >= 3, "it was tried three times")
    backend.status = 200
    until(lambda: len(lines) == 2, "the recovery was noticed")
    assert backend.received.span_names() == ["span-000"]
    assert lines == [
        f"cannot export traces to {backend.url}/v1/traces: HTTP 503 Service Unavailable; retrying",
        f"export of traces to {backend.url}/v1/traces works again; given up so far: 0",
    ]
    assert telemetry.dropped()["traces"] == 0


def test_a_refused_batch_is_sent_once_and_counted(
    backend: OtlpBackend, make_telemetry: MakeTelemetry, lines: list[str]
) -> None:
    """A batch that gets the status 400 is given up at once with one log line, and the next batch is sent."""
    backend.status = 400
    telemetry = make_telemetry(backend.url)
    _end_spans(telemetry, 5)
    until(lambda: telemetry.dropped()["traces"] == 5, "the first batch was given up")
    _end_spans(telemetry, 5)
    until(lambda: telemetry.dropped()["traces"] == 10, "the second batch was given up")
    assert backend.received.requests == ["/v1/traces", "/v1/traces"]
    backend.status = 200
    _end_spans(telemetry, 1)
    until(lambda: len(lines) == 2, "the recovery was noticed")
    assert lines == [
        f"giving up traces for {backend.url}/v1/traces: HTTP 400 Bad Request",
        f"export of traces to {backend.url}/v1/traces works again; given up so far: 10",
    ]


def test_retries_end_when_the_time_is_up(backend: OtlpBackend) -> None:
    """Retries of a batch end after `retry_for`; its items are counted, and the processor gets a failure."""
    backend.status = 503
    status = ExportStatus("traces", backend.url)
    retrying = RetryingExporter(
        OTLPSpanExporter(f"{backend.url}/v1/traces"),
        status,
        sanitize=sanitize_span,
        success=SpanExportResult.SUCCESS,
        failure=SpanExportResult.FAILURE,
        retry_for=1.5,
    )
    assert retrying.export([_ended_span()] * 3) is SpanExportResult.FAILURE
    assert len(backend.received.requests) >= 2
    assert status.dropped == 3
    retrying.shutdown()


def test_a_full_queue_drops_the_oldest_and_counts_them(make_telemetry: MakeTelemetry, lines: list[str]) -> None:
    """Every span is either delivered or counted."""
    port = _free_port()
    telemetry = make_telemetry(
        f"http://127.0.0.1:{port}", OTEL_BSP_MAX_QUEUE_SIZE="10", OTEL_BSP_MAX_EXPORT_BATCH_SIZE="5"
    )
    _end_spans(telemetry, 5)
    until(lambda: lines, "the first batch was on its way")
    _end_spans(telemetry, 100)
    assert telemetry.dropped()["traces"] == 90
    assert lines[-1].endswith("the queue of 10 is full")
    with OtlpBackend(port) as backend:
        until(lambda: len(backend.received.spans) == 15, "the rest arrived")
        telemetry.shutdown()
    assert telemetry.dropped()["traces"] == 90
    assert backend.received.span_names()[-10:] == [f"span-{number:03}" for number in range(90, 100)]


def test_shutdown_is_bounded_when_the_backend_is_away(make_telemetry: MakeTelemetry, lines: list[str]) -> None:
    """With the backend away, shutdown is bounded, and waiting items are counted and their total logged."""
    telemetry = make_telemetry(f"http://127.0.0.1:{_free_port()}", OTEL_EXPORTER_OTLP_TIMEOUT="60")
    _end_spans(telemetry, 700)
    _returns(lambda: telemetry.shutdown(timeout=2))
    assert telemetry.dropped()["traces"] == 700
    assert lines[-1].endswith("given up in all: 700")


def test_shutdown_is_bounded_when_the_backend_is_silent(make_telemetry: MakeTelemetry) -> None:
    """Shutdown does not wait for a connection that is never answered, and its items are counted once."""
    others = threading.enumerate()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        telemetry = make_telemetry(
            f"http://127.0.0.1:{silent.getsockname()[1]}", OTEL_EXPORTER_OTLP_TIMEOUT="60", OTEL_METRICS_EXPORTER="none"
        )
        _end_spans(telemetry, 3)
        _returns(lambda: telemetry.shutdown(timeout=1))
        assert telemetry.dropped()["traces"] == 3
        silent.accept()[0].close()
    until(lambda: set(threading.enumerate()) <= set(others), "the request failed")
    assert telemetry.dropped()["traces"] == 3


def test_shutdown_interrupts_a_pause_and_delivers(make_telemetry: MakeTelemetry, lines: list[str]) -> None:
    """Shutdown ends the pause between retries, and a backend that is back receives all items."""
    port = _free_port()
    telemetry = make_telemetry(f"http://127.0.0.1:{port}")
    _end_spans(telemetry, 5)
    until(lambda: lines, "the failure was noticed")
    with OtlpBackend(port) as backend:
        telemetry.shutdown()
        assert len(backend.received.spans) == 5


def test_shutdown_happens_once(backend: OtlpBackend, make_telemetry: MakeTelemetry) -> None:
    """A second shutdown returns at once."""
    telemetry = make_telemetry(backend.url)
    _end_spans(telemetry, 1)
    telemetry.shutdown()
    telemetry.shutdown()
    assert backend.received.span_names() == ["span-000"]


def test_the_sdk_metrics_count_each_item_once(backend: OtlpBackend, make_telemetry: MakeTelemetry) -> None:
    """The SDK's metrics count a retried batch as one success, and dropped items as `queue_full`."""
    backend.status = 503
    telemetry = make_telemetry(
        backend.url, OTEL_BSP_MAX_QUEUE_SIZE="10", OTEL_BSP_MAX_EXPORT_BATCH_SIZE="10", OTEL_LOGS_EXPORTER="none"
    )
    _end_spans(telemetry, 3)
    until(lambda: backend.received.requests.count("/v1/traces") >= 2, "it was tried twice")
    _end_spans(telemetry, 14)
    backend.status = 200
    until(lambda: len(backend.received.spans) == 13, "what was kept arrived")
    telemetry.shutdown()
    exported = backend.received.metrics["otel.sdk.exporter.span.exported"].sum.data_points
    assert [(point.as_int, _error_type(point)) for point in exported] == [(13, None)]
    processed = backend.received.metrics["otel.sdk.processor.span.processed"].sum.data_points
    assert sorted((point.as_int, _error_type(point)) for point in processed) == [(4, "queue_full"), (13, None)]


def test_tracers_do_not_pay_for_the_sdk_metrics(make_telemetry: MakeTelemetry, backend: OtlpBackend) -> None:
    """The variable that enables the SDK's metrics is unset again after setup, so tracers do not read it."""
    make_telemetry(backend.url)
    assert "OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED" not in os.environ


def test_failed_metrics_are_logged_once_and_follow_with_the_next_export(
    backend: OtlpBackend, make_telemetry: MakeTelemetry, caplog: pytest.LogCaptureFixture
) -> None:
    """A failed export of metrics is logged once, and the next one carries the total."""
    backend.status = 503
    telemetry = make_telemetry(backend.url, OTEL_METRIC_EXPORT_INTERVAL="100")
    telemetry.meter_provider.get_meter("test").create_counter("readings").add(2)
    with caplog.at_level(logging.INFO, "mqtt_trace_service.telemetry.export"):
        until(lambda: backend.received.requests.count("/v1/metrics") >= 3, "it failed several times")
        backend.status = 200
        until(lambda: "readings" in backend.received.metrics, "the metrics arrived")
        until(lambda: len(caplog.messages) == 2, "the recovery was noticed")
    assert caplog.messages[0].endswith("HTTP 503 Service Unavailable; retrying")
    assert backend.received.metrics["readings"].sum.data_points[0].as_int == 2


def test_over_grpc_an_absent_backend_is_retried_and_a_refusal_is_not(make_telemetry: MakeTelemetry) -> None:
    """Over gRPC too, an absent backend is retried and a refusal is not."""
    backend = GrpcTraceBackend()
    backend.code = grpc.StatusCode.UNAVAILABLE
    with backend.serving() as url:
        telemetry = make_telemetry(
            url, OTEL_EXPORTER_OTLP_PROTOCOL="grpc", OTEL_LOGS_EXPORTER="none", OTEL_METRICS_EXPORTER="none"
        )
        _end_spans(telemetry, 2)
        until(lambda: len(backend.received.requests) >= 2, "it was tried twice")
        backend.code = grpc.StatusCode.OK
        until(lambda: len(backend.received.spans) == 2, "the spans arrived")
        backend.code = grpc.StatusCode.INVALID_ARGUMENT
        _end_spans(telemetry, 3)
        until(lambda: telemetry.dropped()["traces"] == 3, "the refusal was counted")
        telemetry.shutdown()


def test_exports_run_in_the_background(make_telemetry: MakeTelemetry) -> None:
    """Ending a span never waits for a backend that is away."""
    telemetry = make_telemetry(f"http://127.0.0.1:{_free_port()}", OTEL_BSP_MAX_QUEUE_SIZE="5")
    _returns(lambda: _end_spans(telemetry, 50))


def _error_type(point: object) -> str | None:
    pairs = {pair.key: pair.value.string_value for pair in point.attributes}  # type: ignore[attr-defined]  # protobuf
    return pairs.get("error.type")
