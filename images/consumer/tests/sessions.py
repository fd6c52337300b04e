"""Sessions that a broker holds."""

from __future__ import annotations

from paho.mqtt.client import Client, ConnectFlags
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from local.mosquitto import Mosquitto
from local.waiting import until


def session_present(broker: Mosquitto, client_id: str) -> bool:
    """Whether the broker has a session for a client; ends it."""
    answers: list[ConnectFlags] = []
    client = Client(CallbackAPIVersion.VERSION2, client_id, protocol=MQTTProtocolVersion.MQTTv5, manual_ack=True)
    client.on_connect = lambda *call: answers.append(call[2])
    client.connect(broker.host, broker.port, clean_start=False)
    client.loop_start()
    try:
        until(lambda: bool(answers), "a client answered")
    finally:
        properties = Properties(PacketTypes.DISCONNECT)
        properties.SessionExpiryInterval = 0
        client.disconnect(properties=properties)
        client.loop_stop()
    return answers[0].session_present
