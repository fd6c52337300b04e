"""The consumer's metrics, and its counters for `GET /ready`."""

from __future__ import annotations

import time
from collections.abc import Iterable
from importlib.metadata import version

from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation, get_meter

from mqtt_trace_consumer.fleets import Fleets
from mqtt_trace_consumer.reading import Reading

_AGE_BUCKETS = (
    *(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30),
    *(minutes * 60 for minutes in (1, 2, 5, 10, 30)),
    *(hours * 3600 for hours in (1, 2, 6, 24)),
)
"""Seconds: a reading takes milliseconds, and waits for hours while the consumer is away."""


class Metrics:
    """Metrics of readings.

    Args:
        topic_filter: The filter that readings come through, `messaging.destination.template`.
        meter_provider: The global one by default.

    Attributes:
        processed_total: Readings that echo accepted.
        dead_lettered_total: Readings given up.
    """

    def __init__(self, topic_filter: str, meter_provider: MeterProvider | None = None) -> None:
        self.processed_total = 0
        self.dead_lettered_total = 0
        self._topic_filter = topic_filter
        self._fleets = Fleets()
        meter = get_meter("mqtt_trace_consumer", version("mqtt-trace-consumer"), meter_provider)
        meter.create_observable_counter(
            "iot.readings.processed", [self._observe_processed], "{reading}", "Readings that echo accepted."
        )
        self._age = meter.create_histogram(
            "iot.reading.age",
            "s",
            "Time from the measurement of a reading to its acceptance by echo.",
            explicit_bucket_boundaries_advisory=_AGE_BUCKETS,
        )
        self._negative_ages = meter.create_counter(
            "iot.readings.negative_ages", "{reading}", "Readings from the future, whose age is recorded as 0."
        )
        self._dead_lettered = meter.create_counter(
            "iot.readings.dead_lettered", "{reading}", "Readings given up, as a dead letter or in the log."
        )
        self._dropped = meter.create_counter(
            "iot.readings.dropped", "{reading}", "Readings of QoS 0 that came faster than they could be processed."
        )

    def processed(self, reading: Reading, *, retained: bool) -> None:
        """Count a reading that echo accepted, and record its age if the reading says when it was taken."""
        self.processed_total += 1  # the metric reads it once per export, at no cost per reading
        if reading.taken_at is None:
            return
        age = time.time() - reading.taken_at
        attributes: dict[str, str | bool] = {"messaging.destination.template": self._topic_filter}
        if (fleet := self._fleets.find(reading.device_id)) is not None:
            attributes["fleet.id"] = fleet
        if retained:  # it shows how long the broker has kept the reading, not how late the consumer is
            attributes["mqtt.retain"] = True
        if age < 0:
            self._negative_ages.add(1, attributes)
        self._age.record(max(age, 0), attributes)

    def dead_lettered(self, error_type: str, *, published: bool) -> None:
        """Count a reading that was given up, as a published dead letter or in the log."""
        self.dead_lettered_total += 1
        self._dead_lettered.add(1, {"error.type": error_type, "iot.dead_letter.published": published})

    def dropped(self) -> None:
        """Count a dropped reading of QoS 0."""
        self._dropped.add(1)

    def _observe_processed(self, _options: CallbackOptions) -> Iterable[Observation]:
        return [Observation(self.processed_total)]
