"""What became of the readings: counted, measured, and said when it changes."""

import logging

from opentelemetry.metrics import MeterProvider, get_meter
from paho.mqtt.reasoncodes import ReasonCode

from mqtt_trace import __version__
from mqtt_trace_producer.episode import Episode

_logger = logging.getLogger(__name__)

_TEMPERATURE_BUCKETS = tuple(range(18, 27))


class Tally:
    """Counts readings over all devices of the process.

    Attributes:
        published: Readings that the broker has acknowledged.
        dropped: Readings that never will be.
    """

    def __init__(self, meter_provider: MeterProvider | None = None) -> None:
        self.published = 0
        self.dropped = 0
        meter = get_meter("mqtt_trace_producer", __version__, meter_provider)
        self._published = meter.create_counter(
            "iot.readings.published", "{reading}", "Readings that the broker has acknowledged."
        )
        self._dropped = meter.create_counter(
            "iot.readings.dropped", "{reading}", "Readings that were given up: `reason` says why."
        )
        self._skipped = meter.create_counter(
            "iot.readings.skipped", "{reading}", "Readings that were not taken because the process was late."
        )
        self._temperature = meter.create_histogram(
            "iot.sensor.temperature",
            "Cel",
            "Temperatures that were measured.",
            explicit_bucket_boundaries_advisory=_TEMPERATURE_BUCKETS,
        )
        self._full_buffers = Episode(_logger, "buffers are full, the oldest readings are dropped", "backlog sent")
        self._refusals = Episode(_logger, "the broker refuses readings", "the broker accepts readings again")

    def took(self, celsius: float) -> None:
        """A reading was taken."""
        self._temperature.record(celsius)

    def skipped(self, readings: int) -> None:
        """Readings were due and not taken."""
        self._skipped.add(readings)

    def acknowledged(self, device_id: str) -> None:
        """The broker has taken a reading over."""
        self.published += 1
        self._published.add(1)
        self._refusals.over(device_id)

    def refused(self, device_id: str, reason: ReasonCode) -> None:
        """The broker has answered a reading with an error: sending it again would not help (MQTT 5, section 4.13)."""
        self._drop(1, "refused")
        self._refusals.lost(device_id, f"0x{reason.value:02x} {reason}")

    def overflowed(self, device_id: str) -> None:
        """A reading had to make room for a newer one."""
        self._drop(1, "buffer_full")
        self._full_buffers.lost(device_id)

    def caught_up(self, device_id: str) -> None:
        """Nothing of a device waits any more."""
        self._full_buffers.over(device_id)

    def stopped(self, unsent: int) -> None:
        """The process gives up what is not acknowledged by now."""
        self._full_buffers.close()
        self._refusals.close()
        if unsent:
            self._drop(unsent, "shutdown")
        _logger.log(
            logging.WARNING if unsent else logging.INFO,
            "stopped: %d readings published, %d dropped, of which %d were not acknowledged at the end",
            self.published,
            self.dropped,
            unsent,
        )

    def _drop(self, readings: int, reason: str) -> None:
        self.dropped += readings
        self._dropped.add(readings, {"reason": reason})
