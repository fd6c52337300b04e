"""What became of the readings: counted, measured, and said when it changes."""

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
    """Counts readings over all devices of the process.

    Attributes:
        published: Readings that the broker has acknowledged.
    """

    def __init__(self, meter_provider: MeterProvider | None = None) -> None:
        self.published = 0
        self._dropped: Counter[str] = Counter()
        self._skipped = 0
        meter = get_meter("mqtt_trace_producer", __version__, meter_provider)
        # Observed when metrics are exported: cheaper than a call into the SDK for every reading.
        meter.create_observable_counter(
            "iot.readings.published", [self._observe_published], "{reading}", "Readings that the broker acknowledged."
        )
        meter.create_observable_counter(
            "iot.readings.dropped", [self._observe_dropped], "{reading}", "Readings given up: `reason` says why."
        )
        meter.create_observable_counter(
            "iot.readings.skipped", [self._observe_skipped], "{reading}", "Readings not taken: the process was late."
        )
        self._temperature = meter.create_histogram(
            "iot.sensor.temperature",
            "Cel",
            "Temperatures that were measured.",
            explicit_bucket_boundaries_advisory=_TEMPERATURE_BUCKETS,
        )
        self._full_buffers = Incident(_logger, "buffers are full, the oldest readings are dropped", "backlog sent")
        self._refusals = Incident(_logger, "the broker refuses readings", "the broker accepts readings again")
        self._without_subscribers = Incident(
            _logger, "nobody is subscribed to readings, they are published again", "readings have subscribers again"
        )

    @property
    def dropped(self) -> int:
        """Readings that never will be acknowledged."""
        return self._dropped.total()

    def taken(self, celsius: float) -> None:
        """A reading was taken."""
        self._temperature.record(celsius)

    def skipped(self, readings: int) -> None:
        """Readings were due and not taken."""
        self._skipped += readings

    def acknowledged(self, device_id: str) -> None:
        """The broker has taken a reading over."""
        self.published += 1
        self._refusals.resolve(device_id)
        self._without_subscribers.resolve(device_id)

    def refused(self, device_id: str, reason: ReasonCode) -> None:
        """The broker has answered a reading with an error: sending it again would not help (MQTT 5, section 4.13)."""
        self._dropped["refused"] += 1
        self._refusals.record_dropped(device_id, f"0x{reason.value:02x} {reason}")

    def no_subscribers(self, device_id: str) -> None:
        """The broker has taken a reading, and nobody received it; it will be published again."""
        self._without_subscribers.record(device_id)

    def dropped_no_subscribers(self, device_id: str) -> None:
        """A reading that nobody received is not published again."""
        self._dropped["no_subscribers"] += 1
        self._without_subscribers.record_dropped(device_id)

    def dropped_buffer_full(self, device_id: str) -> None:
        """A reading had to make room for a newer one."""
        self._dropped["buffer_full"] += 1
        self._full_buffers.record_dropped(device_id)

    def buffer_empty(self, device_id: str) -> None:
        """Nothing of a device waits any more."""
        self._full_buffers.resolve(device_id)

    def device_closed(self, device_id: str) -> None:
        """A device is in no trouble any more, as there is no such device."""
        for incident in (self._full_buffers, self._refusals, self._without_subscribers):
            incident.resolve(device_id)

    def devices_closed(self, unacknowledged: int) -> None:
        """Devices are gone, and with them what was not acknowledged in time."""
        if unacknowledged:
            self._dropped["removed"] += unacknowledged
            _logger.warning("devices removed: %d of their readings were not acknowledged", unacknowledged)

    def fleet_drained(self, unacknowledged: int) -> None:
        """The process gives up what is not acknowledged by now."""
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
        # dict() at once: this runs in the exporter's thread.
        return (Observation(count, {"reason": reason}) for reason, count in dict(self._dropped).items())

    def _observe_skipped(self, _: CallbackOptions) -> Iterator[Observation]:
        yield Observation(self._skipped)
