"""The private names of the OpenTelemetry SDK that a feature needs.

Where one is missing, the feature is off, one log line says so, and the SDK's own path is taken.
"""

import logging
from operator import attrgetter
from pkgutil import resolve_name

ENCODER = (
    "opentelemetry.exporter.otlp.proto.common._internal:_encode_instrumentation_scope",
    "opentelemetry.exporter.otlp.proto.common._internal:_encode_resource",
    "opentelemetry.exporter.otlp.proto.common._internal.trace_encoder:_SPAN_KIND_MAP",
    "opentelemetry.exporter.otlp.proto.common._internal.trace_encoder:_encode_span",
    "opentelemetry.exporter.otlp.proto.http._common:RequestPayloadTooLargeError",
)
"""Of modules: what `_encoding` and `_http_span_exporter` import."""
HTTP_SPAN_EXPORTER = ("_client.export", "_max_request_size", "_metrics.export_operation")
"""Of an `OTLPSpanExporter`: what `_http_span_exporter` uses."""
EXPORTER = ("_metrics.export_operation",)
"""Of an OTLP exporter: what `RetryingExporter` and `ReportingMetricExporter` replace to learn why an export failed."""
METRIC_EXPORTER = ("_preferred_temporality", "_preferred_aggregation", *EXPORTER)
"""Of an OTLP metric exporter: what `ReportingMetricExporter` passes on."""
PROCESSOR = (
    "_batch_processor._metrics.drop_items",
    "_batch_processor._metrics.finish_items",
    "_batch_processor._queue",
    "_batch_processor.shutdown",
)
"""Of a batch processor: what bounds its shutdown and counts dropped items."""

_logger = logging.getLogger(__name__)


def modules_have(names: tuple[str, ...], *, otherwise: str) -> bool:
    """Whether each `module:name` exists; if not, one log line says what happens instead."""
    missing = []
    for name in names:
        try:
            resolve_name(name)
        except (ImportError, AttributeError):
            missing.append(name)
    return _report(missing, otherwise)


def has(owner: object, names: tuple[str, ...], *, otherwise: str) -> bool:
    """Whether an object has each (dotted) attribute; if not, one log line says what happens instead."""
    missing = []
    for name in names:
        try:
            attrgetter(name)(owner)
        except AttributeError:
            missing.append(f"{type(owner).__name__}.{name}")
    return _report(missing, otherwise)


def _report(missing: list[str], otherwise: str) -> bool:
    if missing:
        _logger.warning("the installed OpenTelemetry SDK has no %s: %s", ", ".join(missing), otherwise)
    return not missing
