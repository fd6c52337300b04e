"""From the end of a span, or from a log record, to its export: the SDK's batch processors with our exporters."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from opentelemetry.metrics import MeterProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, LogRecordExporter, LogRecordExportResult
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from mqtt_trace_service._otel_environment import Batching
from mqtt_trace_service.telemetry._delivery import RetryingExporter
from mqtt_trace_service.telemetry._export_status import ExportStatus
from mqtt_trace_service.telemetry._failure import STOPPED
from mqtt_trace_service.telemetry._logging import quieten_queues
from mqtt_trace_service.telemetry._sanitizing import sanitize_log, sanitize_span
from mqtt_trace_service.telemetry._sdk_compat import EXPORTER, PROCESSOR, has

if TYPE_CHECKING:
    from opentelemetry.sdk._shared_internal import BatchProcessor
    from opentelemetry.sdk._shared_internal._processor_metrics import ProcessorMetricsT

Processor = TypeVar("Processor", BatchSpanProcessor, BatchLogRecordProcessor)

_LONGEST_GRACE_S = 0.5
_SDK_RETRIES = "an export is retried for ten seconds only, and a failed one is not counted"
_SDK_SHUTS_DOWN = "items that a full queue drops, or that wait at shutdown, are not counted"


@dataclass(frozen=True, slots=True)
class Pipeline(Generic[Processor]):
    """The export path of one signal, with the SDK's own shutdown."""

    processor: Processor
    status: ExportStatus

    def shutdown(self, timeout: float) -> None:
        """Export waiting items and return within `timeout` seconds."""
        # The public shutdown takes no time-out.
        ending = threading.Thread(target=self.processor.shutdown, daemon=True)
        ending.start()
        ending.join(timeout)
        self.status.closed()


@dataclass(frozen=True, slots=True)
class CountingPipeline(Pipeline[Processor]):
    """A pipeline that counts every item that it does not deliver."""

    _queue: BatchProcessor[Any]
    _exporter: RetryingExporter[Any, Any]

    def shutdown(self, timeout: float) -> None:
        """Export waiting items and stop within `timeout` seconds; the remaining ones count as given up."""
        # At the end an exporter needs a moment to notice that it must stop.
        grace = min(timeout / 4, _LONGEST_GRACE_S)
        patience = max(timeout - grace, 0.0)
        self._exporter.stop_by(time.monotonic() + patience)
        self._queue.shutdown(int(patience * 1000))
        under_way = self._exporter.wait_until_idle(grace)
        if left := under_way + len(self._queue._queue):  # noqa: SLF001 - see PROCESSOR
            self.status.given_up(left, STOPPED)
        self.status.closed()


def span_pipeline(
    exporter: SpanExporter, status: ExportStatus, batching: Batching, meter_provider: MeterProvider
) -> Pipeline[BatchSpanProcessor]:
    """The pipeline of spans in front of an OTLP exporter."""
    retrying = None
    if has(exporter, EXPORTER, otherwise=_SDK_RETRIES):
        retrying = RetryingExporter(
            exporter,
            status,
            sanitize=sanitize_span,
            success=SpanExportResult.SUCCESS,
            failure=SpanExportResult.FAILURE,
        )
    processor = BatchSpanProcessor(
        cast("SpanExporter", retrying or exporter),
        max_queue_size=batching.queue_size,
        max_export_batch_size=batching.batch_size,
        schedule_delay_millis=batching.schedule_delay_ms,
        meter_provider=meter_provider,
    )
    return _pipeline(processor, status, batching, retrying)


def log_pipeline(
    exporter: LogRecordExporter, status: ExportStatus, batching: Batching, meter_provider: MeterProvider
) -> Pipeline[BatchLogRecordProcessor]:
    """The pipeline of log records in front of an OTLP exporter."""
    retrying = None
    if has(exporter, EXPORTER, otherwise=_SDK_RETRIES):
        retrying = RetryingExporter(
            exporter,
            status,
            sanitize=sanitize_log,
            success=LogRecordExportResult.SUCCESS,
            failure=LogRecordExportResult.FAILURE,
        )
    processor = BatchLogRecordProcessor(
        cast("LogRecordExporter", retrying or exporter),
        max_queue_size=batching.queue_size,
        max_export_batch_size=batching.batch_size,
        schedule_delay_millis=batching.schedule_delay_ms,
        meter_provider=meter_provider,
    )
    return _pipeline(processor, status, batching, retrying)


def _pipeline(
    processor: Processor, status: ExportStatus, batching: Batching, retrying: RetryingExporter[Any, Any] | None
) -> Pipeline[Processor]:
    if retrying is None or not has(processor, PROCESSOR, otherwise=_SDK_SHUTS_DOWN):
        return Pipeline(processor, status)
    quieten_queues()
    queue: BatchProcessor[Any] = processor._batch_processor  # noqa: SLF001 - see PROCESSOR
    # The gauge of the queue's size is registered with the SDK's metrics already.
    queue._metrics = _CountedDrops(queue._metrics, status, batching.queue_size)  # type: ignore[assignment]  # noqa: SLF001 - see PROCESSOR
    return CountingPipeline(processor, status, queue, retrying)


class _CountedDrops:
    """Reports the items that a full queue drops to the status and to the SDK's `otel.sdk.processor.*.processed`."""

    def __init__(self, metrics: ProcessorMetricsT, status: ExportStatus, queue_size: int) -> None:
        self._metrics = metrics
        self._status = status
        self._cause = f"the queue of {queue_size} is full"

    def drop_items(self, count: int, error_type: str = "queue_full") -> None:
        self._metrics.drop_items(count, error_type)
        self._status.given_up(count, self._cause if error_type == "queue_full" else error_type)

    def finish_items(self, count: int) -> None:
        self._metrics.finish_items(count)
