"""Records a finished scenario as a trace: a span for all of it, and one for each phase below.

All spans are made once the results are final, so that a restart of the operator tears no trace apart. With
`spec.scenario.repeat` the span of a phase begins with its first run and lasts until the end of the scenario.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags, Tracer, set_span_in_context

from mqtt_trace_operator.results.figures import Figures
from mqtt_trace_operator.results.measuring import Finished
from mqtt_trace_operator.workers import Key


def record_scenario(tracer: Tracer, key: Key, finished: Finished) -> str:
    """Record a finished scenario; returns the id of its trace."""
    results, verdict = finished.history.results, finished.verdict
    attributes: dict[str, Any] = {"k8s.namespace.name": key.namespace, "fleet.id": key.name}
    if verdict is not None:
        attributes |= {"mqtt_trace.verdict": "passed" if verdict.passed else "failed"}
    root = tracer.start_span(
        f"scenario {key.name}",
        kind=SpanKind.INTERNAL,
        attributes=attributes | _attributes(results.total),
        start_time=_nanoseconds(finished.started.started_at),
    )
    if verdict is not None and verdict.failed:
        root.set_attribute("error.type", verdict.reason.name)
        root.set_status(Status(StatusCode.ERROR, verdict.reason.message))
    context = set_span_in_context(root)
    for index, start, end in _find_times(finished):
        figures = results.phases.get(index, Figures())
        span = tracer.start_span(
            f"phase {finished.started.names[index]}",
            context,
            SpanKind.INTERNAL,
            {**attributes, "mqtt_trace.phase": finished.started.names[index]} | _attributes(figures),
            list(_links(figures)),
            start_time=_nanoseconds(start),
        )
        span.end(_nanoseconds(end))
    root.end(_nanoseconds(finished.ended_at))
    return f"{root.get_span_context().trace_id:032x}"


def _find_times(finished: Finished) -> Iterator[tuple[int, float, float]]:
    """Index, start and end of each phase. Phases that the operator has not seen have no span."""
    starts = sorted(finished.history.phase_starts.items(), key=lambda item: item[1])
    repeated = finished.started.scenario.repeat > 1
    for (index, start), (_, end) in pairwise([*starts, (-1, finished.ended_at)]):
        yield index, start, finished.ended_at if repeated else end


def _attributes(figures: Figures) -> dict[str, int]:
    return {
        "mqtt_trace.readings.published": figures.published,
        "mqtt_trace.readings.processed": figures.processed,
        "mqtt_trace.readings.lost": figures.waiting,
        "mqtt_trace.readings.duplicates": figures.duplicates,
        "mqtt_trace.readings.dead_lettered": figures.dead_lettered,
    }


def _links(figures: Figures) -> Iterator[Link]:
    """Links to traces. A receipt names no span, so the link's span id is zero, which only attributes keep alive."""
    for age, trace in figures.slowest:
        yield _link(trace, {"mqtt_trace.link": "slowest", "mqtt_trace.reading.age": age})
    for trace in figures.waiting_traces:
        yield _link(trace, {"mqtt_trace.link": "lost"})


def _link(trace: str, attributes: dict[str, Any]) -> Link:
    return Link(SpanContext(int(trace, 16), 0, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED)), attributes)


def _nanoseconds(seconds: float) -> int:
    return int(seconds * 1e9)
