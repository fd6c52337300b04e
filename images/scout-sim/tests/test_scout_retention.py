"""Retention: whole traces are dropped, the least recently updated first."""

from collections.abc import Callable

from scout_harness import ScoutSim, logs, metrics, span, trace_id


def test_whole_traces_are_dropped(make_scout: Callable[..., ScoutSim]) -> None:
    """At most `SCOUT_SIM_MAX_SPANS` spans are kept, and no trace is kept in part."""
    running = make_scout(require_token=False, max_spans=10)
    ids = [trace_id() for _ in range(6)]
    for trace in ids:
        root = span(trace)
        running.send_spans(root, span(trace, parentSpanId=root["spanId"]), span(trace, parentSpanId=root["spanId"]))
    kept = running.ask("/api/traces")["traces"]
    assert {trace["trace_id"] for trace in kept} == set(ids[3:])
    assert all(trace["connected"] and trace["span_count"] == 3 for trace in kept)
    assert [running.client.get(f"/api/traces/{trace}").status_code for trace in ids] == [404, 404, 404, 200, 200, 200]


def test_a_span_delivered_twice_counts_once(make_scout: Callable[..., ScoutSim]) -> None:
    """A span that is sent again evicts nothing."""
    running = make_scout(require_token=False, max_spans=4)
    first, again = span(trace_id()), span(trace_id())
    for sent in (first, again, again, again, again, again):
        running.send_spans(sent)
    assert set(running.trace_ids()) == {first["traceId"], again["traceId"]}


def test_a_trace_that_still_grows_stays(make_scout: Callable[..., ScoutSim]) -> None:
    """The least recently updated trace is dropped first, not the oldest."""
    running = make_scout(require_token=False, max_spans=4)
    growing, silent, new = trace_id(), trace_id(), trace_id()
    for trace in (growing, silent, growing, new, new):
        running.send_spans(span(trace))
    assert set(running.trace_ids()) == {growing, new}


def test_one_batch_beyond_the_bound_does_not_break_it(make_scout: Callable[..., ScoutSim]) -> None:
    """A trace larger than the limit is dropped, and later traces are kept."""
    running = make_scout(require_token=False, max_spans=5)
    large, small = trace_id(), trace_id()
    running.send_spans(*[span(large) for _ in range(6)])
    running.send_spans(span(small))
    assert running.trace_ids() == [small]


def test_logs_and_points_are_bounded(make_scout: Callable[..., ScoutSim]) -> None:
    """Only the newest log records and metric series are kept."""
    running = make_scout(require_token=False, max_logs=3, max_metric_points=2)
    for number in range(1, 6):
        running.send(logs({"timeUnixNano": str(number)}), "logs")
        point = {"timeUnixNano": str(number), "asInt": "1"}
        running.send(metrics({"name": f"metric-{number}", "gauge": {"dataPoints": [point]}}), "metrics")
    assert [record["time_ns"] for record in running.ask("/api/logs")["logs"]] == [5, 4, 3]
    assert [point["name"] for point in running.ask("/api/metrics")["metrics"]] == ["metric-4", "metric-5"]
