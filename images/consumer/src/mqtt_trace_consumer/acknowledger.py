"""When a PUBACK may be sent.

PUBACKs leave in the order in which their messages arrived (MQTT 5, section 4.6), on the connection on which they did:
packet ids are used again on the next one, where a late PUBACK would acknowledge another message.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from paho.mqtt.client import MQTTMessage

from mqtt_trace_consumer.window import Window


@dataclass(eq=False, slots=True)
class Delivery:
    """A message, and the connection that brought it.

    Attributes:
        message: The message.
        connection: Number of the connection, from 0.
        settled: Whether it was processed, or dead-lettered, and waits at most for its turn to be acknowledged.
    """

    message: MQTTMessage
    connection: int
    settled: bool = False


class Acknowledger:
    """The deliveries of the current connection that are not acknowledged, in receive order.

    Args:
        acknowledge: Sends the PUBACK of a message.
        window: Bounds how many there are.

    Attributes:
        connection: Number of the current connection, from 0.
    """

    def __init__(self, acknowledge: Callable[[MQTTMessage], None], window: Window) -> None:
        self._acknowledge = acknowledge
        self._window = window
        self.connection = 0
        self._waiting: deque[Delivery] = deque()

    @property
    def in_flight(self) -> int:
        """How many messages the broker waits for an acknowledgement of."""
        return len(self._waiting)

    def receive(self, message: MQTTMessage) -> Delivery | None:
        """Note that a message has arrived; None if there is no room: the broker delivers it again, later.

        With QoS 0 there is nothing to acknowledge.
        """
        delivery = Delivery(message, self.connection)
        if message.qos:
            if not self._window.admits(self.in_flight):
                return None
            self._waiting.append(delivery)
        return delivery

    def awaiting_puback(self) -> AbstractContextManager[None]:
        """For a block in which a delivery waits for the broker's PUBACK of something else."""
        return self._window.awaiting_puback()

    def is_current(self, delivery: Delivery) -> bool:
        """Whether it is ours to process; if not, the broker will deliver it again. It never does so with QoS 0."""
        return delivery.message.qos == 0 or delivery.connection == self.connection

    def settle(self, delivery: Delivery) -> None:
        """Acknowledge a delivery, as soon as all that arrived before it are settled too."""
        delivery.settled = True
        while self._waiting and self._waiting[0].settled:
            self._acknowledge(self._waiting.popleft().message)
            self._window.acknowledged(self.in_flight)

    def connection_lost(self) -> None:
        """Forget every delivery so far: the broker will deliver again what was not acknowledged."""
        self.connection += 1
        self._waiting.clear()
        self._window.connection_lost()
