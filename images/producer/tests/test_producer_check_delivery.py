"""What the Collector's counters say about delivery."""

from __future__ import annotations

import pytest
from mqtt_trace_producer.check_delivery import SpanCounts, parse_span_counts, why_not_delivered

METRICS = """# HELP otelcol_exporter_sent_spans Number of spans
otelcol_exporter_sent_spans{exporter="debug"} 347
otelcol_exporter_sent_spans{exporter="otlp_http/b14",url_path="/a"} 300
otelcol_exporter_sent_spans_total{exporter="otlp_http/b14",url_path="/b"} 1.5e+01
otelcol_exporter_sent_log_records{exporter="otlp_http/b14"} 9
otelcol_exporter_send_failed_spans{exporter="otlp_http/b14"} 2
otelcol_exporter_sent_spans{exporter="otlp_grpc/tempo"} 12
"""


def test_each_exporter_is_counted_by_itself() -> None:
    """Counters of other exporters and signals are ignored, with and without the suffix of Prometheus."""
    assert parse_span_counts(METRICS, "otlp_http/b14") == SpanCounts(sent=315, failed=2)
    assert parse_span_counts(METRICS, "otlp_grpc/tempo") == SpanCounts(sent=12, failed=0)
    assert parse_span_counts(METRICS, "otlp_grpc/new") == SpanCounts(sent=0, failed=0)


@pytest.mark.parametrize(
    ("scout", "tempo", "problem"),
    [
        ((4, 0), (4, 0), None),
        ((4, 0), (0, 0), "the Collector has the spans and sends none to tempo"),
        ((0, 0), (4, 0), "the Collector has the spans and sends none to Scout"),
        ((4, 0), (4, 2), "the Collector dropped 2 spans for tempo"),
    ],
)
def test_every_exporter_has_to_deliver(
    scout: tuple[float, float], tempo: tuple[float, float], problem: str | None
) -> None:
    """The reason names the backend that got nothing or less."""
    names = ("otlp_http/b14", "otlp_grpc/tempo")
    before = dict.fromkeys(names, SpanCounts(sent=0, failed=0))
    now = {name: SpanCounts(*counts) for name, counts in zip(names, (scout, tempo), strict=True)}
    assert why_not_delivered(before, now) == problem
