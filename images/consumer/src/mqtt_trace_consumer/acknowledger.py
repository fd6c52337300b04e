"""Sends PUBACKs at the right time.

PUBACKs leave in the order in which their messages arrived (MQTT 5, section 4.6), and on the same connection: the next
one reuses packet ids, so a late PUBACK would acknowledge another message.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from paho.mqtt.client import MQTTMessage

from mqtt_trace._receipts import ProcessedReading
from mqtt_trace_consumer.window import Window


@dataclass(eq=False, slots=True)
class Delivery:
    """A message, and the connection that delivered it.

    Attributes:
        message: The message.
        connection: Number of the connection, from 0.
        settled: Whether it was processed or dead-lettered, so that it can be acknowledged in its turn.
        receipt: Topic and content of the receipt that comes before its acknowledgement; None without one.
    """

    message: MQTTMessage
    connection: int
    settled: bool = False
    receipt: tuple[str, ProcessedReading] | None = None


class Acknowledger:
    """The unacknowledged deliveries of the current connection, in receive order.

    Args:
        acknowledge: Sends the PUBACK of a message.
        window: Limits their number.

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
        """Number of unacknowledged messages."""
        return len(self._waiting)

    def receive(self, message: MQTTMessage) -> Delivery | None:
        """Add a message, or return None if the window has no room; the broker will then deliver the message again.

        A message of QoS 0 needs no acknowledgement.
        """
        delivery = Delivery(message, self.connection)
        if message.qos:
            if not self._window.admits(self.in_flight):
                return None
            self._waiting.append(delivery)
        return delivery

    def awaiting_puback(self) -> AbstractContextManager[None]:
        """A context manager for a block in which a delivery waits for the PUBACK of another publish."""
        return self._window.awaiting_puback()

    def is_current(self, delivery: Delivery) -> bool:
        """Whether to process it; if not, the broker will deliver it again, which it never does with QoS 0."""
        return delivery.message.qos == 0 or delivery.connection == self.connection

    def settle(self, delivery: Delivery) -> None:
        """Acknowledge a delivery as soon as all earlier ones are settled."""
        delivery.settled = True
        while self._waiting and self._waiting[0].settled:
            self._acknowledge(self._waiting.popleft().message)
            self._window.acknowledged(self.in_flight)

    def connection_lost(self) -> None:
        """Forget all deliveries: the broker will deliver the unacknowledged ones again."""
        self.connection += 1
        self._waiting.clear()
        self._window.connection_lost()
