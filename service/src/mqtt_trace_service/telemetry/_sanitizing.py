"""Makes spans and log records encodable, for example one with half of a surrogate pair in its name.

Exporters encode a batch as a whole, so one item that cannot be encoded would cost all others.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from copy import copy
from dataclasses import replace
from typing import TypeVar

from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util import BoundedList
from opentelemetry.trace import Status
from opentelemetry.util.types import AnyValue

from mqtt_trace._spans.semconv import encodable

Item = TypeVar("Item")


def sanitize_span(span: ReadableSpan) -> ReadableSpan | None:
    """The span, with invalid text escaped; None if it still cannot be encoded."""
    return _sanitize(span, _escape_span, encode_spans)


def sanitize_log(record: ReadableLogRecord) -> ReadableLogRecord | None:
    """The log record, with invalid text escaped; None if it still cannot be encoded."""
    return _sanitize(record, _escape_log, encode_logs)


def _sanitize(item: Item, escape: Callable[[Item], Item], encode: Callable[[Sequence[Item]], object]) -> Item | None:
    with suppress(Exception):  # encoders raise exceptions of many types for invalid text
        encode([item])
        return item
    with suppress(Exception):  # as above
        escaped = escape(item)
        encode([escaped])
        return escaped
    return None


def _escape_span(span: ReadableSpan) -> ReadableSpan:
    """Escape everything but the attributes: encoders leave out those that cannot be encoded."""
    escaped, description = copy(span), span.status.description
    # A copy, because a new span would have lost the counts of dropped attributes, events and links.
    escaped._name = encodable(span.name)  # noqa: SLF001 - as said above
    escaped._status = Status(span.status.status_code, None if description is None else encodable(description))  # noqa: SLF001 - as above
    events = BoundedList.from_seq(len(span.events), map(_escape_event, span.events))
    events.dropped = span.dropped_events
    escaped._events = events  # noqa: SLF001 - as above
    return escaped


def _escape_event(event: Event) -> Event:
    """Escape its attributes too: those of an exception event hold its message."""
    attributes = {name: _escape_value(value) for name, value in (event.attributes or {}).items()}
    return Event(encodable(event.name), attributes, event.timestamp)


def _escape_log(record: ReadableLogRecord) -> ReadableLogRecord:
    log_record = copy(record.log_record)
    log_record.body = encodable(str(log_record.body))
    return replace(record, log_record=log_record)


def _escape_value(value: AnyValue) -> AnyValue:
    return encodable(value) if isinstance(value, str) else value
