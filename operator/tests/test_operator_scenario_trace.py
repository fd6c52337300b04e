"""The trace of a finished scenario."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from mqtt_trace_operator.diagnosis import Reason
from mqtt_trace_operator.results.history import History, PodReport
from mqtt_trace_operator.results.measuring import Finished
from mqtt_trace_operator.results.verdict import Verdict
from mqtt_trace_operator.scenario.started import StartedScenario
from mqtt_trace_operator.scenario.trace import record_scenario
from mqtt_trace_operator.workers import Key
from mqtt_trace_service.scenario import Clock, Scenario
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode
from tests.pod_results import phase, results

START = datetime(2026, 11, 30, 9, 0, tzinfo=UTC).timestamp()
SLOW, LOST = "a" * 32, "b" * 32

PASSED = Verdict("Passed", Reason("ThresholdsHold", "all well"))
FAILED = Verdict("Failed", Reason("Lost", "1 of 200 readings lost"))


def record(verdict: Verdict | None, *, seen: tuple[float, ...] = (1, 31), repeat: int = 1) -> dict[str, ReadableSpan]:
    """Record a scenario that the operator has observed at these seconds; returns its spans by name."""
    phases = [{"name": "ramp", "duration": "30s"}, {"name": "burst", "duration": "30s"}]
    scenario = Scenario.model_validate({"phases": phases, "repeat": repeat})
    history, end = History(START), 60 * repeat
    report = results(
        phase(0, slowest=[[1.5, SLOW]]), phase(1, waiting=1, processed=99, slowest=[], waiting_traces=[LOST])
    )

    def at(seconds: float) -> StartedScenario:
        started = StartedScenario.find(scenario, Clock(started_at=START), datetime.fromtimestamp(START + seconds, UTC))
        assert started is not None
        return started

    for second in (*seen, end):
        history.observe([PodReport("uid", "demo-0", ending=False, results=report)], at(second), START + second)
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    finished = Finished(at(end), history, verdict, START + end)
    trace = record_scenario(provider.get_tracer("test"), Key("iot", "demo"), finished)
    spans = exporter.get_finished_spans()
    assert {f"{span.context.trace_id:032x}" for span in spans} == {trace}
    return {span.name: span for span in spans}


def seconds(span: ReadableSpan) -> tuple[float, float]:
    """Start and end of a span, in seconds since the start of the scenario."""
    assert span.start_time is not None
    assert span.end_time is not None
    return span.start_time / 1e9 - START, span.end_time / 1e9 - START


def test_a_scenario_is_one_trace_with_a_span_for_each_phase() -> None:
    """The spans have the times of the phases, and the scenario is their parent."""
    spans = record(PASSED)
    assert {name: seconds(span) for name, span in spans.items()} == {
        "scenario demo": (0, 60),
        "phase ramp": (0, 30),
        "phase burst": (30, 60),
    }
    root = spans.pop("scenario demo")
    assert {span.parent and span.parent.span_id for span in spans.values()} == {root.context.span_id}
    assert (root.attributes or {})["mqtt_trace.verdict"] == "passed"
    assert (root.attributes or {})["mqtt_trace.readings.published"] == 200
    assert (spans["phase burst"].attributes or {})["mqtt_trace.readings.lost"] == 1
    assert (spans["phase ramp"].attributes or {})["fleet.id"] == "demo"
    assert root.status.status_code is StatusCode.UNSET


def test_a_phase_links_to_its_slowest_and_lost_readings() -> None:
    """From the test, a person gets to the traces that decided it."""
    links = {
        name: [(f"{link.context.trace_id:032x}", dict(link.attributes or {})) for link in span.links]
        for name, span in record(PASSED).items()
    }
    assert links == {
        "scenario demo": [],
        "phase ramp": [(SLOW, {"mqtt_trace.link": "slowest", "mqtt_trace.reading.age": 1.5})],
        "phase burst": [(LOST, {"mqtt_trace.link": "lost"})],
    }


def test_a_failed_scenario_is_an_error() -> None:
    """The span has the threshold that broke and its sentence."""
    root = record(FAILED)["scenario demo"]
    assert (root.status.status_code, root.status.description) == (StatusCode.ERROR, "1 of 200 readings lost")
    assert (root.attributes or {})["error.type"] == "Lost"


@pytest.mark.parametrize(
    ("seen", "repeat", "expected"),
    [
        ((31,), 1, {"phase burst": (30, 60)}),
        ((1, 31, 61, 91), 2, {"phase ramp": (0, 120), "phase burst": (30, 120)}),
    ],
)
def test_phases_that_are_missing_or_repeated(
    seen: tuple[float, ...], repeat: int, expected: dict[str, tuple[float, float]]
) -> None:
    """The operator may have been away for a phase, and a repeated phase lasts until the end."""
    spans = record(None, seen=seen, repeat=repeat)
    assert "mqtt_trace.verdict" not in (spans.pop("scenario demo").attributes or {})
    assert {name: seconds(span) for name, span in spans.items()} == expected
