"""Clients that read only when their loop is called."""

from __future__ import annotations

from collections.abc import Callable

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from local.mosquitto import Mosquitto
from local.waiting import until


def connect_without_a_thread(broker: Mosquitto) -> Client:
    """A client that is connected."""
    client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    client.connect(broker.host, broker.port)
    loop_until(client, client.is_connected, "a CONNACK")
    return client


def loop_until(client: Client, condition: Callable[[], object], what: str) -> None:
    """Call the client's loop until the condition is true."""

    def is_true() -> bool:
        if condition():
            return True
        client.loop(0.1)
        return False

    until(is_true, what, every_s=0)
