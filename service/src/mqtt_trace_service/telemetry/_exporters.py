"""The SDK's OTLP exporter for a destination. Headers, compression, TLS and time-outs it reads from `OTEL_*` itself.

Spans over HTTP are encoded by us, at a fifth of the processor time.

gRPC is imported where it is asked for only: it costs a tenth of a second and 11 MB.
"""

from collections.abc import Sequence

from opentelemetry.exporter.otlp.proto.http._common import RequestPayloadTooLargeError, _is_request_too_large
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.metrics import MeterProvider
from opentelemetry.sdk._logs.export import LogRecordExporter
from opentelemetry.sdk.metrics.export import MetricExporter
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.semconv.attributes.http_attributes import HTTP_RESPONSE_STATUS_CODE

from mqtt_trace_service._otel_environment import Destination
from mqtt_trace_service.telemetry._encoding import encode_spans


def span_exporter(to: Destination, meter_provider: MeterProvider) -> SpanExporter:
    """An exporter of spans that records its own metrics with `meter_provider`."""
    if to.protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc import trace_exporter  # noqa: PLC0415 - see the module's docstring

        return trace_exporter.OTLPSpanExporter(to.endpoint, meter_provider=meter_provider)
    return _HttpSpanExporter(to.endpoint, meter_provider=meter_provider)


def log_exporter(to: Destination, meter_provider: MeterProvider) -> LogRecordExporter:
    """An exporter of log records that records its own metrics with `meter_provider`."""
    if to.protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc import _log_exporter  # noqa: PLC0415 - see the module's docstring

        return _log_exporter.OTLPLogExporter(to.endpoint, meter_provider=meter_provider)
    return OTLPLogExporter(to.endpoint, meter_provider=meter_provider)


def metric_exporter(to: Destination) -> MetricExporter:
    """An exporter of metrics."""
    if to.protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc import metric_exporter  # noqa: PLC0415 - see the module's docstring

        return metric_exporter.OTLPMetricExporter(to.endpoint)
    return OTLPMetricExporter(to.endpoint)


class _HttpSpanExporter(OTLPSpanExporter):
    """The SDK's, but for the encoder, which cannot be handed over to it."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send spans once, with the few tries of the SDK; `RetryingExporter` handles what is raised."""
        with self._metrics.export_operation(len(spans)) as result:
            request = encode_spans(spans)
            if _is_request_too_large(request, self._max_request_size):
                result.error = RequestPayloadTooLargeError(
                    f"a request of {len(request)} bytes, of {self._max_request_size} allowed"
                )
                return SpanExportResult.FAILURE
            answer = self._client.export(request)
            if answer.success:
                return SpanExportResult.SUCCESS
            result.error = answer.error
            if answer.status_code is not None:
                result.error_attrs = {HTTP_RESPONSE_STATUS_CODE: answer.status_code}
            return SpanExportResult.FAILURE
