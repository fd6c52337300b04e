"""A program that publishes with QoS 1, as fast as the broker acknowledges, on paho's network thread.

Usage: python -m bench.library.publish HOST PORT COUNT MODE EXPORTED SERVICE
"""

import sys
import threading
import uuid

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from bench.figures import WINDOW, Stopwatch
from bench.library import modes


def main(host: str, port: int, count: int, mode: str, exported: str, service: str) -> None:
    """Publish `count` messages, and report."""
    flush = modes.set_up(mode, exported, service)
    window = threading.Semaphore(WINDOW)
    connected = threading.Event()
    client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    client.max_inflight_messages_set(0)  # the semaphore is the window
    client.on_publish = lambda *_: window.release()
    client.on_connect = lambda *_: connected.set()
    publish = modes.make_publish(mode, client)
    client.connect(host, port)
    client.loop_start()
    connected.wait()
    stopwatch = Stopwatch()
    for _ in range(count):
        window.acquire()
        publish(str(uuid.uuid4()))
    for _ in range(WINDOW):
        window.acquire()
    stopwatch.stop()
    client.disconnect()
    client.loop_stop()
    flush()
    stopwatch.report(count)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4], sys.argv[5], sys.argv[6])
