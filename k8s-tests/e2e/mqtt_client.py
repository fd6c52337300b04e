"""Prints a broker's answers to one publish or subscription as JSON. Runs in a pod that has paho and none of our code.

Its argument is a JSON object with `host`, `username`, `password`, and `publish` (a topic) or `subscribe` (a filter).
"""

import json
import sys
import time
from typing import Any

from paho.mqtt.client import Client, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.subscribeoptions import SubscribeOptions

_PATIENCE_S = 8.0


def done(answer: dict[str, Any]) -> bool:
    """Return whether all answers have arrived."""
    return bool("puback" in answer or answer["received"] or answer.get("connack"))


def main() -> None:
    """Ask, and print `connack`, `puback`, `suback` (reason codes) and `received` (topics), as far as it came."""
    wanted = json.loads(sys.argv[1])
    answer: dict[str, Any] = {"received": []}
    client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTv5)
    client.connect_timeout = _PATIENCE_S
    client.username_pw_set(wanted["username"], wanted["password"])

    def on_connect(*arguments: Any) -> None:
        answer["connack"] = arguments[3].value
        if arguments[3].is_failure:
            return
        if "publish" in wanted:
            client.publish(wanted["publish"], b"{}", 1)
        else:
            client.subscribe(wanted["subscribe"], options=SubscribeOptions(qos=1))

    def on_publish(*arguments: Any) -> None:
        answer["puback"] = arguments[3].value

    def on_subscribe(*arguments: Any) -> None:
        answer["suback"] = arguments[3][0].value

    def on_message(*arguments: Any) -> None:
        answer["received"].append(arguments[2].topic)

    client.on_connect, client.on_publish = on_connect, on_publish
    client.on_subscribe, client.on_message = on_subscribe, on_message
    try:
        client.connect(wanted["host"])
        deadline = time.monotonic() + _PATIENCE_S
        while time.monotonic() < deadline and not done(answer):
            client.loop(timeout=0.2)
        client.disconnect()
    except OSError as error:
        answer["unreachable"] = type(error).__name__
    print(json.dumps(answer))


main()
