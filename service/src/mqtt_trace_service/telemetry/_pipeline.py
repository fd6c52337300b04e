"""From the end of a span, or from a log record, to its export: the SDK's batch processors around our exporters."""

import time
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

from opentelemetry.metrics import MeterProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, LogRecordExporter, LogRecordExportResult
from opentelemetry.sdk._shared_internal import BatchProcessor
from opentelemetry.sdk._shared_internal._processor_metrics import ProcessorMetricsT
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from mqtt_trace_service._otel_environment import Batching
from mqtt_trace_service.telemetry._delivery import RetryingExporter
from mqtt_trace_service.telemetry._export_status import ExportStatus
from mqtt_trace_service.telemetry._failure import STOPPED
from mqtt_trace_service.telemetry._sanitizing import sanitize_log, sanitize_span

Processor = TypeVar("Processor", BatchSpanProcessor, BatchLogRecordProcessor)

_LONGEST_GRACE_S = 0.5


@dataclass(frozen=True, slots=True)
class Pipeline(Generic[Processor]):
    """The way of one signal out of the process."""

    processor: Processor
    status: ExportStatus
    _queue: BatchProcessor[Any]
    _exporter: RetryingExporter[Any, Any]

    def shutdown(self, timeout: float) -> None:
        """Export what waits and stop within `timeout` seconds; what is left then is counted as given up."""
        # At the end an exporter needs a moment to notice that it shall stop.
        grace = min(timeout / 4, _LONGEST_GRACE_S)
        patience = max(timeout - grace, 0.0)
        self._exporter.stop_by(time.monotonic() + patience)
        self._queue.shutdown(int(patience * 1000))
        under_way = self._exporter.wait_until_idle(grace)
        if left := under_way + len(self._queue._queue):  # noqa: SLF001 - see _counted
            self.status.given_up(left, STOPPED)
        self.status.closed()


def span_pipeline(
    exporter: SpanExporter, status: ExportStatus, batching: Batching, meter_provider: MeterProvider
) -> Pipeline[BatchSpanProcessor]:
    """The pipeline of spans in front of an OTLP exporter."""
    retrying = RetryingExporter(
        exporter, status, sanitize=sanitize_span, success=SpanExportResult.SUCCESS, failure=SpanExportResult.FAILURE
    )
    processor = BatchSpanProcessor(
        cast("SpanExporter", retrying),
        max_queue_size=batching.queue_size,
        max_export_batch_size=batching.batch_size,
        schedule_delay_millis=batching.schedule_delay_ms,
        meter_provider=meter_provider,
    )
    return Pipeline(processor, status, _counted(processor, status, batching), retrying)


def log_pipeline(
    exporter: LogRecordExporter, status: ExportStatus, batching: Batching, meter_provider: MeterProvider
) -> Pipeline[BatchLogRecordProcessor]:
    """The pipeline of log records in front of an OTLP exporter."""
    retrying = RetryingExporter(
        exporter,
        status,
        sanitize=sanitize_log,
        success=LogRecordExportResult.SUCCESS,
        failure=LogRecordExportResult.FAILURE,
    )
    processor = BatchLogRecordProcessor(
        cast("LogRecordExporter", retrying),
        max_queue_size=batching.queue_size,
        max_export_batch_size=batching.batch_size,
        schedule_delay_millis=batching.schedule_delay_ms,
        meter_provider=meter_provider,
    )
    return Pipeline(processor, status, _counted(processor, status, batching), retrying)


class _CountedDrops:
    """Tells the status, beside the SDK's own `otel.sdk.processor.*.processed`, what a full queue drops."""

    def __init__(self, metrics: ProcessorMetricsT, status: ExportStatus, queue_size: int) -> None:
        self._metrics = metrics
        self._status = status
        self._cause = f"the queue of {queue_size} is full"

    def drop_items(self, count: int, error_type: str = "queue_full") -> None:
        self._metrics.drop_items(count, error_type)
        self._status.given_up(count, self._cause if error_type == "queue_full" else error_type)

    def finish_items(self, count: int) -> None:
        self._metrics.finish_items(count)


def _counted(
    processor: BatchSpanProcessor | BatchLogRecordProcessor, status: ExportStatus, batching: Batching
) -> BatchProcessor[Any]:
    # The public classes offer neither a bound on shutdown nor a way to learn what a full queue drops.
    # The SDK's version is pinned by that of the instrumentations.
    queue: BatchProcessor[Any] = processor._batch_processor  # noqa: SLF001 - as said above
    queue._metrics = _CountedDrops(queue._metrics, status, batching.queue_size)  # type: ignore[assignment]  # noqa: SLF001 - as said above; registering the queue's size is behind us
    return queue
