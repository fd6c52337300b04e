"""Publishes to itself with each QoS, without any use of OpenTelemetry: `unaware.py <host> <port> <topic>`."""

import json
import sys
import time
from typing import Any

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion

host, port, topic = sys.argv[1:]
subscribed: list[int] = []
received: list[bytes | bytearray] = []
acknowledged: list[int] = []


def on_message(_client: Client, _userdata: Any, message: MQTTMessage) -> None:
    """Keep a received message."""
    received.append(message.payload)


client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
client.on_message = on_message
client.on_connect = lambda client, *_: client.subscribe(topic, 2)
client.on_subscribe = lambda _client, _userdata, mid, *_: subscribed.append(mid)
client.on_publish = lambda _client, _userdata, mid, *_: acknowledged.append(mid)
client.connect(host, int(port))
while not subscribed:
    assert client.loop(10) is MQTTErrorCode.MQTT_ERR_SUCCESS
for qos in range(3):
    client.publish(topic, "x", qos)
# Nothing has been read from the broker since, so a span that has ended did not wait for its acknowledgement.
json.dump({"handed_off": time.time_ns()}, sys.stdout)
while len(received) < 3 or len(acknowledged) < 3:
    assert client.loop(10) is MQTTErrorCode.MQTT_ERR_SUCCESS
client.disconnect()
