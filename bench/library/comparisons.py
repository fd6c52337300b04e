"""All modes, measured alternately so that a busy moment of the machine affects each, and their medians."""

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
from bench.library.modes import ALL, EXPLICIT, INSTRUMENTED, MODES, NOTHING, SPANS, UNTRACED
from bench.testbed import Testbed

Results = dict[tuple[str, str], Figures]
"""By mode, and by exported signals."""

COMPARED = [
    *((mode, NOTHING) for mode in MODES),
    *((mode, SPANS) for mode in MODES if mode != UNTRACED),
    (EXPLICIT, ALL),
    (INSTRUMENTED, ALL),
]
_PENDING = 10_000
"""The library's bound on the pending spans of a client."""


def publishing(testbed: Testbed, messages: int, rounds: int) -> Results:
    """Publishes per second until the last PUBACK, and processor time until the last export."""
    return _run_alternately(lambda mode, exported: _publish(testbed, messages, mode, exported), rounds)


def receiving(testbed: Testbed, messages: int, rounds: int) -> Results:
    """Received messages per second, and processor time; the untraced program gets messages without context."""
    return _run_alternately(lambda mode, exported: _receive(testbed, messages, mode, exported), rounds)


def pending(testbed: Testbed) -> dict[str, float]:
    """Bytes per unacknowledged publish, by mode."""
    return {mode: _memory(testbed, "pending", _PENDING, mode)[0] for mode in MODES}


def growth(testbed: Testbed, messages: int) -> dict[str, list[float]]:
    """Bytes allocated after each quarter of the messages, by mode."""
    broker = (testbed.broker.host, testbed.broker.port)
    return {mode: _memory(testbed, "growth", *broker, messages, mode) for mode in (UNTRACED, EXPLICIT, INSTRUMENTED)}


def sdk_span_us(attributes: int) -> float:
    """Microseconds that the SDK takes to start and end a span without export: the least that any mode can cost."""
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("bench")
    values = {f"messaging.attribute.{number}": "value" for number in range(attributes)}
    spans = 10_000
    timed = timeit.repeat(
        lambda: tracer.start_span("publish x", kind=SpanKind.PRODUCER, attributes=values).end(), number=spans
    )
    return min(timed) / spans * 1e6


def overhead_us(results: Results, mode: str, exported: str) -> float:
    """Processor time per message that tracing adds, in microseconds."""
    return results[mode, exported].cpu_us - results[UNTRACED, NOTHING].cpu_us


def _run_alternately(measure: Callable[[str, str], Figures], rounds: int) -> Results:
    found: Mapping[tuple[str, str], list[Figures]] = {key: [] for key in COMPARED}
    for _ in range(rounds):
        for mode, exported in COMPARED:
            found[mode, exported].append(measure(mode, exported))
    return {key: _median(figures) for key, figures in found.items()}


def _median(figures: Sequence[Figures]) -> Figures:
    return Figures(
        figures[0].count,
        median(one.seconds for one in figures),
        median(one.cpu_seconds for one in figures),
        max(one.dropped for one in figures),
    )


def _publish(testbed: Testbed, messages: int, mode: str, exported: str) -> Figures:
    service = f"publish-{mode}"
    testbed.spans_received()
    broker = (testbed.broker.host, testbed.broker.port)
    figures = testbed.run("library.publish", *broker, messages, mode, exported, service)
    return _with_lost_spans(testbed, figures, service, exported)


def _receive(testbed: Testbed, messages: int, mode: str, exported: str) -> Figures:
    service, client_id = f"receive-{mode}", "bench-library"
    broker = (testbed.broker.host, testbed.broker.port)
    _run(testbed, "receive", *broker, 0, UNTRACED, NOTHING, service, client_id)
    _run(testbed, "publish", *broker, messages, UNTRACED if mode == UNTRACED else EXPLICIT, NOTHING, service)
    testbed.spans_received()
    figures = testbed.run("library.receive", *broker, messages, mode, exported, service, client_id)
    return _with_lost_spans(testbed, figures, service, exported)


def _with_lost_spans(testbed: Testbed, figures: Figures, service: str, exported: str) -> Figures:
    if exported == NOTHING:
        return figures
    return replace(figures, dropped=figures.count - testbed.spans_received().get(service, 0))


def _memory(testbed: Testbed, *arguments: object) -> list[float]:
    numbers: list[float] = json.loads(_run(testbed, "memory", *arguments))
    return numbers


def _run(testbed: Testbed, program: str, *arguments: object) -> str:
    command = [sys.executable, "-m", f"bench.library.{program}", *map(str, arguments)]
    return subprocess.run(command, env=testbed.env, check=True, capture_output=True, text=True).stdout
