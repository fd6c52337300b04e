"""A consumer that calls echo in `on_message`, on paho's network thread.

Usage: python -m bench.baseline.consumer HOST PORT TOPIC_FILTER CLIENT_ID ECHO_URL COUNT
"""

import json
import sys
import threading
from typing import Any

import httpx
from opentelemetry import trace
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from opentelemetry.propagate import extract
from opentelemetry.trace import SpanKind
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from bench.baseline.telemetry import set_up
from bench.figures import Stopwatch


def main(host: str, port: int, topic_filter: str, client_id: str, echo_url: str, count: int) -> None:
    """Consume `count` readings that wait in the session, and report."""
    provider = set_up("baseline-consumer")
    tracer = trace.get_tracer("consumer")
    HTTPXClientInstrumentor().instrument()
    http = httpx.Client()
    stopwatch: Stopwatch | None = None
    consumed = 0
    done = threading.Event()

    def on_message(_client: Client, _userdata: Any, message: MQTTMessage) -> None:
        nonlocal stopwatch, consumed
        stopwatch = stopwatch or Stopwatch()
        carrier = dict(message.properties.UserProperty)  # type: ignore[union-attr]  # as in the guide
        payload = json.loads(message.payload)
        attributes = {
            "messaging.system": "mqtt",
            "messaging.destination.name": message.topic,
            "messaging.operation.type": "process",
            "messaging.message.id": payload["message_id"],
        }
        span = tracer.start_span(
            f"process {message.topic}", context=extract(carrier), kind=SpanKind.CONSUMER, attributes=attributes
        )
        with trace.use_span(span, end_on_exit=True):
            http.post(echo_url, json=payload).raise_for_status()
        consumed += 1
        if consumed == count:
            stopwatch.stop()
            done.set()

    def on_connect(*_: Any) -> None:
        client.subscribe(topic_filter, 1)

    client = Client(CallbackAPIVersion.VERSION2, client_id, protocol=MQTTProtocolVersion.MQTTv5)
    client.on_message = on_message
    properties = Properties(PacketTypes.CONNECT)
    properties.SessionExpiryInterval = 600
    client.on_connect = on_connect
    client.connect(host, port, clean_start=False, properties=properties)
    client.loop_start()
    done.wait()
    client.disconnect()
    client.loop_stop()
    http.close()
    provider.shutdown()
    if stopwatch is not None:
        stopwatch.report(count)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4], sys.argv[5], int(sys.argv[6]))
