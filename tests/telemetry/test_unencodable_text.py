"""Text that UTF-8 cannot hold, which JSON can smuggle into any program as half of a surrogate pair."""

from __future__ import annotations

import json
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from mqtt_trace import TracedConsumer, TracedPublisher
from tests.telemetry.conftest import MakeTelemetry
from tests.telemetry.otlp_backend import OtlpBackend, attributes


def _client() -> Client:
    return Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)


def _process_hostile_payload(provider: TracerProvider) -> None:
    message = MQTTMessage(topic=b"sensors/x")
    message.payload = rb'{"device_id": "\ud800"}'
    message.properties = Properties(PacketTypes.PUBLISH)

    def handle(_client: Client, _userdata: object, message: MQTTMessage) -> None:
        raise ValueError(f"unknown device {json.loads(message.payload)['device_id']}")

    TracedConsumer(tracer_provider=provider).handler(handle)(_client(), None, message)


def _publish_to_hostile_topic(provider: TracerProvider) -> None:
    with pytest.raises(UnicodeEncodeError):
        TracedPublisher(_client(), tracer_provider=provider).publish("bad/\ud800", "x")


def _hold_that_texts_are_escaped(spans: list[Any]) -> None:
    by_name = {span.name: span for span, _ in spans}
    assert by_name.keys() == {"process sensors/x", "publish bad/\\ud800"}
    process = by_name["process sensors/x"]
    assert process.status.message == "ValueError: unknown device \\ud800"
    (event,) = process.events
    assert attributes(event.attributes)["exception.message"] == "unknown device \\ud800"
    assert attributes(event.attributes)["exception.stacktrace"].endswith("ValueError: unknown device \\ud800\n")


def test_our_spans_suit_any_exporter(backend: OtlpBackend) -> None:
    """What a message or a topic brings into a span is made text that the SDK's own exporter can encode, too."""
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(f"{backend.url}/v1/traces")))
    _process_hostile_payload(provider)
    _publish_to_hostile_topic(provider)
    _hold_that_texts_are_escaped(backend.received.spans)


def test_a_hostile_payload_costs_no_telemetry(backend: OtlpBackend, make_telemetry: MakeTelemetry) -> None:
    """The spans beside it arrive, and its own with what it said."""
    telemetry = make_telemetry(backend.url)
    for _ in range(50):
        telemetry.tracer_provider.get_tracer("test").start_span("good").end()
    _process_hostile_payload(telemetry.tracer_provider)
    _publish_to_hostile_topic(telemetry.tracer_provider)
    telemetry.shutdown()
    _hold_that_texts_are_escaped([one for one in backend.received.spans if one[0].name != "good"])
    assert len(backend.received.spans) == 52
    assert telemetry.dropped()["traces"] == 0
