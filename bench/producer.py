"""A producer with mqtt-trace: `TracedPublisher`, and the event loop and the telemetry of the services.

Usage: python -m bench.producer HOST PORT COUNT
"""

import asyncio
import sys
import uuid

from mqtt_trace_service import run
from mqtt_trace_service.telemetry import setup
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from bench.figures import WINDOW, Stopwatch
from bench.reading import TOPIC, TOPIC_FILTER, make_payload
from mqtt_trace import PublishOutcome, TracedPublisher
from mqtt_trace.aio import Connection


async def publish_all(host: str, port: int, count: int) -> Stopwatch:
    """Publish `count` readings, as fast as the broker acknowledges them."""
    client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    client.max_inflight_messages_set(0)  # the semaphore below is the window
    client.connect_async(host, port)
    connection = Connection(client)
    running = asyncio.create_task(connection.run())
    await connection.wait_up()
    publisher = TracedPublisher(client)
    window = asyncio.Semaphore(WINDOW)

    def acknowledged(_: PublishOutcome) -> None:
        window.release()

    stopwatch = Stopwatch()
    for _ in range(count):
        await window.acquire()
        message_id = str(uuid.uuid4())
        publisher.publish(
            TOPIC, make_payload(message_id), 1, message_id=message_id, template=TOPIC_FILTER, on_outcome=acknowledged
        )
    for _ in range(WINDOW):
        await window.acquire()
    stopwatch.stop()
    await connection.close()
    await running
    return stopwatch


def main(host: str, port: int, count: int) -> None:
    """Publish `count` readings, export their spans, and report."""

    async def measure(_stop: asyncio.Event) -> None:
        telemetry = setup("bench-producer")
        stopwatch = await publish_all(host, port, count)
        telemetry.shutdown(timeout=60)
        stopwatch.report(count)

    run(measure, "bench-producer")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
