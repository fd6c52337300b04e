"""The context in the payload of MQTT 3.1.1, for every way to trace a program."""

from __future__ import annotations

import json
from typing import Any

import pytest
from opentelemetry.trace import SpanKind
from paho.mqtt.enums import MQTTProtocolVersion

from local.mosquitto import Mosquitto
from local.waiting import until
from mqtt_trace import TracedPublisher
from tests.library.harness import Connect, Inbox, Instrument, Recorded


@pytest.mark.parametrize("instrumented", [True, False])
def test_the_span_has_the_size_of_what_is_sent(
    broker: Mosquitto,
    connect: Connect,
    inbox: type[Inbox],
    instrument: Instrument,
    recorded: Recorded,
    monkeypatch: pytest.MonkeyPatch,
    instrumented: bool,
) -> None:
    """The received payload has the context, and the size that the publish span records."""
    monkeypatch.setenv("MQTT_TRACE_JSON_FALLBACK", "true")
    received = inbox(connect(broker), "sized/x")
    client: Any = connect(broker, protocol=MQTTProtocolVersion.MQTTv311)
    if instrumented:
        instrument()
        publisher = client
    else:
        publisher = TracedPublisher(client, tracer_provider=recorded.tracer_provider)
    publisher.publish("sized/x", '{"reading": 21}', 1)
    (message,) = received.wait()
    assert "_trace" in json.loads(message.payload)
    until(lambda: any(span.kind is SpanKind.PRODUCER for span in recorded.spans), "the publish span ended")
    (span,) = (span for span in recorded.spans if span.kind is SpanKind.PRODUCER)
    assert span.attributes["messaging.message.body.size"] == len(message.payload)
