"""Publishes to itself with each QoS, and traces it by hand: `by_hand.py <host> <port> <topic>`."""

import json
import sys
import time
from typing import Any

from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import ConsoleMetricExporter, PeriodicExportingMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion

from mqtt_trace import TracedConsumer, TracedPublisher

host, port, topic = sys.argv[1:]
provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(ConsoleSpanExporter()))
trace.set_tracer_provider(provider)
metrics.set_meter_provider(MeterProvider([PeriodicExportingMetricReader(ConsoleMetricExporter())]))
subscribed: list[int] = []
received: list[bytes | bytearray] = []
outcomes: list[object] = []


def handle(_client: Client, _userdata: Any, message: MQTTMessage) -> None:
    """Keep a received message, within a span of its trace."""
    with trace.get_tracer("program").start_as_current_span("handle"):
        received.append(message.payload)


client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
publisher, consumer = TracedPublisher(client), TracedConsumer(client, [topic])
client.on_message = consumer.handler(handle)
client.on_connect = lambda client, *_: client.subscribe(topic, 2)
client.on_subscribe = lambda _client, _userdata, mid, *_: subscribed.append(mid)
client.connect(host, int(port))
while not subscribed:
    assert client.loop(10) is MQTTErrorCode.MQTT_ERR_SUCCESS
for qos in range(3):
    publisher.publish(topic, "x", qos, on_outcome=outcomes.append)
# Nothing has been read from the broker since, so a span that has ended did not wait for its acknowledgement.
json.dump({"handed_off": time.time_ns()}, sys.stdout)
while len(received) < 3 or len(outcomes) < 3:
    assert client.loop(10) is MQTTErrorCode.MQTT_ERR_SUCCESS
client.disconnect()
