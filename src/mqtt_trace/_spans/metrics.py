"""The metrics of the messaging conventions, and our own: messages without context, and the age of messages."""

from __future__ import annotations

from collections.abc import Callable

from opentelemetry.metrics import Meter, MeterProvider, NoOpMeter, get_meter

from mqtt_trace._guard import Guard
from mqtt_trace._version import __version__

_DURATION_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
"""In seconds, as the conventions advise."""

_AGE_BUCKETS = (
    *(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30),
    *(minutes * 60 for minutes in (1, 2, 5, 10, 30)),
    *(hours * 3600 for hours in (1, 2, 6, 24)),
)
"""Seconds: messages take milliseconds, and wait in a session for hours."""

_NO_METER = Guard("nothing is measured")


class PublishMetrics:
    """The instruments of a publisher."""

    def __init__(self, meter_provider: MeterProvider | None = None) -> None:
        _create_instruments(self._create, meter_provider)

    def _create(self, meter: Meter) -> None:
        self.sent = meter.create_counter(
            "messaging.client.sent.messages", "{message}", "Messages handed to the broker, delivered or not."
        )
        self.duration = meter.create_histogram(
            "messaging.client.operation.duration",
            "s",
            "Time from publish to acknowledgement.",
            explicit_bucket_boundaries_advisory=_DURATION_BUCKETS,
        )
        self.omitted_contexts = meter.create_counter(
            "mqtt.client.omitted_contexts", "{message}", "Messages sent without the trace context of their span."
        )


class ProcessMetrics:
    """The instruments of a consumer."""

    def __init__(self, meter_provider: MeterProvider | None = None) -> None:
        _create_instruments(self._create, meter_provider)

    def _create(self, meter: Meter) -> None:
        self.consumed = meter.create_counter(
            "messaging.client.consumed.messages", "{message}", "Messages delivered to the application."
        )
        self.duration = meter.create_histogram(
            "messaging.process.duration",
            "s",
            "Time that processing a message, or a batch, took.",
            explicit_bucket_boundaries_advisory=_DURATION_BUCKETS,
        )
        # The conventions have no such metric yet: open-telemetry/semantic-conventions#792.
        self.age = meter.create_histogram(
            "messaging.client.message.age",
            "s",
            "Time from the sending of a message to its delivery to the application.",
            explicit_bucket_boundaries_advisory=_AGE_BUCKETS,
        )
        self.negative_ages = meter.create_counter(
            "messaging.client.negative_ages", "{message}", "Messages from the future, whose age is recorded as 0."
        )
        self.missing_contexts = meter.create_counter(
            "mqtt.client.missing_contexts", "{message}", "Messages that arrived without a usable trace context."
        )


def _create_instruments(create: Callable[[Meter], None], meter_provider: MeterProvider | None) -> None:
    """Create instruments that record nothing if the provider's fail."""
    with _NO_METER:
        create(get_meter("mqtt_trace", __version__, meter_provider))
        return
    create(NoOpMeter("mqtt_trace"))
