"""The query API for log records and metric points."""

from typing import Any

from scout_harness import ScoutSim, attributes, logs, metrics, trace_id


def test_logs_are_found_by_each_filter(scout: ScoutSim) -> None:
    """Each filter finds the matching log records, newest first."""
    trace, span_id = trace_id(), "ab" * 8
    inside = {"traceId": trace, "spanId": span_id}
    scout.send(
        logs(
            {"timeUnixNano": "3", "severityNumber": 17, "body": {"stringValue": "echo is away"}, **inside},
            {"timeUnixNano": "1", "severityNumber": 9, "body": {"stringValue": "published 100%"}, "traceId": trace},
            {"timeUnixNano": "2", "severityText": "Notice", "body": {"kvlistValue": {}}},
            {"observedTimeUnixNano": "4", "body": {"stringValue": "published"}, "traceId": "ab", "spanId": "cd"},
            service_name="q-logs",
        ),
        "logs",
    )

    def found(**parameters: str | int) -> list[int]:
        return [record["time_ns"] for record in scout.ask("/api/logs", **parameters)["logs"]]

    assert found(service="q-logs") == [4, 3, 2, 1]
    assert found(service="q-logs", limit=2) == [4, 3]
    assert found(trace_id=trace.upper()) == [3, 1]
    assert found(trace_id=trace, span_id=span_id) == [3]
    assert found(service="q-logs", contains="published") == [4, 1]
    assert found(service="q-logs", contains="100%") == [1]
    last, failed, structured, _ = scout.ask("/api/logs", service="q-logs")["logs"]
    assert (last["trace_id"], last["span_id"], last["severity"]) == (None, None, "UNSPECIFIED")
    assert failed["severity"] == "ERROR"
    assert (structured["body"], structured["severity"]) == ("{}", "NOTICE")


def test_only_the_latest_point_of_a_series_is_kept(scout: ScoutSim) -> None:
    """Only the latest point of a series is kept, in any order of arrival."""

    def gauge(time_ns: int, value: int, **point_attributes: object) -> dict[str, Any]:
        point = {"timeUnixNano": str(time_ns), "asInt": str(value), "attributes": attributes(point_attributes)}
        return {"name": "q.gauge", "gauge": {"dataPoints": [point]}}

    for time_ns, value in ((5, 50), (7, 70), (6, 60)):
        scout.send(metrics(gauge(time_ns, value, place="a"), service_name="q-metrics"), "metrics")
    scout.send(metrics(gauge(1, 10, place="b"), service_name="q-metrics"), "metrics")
    scout.send(metrics(gauge(2, 20, place="a"), service_name="q-metrics", service_instance_id="2"), "metrics")
    points = scout.ask("/api/metrics", name="q.gauge", service="q-metrics")["metrics"]
    assert [(point["attributes"]["place"], point["value"]) for point in points] == [("a", 20), ("a", 70), ("b", 10)]
    assert scout.ask("/api/metrics", name="q.none") == {"metrics": []}
    assert scout.ask("/api/metrics", service="q-none") == {"metrics": []}


def test_every_kind_of_point_is_accepted(scout: ScoutSim) -> None:
    """Gauges and sums have a value; histograms, summaries and points without a recorded value have none."""
    point = {"timeUnixNano": "1", "count": "3", "sum": 6.5}
    scout.send(
        metrics(
            {"name": "a", "exponentialHistogram": {"aggregationTemporality": 2, "dataPoints": [point]}},
            {"name": "b", "summary": {"dataPoints": [point]}},
            {"name": "c", "sum": {"dataPoints": [{"timeUnixNano": "1", "asDouble": "NaN"}]}},
            {"name": "d", "gauge": {"dataPoints": [{"timeUnixNano": "1", "flags": 1}]}},
            {"name": "e"},
            service_name="q-kinds",
        ),
        "metrics",
    )
    kinds = scout.ask("/api/metrics", service="q-kinds")["metrics"]
    assert [(kind["name"], kind["value"]) for kind in kinds] == [("a", None), ("b", None), ("c", "NaN"), ("d", None)]
    assert kinds[0].keys() == {"name", "service", "unit", "attributes", "resource", "value"}
