"""All data that the Collector has accepted reaches scout-sim."""

import secrets
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from local.needed import needs
from local.stack import COLLECTOR, Stack
from local.waiting import until

pytestmark = needs(COLLECTOR)


@pytest.fixture
def pipeline(tmp_path: Path) -> Iterator[Stack]:
    """A Collector in front of scout-sim, without the services."""
    stack = Stack(folder=tmp_path)
    try:
        stack.start("scout-sim")
        stack.start("collector")
        yield stack
    finally:
        stack.close()


def send_span(stack: Stack, path: str = "/echo") -> str:
    """Send a server span by OTLP/HTTP in JSON and return its trace id."""
    trace_id = secrets.token_hex(16)
    now = time.time_ns()
    span = {
        "traceId": trace_id,
        "spanId": secrets.token_hex(8),
        "name": f"GET {path}",
        "kind": 2,
        "startTimeUnixNano": str(now - 1_000_000),
        "endTimeUnixNano": str(now),
        "attributes": [{"key": "url.path", "value": {"stringValue": path}}],
    }
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "sample"}}]}
    body = {"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": [span]}]}]}
    httpx.post(f"{stack.otlp_url}/v1/traces", json=body, trust_env=False).raise_for_status()
    return trace_id


def arrived(stack: Stack, trace_id: str) -> bool:
    """Return whether scout-sim has the trace."""
    return httpx.get(f"{stack.scout_url}/api/traces/{trace_id}", trust_env=False).status_code == httpx.codes.OK


def test_spans_survive_an_absent_scout_and_a_killed_collector(pipeline: Stack) -> None:
    """Spans accepted while scout-sim was away arrive, although the Collector was killed before it came back."""
    pipeline.stop("scout-sim")
    trace_ids = [send_span(pipeline) for _ in range(20)]
    until(lambda: "connection refused" in pipeline.log("collector"), "the Collector's export fails")
    pipeline.kill("collector")
    pipeline.start("scout-sim")
    pipeline.start("collector")
    until(lambda: all(arrived(pipeline, trace_id) for trace_id in trace_ids), "every span arrives")


def test_spans_carry_the_environment(pipeline: Stack) -> None:
    """Both names of the deployment environment are on every resource."""
    trace_id = send_span(pipeline)
    until(lambda: arrived(pipeline, trace_id), "the span arrives")
    answer = httpx.get(f"{pipeline.scout_url}/api/traces/{trace_id}", trust_env=False).json()
    resource = answer["spans"][0]["resource"]
    assert resource["deployment.environment.name"] == resource["environment"] == "iot-demo"


def test_health_probes_are_left_out(pipeline: Stack) -> None:
    """A probe's span does not reach scout-sim, but the next span does."""
    probes = [send_span(pipeline, path) for path in ("/health", "/ready")]
    kept = send_span(pipeline)
    until(lambda: arrived(pipeline, kept), "the kept span arrives")
    assert not any(arrived(pipeline, probe) for probe in probes)


def test_the_debug_exporter_prints_each_span(pipeline: Stack) -> None:
    """A span can be found in the Collector's log by its trace id, whether or not it reaches scout-sim."""
    pipeline.stop("scout-sim")
    trace_id = send_span(pipeline)
    until(lambda: trace_id in pipeline.log("collector"), "the Collector prints the span")
