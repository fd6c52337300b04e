"""A program that receives the messages of its session, on paho's network thread.

Usage: python -m bench.library.receive HOST PORT COUNT MODE EXPORTED SERVICE CLIENT_ID
With COUNT 0 it only creates the session.
"""

import json
import sys
import threading
from typing import Any

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from bench.figures import Stopwatch
from bench.library import modes
from bench.reading import TOPIC_FILTER

SESSION_S = 600


def main(host: str, port: int, count: int, mode: str, exported: str, service: str, client_id: str) -> None:
    """Receive `count` messages, and report."""
    flush = modes.set_up(mode, exported, service)
    subscribed, done = threading.Event(), threading.Event()
    stopwatch: Stopwatch | None = None
    received = 0

    def handle(_message: MQTTMessage, _message_id: str) -> None:
        nonlocal received, stopwatch
        stopwatch = stopwatch or Stopwatch()
        received += 1
        if received == count:
            stopwatch.stop()
            done.set()

    client = Client(CallbackAPIVersion.VERSION2, client_id, protocol=MQTTProtocolVersion.MQTTv5)
    process = modes.make_process(mode, client, handle)

    def on_message(_client: Client, _userdata: Any, message: MQTTMessage) -> None:
        process(message, json.loads(message.payload)["message_id"])

    client.on_message = on_message
    client.on_connect = lambda client, *_: client.subscribe(TOPIC_FILTER, 1)
    client.on_subscribe = lambda *_: subscribed.set()
    properties = Properties(PacketTypes.CONNECT)
    properties.SessionExpiryInterval = SESSION_S
    client.connect(host, port, clean_start=count == 0, properties=properties)
    client.loop_start()
    (done if count else subscribed).wait()
    client.disconnect()
    client.loop_stop()
    flush()
    if stopwatch is not None:
        stopwatch.report(count)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4], sys.argv[5], sys.argv[6], sys.argv[7])
