"""The compared modes of tracing a paho program, and their telemetry."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from opentelemetry import metrics, trace
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.propagate import extract
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import Span, SpanKind
from paho.mqtt.client import Client, MQTTMessage

from bench.baseline import telemetry
from bench.baseline.producer import publish_traced
from bench.reading import TOPIC, TOPIC_FILTER, make_payload
from mqtt_trace import TracedConsumer, TracedPublisher, install_tolerant_reader
from mqtt_trace.instrumentation import PahoMqttInstrumentor

UNTRACED, BASELINE, EXPLICIT, INSTRUMENTED = MODES = ("untraced", "baseline", "explicit", "instrumented")
NOTHING, SPANS, ALL = "nothing", "spans", "spans and metrics"
"""Exported signals; spans are made and ended in each case."""

Handle = Callable[[MQTTMessage, str], None]


def set_up(mode: str, exported: str, service: str) -> Callable[[], None]:
    """Set telemetry up, before the client is made; returns a function that flushes it."""
    if mode == UNTRACED:
        return _nothing
    if exported == NOTHING:
        provider = TracerProvider()
        trace.set_tracer_provider(provider)
    else:
        provider = telemetry.set_up(service)
    meters = MeterProvider([PeriodicExportingMetricReader(OTLPMetricExporter())] if exported == ALL else [])
    if exported == ALL:
        metrics.set_meter_provider(meters)
    if mode == INSTRUMENTED:
        PahoMqttInstrumentor().instrument()
    elif mode == EXPLICIT:
        install_tolerant_reader()

    def flush() -> None:
        provider.shutdown()
        meters.shutdown()

    return flush


def make_publish(mode: str, client: Client) -> Callable[[str], None]:
    """Return a function that publishes a reading with a message id. Set the client's `on_publish` first."""
    if mode == BASELINE:
        return _make_baseline_publish(client)
    if mode == EXPLICIT:
        publisher = TracedPublisher(client)
        return lambda message_id: _discard(
            publisher.publish(TOPIC, make_payload(message_id), 1, message_id=message_id, template=TOPIC_FILTER)
        )
    return lambda message_id: _discard(client.publish(TOPIC, make_payload(message_id), 1))


def make_process(mode: str, client: Client, handle: Handle) -> Callable[[MQTTMessage, str], None]:
    """Return a function that handles a message whose id is known."""
    if mode == BASELINE:
        tracer = trace.get_tracer("consumer")
        return lambda message, message_id: _process_baseline(tracer, message, message_id, handle)
    if mode == EXPLICIT:
        consumer = TracedConsumer(client, [TOPIC_FILTER])

        def process(message: MQTTMessage, message_id: str) -> None:
            with consumer.process(message, message_id=message_id):
                handle(message, message_id)

        return process
    return handle


def _make_baseline_publish(client: Client) -> Callable[[str], None]:
    tracer = trace.get_tracer("producer")
    pending: dict[int, Span] = {}
    own: Any = client.on_publish

    def on_publish(client: Client, userdata: Any, mid: int, *rest: Any) -> None:
        own(client, userdata, mid, *rest)
        span = pending.pop(mid, None)
        if span is not None:
            span.end()

    client.on_publish = on_publish
    return lambda message_id: publish_traced(client, tracer, message_id, pending)


def _process_baseline(tracer: trace.Tracer, message: MQTTMessage, message_id: str, handle: Handle) -> None:
    """Handle one message within a span, as the guide does."""
    carrier = dict(message.properties.UserProperty)  # type: ignore[union-attr]  # as in the guide
    attributes = {
        "messaging.system": "mqtt",
        "messaging.destination.name": message.topic,
        "messaging.operation.type": "process",
        "messaging.message.id": message_id,
    }
    span = tracer.start_span(
        f"process {message.topic}", context=extract(carrier), kind=SpanKind.CONSUMER, attributes=attributes
    )
    with trace.use_span(span, end_on_exit=True):
        handle(message, message_id)


def _discard(_: object) -> None:
    """Ignore the result of a publish."""


def _nothing() -> None:
    """Flush nothing."""
