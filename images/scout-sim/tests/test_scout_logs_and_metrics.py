"""The query API for log records and metric points."""

from typing import Any

from scout_harness import ScoutSim, attributes, logs, metrics, trace_id


def test_logs_are_found_by_each_filter(scout: ScoutSim) -> None:
    """Trace, span, service, text and severity each find the right log records, newest first."""
    trace, of_span = trace_id(), "ab" * 8
    inside = {"traceId": trace, "spanId": of_span}
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
    assert found(trace_id=trace, span_id=of_span) == [3]
    assert found(service="q-logs", contains="published") == [4, 1]
    assert found(service="q-logs", contains="100%") == [1]
    assert found(service="q-logs", severity="error") == [3]
    assert found(service="q-logs", severity="NOTICE") == [2]
    last, _, structured, _ = scout.ask("/api/logs", service="q-logs")["logs"]
    assert (last["trace_id"], last["span_id"], last["severity"]) == (None, None, "UNSPECIFIED")
    assert structured["body"] == "{}"


def test_only_the_latest_point_of_a_series_is_kept(scout: ScoutSim) -> None:
    """Of each metric, resource and attributes the latest point counts, in whatever order points arrive."""

    def gauge(time_ns: int, value: int, **of_point: object) -> dict[str, Any]:
        point = {"timeUnixNano": str(time_ns), "asInt": str(value), "attributes": attributes(of_point)}
        return {"name": "q.gauge", "gauge": {"dataPoints": [point]}}

    for time_ns, value in ((5, 50), (7, 70), (6, 60)):
        scout.send(metrics(gauge(time_ns, value, place="a"), service_name="q-metrics"), "metrics")
    scout.send(metrics(gauge(1, 10, place="b"), service_name="q-metrics"), "metrics")
    scout.send(metrics(gauge(2, 20, place="a"), service_name="q-metrics", service_instance_id="2"), "metrics")
    points = scout.ask("/api/metrics", name="q.gauge", service="q-metrics")["metrics"]
    assert [(point["attributes"]["place"], point["value"], point["time_ns"]) for point in points] == [
        ("a", 20, 2),
        ("a", 70, 7),
        ("b", 10, 1),
    ]
    assert scout.ask("/api/metrics", name="q.none") == {"metrics": []}
    assert scout.ask("/api/metrics", service="q-none") == {"metrics": []}


def test_every_kind_of_point_is_understood(scout: ScoutSim) -> None:
    """Exponential histograms, summaries, delta sums and points without a value come back as what they are."""
    exponential = {
        "timeUnixNano": "1",
        "count": "3",
        "sum": 6.5,
        "scale": 2,
        "zeroCount": "1",
        "positive": {"offset": 4, "bucketCounts": ["1", "1"]},
    }
    summary = {"timeUnixNano": "1", "count": "2", "sum": 3, "quantileValues": [{"quantile": 0.5, "value": 1.5}]}
    delta = {"timeUnixNano": "1", "asDouble": "NaN"}
    scout.send(
        metrics(
            {"name": "a", "exponentialHistogram": {"aggregationTemporality": 2, "dataPoints": [exponential]}},
            {"name": "b", "summary": {"dataPoints": [summary]}},
            {"name": "c", "sum": {"aggregationTemporality": 1, "isMonotonic": False, "dataPoints": [delta]}},
            {"name": "d", "gauge": {"dataPoints": [{"timeUnixNano": "1", "flags": 1}]}},
            {"name": "e"},
            service_name="q-kinds",
        ),
        "metrics",
    )
    kinds = scout.ask("/api/metrics", service="q-kinds")["metrics"]
    described = {"name", "service", "unit", "attributes", "resource", "scope", "start_ns", "time_ns"}
    assert [{key: value for key, value in kind.items() if key not in described} for kind in kinds] == [
        {
            "type": "exponential_histogram",
            "temporality": "CUMULATIVE",
            "count": 3,
            "sum": 6.5,
            "scale": 2,
            "zero_count": 1,
            "positive": {"offset": 4, "counts": [1, 1]},
            "negative": {"offset": 0, "counts": []},
        },
        {"type": "summary", "temporality": None, "count": 2, "sum": 3.0, "quantiles": [[0.5, 1.5]]},
        {"type": "sum", "temporality": "DELTA", "value": "NaN", "monotonic": False},
        {"type": "gauge", "temporality": None},
    ]
