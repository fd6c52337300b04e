"""A consumer of somebody's own, which confirms readings with the library's helper."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from local.mosquitto import Mosquitto
from local.waiting import DEADLINE_S, until
from mqtt_trace import receipt_for


class ConfirmingConsumer:
    """Acknowledges every reading, and publishes the receipts of those that it does not drop.

    Args:
        broker: The broker.
        drops: Called with the number of a received message, from 1; whether to drop it.
        client_id: Its client id.

    Attributes:
        received: Every message.
        dropped: Those without a receipt.
    """

    def __init__(
        self, broker: Mosquitto, drops: Callable[[int], bool] = lambda _: False, client_id: str = "confirming"
    ) -> None:
        self.received: list[MQTTMessage] = []
        self.dropped: list[MQTTMessage] = []
        self._drops = drops
        self._name = client_id
        self._goes_on = threading.Event()
        self._goes_on.set()
        self._subscribed = threading.Event()
        self._client = Client(
            CallbackAPIVersion.VERSION2, client_id, protocol=MQTTProtocolVersion.MQTTv5, manual_ack=True
        )
        self._client.max_inflight_messages_set(0)
        self._acknowledged: dict[int, MQTTMessage] = {}
        self._client.on_message = self._on_message
        self._client.on_publish = self._on_publish
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        properties = Properties(PacketTypes.CONNECT)
        properties.SessionExpiryInterval = 60
        self._client.connect(broker.host, broker.port, clean_start=False, properties=properties)

    @property
    def sequences(self) -> list[str]:
        """The numbers of the received readings, as far as they have one."""
        return [
            value
            for message in self.received
            for name, value in getattr(message.properties, "UserProperty", ())
            if name == "mqtt-trace-sequence"
        ]

    def hold(self, goes_on: threading.Event) -> None:
        """Handle no further message until the event is set."""
        self._goes_on = goes_on

    def __enter__(self) -> Self:
        self._client.loop_start()
        until(self._subscribed.is_set, "a SUBACK")
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _on_connect(self, client: Client, *call: Any) -> None:
        del call
        client.subscribe("sensors/#", 1)

    def _on_message(self, client: Client, userdata: object, message: MQTTMessage) -> None:
        del userdata
        self._goes_on.wait(DEADLINE_S)
        self.received.append(message)
        receipt = receipt_for(message, self._name)
        if receipt is None or self._drops(len(self.received)):
            self.dropped.append(message)
            client.ack(message.mid, message.qos)
            return
        self._acknowledged[client.publish(receipt.topic, receipt.payload, 1).mid] = message

    def _on_publish(self, client: Client, userdata: object, packet_id: int, *more: Any) -> None:
        del userdata, more
        message = self._acknowledged.pop(packet_id)
        client.ack(message.mid, message.qos)
