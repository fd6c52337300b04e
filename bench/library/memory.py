"""Memory of a program: per unacknowledged publish, and as the number of messages grows.

Usage: python -m bench.library.memory pending COUNT MODE, or: python -m bench.library.memory growth HOST PORT COUNT MODE
"""

import gc
import json
import sys
import threading
import tracemalloc

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from bench.figures import WINDOW
from bench.library import modes
from bench.reading import TOPIC_FILTER

STEPS = 4
_WARM_UP = 1_000
"""Messages before the first measurement: by then, all one-time allocations are made."""


def pending(count: int, mode: str) -> list[float]:
    """Bytes per unacknowledged publish, with the message, which paho keeps."""
    modes.set_up(mode, modes.NOTHING, "memory")
    client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    client.on_publish = lambda *_: None
    publish = modes.make_publish(mode, client)
    publish("first")
    before = _allocated()
    for number in range(count):
        publish(f"{number:036d}")
    return [(_allocated() - before) / count]


def growth(host: str, port: int, count: int, mode: str) -> list[float]:
    """Bytes allocated after each quarter of the messages, which are published, acknowledged and received."""
    modes.set_up(mode, modes.NOTHING, "memory")
    window = threading.Semaphore(WINDOW)
    subscribed = threading.Event()
    client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    process = modes.make_process(mode, client, lambda _message, _message_id: window.release())
    client.on_message = lambda _client, _userdata, message: process(message, "id")
    client.on_publish = lambda *_: None
    client.on_subscribe = lambda *_: subscribed.set()
    client.on_connect = lambda client, *_: client.subscribe(TOPIC_FILTER, 1)
    publish = modes.make_publish(mode, client)
    client.connect(host, port)
    client.loop_start()
    subscribed.wait()

    def exchange(number: int) -> float:
        for _ in range(number):
            window.acquire()
            publish("id")
        for _ in range(WINDOW):
            window.acquire()
        allocated = _allocated()
        window.release(WINDOW)
        return allocated

    exchange(_WARM_UP)
    allocated = [exchange(count // STEPS) for _ in range(STEPS)]
    client.disconnect()
    client.loop_stop()
    return allocated


def _allocated() -> float:
    gc.collect()
    return float(tracemalloc.get_traced_memory()[0])


if __name__ == "__main__":
    tracemalloc.start()
    if sys.argv[1] == "pending":
        print(json.dumps(pending(int(sys.argv[2]), sys.argv[3])))
    else:
        print(json.dumps(growth(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5])))
