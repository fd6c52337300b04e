"""The metrics of the messaging conventions, and two of our own for messages without context."""

from __future__ import annotations

from collections.abc import Callable

from opentelemetry.metrics import Meter, MeterProvider, NoOpMeter, get_meter

from mqtt_trace._guard import Guard
from mqtt_trace._version import __version__

_DURATION_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
"""In seconds, as the conventions advise."""

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
        self.missing_contexts = meter.create_counter(
            "mqtt.client.missing_contexts", "{message}", "Messages that arrived without a usable trace context."
        )


def _create_instruments(create: Callable[[Meter], None], meter_provider: MeterProvider | None) -> None:
    """Create instruments that record nothing if the provider's fail."""
    with _NO_METER:
        create(get_meter("mqtt_trace", __version__, meter_provider))
        return
    create(NoOpMeter("mqtt_trace"))
