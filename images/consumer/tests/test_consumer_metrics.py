"""The consumer's metrics."""

from __future__ import annotations

import time
from typing import Any

import pytest
from mqtt_trace_consumer.fleets import OTHER, Fleets
from mqtt_trace_consumer.metrics import Metrics
from mqtt_trace_consumer.reading import Reading
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

FILTER = "sensors/+/reading"
AGE, NEGATIVE_AGES = "iot.reading.age", "iot.readings.negative_ages"


def test_processed_readings_are_exported_as_they_are_counted() -> None:
    """Every export has the total of processed readings, starting with 0."""
    reader = InMemoryMetricReader()
    metrics = Metrics(FILTER, MeterProvider([reader]))
    exported = [_processed(reader)]
    for _ in range(3):
        metrics.processed(Reading(), retained=False)
    exported += [_processed(reader), _processed(reader)]
    metrics.processed(Reading(), retained=False)
    assert [*exported, _processed(reader)] == [0, 3, 3, 4]
    assert metrics.processed_total == 4


def test_the_age_of_a_reading_is_recorded_by_template_and_fleet() -> None:
    """Each processed reading is one point of the age histogram, with template and fleet; a retained one says so."""
    reader = InMemoryMetricReader()
    metrics = Metrics(FILTER, MeterProvider([reader]))
    fleet_reading = Reading(device_id="iot.demo-00042", taken_at=time.time() - 90)
    metrics.processed(fleet_reading, retained=False)
    metrics.processed(fleet_reading, retained=False)
    metrics.processed(Reading(device_id="sensor-001", taken_at=time.time() - 7200), retained=True)
    by_fleet, retained = _points(reader, AGE)
    assert by_fleet.attributes == {"messaging.destination.template": FILTER, "fleet.id": "demo"}
    assert (by_fleet.count, round(by_fleet.sum)) == (2, 180)
    assert retained.attributes == {"messaging.destination.template": FILTER, "mqtt.retain": True}
    assert (retained.count, round(retained.sum)) == (1, 7200)
    assert not _points(reader, NEGATIVE_AGES)


@pytest.mark.parametrize("age", [0.0015, 0.3, 15, 25, 90, 5_000, 40_000])
def test_a_quantile_of_ages_is_known_within_a_factor(age: float) -> None:
    """From a millisecond to a day the bounds of the bucket that holds an age are at most a factor of 4 apart."""
    reader = InMemoryMetricReader()
    Metrics(FILTER, MeterProvider([reader])).processed(Reading(taken_at=time.time() - age), retained=False)
    (point,) = _points(reader, AGE)
    bucket = point.bucket_counts.index(1)
    lower, upper = point.explicit_bounds[bucket - 1], point.explicit_bounds[bucket]
    assert lower < age < upper <= 4 * lower


def test_a_reading_from_the_future_has_the_age_0_and_is_counted() -> None:
    """With a sensor's clock ahead of the consumer's, the age is 0 and a counter grows."""
    reader = InMemoryMetricReader()
    metrics = Metrics(FILTER, MeterProvider([reader]))
    metrics.processed(Reading(device_id="iot.demo-00042", taken_at=time.time() + 60), retained=False)
    (age,), (negative,) = _points(reader, AGE), _points(reader, NEGATIVE_AGES)
    assert (age.count, age.sum, negative.value) == (1, 0, 1)
    assert negative.attributes == age.attributes


def test_a_reading_without_a_time_has_no_age() -> None:
    """A reading whose payload has no time is processed, and no age is recorded."""
    reader = InMemoryMetricReader()
    metrics = Metrics(FILTER, MeterProvider([reader]))
    metrics.processed(Reading(device_id="iot.demo-00042"), retained=False)
    assert (_processed(reader), _points(reader, AGE)) == (1, [])


@pytest.mark.parametrize(
    ("device_id", "fleet"),
    [
        ("iot.demo-00042", "demo"),
        ("iot.cold-store.north-100000", "cold-store.north"),
        ("sensor-001", None),
        ("iot.demo-0042", None),
        (".demo-00042", None),
        ("IoT.Demo-00042", None),
        ("iot.demo-00042/x", None),
        ("", None),
        (None, None),
    ],
)
def test_the_fleet_of_a_device(device_id: str | None, fleet: str | None) -> None:
    """Only the id of a SensorFleet's sensor, `<namespace>.<fleet>-00042`, names a fleet."""
    assert Fleets().find(device_id) == fleet


def test_invented_fleets_share_one_name() -> None:
    """The first hundred fleets keep their names, whatever other names come later."""
    fleets = Fleets()
    found = [fleets.find(f"iot.fleet{number}-00000") for number in range(150)]
    assert found == [f"fleet{number}" for number in range(100)] + [OTHER] * 50
    assert fleets.find("iot.fleet7-00001") == "fleet7"


def _points(reader: InMemoryMetricReader, name: str) -> list[Any]:
    data = reader.get_metrics_data()
    assert data is not None
    metrics = data.resource_metrics[0].scope_metrics[0].metrics
    return [point for metric in metrics if metric.name == name for point in metric.data.data_points]


def _processed(reader: InMemoryMetricReader) -> float:
    """The only point of the counter, which grows from export to export."""
    (point,) = _points(reader, "iot.readings.processed")
    value: float = point.value
    return value
