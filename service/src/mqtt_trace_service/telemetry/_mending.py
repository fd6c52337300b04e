"""Spans and log records that cannot be encoded, such as for half of a surrogate pair in a name.

Exporters encode a batch as a whole, so that one of them would cost all others.
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


def mended_span(span: ReadableSpan) -> ReadableSpan | None:
    """The span, with escapes in the place of what is no text; None if it cannot be encoded even so."""
    return _mended(span, _escaped_span, encode_spans)


def mended_log(record: ReadableLogRecord) -> ReadableLogRecord | None:
    """The log record, with escapes in the place of what is no text; None if it cannot be encoded even so."""
    return _mended(record, _escaped_log, encode_logs)


def _mended(item: Item, escaped: Callable[[Item], Item], encode: Callable[[Sequence[Item]], object]) -> Item | None:
    with suppress(Exception):  # which of many it is says nothing: what cannot be encoded is to be mended
        encode([item])
        return item
    with suppress(Exception):  # as above
        mended = escaped(item)
        encode([mended])
        return mended
    return None


def _escaped_span(span: ReadableSpan) -> ReadableSpan:
    """Attributes are not escaped: encoders leave out those that cannot be encoded."""
    mended, description = copy(span), span.status.description
    # A new span would not know how many attributes, events and links the old one has dropped.
    mended._name = encodable(span.name)  # noqa: SLF001 - as said above
    mended._status = Status(span.status.status_code, None if description is None else encodable(description))  # noqa: SLF001 - as above
    events = BoundedList.from_seq(len(span.events), map(_escaped_event, span.events))
    events.dropped = span.dropped_events
    mended._events = events  # noqa: SLF001 - as above
    return mended


def _escaped_event(event: Event) -> Event:
    """With its attributes, which say what an exception was about."""
    attributes = {name: _escaped_value(value) for name, value in (event.attributes or {}).items()}
    return Event(encodable(event.name), attributes, event.timestamp)


def _escaped_log(record: ReadableLogRecord) -> ReadableLogRecord:
    log_record = copy(record.log_record)
    log_record.body = encodable(str(log_record.body))
    return replace(record, log_record=log_record)


def _escaped_value(value: AnyValue) -> AnyValue:
    return encodable(value) if isinstance(value, str) else value
