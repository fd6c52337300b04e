"""The query API: each filter, the summaries of traces, and wrong parameters."""

import time
from typing import Any

import pytest
from scout_harness import START_NS, ScoutSim, attributes, span, trace_id

DAY_MS = 86_400_000


@pytest.fixture(scope="module")
def reading(scout: ScoutSim) -> str:
    """The id of a connected trace of a reading, through three services of this module."""
    trace = trace_id()
    message = attributes({"messaging.message.id": "q-1"})
    values = attributes({"q.qos": 1, "q.retain": False, "q.ratio": 21.5, "q.tags": ["a", "b"], 'quo"te': "ä=b"})
    publish = span(trace, "publish q/1", kind=4, at_ms=0, took_ms=4, attributes=message)
    process = span(trace, "process q/1", kind=5, at_ms=2, took_ms=8, parentSpanId=publish["spanId"], attributes=values)
    post = span(trace, "POST", kind=3, at_ms=3, took_ms=6, parentSpanId=process["spanId"])
    echo = span(trace, "POST /echo", kind=2, at_ms=4, took_ms=4, parentSpanId=post["spanId"], status={"code": 2})
    scout.send_spans(echo, service_name="q-echo")
    scout.send_spans(process, post, service_name="q-consumer")
    scout.send_spans(publish, service_name="q-producer", device_id="sensor-q")
    return trace


@pytest.fixture(scope="module")
def orphan(scout: ScoutSim) -> str:
    """The id of a trace, two days old, of a reading without context."""
    trace = trace_id()
    missing = attributes({"mqtt.missing_context": True, "mqtt.missing_context_reason": "absent"})
    scout.send_spans(span(trace, "process q/2", at_ms=-2 * DAY_MS, attributes=missing), service_name="q-consumer")
    return trace


def test_a_trace_is_summed_up(scout: ScoutSim, reading: str) -> None:
    """The summary of a trace has its root, its services in order of time, and its duration."""
    summary = scout.summary(reading)
    assert summary.pop("start") == START_NS / 1e9
    assert summary == {
        "trace_id": reading,
        "root_name": "publish q/1",
        "services": ["q-producer", "q-consumer", "q-echo"],
        "span_count": 4,
        "duration_ms": 10.0,
        "connected": True,
        "missing_context": False,
        "error": True,
    }


def test_a_span_without_an_end_took_no_time(scout: ScoutSim) -> None:
    """A span without an end, or with one before its start, has the duration 0, and so has its trace."""
    trace = trace_id()
    scout.send_spans(span(trace, endTimeUnixNano="0"), span(trace, took_ms=-1))
    assert [one["duration_ms"] for one in scout.ask(f"/api/traces/{trace}")["spans"]] == [0, 0]
    assert scout.summary(trace)["duration_ms"] == 0


def test_spans_are_sorted_by_start(scout: ScoutSim, reading: str) -> None:
    """A trace's spans are sorted by start, in any order of arrival."""
    spans = scout.ask(f"/api/traces/{reading}")["spans"]
    assert [one["kind"] for one in spans] == ["PRODUCER", "CONSUMER", "CLIENT", "SERVER"]


@pytest.mark.parametrize(
    "matching",
    [
        {"service": "q-echo"},
        {"name": "process q/1"},
        {"attribute": "messaging.message.id=q-1"},
        {"attribute": "device.id=sensor-q"},
        {"attribute": "q.qos=1"},
        {"attribute": "q.retain=false"},
        {"attribute": "q.ratio=21.5"},
        {"attribute": 'q.tags=["a","b"]'},
        {"attribute": 'quo"te=ä=b'},
        {"attribute": ["device.id=sensor-q", "q.qos=1"], "service": "q-echo", "name": "POST"},
        {"service": "q-producer", "missing_context": "false", "since": "1.5", "limit": 1},
    ],
)
def test_a_filter_finds_what_matches(scout: ScoutSim, reading: str, orphan: str, matching: dict[str, Any]) -> None:
    """A filter finds exactly the traces in which some span meets each condition."""
    assert orphan != reading
    assert scout.trace_ids(**matching) == [reading]


@pytest.mark.parametrize(
    "other",
    [
        {"service": "q-ech"},
        {"name": "process"},
        {"attribute": "messaging.message.id=q"},
        {"attribute": "q.retain=true"},
        {"attribute": "device=sensor-q"},
        {"attribute": "sensor-q=device.id"},
        {"attribute": ["device.id=sensor-q", "q.qos=2"]},
        {"service": "q-echo", "missing_context": "true"},
        {"service": "q-echo", "since": "4102444800"},
    ],
)
def test_a_filter_leaves_out_what_does_not_match(scout: ScoutSim, reading: str, other: dict[str, Any]) -> None:
    """A filter does not find a trace without a span for one of the conditions."""
    assert reading not in scout.trace_ids(**other)


def test_missing_context_is_found(scout: ScoutSim, reading: str, orphan: str) -> None:
    """`missing_context=true` finds only the traces of readings without context."""
    found = scout.trace_ids(missing_context="true", service="q-consumer")
    assert found == [orphan]
    assert scout.trace_ids(missing_context="false", service="q-consumer") == [reading]
    assert scout.summary(orphan)["missing_context"] is True


def test_since_leaves_out_what_started_earlier(scout: ScoutSim, reading: str, orphan: str) -> None:
    """`since` is a time in seconds since the epoch, with or without a fraction."""
    assert scout.trace_ids(service="q-consumer") == [reading, orphan]
    for since in ("0", f"{time.time() - 3 * 86_400:.3f}"):
        assert scout.trace_ids(service="q-consumer", since=since) == [reading, orphan], since
    for since in (f"{time.time() - 86_400:.3f}", f"{time.time() - 86_400:.0f}"):
        assert scout.trace_ids(service="q-consumer", since=since) == [reading], since


def test_the_newest_come_first_and_limit_bounds_them(scout: ScoutSim) -> None:
    """Traces are sorted by their start, newest first, and `limit` cuts the older ones."""
    ids = [trace_id() for _ in range(4)]
    for place in (2, 0, 3, 1):
        scout.send_spans(span(ids[place], at_ms=place), service_name="q-order")
    assert scout.trace_ids(service="q-order") == ids[::-1]
    assert scout.trace_ids(service="q-order", limit=2) == [ids[3], ids[2]]


def connected(scout: ScoutSim, *parents: str | None) -> bool:
    """Send a trace of spans with the ids 1, 2, … and these parents; returns whether it is connected."""
    trace = trace_id()
    spans = [
        span(trace, spanId=f"{number:016x}", parentSpanId=parent or "")
        for number, parent in enumerate(parents, start=1)
    ]
    scout.send_spans(*spans)
    is_connected: bool = scout.summary(trace)["connected"]
    return is_connected


def test_connected_means_one_root_above_all(scout: ScoutSim) -> None:
    """A trace is connected if one span is the root and the parents of all others are in the trace."""
    first, second, third, absent = (f"{number:016x}" for number in (1, 2, 3, 99))
    assert connected(scout, None)
    assert connected(scout, None, first, first, second)
    assert connected(scout, second, None, "0" * 16) is False
    assert connected(scout, absent) is False
    assert connected(scout, None, absent) is False
    assert connected(scout, None, None) is False
    assert connected(scout, None, third, second) is False
    assert connected(scout, first) is False


@pytest.mark.parametrize(
    ("path", "parameter", "value"),
    [
        ("/api/traces", "limit", "0"),
        ("/api/traces", "limit", "many"),
        ("/api/traces", "limit", "100001"),
        ("/api/traces", "since", "yesterday"),
        ("/api/traces", "since", "9223372036"),
        ("/api/traces", "since", "-1"),
        ("/api/traces", "since", "nan"),
        ("/api/traces", "since", "1e300"),
        ("/api/traces", "attribute", "device.id"),
        ("/api/traces", "attribute", "=x"),
        ("/api/traces", "attribute", ""),
        ("/api/traces", "missing_context", "perhaps"),
        ("/api/traces", "servce", "typo"),
        ("/api/metrics", "limit", "5"),
        ("/api/logs", "trace_id", "xyz"),
        ("/api/logs", "span_id", "ab" * 16),
        ("/api/logs", "limit", "-5"),
        ("/api/logs", "severity", "ERROR"),
    ],
)
def test_a_wrong_parameter_is_refused_in_one_line(scout: ScoutSim, path: str, parameter: str, value: str) -> None:
    """An unknown parameter or a wrong value is 422, with one line that names the parameter."""
    answer = scout.client.get(path, params={parameter: value})
    assert answer.status_code == 422
    assert answer.json()["error"].startswith(f"{parameter}: ")
    assert "\n" not in answer.json()["error"]


def test_an_unknown_trace_is_404(scout: ScoutSim) -> None:
    """An unknown trace is 404 with a JSON body."""
    for unknown in (trace_id(), "nonsense"):
        answer = scout.client.get(f"/api/traces/{unknown}")
        assert (answer.status_code, answer.json()) == (404, {"error": f"there is no trace with the id {unknown}"})
