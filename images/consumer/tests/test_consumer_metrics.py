"""The consumer's metrics."""

from __future__ import annotations

from mqtt_trace_consumer.metrics import Metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader


def test_processed_readings_are_exported_as_they_are_counted() -> None:
    """Every export has the total of processed readings, starting with 0."""
    reader = InMemoryMetricReader()
    metrics = Metrics(MeterProvider([reader]))
    exported = [_processed(reader)]
    for _ in range(3):
        metrics.processed()
    exported += [_processed(reader), _processed(reader)]
    metrics.processed()
    assert [*exported, _processed(reader)] == [0, 3, 3, 4]
    assert metrics.processed_total == 4


def _processed(reader: InMemoryMetricReader) -> float:
    """The only point of the counter, which grows from export to export."""
    data = reader.get_metrics_data()
    assert data is not None
    (metric,) = data.resource_metrics[0].scope_metrics[0].metrics
    (point,) = metric.data.data_points
    assert (metric.name, metric.data.is_monotonic) == ("iot.readings.processed", True)  # type: ignore[union-attr]  # a sum
    return point.value  # type: ignore[union-attr]  # a number
