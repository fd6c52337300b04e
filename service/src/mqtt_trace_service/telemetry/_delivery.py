"""Exporters that keep trying.

The OTLP exporters of the SDK try for ten seconds and then lose the batch without a word to the caller. Spans and log
records are tried for five minutes here. Metrics are not: they are cumulative, so the next export carries the total.
"""

import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Generic, Protocol, TypeVar

from opentelemetry.exporter.otlp.common._exporter_metrics import ExporterMetricsT
from opentelemetry.sdk.metrics.export import MetricExporter, MetricExportResult, MetricsData
from opentelemetry.util.types import Attributes

from mqtt_trace_service.telemetry._export_status import ExportStatus
from mqtt_trace_service.telemetry._failure import Failure, describe_failure

RETRY_FOR_S = 300.0
_FIRST_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 30.0
_PAUSE_WHILE_STOPPING_S = 0.5

Item = TypeVar("Item")
Item_contra = TypeVar("Item_contra", contravariant=True)
Result = TypeVar("Result")
Result_co = TypeVar("Result_co", covariant=True)


class OtlpExporter(Protocol[Item_contra, Result_co]):
    """What the span and log exporters of both OTLP transports have in common."""

    def export(self, batch: Sequence[Item_contra], /) -> Result_co:
        """Send a batch once, with the few tries of its own."""

    def shutdown(self) -> None:
        """End the waiting between its own tries."""


class RetryingExporter(Generic[Item, Result]):
    """Exports through an OTLP exporter until it works, the time is up, or another try cannot help.

    An item that cannot be encoded is sanitized, or left out and counted, so that it costs no other.

    The SDK's `otel.sdk.exporter.*` metrics count an item once, when the fate of its batch is settled: what was left out
    of one that was delivered is exported to them, and given up to the status.
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
        self._settled, self._reason = _observe(exporter)
        self._stop_by = float("inf")
        self._stopping = threading.Event()
        self._closed = threading.Event()
        self._idle = threading.Event()
        self._idle.set()
        self._under_way = 0
        self._counting = threading.Lock()

    def export(self, batch: Sequence[Item]) -> Result:
        """Deliver a batch, however long that takes within the bound."""
        self._idle.clear()
        self._under_way = len(batch)
        try:
            with self._settled.export_operation(len(batch)) as outcome:
                failure = self._deliver(batch)
                if failure is None:
                    return self._success
                outcome.error, outcome.error_attrs = failure.error, failure.attributes
                return self._failure
        finally:
            self._under_way = 0
            self._idle.set()

    def stop_by(self, deadline: float) -> None:
        """Go on, but not beyond `deadline` (of `time.monotonic()`); a pause that is under way ends now."""
        self._stop_by = deadline
        self._stopping.set()

    def wait_until_idle(self, timeout: float) -> int:
        """Wait up to `timeout` seconds for the export that is under way.

        Returns:
            The items that outlast it, for the caller to count: here they are not counted any more.
        """
        self._idle.wait(timeout)
        return self._settle(self._under_way)

    def shutdown(self) -> None:
        """Give up what is under way and all that follows."""
        self.stop_by(time.monotonic())
        if not self._closed.is_set():
            self._closed.set()
            self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:  # noqa: ARG002 - the SDK's interface
        """Nothing is held here."""
        return True

    def _deliver(self, batch: Sequence[Item]) -> Failure | None:
        give_up_at = time.monotonic() + self._retry_for
        pause = _FIRST_PAUSE_S
        while (failure := self._attempt(batch)) is not None:
            if failure.unsent and (sanitized := self._sanitized(batch, failure)) != batch:
                if not sanitized:
                    return failure
                batch = sanitized
                continue
            wait = random.uniform(0.5, 1) * (_PAUSE_WHILE_STOPPING_S if self._stopping.is_set() else pause)  # noqa: S311 - jitter
            if not failure.retryable or time.monotonic() + wait >= min(give_up_at, self._stop_by):
                self._give_up(len(batch), failure)
                return failure
            self._status.retrying(failure.cause)
            # The first to come ends the pause: the wish to stop, or when that is known already, the end itself.
            (self._closed if self._stopping.is_set() else self._stopping).wait(wait)
            pause = min(2 * pause, _LONGEST_PAUSE_S)
        self._status.exported()
        return None

    def _sanitized(self, batch: Sequence[Item], failure: Failure) -> Sequence[Item]:
        """What of a batch can be encoded; the rest is given up."""
        sanitized = [one for item in batch if (one := self._sanitize(item)) is not None]
        self._give_up(len(batch) - len(sanitized), failure)
        return sanitized

    def _give_up(self, count: int, failure: Failure) -> None:
        if count := self._settle(count):
            self._status.given_up(count, failure.cause)

    def _settle(self, count: int) -> int:
        """How many of so many items are still to be counted by whoever asks: nobody else will count them."""
        with self._counting:
            settled = min(count, self._under_way)
            self._under_way -= settled
        return settled

    def _attempt(self, batch: Sequence[Item]) -> Failure | None:
        if time.monotonic() >= self._stop_by:
            return describe_failure(None, {})
        return self._reason.attempt(lambda: self._exporter.export(batch) is self._success)


class ReportingMetricExporter(MetricExporter):
    """Says once when metrics cannot be exported, and once when they can again; lets the next export carry the total."""

    def __init__(self, exporter: MetricExporter, status: ExportStatus) -> None:
        super().__init__(exporter._preferred_temporality, exporter._preferred_aggregation)  # noqa: SLF001 - as readers do
        self._exporter = exporter
        self._status = status
        self._closed = False
        _, self._reason = _observe(exporter)

    def export(
        self,
        metrics_data: MetricsData,
        timeout_millis: float = 10_000,
        **kwargs: Any,
    ) -> MetricExportResult:
        """Send once, with the few tries of the OTLP exporter."""
        failure = self._reason.attempt(
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
        """Give up what is under way."""
        self._closed = True
        self._exporter.shutdown(timeout_millis, **kwargs)


class _Reason:
    """Stands in for an OTLP exporter's own metrics: the only place where it says why an export failed."""

    error: Exception | None = None
    error_attrs: Attributes = None

    def attempt(self, export: Callable[[], bool]) -> Failure | None:
        self.error, self.error_attrs = None, None
        try:
            if export():
                return None
        except Exception as error:  # noqa: BLE001 - whatever it is, these items are lost and must be counted
            self.error = error
        return describe_failure(self.error, self.error_attrs or {})

    @contextmanager
    def export_operation(self, num_items: int) -> Iterator["_Reason"]:  # noqa: ARG002 - the SDK's interface
        yield self


def _observe(exporter: Any) -> tuple[ExporterMetricsT, _Reason]:
    """Take the place of an exporter's own metrics; returns those."""
    metrics: ExporterMetricsT = exporter._metrics  # noqa: SLF001 - see _Reason; the versions are pinned together
    exporter._metrics = reason = _Reason()  # noqa: SLF001 - as above
    return metrics, reason
