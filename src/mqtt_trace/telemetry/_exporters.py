"""The SDK's OTLP exporter for a destination. Headers, compression, TLS and time-outs it reads from `OTEL_*` itself.

gRPC is imported where it is asked for only: it costs a tenth of a second and 11 MB.
"""

from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.metrics import MeterProvider
from opentelemetry.sdk._logs.export import LogRecordExporter
from opentelemetry.sdk.metrics.export import MetricExporter
from opentelemetry.sdk.trace.export import SpanExporter

from mqtt_trace.telemetry._environment import Destination


def span_exporter(to: Destination, meter_provider: MeterProvider) -> SpanExporter:
    """An exporter of spans that records its own metrics with `meter_provider`."""
    if to.protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc import trace_exporter  # noqa: PLC0415 - see the module's docstring

        return trace_exporter.OTLPSpanExporter(to.endpoint, meter_provider=meter_provider)
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
