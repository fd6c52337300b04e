"""A producer with paho's own network thread, and a map from packet id to span.

Usage: python -m bench.baseline.producer HOST PORT COUNT [untraced]
"""

import sys
import threading
import uuid
from typing import Any

from opentelemetry import trace
from opentelemetry.propagate import inject
from opentelemetry.trace import Span, SpanKind
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from bench.baseline.telemetry import set_up
from bench.figures import WINDOW, Stopwatch
from bench.reading import TOPIC, make_payload


def main(host: str, port: int, count: int, *, traced: bool) -> None:
    """Publish `count` readings, as fast as the broker acknowledges them, and report."""
    provider = set_up("baseline-producer") if traced else None
    tracer = trace.get_tracer("producer")
    window = threading.Semaphore(WINDOW)
    pending: dict[int, Span] = {}

    def on_publish(_client: Client, _userdata: Any, mid: int, *_: Any) -> None:
        window.release()
        span = pending.pop(mid, None)
        if span is not None:
            span.end()

    client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    client.on_publish = on_publish
    connected = threading.Event()
    client.on_connect = lambda *_: connected.set()
    client.connect(host, port)
    client.loop_start()
    connected.wait()
    stopwatch = Stopwatch()
    for _ in range(count):
        window.acquire()
        message_id = str(uuid.uuid4())
        if traced:
            publish_traced(client, tracer, message_id, pending)
        else:
            client.publish(TOPIC, make_payload(message_id), qos=1)
    for _ in range(WINDOW):
        window.acquire()
    stopwatch.stop()
    client.disconnect()
    client.loop_stop()
    if provider is not None:
        provider.shutdown()
    stopwatch.report(count)


def publish_traced(client: Client, tracer: trace.Tracer, message_id: str, pending: dict[int, Span]) -> None:
    """Publish with a span that lasts until the PUBACK, as the guide does."""
    attributes = {
        "messaging.system": "mqtt",
        "messaging.destination.name": TOPIC,
        "messaging.operation.type": "publish",
        "messaging.message.id": message_id,
    }
    span = tracer.start_span(f"publish {TOPIC}", kind=SpanKind.PRODUCER, attributes=attributes)
    carrier: dict[str, str] = {}
    inject(carrier, context=trace.set_span_in_context(span))
    properties = Properties(PacketTypes.PUBLISH)
    properties.UserProperty = list(carrier.items())
    info = client.publish(TOPIC, make_payload(message_id), qos=1, properties=properties)
    pending[info.mid] = span


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), traced=sys.argv[4:] != ["untraced"])
