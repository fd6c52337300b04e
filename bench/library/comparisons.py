"""Each way to trace in turn, so that a noisy moment meets all of them, and the median of some rounds."""

import json
import subprocess
import sys
import timeit
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from statistics import median

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import SpanKind

from bench.figures import Figures
from bench.library.modes import ALL, EXPLICIT, INSTRUMENTED, NOT, SPANS, UNTRACED, WAYS
from bench.testbed import Bed

Results = dict[tuple[str, str], Figures]
"""By way to trace, and by what is exported."""

COMPARED = [(way, exported) for exported in (NOT, SPANS) for way in WAYS if (way, exported) != (UNTRACED, SPANS)]
COMPARED += [(way, ALL) for way in (EXPLICIT, INSTRUMENTED)]
_PENDING = 10_000
"""The library's own bound on spans that wait."""


def publishing(bed: Bed, messages: int, rounds: int) -> Results:
    """Publishes per second and processor time of each, until the last PUBACK and the last export."""
    return _in_turn(lambda way, exported: _publish(bed, messages, way, exported), rounds)


def receiving(bed: Bed, messages: int, rounds: int) -> Results:
    """Messages per second and processor time of each; untraced there is no context in them to be read."""
    return _in_turn(lambda way, exported: _receive(bed, messages, way, exported), rounds)


def pending(bed: Bed) -> dict[str, float]:
    """Bytes per publish that waits, by way to trace."""
    return {way: _memory(bed, "pending", _PENDING, way)[0] for way in WAYS}


def growth(bed: Bed, messages: int) -> dict[str, list[float]]:
    """Bytes held after each quarter of the messages, by way to trace."""
    broker = (bed.broker.host, bed.broker.port)
    return {way: _memory(bed, "growth", *broker, messages, way) for way in (UNTRACED, EXPLICIT, INSTRUMENTED)}


def sdk_span_us(attributes: int) -> float:
    """Microseconds that the SDK takes to start and end a span which nobody exports: below it no way to trace can go."""
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("bench")
    values = {f"messaging.attribute.{number}": "value" for number in range(attributes)}
    spans = 10_000
    timed = timeit.repeat(
        lambda: tracer.start_span("publish x", kind=SpanKind.PRODUCER, attributes=values).end(), number=spans
    )
    return min(timed) / spans * 1e6


def overhead_us(results: Results, way: str, exported: str) -> float:
    """Processor time of a message beyond that without tracing, in microseconds."""
    return results[way, exported].cpu_us - results[UNTRACED, NOT].cpu_us


def _in_turn(measure: Callable[[str, str], Figures], rounds: int) -> Results:
    found: Mapping[tuple[str, str], list[Figures]] = {key: [] for key in COMPARED}
    for _ in range(rounds):
        for way, exported in COMPARED:
            found[way, exported].append(measure(way, exported))
    return {key: _median(figures) for key, figures in found.items()}


def _median(figures: Sequence[Figures]) -> Figures:
    return Figures(
        figures[0].count,
        median(one.seconds for one in figures),
        median(one.cpu_seconds for one in figures),
        max(one.dropped for one in figures),
    )


def _publish(bed: Bed, messages: int, way: str, exported: str) -> Figures:
    service = f"publish-{way}"
    bed.spans_received()
    figures = bed.run("library.publish", bed.broker.host, bed.broker.port, messages, way, exported, service)
    return _with_lost_spans(bed, figures, service, exported)


def _receive(bed: Bed, messages: int, way: str, exported: str) -> Figures:
    service, client_id = f"receive-{way}", "bench-library"
    broker = (bed.broker.host, bed.broker.port)
    _run(bed, "receive", *broker, 0, UNTRACED, NOT, service, client_id)
    _run(bed, "publish", *broker, messages, UNTRACED if way == UNTRACED else EXPLICIT, NOT, service)
    bed.spans_received()
    figures = bed.run("library.receive", *broker, messages, way, exported, service, client_id)
    return _with_lost_spans(bed, figures, service, exported)


def _with_lost_spans(bed: Bed, figures: Figures, service: str, exported: str) -> Figures:
    if exported == NOT:
        return figures
    return replace(figures, dropped=figures.count - bed.spans_received().get(service, 0))


def _memory(bed: Bed, *arguments: object) -> list[float]:
    numbers: list[float] = json.loads(_run(bed, "memory", *arguments))
    return numbers


def _run(bed: Bed, program: str, *arguments: object) -> str:
    command = [sys.executable, "-m", f"bench.library.{program}", *map(str, arguments)]
    return subprocess.run(command, env=bed.env, check=True, capture_output=True, text=True).stdout
