"""The metrics of the messaging conventions, and one of our own for messages without context."""

from __future__ import annotations

from opentelemetry.metrics import MeterProvider, get_meter

from mqtt_trace._version import __version__

_DURATION_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
"""Seconds, as the conventions advise."""


class PublishMetrics:
    """What a publisher records."""

    def __init__(self, meter_provider: MeterProvider | None = None) -> None:
        meter = get_meter("mqtt_trace", __version__, meter_provider)
        self.sent = meter.create_counter(
            "messaging.client.sent.messages", "{message}", "Messages handed to the broker, delivered or not."
        )
        self.duration = meter.create_histogram(
            "messaging.client.operation.duration",
            "s",
            "Time from publish to acknowledgement.",
            explicit_bucket_boundaries_advisory=_DURATION_BUCKETS,
        )


class ProcessMetrics:
    """What a consumer records."""

    def __init__(self, meter_provider: MeterProvider | None = None) -> None:
        meter = get_meter("mqtt_trace", __version__, meter_provider)
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
