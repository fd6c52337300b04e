"""Reads PUBLISH properties that paho refuses or takes minutes to read.

paho ends the connection over a user property with U+FEFF, which MQTT allows (section 1.5.4) and Mosquitto delivers, and
over text that is not UTF-8, which some brokers let through. The broker then redelivers the message after each
reconnect, so one publisher could stop a consumer permanently. Also, paho's time grows with the square of the number of
properties: 50,000 of them, 800 kB, take 15 s.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from paho.mqtt.client import MQTTMessage
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import MalformedPacket, Properties, VariableByteIntegers  # type: ignore[attr-defined]  # where 2.1 has it, too

from mqtt_trace._message import ReceivedMessage
from mqtt_trace._paho.properties import init_quickly, unpack_user_properties

Value = object
Reader = Callable[[bytes, int], tuple[Value, int]]


def install_tolerant_reader() -> None:
    """Make paho accept any PUBLISH properties that a broker delivers, for the rest of the process.

    A consumer of untrusted messages calls it once, before its first connection.
    """
    original = Properties.unpack

    def unpack_any(self: Properties, buffer: bytes) -> tuple[Properties, int]:
        if self.packetType == PacketTypes.PUBLISH:
            quickly = unpack_user_properties(self, buffer)
            return self, unpack(self, buffer) if quickly is None else quickly
        unpacked: tuple[Properties, int] = original(self, buffer)  # type: ignore[no-untyped-call]  # paho's is untyped
        return unpacked

    Properties.unpack = unpack_any  # type: ignore[method-assign]  # that is the point
    Properties.__init__ = init_quickly  # type: ignore[method-assign]  # as above: paho makes an object per message


def topic_of(message: ReceivedMessage) -> str:
    """The topic, with U+FFFD for bytes that are not UTF-8; paho's own property raises each time."""
    try:
        topic: object = getattr(message, "topic", None)
    except UnicodeDecodeError as error:
        topic = error.object.decode("utf-8", "replace")
        if isinstance(message, MQTTMessage):
            message.topic = topic.encode()
    if isinstance(topic, bytes):
        return topic.decode("utf-8", "replace")
    text = topic if isinstance(topic, str) else getattr(topic, "value", None)
    return text if isinstance(text, str) else ""


def unpack(properties: Properties, buffer: bytes) -> int:
    """Read PUBLISH properties (MQTT 5, section 3.3.2.3) into an empty object.

    Returns:
        The number of bytes of the properties and their length.

    Raises:
        MalformedPacket: A property ends after the end of the packet, or is not allowed in PUBLISH.
    """
    found: dict[str, Any] = {}
    try:
        length, position = _variable_byte_integer(buffer, 0)
        end = position + length
        while position < end:
            name, read = _PUBLISH_PROPERTIES[buffer[position]]
            value, position = read(buffer, position + 1)
            if name in _REPEATED:
                found.setdefault(name, []).append(value)
            else:
                found[name] = value
    except (IndexError, KeyError, struct.error) as error:
        raise MalformedPacket(f"PUBLISH properties cannot be read: {error!r}") from error
    if position != end:
        raise MalformedPacket("a PUBLISH property is longer than the properties")
    # Without paho's checks of what a program may set, which copy the list of user properties for each one.
    vars(properties).update(found)
    return end


def _byte(buffer: bytes, position: int) -> tuple[Value, int]:
    return buffer[position], position + 1


def _two_bytes(buffer: bytes, position: int) -> tuple[int, int]:
    return struct.unpack_from("!H", buffer, position)[0], position + 2


def _four_bytes(buffer: bytes, position: int) -> tuple[Value, int]:
    return struct.unpack_from("!L", buffer, position)[0], position + 4


def _variable_byte_integer(buffer: bytes, position: int) -> tuple[int, int]:
    value, length = VariableByteIntegers.decode(buffer[position : position + 5])
    return value, position + length


def _binary(buffer: bytes, position: int) -> tuple[bytes, int]:
    length, start = _two_bytes(buffer, position)
    end = start + length
    if end > len(buffer):
        raise IndexError(end)
    return bytes(buffer[start:end]), end


def _text(buffer: bytes, position: int) -> tuple[str, int]:
    data, position = _binary(buffer, position)
    return data.decode("utf-8", "replace"), position


def _pair(buffer: bytes, position: int) -> tuple[Value, int]:
    name, position = _text(buffer, position)
    value, position = _text(buffer, position)
    return (name, value), position


_PUBLISH_PROPERTIES: dict[int, tuple[str, Reader]] = {
    1: ("PayloadFormatIndicator", _byte),
    2: ("MessageExpiryInterval", _four_bytes),
    3: ("ContentType", _text),
    8: ("ResponseTopic", _text),
    9: ("CorrelationData", _binary),
    11: ("SubscriptionIdentifier", _variable_byte_integer),
    35: ("TopicAlias", _two_bytes),
    38: ("UserProperty", _pair),
}
_REPEATED = frozenset({"SubscriptionIdentifier", "UserProperty"})
