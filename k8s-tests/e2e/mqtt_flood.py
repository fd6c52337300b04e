"""Fills a broker's memory while a session is offline, and prints what became of the messages as JSON.

Runs in a pod that has paho and none of our code. Its argument is a JSON object with `host` and `passwords`, which has a
password for `producer` and `consumer`.
"""

import json
import sys
import time
from typing import Any

from paho.mqtt.client import Client, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

_PATIENCE_S = 120.0
_WINDOW = 100
_PAYLOAD = b"x" * 8192


def connected(wanted: dict[str, Any], user: str, client_id: str) -> Client:
    """Return a client with a session that remains."""
    client = Client(CallbackAPIVersion.VERSION2, client_id, protocol=MQTTv5)
    client.username_pw_set(user, wanted["passwords"][user])
    session = Properties(PacketTypes.CONNECT)
    session.SessionExpiryInterval = 600
    client.max_inflight_messages_set(_WINDOW)
    client.connect(wanted["host"], clean_start=False, properties=session)
    return client


def turn(client: Client) -> None:
    """Let the client work for a moment, and connect again if the broker ended its connection."""
    if client.loop(timeout=0.2) != MQTTErrorCode.MQTT_ERR_SUCCESS:
        client.reconnect()


def main() -> None:
    """Print the numbers `acknowledged` and `undelivered`, and `refused`, the reason code of the refusal."""
    wanted = json.loads(sys.argv[1])
    deadline = time.monotonic() + _PATIENCE_S

    subscriber = connected(wanted, "consumer", "flooded")
    granted: list[int] = []
    subscriber.on_connect = lambda client, *_: client.subscribe("sensors/flood/reading", 1)
    subscriber.on_subscribe = lambda _client, _userdata, packet_id, *_: granted.append(packet_id)
    while not granted and time.monotonic() < deadline:
        turn(subscriber)
    subscriber.disconnect()

    sent: dict[int, bytes] = {}
    acknowledged: set[bytes] = set()
    refused: list[int] = []

    def on_publish(*arguments: Any) -> None:
        number = sent.pop(arguments[2])
        if arguments[3].is_failure:
            refused.append(arguments[3].value)
        else:
            acknowledged.add(number)

    publisher = connected(wanted, "producer", "flood")
    publisher.on_publish = on_publish
    count = 0
    while not refused and time.monotonic() < deadline:
        while len(sent) < _WINDOW:
            number = b"%08d" % count
            sent[publisher.publish("sensors/flood/reading", number + _PAYLOAD, 1).mid] = number
            count += 1
        turn(publisher)
    while sent and time.monotonic() < deadline:
        turn(publisher)
    publisher.disconnect()

    received: set[bytes] = set()
    subscriber = connected(wanted, "consumer", "flooded")
    subscriber.on_message = lambda _client, _userdata, message: received.add(bytes(message.payload[:8]))
    while acknowledged - received and time.monotonic() < deadline:
        turn(subscriber)
    subscriber.disconnect()
    undelivered = len(acknowledged - received)
    print(json.dumps({"acknowledged": len(acknowledged), "refused": refused[:1], "undelivered": undelivered}))


main()
