"""Log lines as JSON on stdout and as log records over OTLP, from the standard library's `logging`."""

import json
import logging
import sys
from datetime import UTC, datetime

from opentelemetry import trace
from opentelemetry.instrumentation.logging.handler import LoggingHandler
from opentelemetry.instrumentation.utils import is_instrumentation_enabled
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.trace import format_span_id, format_trace_id

from mqtt_trace_service.telemetry._export_status import LOGGER_NAME as EXPORT_LOGGER_NAME

_encode = json.JSONEncoder(default=str, allow_nan=False).encode
_STANDARD_FIELDS = vars(logging.makeLogRecord({})).keys() | {"message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    """One JSON object per record: timestamp, level, logger, message, the current span's ids, and what `extra` adds."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line."""
        entry: dict[str, object] = {
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        span = trace.get_current_span().get_span_context()
        if span.is_valid:
            entry["trace_id"] = format_trace_id(span.trace_id)
            entry["span_id"] = format_span_id(span.span_id)
        for name, value in vars(record).items():
            if name not in _STANDARD_FIELDS:
                entry.setdefault(name, value)
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            entry["stack_info"] = self.formatStack(record.stack_info)
        try:
            return _encode(entry)
        except Exception:  # noqa: BLE001 - no value of `extra` may cost the line
            return _encode({str(name): _encodable(value) for name, value in entry.items()})


def _encodable(value: object) -> object:
    """The value, or its text if JSON cannot hold it: NaN, keys that are not text, a recursive list."""
    try:
        _encode(value)
    except Exception:  # noqa: BLE001 - as above
        return _text(value)
    return value


def _text(value: object) -> str:
    try:
        return str(value)
    except Exception:  # noqa: BLE001 - as above
        return object.__repr__(value)


class OtlpHandler(LoggingHandler):
    """Hands records to the LoggerProvider, except those about exporting: each export would cause another one."""

    def __init__(self, logger_provider: LoggerProvider) -> None:
        super().__init__(logger_provider=logger_provider)
        self.addFilter(_is_not_about_exporting)

    def emit(self, record: logging.LogRecord) -> None:
        """Hand over a record; one that cannot be formatted is reported and dropped, as by other handlers."""
        try:
            super().emit(record)
        except Exception:  # noqa: BLE001 - the SDK's handler would raise it in the program that logs
            self.handleError(record)

    def flush(self) -> None:
        """Do nothing: the provider's shutdown flushes. Flushing here starts a thread, which fails while Python ends."""


def log_to_stdout(service_name: str, level: str) -> None:
    """Write our own lines from `level` on, and those of other packages from WARNING on.

    Our loggers are those of the library, of this package and of the service's package, such as `mqtt_trace_echo` for
    `mqtt-trace-echo`.
    """
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    for name in ("mqtt_trace", "mqtt_trace_service", service_name.replace("-", "_")):
        logging.getLogger(name).setLevel(level)


def quieten_exporters() -> None:
    """Let the export status report failed exports: the SDK logs every attempt of every batch."""
    for name in ("opentelemetry.exporter.otlp.proto.http", "opentelemetry.exporter.otlp.proto.grpc"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def quieten_queues() -> None:
    """Let the export status report full queues."""
    logging.getLogger("opentelemetry.sdk._shared_internal").addFilter(_is_not_about_a_full_queue)


def _is_not_about_exporting(record: logging.LogRecord) -> bool:
    # The SDK suppresses instrumentation where it exports, so any record that a package logs there is about exporting.
    return is_instrumentation_enabled() and record.name != EXPORT_LOGGER_NAME


def _is_not_about_a_full_queue(record: logging.LogRecord) -> bool:
    return not str(record.msg).startswith("Queue full")
