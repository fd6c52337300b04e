"""Clients that read only when their loop is called."""

from __future__ import annotations

import time
from collections.abc import Callable

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from local.mosquitto import Mosquitto

_DEADLINE_S = 30.0


def connect_without_a_thread(broker: Mosquitto) -> Client:
    """A client that is connected."""
    client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    client.connect(broker.host, broker.port)
    loop_until(client, client.is_connected)
    return client


def loop_until(client: Client, condition: Callable[[], object]) -> None:
    """Call the client's loop until the condition is true, and fail after the deadline."""
    deadline = time.monotonic() + _DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, f"not within {_DEADLINE_S:g} s"
        client.loop(0.1)
