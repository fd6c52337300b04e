"""Exporters that keep trying.

The OTLP exporters of the SDK retry for ten seconds and then drop the batch without a reason. The exporter here retries
spans and log records for five minutes. Metrics are cumulative, so the next export carries the total.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from opentelemetry.sdk.metrics.export import MetricExporter, MetricExportResult, MetricsData
from opentelemetry.util.types import Attributes

from mqtt_trace.aio import Backoff
from mqtt_trace_service.telemetry._export_status import ExportStatus
from mqtt_trace_service.telemetry._failure import Failure, describe_failure
from mqtt_trace_service.telemetry._logging import quieten_exporters

if TYPE_CHECKING:
    from opentelemetry.exporter.otlp.common._exporter_metrics import ExporterMetricsT

RETRY_FOR_S = 300.0
_BACKOFF = Backoff(1.0, 30.0)
_BACKOFF_WHILE_STOPPING = Backoff(0.5, 0.5)

Item = TypeVar("Item")
Item_contra = TypeVar("Item_contra", contravariant=True)
Result = TypeVar("Result")
Result_co = TypeVar("Result_co", covariant=True)


class OtlpExporter(Protocol[Item_contra, Result_co]):
    """What the span and log exporters of both OTLP transports have in common."""

    def export(self, batch: Sequence[Item_contra], /) -> Result_co:
        """Send a batch once, with the exporter's own few retries."""

    def shutdown(self) -> None:
        """End the wait between the exporter's own retries."""


class RetryingExporter(Generic[Item, Result]):
    """Exports through an OTLP exporter until it succeeds, the time is up, or a retry cannot help.

    An item that cannot be encoded is sanitized, or else left out and counted, so that it costs no other.

    The SDK's `otel.sdk.exporter.*` metrics count each item once, when its batch was delivered or given up. They count
    an item that was left out of a delivered batch as exported; the export status counts it as given up.
    """

    def __init__(
        self,
        exporter: OtlpExporter[Item, Result],
        status: ExportStatus,
        *,
        sanitize: Callable[[Item], Item | None],
        success: Result,
        failure: Result,
        retry_for: float = RETRY_FOR_S,
    ) -> None:
        self._exporter = exporter
        self._sanitize = sanitize
        self._success = success
        self._failure = failure
        self._status = status
        self._retry_for = retry_for
        self._sdk_metrics, self._failure_capture = _capture_failures(exporter)
        self._stop_by = float("inf")
        self._stopping = threading.Event()
        self._closed = threading.Event()
        self._idle = threading.Event()
        self._idle.set()
        self._under_way = 0
        self._counting = threading.Lock()

    def export(self, batch: Sequence[Item]) -> Result:
        """Deliver a batch, within `retry_for` seconds."""
        self._idle.clear()
        self._under_way = len(batch)
        try:
            with self._sdk_metrics.export_operation(len(batch)) as outcome:
                failure = self._deliver(batch)
                if failure is None:
                    return self._success
                outcome.error, outcome.error_attrs = failure.error, failure.attributes
                return self._failure
        finally:
            self._under_way = 0
            self._idle.set()

    def stop_by(self, deadline: float) -> None:
        """Keep trying until `deadline` (of `time.monotonic()`) at most; the current pause ends now."""
        self._stop_by = deadline
        self._stopping.set()

    def wait_until_idle(self, timeout: float) -> int:
        """Wait up to `timeout` seconds for the current export.

        Returns:
            The number of items that are still not exported, for the caller to count as given up.
        """
        self._idle.wait(timeout)
        return self._settle(self._under_way)

    def shutdown(self) -> None:
        """Give up the current batch and all later ones."""
        self.stop_by(time.monotonic())
        if not self._closed.is_set():
            self._closed.set()
            self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:  # noqa: ARG002 - the SDK's interface
        """Nothing is held here."""
        return True

    def _deliver(self, batch: Sequence[Item]) -> Failure | None:
        give_up_at = time.monotonic() + self._retry_for
        retries = 0
        while (failure := self._attempt(batch)) is not None:
            if failure.unsent and (sanitized := self._sanitize_batch(batch, failure)) != batch:
                if not sanitized:
                    return failure
                batch = sanitized
                continue
            retries += 1
            wait = (_BACKOFF_WHILE_STOPPING if self._stopping.is_set() else _BACKOFF).delay(retries)
            if not failure.retryable or time.monotonic() + wait >= min(give_up_at, self._stop_by):
                self._give_up(len(batch), failure)
                return failure
            self._status.retrying(failure.cause)
            # A request to stop ends the pause, or, if stopping already, the shutdown.
            (self._closed if self._stopping.is_set() else self._stopping).wait(wait)
        self._status.exported()
        return None

    def _sanitize_batch(self, batch: Sequence[Item], failure: Failure) -> Sequence[Item]:
        """Return the items that can be encoded, and give up the rest."""
        sanitized = [one for item in batch if (one := self._sanitize(item)) is not None]
        self._give_up(len(batch) - len(sanitized), failure)
        return sanitized

    def _give_up(self, count: int, failure: Failure) -> None:
        if count := self._settle(count):
            self._status.given_up(count, failure.cause)

    def _settle(self, count: int) -> int:
        """Take over up to `count` items that nobody has counted yet, and return their number."""
        with self._counting:
            settled = min(count, self._under_way)
            self._under_way -= settled
        return settled

    def _attempt(self, batch: Sequence[Item]) -> Failure | None:
        if time.monotonic() >= self._stop_by:
            return describe_failure(None, {})
        return self._failure_capture.attempt(lambda: self._exporter.export(batch) is self._success)


class ReportingMetricExporter(MetricExporter):
    """Logs once when the export of metrics fails, and once when it works again; the next export carries the total."""

    def __init__(self, exporter: MetricExporter, status: ExportStatus) -> None:
        super().__init__(exporter._preferred_temporality, exporter._preferred_aggregation)  # noqa: SLF001 - as readers do
        self._exporter = exporter
        self._status = status
        self._closed = False
        _, self._failure_capture = _capture_failures(exporter)

    def export(
        self,
        metrics_data: MetricsData,
        timeout_millis: float = 10_000,
        **kwargs: Any,
    ) -> MetricExportResult:
        """Send once, with the OTLP exporter's few retries."""
        failure = self._failure_capture.attempt(
            lambda: self._exporter.export(metrics_data, timeout_millis, **kwargs) is MetricExportResult.SUCCESS
        )
        if failure is None:
            self._status.exported()
            return MetricExportResult.SUCCESS
        if self._closed:  # there is no next export
            self._status.given_up(1, failure.cause)
        else:
            self._status.retrying(failure.cause)
        return MetricExportResult.FAILURE

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        """Nothing is held here."""
        return self._exporter.force_flush(timeout_millis)

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
        """Give up the current export."""
        self._closed = True
        self._exporter.shutdown(timeout_millis, **kwargs)


class _FailureCapture:
    """Replaces an OTLP exporter's own metrics, the only place where it reports why an export failed."""

    error: Exception | None = None
    error_attrs: Attributes = None

    def attempt(self, export: Callable[[], bool]) -> Failure | None:
        self.error, self.error_attrs = None, None
        try:
            if export():
                return None
        except Exception as error:  # noqa: BLE001 - after any exception the items are lost and must be counted
            self.error = error
        return describe_failure(self.error, self.error_attrs or {})

    @contextmanager
    def export_operation(self, num_items: int) -> Iterator[_FailureCapture]:  # noqa: ARG002 - the SDK's interface
        yield self


def _capture_failures(exporter: Any) -> tuple[ExporterMetricsT, _FailureCapture]:
    """Replace an exporter's own metrics, and return those and the replacement."""
    quieten_exporters()
    metrics: ExporterMetricsT = exporter._metrics  # noqa: SLF001 - see _sdk_compat.EXPORTER
    exporter._metrics = capture = _FailureCapture()  # noqa: SLF001 - as above
    return metrics, capture
