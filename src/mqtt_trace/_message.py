"""What a program may have received a message as."""

from __future__ import annotations

from typing import Protocol, TypeVar


class ReceivedMessage(Protocol):
    """A received message: paho's, aiomqtt's, or an object of the program's own.

    Besides `topic` and `payload` it may have what else paho's `MQTTMessage` has: `qos`, `retain`, `dup`, and
    `properties` with `UserProperty`, a list of name and value pairs. A span says what is there.
    """

    @property
    def topic(self) -> object:
        """The topic, as text, or, as aiomqtt has it, as an object with the text as its `value`."""

    @property
    def payload(self) -> object:
        """The payload, as bytes or text."""


Message = TypeVar("Message", bound=ReceivedMessage)
