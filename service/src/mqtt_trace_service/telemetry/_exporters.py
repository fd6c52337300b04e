"""The SDK's OTLP exporter for a destination. It reads headers, compression, TLS and time-outs from `OTEL_*` itself.

Spans over HTTP get our own encoder, which takes a fifth of the CPU time.

gRPC is imported only where it is needed: the import costs a tenth of a second and 11 MB.
"""

from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.metrics import MeterProvider
from opentelemetry.sdk._logs.export import LogRecordExporter
from opentelemetry.sdk.metrics.export import MetricExporter
from opentelemetry.sdk.trace.export import SpanExporter

from mqtt_trace_service._otel_environment import Destination
from mqtt_trace_service.telemetry._sdk_compat import ENCODER, HTTP_SPAN_EXPORTER, has, modules_have

_SDK_ENCODES = "spans are encoded by the SDK, which takes five times the CPU time"


def span_exporter(to: Destination, meter_provider: MeterProvider) -> SpanExporter:
    """An exporter of spans that records its own metrics with `meter_provider`."""
    if to.protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc import trace_exporter  # noqa: PLC0415 - see the module's docstring

        return trace_exporter.OTLPSpanExporter(to.endpoint, meter_provider=meter_provider)
    if modules_have(ENCODER, otherwise=_SDK_ENCODES):
        from mqtt_trace_service.telemetry._http_span_exporter import HttpSpanExporter  # noqa: PLC0415 - checked first

        exporter = HttpSpanExporter(to.endpoint, meter_provider=meter_provider)
        if has(exporter, HTTP_SPAN_EXPORTER, otherwise=_SDK_ENCODES):
            return exporter
    return OTLPSpanExporter(to.endpoint, meter_provider=meter_provider)


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
