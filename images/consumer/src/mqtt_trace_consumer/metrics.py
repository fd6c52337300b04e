"""The consumer's counters, for its metrics and for `GET /ready`."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import version

from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation, get_meter


class Metrics:
    """Counters of readings.

    Attributes:
        processed_total: Readings that echo accepted.
        dead_lettered_total: Readings given up.
    """

    def __init__(self, meter_provider: MeterProvider | None = None) -> None:
        self.processed_total = 0
        self.dead_lettered_total = 0
        meter = get_meter("mqtt_trace_consumer", version("mqtt-trace-consumer"), meter_provider)
        meter.create_observable_counter(
            "iot.readings.processed", [self._observe_processed], "{reading}", "Readings that echo accepted."
        )
        self._dead_lettered = meter.create_counter(
            "iot.readings.dead_lettered", "{reading}", "Readings given up, as a dead letter or in the log."
        )
        self._dropped = meter.create_counter(
            "iot.readings.dropped", "{reading}", "Readings of QoS 0 that came faster than they could be processed."
        )

    def processed(self) -> None:
        """Count a reading that echo accepted."""
        self.processed_total += 1  # the metric reads it once per export, at no cost per reading

    def dead_lettered(self, error_type: str, *, published: bool) -> None:
        """Count a reading that was given up, as a published dead letter or in the log."""
        self.dead_lettered_total += 1
        self._dead_lettered.add(1, {"error.type": error_type, "iot.dead_letter.published": published})

    def dropped(self) -> None:
        """Count a dropped reading of QoS 0."""
        self._dropped.add(1)

    def _observe_processed(self, _options: CallbackOptions) -> Iterable[Observation]:
        return [Observation(self.processed_total)]
