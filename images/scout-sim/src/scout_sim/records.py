"""Spans and log records as rows of the store."""

import time
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeVar

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from scout_sim.any_value import Attributes, decode_attributes, decode_value, to_json

TRACE_ID_BYTES = 16
SPAN_ID_BYTES = 8
MAX_NS = 2**63 - 1
"""The latest time that fits SQLite's integers: in the year 2262."""

MISSING_CONTEXT = "mqtt.missing_context"
_KINDS = {number: name.removeprefix("SPAN_KIND_") for name, number in Span.SpanKind.items()}
_STATUS_CODES = {number: name.removeprefix("STATUS_CODE_") for name, number in Status.StatusCode.items()}
_SEVERITIES = ("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL")

RowT = TypeVar("RowT")


@dataclass
class Decoded(Generic[RowT]):
    """The rows of a request, the number of rejected records, and the reason of the first rejection."""

    rows: list[RowT] = field(default_factory=list)
    rejected: int = 0
    first_reason: str = ""

    def reject(self, reason: str) -> None:
        """Count a rejected record."""
        self.first_reason = self.first_reason or reason
        self.rejected += 1

    def explanation(self) -> str:
        """The first reason and the number of further rejections; empty if no record was rejected."""
        return self.first_reason + (f" (and {self.rejected - 1} more)" if self.rejected > 1 else "")


class SpanRow(NamedTuple):
    """A span in the order of the columns of `spans`; ids are lower-case hex, nested values JSON."""

    trace_id: str
    span_id: str
    parent_span_id: str | None
    name: str
    kind: str
    service: str
    start_ns: int
    end_ns: int
    status_code: str
    status_message: str
    missing_context: bool
    attributes: str
    resource: str
    links: str
    events: str
    scope: str


class LogRow(NamedTuple):
    """A log record in the order of the columns of `logs`."""

    time_ns: int
    severity: str
    body: str
    service: str
    trace_id: str | None
    span_id: str | None
    attributes: str
    resource: str


def decode_spans(request: ExportTraceServiceRequest) -> Decoded[SpanRow]:
    """Decode the spans of a request; reject those with an invalid id or time."""
    decoded: Decoded[SpanRow] = Decoded()
    for resource_spans in request.resource_spans:
        service, resource = decode_resource(resource_spans.resource)
        for scope_spans in resource_spans.scope_spans:
            for span in scope_spans.spans:
                if problem := _span_problem(span):
                    decoded.reject(f"span {span.name[:80]!r}: {problem}")
                else:
                    decoded.rows.append(_span_row(span, service, resource, scope_spans.scope.name))
    return decoded


def decode_logs(request: ExportLogsServiceRequest) -> Decoded[LogRow]:
    """Decode the log records of a request; reject those with a time out of range.

    An invalid trace or span id is ignored, as OpenTelemetry's log data model requires.
    """
    decoded: Decoded[LogRow] = Decoded()
    received_ns = time.time_ns()
    for resource_logs in request.resource_logs:
        service, resource = decode_resource(resource_logs.resource)
        for scope_logs in resource_logs.scope_logs:
            for record in scope_logs.log_records:
                time_ns = record.time_unix_nano or record.observed_time_unix_nano or received_ns
                if time_ns > MAX_NS:
                    decoded.reject(f"log record: time_unix_nano {time_ns} is out of range")
                else:
                    decoded.rows.append(_log_row(record, time_ns, service, resource))
    return decoded


def decode_resource(resource: Resource) -> tuple[str, str]:
    """Decode a resource: the name of its service, and its attributes as JSON."""
    attributes = decode_attributes(resource.attributes)
    name = attributes.get("service.name")
    return name if isinstance(name, str) and name else "unknown_service", to_json(attributes)


def _span_problem(span: Span) -> str | None:
    if not _is_id(span.trace_id, TRACE_ID_BYTES):
        return f"trace_id must be {TRACE_ID_BYTES} bytes, not all zero"
    if not _is_id(span.span_id, SPAN_ID_BYTES):
        return f"span_id must be {SPAN_ID_BYTES} bytes, not all zero"
    if len(span.parent_span_id) not in {0, SPAN_ID_BYTES}:
        return f"parent_span_id must be {SPAN_ID_BYTES} bytes or empty"
    if max(span.start_time_unix_nano, span.end_time_unix_nano) > MAX_NS:
        return "a time is out of range"
    return None


def _span_row(span: Span, service: str, resource: str, scope: str) -> SpanRow:
    attributes = decode_attributes(span.attributes)
    return SpanRow(
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_span_id=span.parent_span_id.hex() if any(span.parent_span_id) else None,
        name=span.name,
        kind=_KINDS.get(span.kind, "UNSPECIFIED"),
        service=service,
        start_ns=span.start_time_unix_nano,
        end_ns=span.end_time_unix_nano,
        status_code=_STATUS_CODES.get(span.status.code, "UNSET"),
        status_message=span.status.message,
        missing_context=attributes.get(MISSING_CONTEXT) is True,
        attributes=to_json(attributes),
        resource=resource,
        links=to_json([_link(link) for link in span.links]) if span.links else "[]",
        events=to_json([_event(event) for event in span.events]) if span.events else "[]",
        scope=scope,
    )


def _link(link: Span.Link) -> Attributes:
    return {
        "trace_id": link.trace_id.hex(),
        "span_id": link.span_id.hex(),
        "attributes": decode_attributes(link.attributes),
    }


def _event(event: Span.Event) -> Attributes:
    return {"name": event.name, "time_ns": event.time_unix_nano, "attributes": decode_attributes(event.attributes)}


def _log_row(record: LogRecord, time_ns: int, service: str, resource: str) -> LogRow:
    body = decode_value(record.body)
    return LogRow(
        time_ns=time_ns,
        severity=_severity(record),
        body=body if isinstance(body, str) else to_json(body),
        service=service,
        trace_id=record.trace_id.hex() if _is_id(record.trace_id, TRACE_ID_BYTES) else None,
        span_id=record.span_id.hex() if _is_id(record.span_id, SPAN_ID_BYTES) else None,
        attributes=to_json(decode_attributes(record.attributes)),
        resource=resource,
    )


def _severity(record: LogRecord) -> str:
    """The short name of the severity's range (log data model, "Displaying Severity"), or else the severity text."""
    place = (record.severity_number - 1) // 4
    if record.severity_number > 0 and place < len(_SEVERITIES):
        return _SEVERITIES[place]
    return record.severity_text.upper() or "UNSPECIFIED"


def _is_id(identifier: bytes, length: int) -> bool:
    return len(identifier) == length and any(identifier)
