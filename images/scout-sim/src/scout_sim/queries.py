"""Queries of the store, with results as the API returns them."""

import json
from collections import defaultdict
from dataclasses import dataclass
from sqlite3 import Row
from typing import TypedDict

from scout_sim.any_value import Attributes, JsonValue, to_json
from scout_sim.filters import LogFilter, MetricFilter, TraceFilter
from scout_sim.store import Store
from scout_sim.trace_tree import build_tree

_TRACE_IDS = """
SELECT trace_id FROM traces AS t
WHERE start_ns >= :since_ns
  AND (:service IS NULL OR EXISTS (SELECT 1 FROM spans AS s WHERE s.trace_id = t.trace_id AND s.service = :service))
  AND (:name IS NULL OR EXISTS (SELECT 1 FROM spans AS s WHERE s.trace_id = t.trace_id AND s.name = :name))
  AND (:missing_context IS NULL OR :missing_context =
       EXISTS (SELECT 1 FROM spans AS s WHERE s.trace_id = t.trace_id AND s.missing_context))
  AND NOT EXISTS (
      SELECT 1 FROM json_each(:attributes) AS wanted WHERE NOT EXISTS (
          SELECT 1 FROM spans AS s WHERE s.trace_id = t.trace_id
            AND (has_attribute(s.attributes, wanted.value ->> 0, wanted.value ->> 1)
                 OR has_attribute(s.resource, wanted.value ->> 0, wanted.value ->> 1))))
ORDER BY start_ns DESC LIMIT :limit
"""
_OUTLINES = """
SELECT trace_id, span_id, parent_span_id, name, service, start_ns, end_ns, status_code, missing_context
FROM spans WHERE trace_id IN (SELECT value FROM json_each(:trace_ids)) ORDER BY start_ns
"""
_SPANS = "SELECT * FROM spans WHERE trace_id = :trace_id ORDER BY start_ns, end_ns DESC"
_POINTS = """
SELECT * FROM metrics
WHERE (:name IS NULL OR name = :name) AND (:service IS NULL OR service = :service)
ORDER BY name, service, attributes, resource
"""
_LOGS = """
SELECT * FROM logs
WHERE (:trace_id IS NULL OR trace_id = :trace_id) AND (:span_id IS NULL OR span_id = :span_id)
  AND (:service IS NULL OR service = :service) AND (:contains IS NULL OR instr(body, :contains))
ORDER BY time_ns DESC, number DESC LIMIT :limit
"""
_SERVICES = "SELECT DISTINCT service FROM spans ORDER BY service"


class TraceSummary(TypedDict):
    """A trace in a list of traces."""

    trace_id: str
    root_name: str
    services: list[str]
    span_count: int
    start: float
    duration_ms: float
    connected: bool
    missing_context: bool
    error: bool


class SpanStatus(TypedDict):
    """The status of a span; its code is `UNSET`, `OK` or `ERROR`."""

    code: str
    message: str


class Link(TypedDict):
    """A link of a span to another span."""

    trace_id: str
    span_id: str
    attributes: Attributes


class Event(TypedDict):
    """An event of a span."""

    name: str
    time_ns: int
    attributes: Attributes


class Span(TypedDict):
    """A span."""

    trace_id: str
    span_id: str
    parent_span_id: str | None
    name: str
    kind: str
    service: str
    start_ns: int
    end_ns: int
    duration_ms: float
    status: SpanStatus
    attributes: Attributes
    resource: Attributes
    links: list[Link]
    events: list[Event]
    scope: str


class Metric(TypedDict):
    """The latest point of a metric series; `value` is None for a histogram or summary."""

    name: str
    service: str
    unit: str
    attributes: Attributes
    resource: Attributes
    value: JsonValue


class Log(TypedDict):
    """A log record, with the ids of the trace and the span in which it was written, if any."""

    time_ns: int
    severity: str
    body: str
    service: str
    trace_id: str | None
    span_id: str | None
    attributes: Attributes
    resource: Attributes


@dataclass(frozen=True)
class _Outline:
    """The part of a span that the summary of its trace needs."""

    span_id: str
    parent_span_id: str | None
    name: str
    service: str
    start_ns: int
    end_ns: int
    error: bool
    missing_context: bool


def traces(store: Store, query: TraceFilter) -> list[TraceSummary]:
    """Summarize the traces that match a filter, newest first."""
    found = store.select(
        _TRACE_IDS,
        {
            "since_ns": int(query.since * 1e9),
            "service": query.service,
            "name": query.name,
            "missing_context": query.missing_context,
            "attributes": to_json([attribute.split("=", 1) for attribute in query.attribute]),
            "limit": query.limit,
        },
    )
    trace_ids: list[str] = [row["trace_id"] for row in found]
    outlines: dict[str, list[_Outline]] = defaultdict(list)
    for row in store.select(_OUTLINES, {"trace_ids": to_json(trace_ids)}):
        outlines[row["trace_id"]].append(_outline(row))
    # A trace may have been evicted between the two queries.
    return [_summary(trace_id, outlines[trace_id]) for trace_id in trace_ids if trace_id in outlines]


def spans(store: Store, trace_id: str) -> list[Span]:
    """The spans of a trace, by start; empty for an unknown trace."""
    return [_span(row) for row in store.select(_SPANS, {"trace_id": trace_id.lower()})]


def metrics(store: Store, query: MetricFilter) -> list[Metric]:
    """The latest point of each series that matches a filter."""
    return [_point(row) for row in store.select(_POINTS, query.model_dump())]


def logs(store: Store, query: LogFilter) -> list[Log]:
    """The log records that match a filter, newest first."""
    return [_log(row) for row in store.select(_LOGS, query.model_dump())]


def services(store: Store) -> list[str]:
    """The names of all services with spans."""
    return [row["service"] for row in store.select(_SERVICES, {})]


def _outline(row: Row) -> _Outline:
    return _Outline(
        span_id=row["span_id"],
        parent_span_id=row["parent_span_id"],
        name=row["name"],
        service=row["service"],
        start_ns=row["start_ns"],
        end_ns=row["end_ns"],
        error=row["status_code"] == "ERROR",
        missing_context=bool(row["missing_context"]),
    )


def _summary(trace_id: str, outlines: list[_Outline]) -> TraceSummary:
    tree = build_tree(outlines)
    start_ns = outlines[0].start_ns
    return TraceSummary(
        trace_id=trace_id,
        root_name=(tree.roots or tree.orphans or outlines)[0].name,
        services=list(dict.fromkeys(outline.service for outline in outlines)),
        span_count=len(outlines),
        start=start_ns / 1e9,
        duration_ms=_took_ms(start_ns, max(outline.end_ns for outline in outlines)),
        connected=tree.connected,
        missing_context=any(outline.missing_context for outline in outlines),
        error=any(outline.error for outline in outlines),
    )


def _span(row: Row) -> Span:
    return Span(
        trace_id=row["trace_id"],
        span_id=row["span_id"],
        parent_span_id=row["parent_span_id"],
        name=row["name"],
        kind=row["kind"],
        service=row["service"],
        start_ns=row["start_ns"],
        end_ns=row["end_ns"],
        duration_ms=_took_ms(row["start_ns"], row["end_ns"]),
        status=SpanStatus(code=row["status_code"], message=row["status_message"]),
        attributes=json.loads(row["attributes"]),
        resource=json.loads(row["resource"]),
        links=json.loads(row["links"]),
        events=json.loads(row["events"]),
        scope=row["scope"],
    )


def _took_ms(start_ns: int, end_ns: int) -> float:
    return max(0, end_ns - start_ns) / 1e6  # an unset end is 0


def _point(row: Row) -> Metric:
    return Metric(
        name=row["name"],
        service=row["service"],
        unit=row["unit"],
        attributes=json.loads(row["attributes"]),
        resource=json.loads(row["resource"]),
        value=json.loads(row["value"]),
    )


def _log(row: Row) -> Log:
    return Log(
        time_ns=row["time_ns"],
        severity=row["severity"],
        body=row["body"],
        service=row["service"],
        trace_id=row["trace_id"],
        span_id=row["span_id"],
        attributes=json.loads(row["attributes"]),
        resource=json.loads(row["resource"]),
    )
