"""The time from publish to receive over the broker, with or without tracing.

Usage: python -m bench.latency HOST PORT COUNT traced|untraced
"""

import asyncio
import json
import sys
import time
from typing import Any

from mqtt_trace_service.telemetry import setup
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from mqtt_trace import TracedConsumer, TracedPublisher
from mqtt_trace.aio import Connection

_INTERVAL_S = 0.005
_TOPIC = "latency/sensor-001/reading"


async def measure(host: str, port: int, count: int, *, traced: bool) -> list[float]:
    """Seconds from publish to the message callback, one message at a time."""
    client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    client.connect_async(host, port)
    connection = Connection(client)
    running = asyncio.create_task(connection.run())
    await connection.wait_up()
    publish = TracedPublisher(client).publish if traced else client.publish
    consumer = TracedConsumer(client, ["latency/+/reading"])
    latencies: list[float] = []
    arrived, subscribed = asyncio.Event(), asyncio.Event()

    def record(message: MQTTMessage) -> None:
        latencies.append(time.perf_counter() - float(message.payload))
        arrived.set()

    def on_message(_client: Client, _userdata: Any, message: MQTTMessage) -> None:
        if traced:
            with consumer.process(message):
                record(message)
        else:
            record(message)

    client.on_message = on_message
    client.on_subscribe = lambda *_: subscribed.set()
    client.subscribe(_TOPIC, 1)
    await subscribed.wait()
    for _ in range(count):
        arrived.clear()
        publish(_TOPIC, repr(time.perf_counter()), 1)
        await arrived.wait()
        await asyncio.sleep(_INTERVAL_S)
    await connection.close()
    await running
    return latencies


def main(host: str, port: int, count: int, *, traced: bool) -> None:
    """Measure, and print the latency of each message in seconds."""
    telemetry = setup("bench-latency") if traced else None
    latencies = asyncio.run(measure(host, port, count, traced=traced))
    if telemetry is not None:
        telemetry.shutdown(timeout=60)
    print(json.dumps(latencies))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), traced=sys.argv[4] == "traced")
