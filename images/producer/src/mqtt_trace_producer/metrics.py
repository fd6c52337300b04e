"""Metrics of readings, and log lines for incidents."""

import logging
from collections import Counter
from collections.abc import Iterator

from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation, get_meter
from paho.mqtt.reasoncodes import ReasonCode

from mqtt_trace import __version__
from mqtt_trace_producer.incident import Incident

_logger = logging.getLogger(__name__)

_TEMPERATURE_BUCKETS = tuple(range(18, 27))


class Metrics:
    """Counts the readings of all devices of the process.

    Attributes:
        published: Readings that the broker has acknowledged.
    """

    def __init__(self, meter_provider: MeterProvider | None = None) -> None:
        self.published = 0
        self._dropped: Counter[str] = Counter()
        self._skipped = 0
        meter = get_meter("mqtt_trace_producer", __version__, meter_provider)
        # Observed at each export: cheaper than a call of the SDK for every reading.
        meter.create_observable_counter(
            "iot.readings.published", [self._observe_published], "{reading}", "Readings that the broker acknowledged."
        )
        meter.create_observable_counter(
            "iot.readings.dropped", [self._observe_dropped], "{reading}", "Readings that were dropped, by `reason`."
        )
        meter.create_observable_counter(
            "iot.readings.skipped",
            [self._observe_skipped],
            "{reading}",
            "Readings that were not taken because the process was late.",
        )
        self._temperature = meter.create_histogram(
            "iot.sensor.temperature",
            "Cel",
            "Measured temperatures.",
            explicit_bucket_boundaries_advisory=_TEMPERATURE_BUCKETS,
        )
        self._full_buffers = Incident(_logger, "buffers are full, the oldest readings are dropped", "backlog sent")
        self._refusals = Incident(_logger, "the broker refuses readings", "the broker accepts readings again")
        self._without_subscribers = Incident(
            _logger, "readings have no subscribers, they are published again", "readings have subscribers again"
        )

    @property
    def dropped(self) -> int:
        """Number of readings that were dropped."""
        return self._dropped.total()

    def taken(self, celsius: float) -> None:
        """Record a reading that was taken."""
        self._temperature.record(celsius)

    def skipped(self, readings: int) -> None:
        """Count readings that were due and not taken."""
        self._skipped += readings

    def acknowledged(self, device_id: str) -> None:
        """Count a reading that the broker acknowledged."""
        self.published += 1
        self._refusals.resolve(device_id)
        self._without_subscribers.resolve(device_id)

    def refused(self, device_id: str, reason: ReasonCode) -> None:
        """Count a reading that the broker refused; it is not sent again (MQTT 5, section 4.13)."""
        self._dropped["refused"] += 1
        self._refusals.record_dropped(device_id, f"0x{reason.value:02x} {reason}")

    def no_subscribers(self, device_id: str) -> None:
        """Record a reading without subscribers, which will be published again."""
        self._without_subscribers.record(device_id)

    def dropped_no_subscribers(self, device_id: str) -> None:
        """Count a reading that is dropped because it has no subscribers."""
        self._dropped["no_subscribers"] += 1
        self._without_subscribers.record_dropped(device_id)

    def dropped_buffer_full(self, device_id: str) -> None:
        """Count a reading that is dropped for a newer one."""
        self._dropped["buffer_full"] += 1
        self._full_buffers.record_dropped(device_id)

    def buffer_empty(self, device_id: str) -> None:
        """Record that the buffer of a device is empty."""
        self._full_buffers.resolve(device_id)

    def device_closed(self, device_id: str) -> None:
        """End the incidents of a device that was closed."""
        for incident in (self._full_buffers, self._refusals, self._without_subscribers):
            incident.resolve(device_id)

    def devices_closed(self, unacknowledged: int) -> None:
        """Count readings that closed devices dropped."""
        if unacknowledged:
            self._dropped["removed"] += unacknowledged
            _logger.warning("devices removed: %d of their readings were not acknowledged", unacknowledged)

    def fleet_drained(self, unacknowledged: int) -> None:
        """Count readings that are dropped at shutdown, and log the totals."""
        self._full_buffers.flush()
        self._refusals.flush()
        self._without_subscribers.flush()
        if unacknowledged:
            self._dropped["shutdown"] += unacknowledged
        _logger.log(
            logging.WARNING if unacknowledged else logging.INFO,
            "stopped: %d readings published, %d dropped, of which %d were not acknowledged at the end",
            self.published,
            self.dropped,
            unacknowledged,
        )

    def _observe_published(self, _: CallbackOptions) -> Iterator[Observation]:
        yield Observation(self.published)

    def _observe_dropped(self, _: CallbackOptions) -> Iterator[Observation]:
        # A copy, because this runs in the exporter's thread.
        return (Observation(count, {"reason": reason}) for reason, count in dict(self._dropped).items())

    def _observe_skipped(self, _: CallbackOptions) -> Iterator[Observation]:
        yield Observation(self._skipped)
