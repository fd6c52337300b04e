"""Set-up and shutdown of the three signals."""

import atexit
import logging
import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from types import MappingProxyType
from typing import Literal

from opentelemetry import metrics, trace
from opentelemetry._logs import set_logger_provider
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.environment_variables import OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanLimits, SynchronousMultiSpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.util.types import AttributeValue

from mqtt_trace_service import _otel_environment as environment
from mqtt_trace_service.telemetry._delivery import ReportingMetricExporter
from mqtt_trace_service.telemetry._export_status import ExportStatus
from mqtt_trace_service.telemetry._exporters import log_exporter, metric_exporter, span_exporter
from mqtt_trace_service.telemetry._logging import OtlpHandler, log_to_stdout
from mqtt_trace_service.telemetry._pipeline import Pipeline, log_pipeline, span_pipeline
from mqtt_trace_service.telemetry._propagation import install_propagator
from mqtt_trace_service.telemetry._resource import device_resource, process_resource
from mqtt_trace_service.telemetry._sdk_compat import METRIC_EXPORTER, has

_STABILITY_OPT_IN = "OTEL_SEMCONV_STABILITY_OPT_IN"
_NO_ATTRIBUTES: Mapping[str, AttributeValue] = MappingProxyType({})

# Each pipeline in turn gets this share of the remaining time; the others keep exporting meanwhile.
_SHARE_OF_REMAINING_TIME = 0.6


def setup(
    service_name: str,
    *,
    attributes: Mapping[str, AttributeValue] = _NO_ATTRIBUTES,
    log_level: str = "INFO",
) -> "Telemetry":
    """Set the global providers and the logging of this process, as the `OTEL_*` variables say.

    Call it before any HTTP instrumentation: it adds `http` to `OTEL_SEMCONV_STABILITY_OPT_IN`, so that HTTP spans and
    metrics follow the stable conventions. Without an endpoint, exports go to `http://otel-collector:4318`.

    Args:
        service_name: `service.name`, unless `OTEL_SERVICE_NAME` or `OTEL_RESOURCE_ATTRIBUTES` says otherwise.
        attributes: Attributes of the process's resource, for all three signals.
        log_level: Level of our own loggers; other packages log from WARNING.

    Raises:
        mqtt_trace.ConfigurationError: An invalid `OTEL_*` variable.
    """
    environment.normalize(os.environ)
    os.environ[_STABILITY_OPT_IN] = environment.with_stable_http(os.environ.get(_STABILITY_OPT_IN, ""))
    plan = environment.plan(os.environ)
    log_to_stdout(service_name, log_level)
    telemetry = Telemetry(process_resource(service_name, attributes), plan)
    install_propagator()
    trace.set_tracer_provider(telemetry.tracer_provider)
    metrics.set_meter_provider(telemetry.meter_provider)
    set_logger_provider(telemetry.logger_provider)
    telemetry.collect_logs()
    atexit.register(telemetry.shutdown)
    return telemetry


class Telemetry:
    """The providers of this process.

    `force_flush` of the span and log providers returns when all waiting items are exported or given up; the SDK ignores
    its time-out. While the backend is away, that takes minutes. `shutdown` respects its time-out.

    Attributes:
        tracer_provider: Provider of the spans that belong to no device.
        meter_provider: The only one: metrics have no `device.id`, which would multiply their time series.
        logger_provider: Provider of log records.
    """

    def __init__(self, resource: Resource, plan: environment.Plan) -> None:
        """Build the providers; use `setup`, which also sets them globally."""
        self.meter_provider = _meter_provider(resource, plan)
        with _sdk_metrics_enabled():
            self._spans = _span_pipeline(plan, self.meter_provider)
            self._logs = _log_pipeline(plan, self.meter_provider)

        self._span_processor = SynchronousMultiSpanProcessor()  # type: ignore[no-untyped-call]  # the SDK's gap
        if self._spans:
            self._span_processor.add_span_processor(self._spans.processor)
        self._span_limits = SpanLimits()
        self.tracer_provider = TracerProvider(
            resource=resource,
            active_span_processor=self._span_processor,
            span_limits=self._span_limits,
            shutdown_on_exit=False,
        )
        self.logger_provider = LoggerProvider(resource=resource, shutdown_on_exit=False)
        if self._logs:
            self.logger_provider.add_log_record_processor(self._logs.processor)
        self._log_handler = OtlpHandler(self.logger_provider)
        self._stopping = threading.Lock()

    def device_tracer_provider(self, attributes: Mapping[str, AttributeValue]) -> TracerProvider:
        """A TracerProvider whose resource is the process's with a device's attributes.

        All of them share one span processor, which `shutdown` ends: do not shut this one down.
        """
        return TracerProvider(
            resource=device_resource(self.tracer_provider.resource, attributes),
            active_span_processor=self._span_processor,
            sampler=self.tracer_provider.sampler,
            id_generator=self.tracer_provider.id_generator,
            span_limits=self._span_limits,
            shutdown_on_exit=False,
        )

    def dropped(self) -> Mapping[Literal["traces", "logs"], int]:
        """The number of spans and log records given up so far: queue full, refused, or not delivered in time.

        Metrics are cumulative: the next export includes the data of a failed one.
        """
        return {
            "traces": self._spans.status.dropped if self._spans else 0,
            "logs": self._logs.status.dropped if self._logs else 0,
        }

    def collect_logs(self) -> None:
        """Send log records to the backend, until `shutdown`."""
        logging.getLogger().addHandler(self._log_handler)

    def shutdown(self, timeout: float = 10.0) -> None:
        """Export waiting items and stop, within `timeout` seconds even if the backend is away. Idempotent."""
        if not self._stopping.acquire(blocking=False):
            return
        atexit.unregister(self.shutdown)
        logging.getLogger().removeHandler(self._log_handler)
        deadline = time.monotonic() + timeout
        for pipeline in (self._spans, self._logs):
            if pipeline:
                pipeline.shutdown(_SHARE_OF_REMAINING_TIME * (deadline - time.monotonic()))
        with suppress(Exception):  # the SDK raises a bare Exception on a time-out
            self.meter_provider.shutdown(timeout_millis=max(deadline - time.monotonic(), 0) * 1000)


def _meter_provider(resource: Resource, plan: environment.Plan) -> MeterProvider:
    if plan.metrics is None:
        return MeterProvider(resource=resource, shutdown_on_exit=False)
    exporter = metric_exporter(plan.metrics)
    if has(exporter, METRIC_EXPORTER, otherwise="the SDK logs each failed export of metrics"):
        exporter = ReportingMetricExporter(exporter, ExportStatus("metrics", plan.metrics.endpoint))
    reader = PeriodicExportingMetricReader(exporter, export_interval_millis=plan.metric_interval_ms)
    return MeterProvider([reader], resource=resource, shutdown_on_exit=False)


def _span_pipeline(plan: environment.Plan, meter_provider: MeterProvider) -> Pipeline[BatchSpanProcessor] | None:
    if plan.traces is None:
        return None
    exporter = span_exporter(plan.traces, meter_provider)
    return span_pipeline(exporter, ExportStatus("traces", plan.traces.endpoint), plan.span_batching, meter_provider)


def _log_pipeline(plan: environment.Plan, meter_provider: MeterProvider) -> Pipeline[BatchLogRecordProcessor] | None:
    if plan.logs is None:
        return None
    exporter = log_exporter(plan.logs, meter_provider)
    return log_pipeline(exporter, ExportStatus("logs", plan.logs.endpoint), plan.log_batching, meter_provider)


@contextmanager
def _sdk_metrics_enabled() -> Iterator[None]:
    """Let processors and exporters count dropped items, unless the user disabled that.

    Only during their construction: tracers read the same variable later, and would spend time on every span.
    """
    if OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED in os.environ:
        yield
        return
    os.environ[OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED] = "true"
    try:
        yield
    finally:
        del os.environ[OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED]
