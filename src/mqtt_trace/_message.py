"""The form in which a program receives a message."""

from __future__ import annotations

from typing import Protocol, TypeVar


class ReceivedMessage(Protocol):
    """A received message: paho's, aiomqtt's, or an object of the program's own.

    In addition to `topic` and `payload`, it may have the other attributes of paho's `MQTTMessage`: `qos`, `retain`,
    `dup`, and `properties` with `UserProperty`, a list of name and value pairs. A span records those that it has.
    """

    @property
    def topic(self) -> object:
        """The topic as text, or as an object with the text in its `value`, as in aiomqtt."""

    @property
    def payload(self) -> object:
        """The payload, as bytes or text."""


Message = TypeVar("Message", bound=ReceivedMessage)
