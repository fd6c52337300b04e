"""Retention: what goes when there is no room, and that the rest stays whole."""

from collections.abc import Callable

from scout_harness import ScoutSim, logs, metrics, span, trace_id


def test_whole_traces_go_the_longest_silent_first(make_scout: Callable[..., ScoutSim]) -> None:
    """At most `SCOUT_SIM_MAX_SPANS` spans are kept, and no trace loses a part: it would look not connected."""
    running = make_scout(require_token=False, max_spans=10)
    ids = [trace_id() for _ in range(6)]
    for trace in ids:
        root = span(trace)
        running.send_spans(root, span(trace, parentSpanId=root["spanId"]), span(trace, parentSpanId=root["spanId"]))
    kept = running.ask("/api/traces")["traces"]
    assert {trace["trace_id"] for trace in kept} == set(ids[3:])
    assert all(trace["connected"] and trace["span_count"] == 3 for trace in kept)
    assert [running.client.get(f"/api/traces/{trace}").status_code for trace in ids] == [404, 404, 404, 200, 200, 200]


def test_a_span_delivered_twice_takes_no_room_twice(make_scout: Callable[..., ScoutSim]) -> None:
    """What is sent again, because its answer was lost, makes nothing else go."""
    running = make_scout(require_token=False, max_spans=4)
    first, again = span(trace_id()), span(trace_id())
    for sent in (first, again, again, again, again, again):
        running.send_spans(sent)
    assert set(running.trace_ids()) == {first["traceId"], again["traceId"]}


def test_a_trace_that_still_grows_stays(make_scout: Callable[..., ScoutSim]) -> None:
    """The trace that was silent for longest goes first, not the one that started first."""
    running = make_scout(require_token=False, max_spans=4)
    growing, silent, new = trace_id(), trace_id(), trace_id()
    for trace in (growing, silent, growing, new, new):
        running.send_spans(span(trace))
    assert set(running.trace_ids()) == {growing, new}


def test_one_batch_beyond_the_bound_does_not_break_it(make_scout: Callable[..., ScoutSim]) -> None:
    """A trace larger than all the room there is cannot be kept, and what comes after it is."""
    running = make_scout(require_token=False, max_spans=5)
    large, small = trace_id(), trace_id()
    running.send_spans(*[span(large) for _ in range(6)])
    running.send_spans(span(small))
    assert running.trace_ids() == [small]


def test_logs_and_points_are_bounded(make_scout: Callable[..., ScoutSim]) -> None:
    """At most so many log records and metric series are kept, the newest."""
    running = make_scout(require_token=False, max_logs=3, max_metric_points=2)
    for number in range(1, 6):
        running.send(logs({"timeUnixNano": str(number)}), "logs")
        point = {"timeUnixNano": str(number), "asInt": "1"}
        running.send(metrics({"name": f"metric-{number}", "gauge": {"dataPoints": [point]}}), "metrics")
    assert [record["time_ns"] for record in running.ask("/api/logs")["logs"]] == [5, 4, 3]
    assert [point["name"] for point in running.ask("/api/metrics")["metrics"]] == ["metric-4", "metric-5"]
