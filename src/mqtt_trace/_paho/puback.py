"""Reading PUBACK packets without the tables that paho builds for each: a tenth of what a traced publish costs."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Literal

from paho.mqtt.client import Client, MQTTv5
from paho.mqtt.enums import LogLevel, MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from mqtt_trace._paho.client import PACKET_ID_BYTES

Acknowledgement = Literal["PUBACK", "PUBCOMP"]
Handler = Callable[[Client, Acknowledgement], MQTTErrorCode]

_SUCCESS = 0
_REASONS = {
    code: ReasonCode(PacketTypes.PUBACK, identifier=code)
    for code, names in ReasonCode(PacketTypes.PUBACK).names.items()
    if any(PacketTypes.PUBACK in packets for packets in names.values())
}
_PLAIN = vars(Properties(PacketTypes.PUBACK))


def read_pubacks_quickly(client: Client) -> None:
    """Make a client read PUBACKs (MQTT 5, section 3.4) without properties itself, and leave others to paho."""
    if "_handle_pubackcomp" in vars(client):
        return
    # What the client holds must not hold the client: it would live until the garbage collector finds the two.
    reference = weakref.ref(client)

    def handle(cmd: Acknowledgement) -> MQTTErrorCode:
        alive = reference()
        if alive is None:
            return MQTTErrorCode.MQTT_ERR_NO_CONN
        return read_puback(alive, cmd, type(alive)._handle_pubackcomp)  # noqa: SLF001 - as below

    client._handle_pubackcomp = handle  # type: ignore[method-assign]  # noqa: SLF001 - paho offers no hook


def read_puback(client: Client, cmd: Acknowledgement, original: Handler) -> MQTTErrorCode:
    """Read a PUBACK without properties, with the same result as `original`, to which all else is left."""
    packet = client._in_packet["packet"]  # noqa: SLF001 - as above
    reason = plain_reason(packet) if cmd == "PUBACK" and client.protocol == MQTTv5 else None
    if reason is None:
        return original(client, cmd)
    packet_id = int.from_bytes(packet[:PACKET_ID_BYTES])
    client._easy_log(LogLevel.MQTT_LOG_DEBUG, "Received %s (Mid: %d)", cmd, packet_id)  # noqa: SLF001 - as paho does
    with client._out_message_mutex:  # noqa: SLF001 - as paho does when a publish ends
        if packet_id in client._out_messages:  # noqa: SLF001 - as above
            return client._do_on_publish(packet_id, reason, _plain_properties())  # noqa: SLF001 - as above
    return MQTTErrorCode.MQTT_ERR_SUCCESS


def plain_reason(packet: bytes | bytearray) -> ReasonCode | None:
    """The reason code of a PUBACK without properties, None if it has any, or if it is none that paho knows."""
    match len(packet):
        case 2:
            return _REASONS[_SUCCESS]
        case 3:
            return _REASONS.get(packet[PACKET_ID_BYTES])
        case _:
            return None


def _plain_properties() -> Properties:
    """What paho makes of a PUBACK without properties, but for its tables, which all of these share."""
    properties = Properties.__new__(Properties)
    vars(properties).update(_PLAIN)
    return properties
