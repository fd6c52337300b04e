"""Reading PUBACK packets without the tables that paho builds for each: a tenth of what a traced publish costs."""

from __future__ import annotations

import weakref
from typing import Literal

from paho.mqtt.client import Client, MQTTv5
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from mqtt_trace._packing import LazyProperties

_REASON_AT = 2
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

    def handle(cmd: Literal["PUBACK", "PUBCOMP"]) -> MQTTErrorCode:
        alive = reference()
        return MQTTErrorCode.MQTT_ERR_NO_CONN if alive is None else _handle(alive, cmd)

    client._handle_pubackcomp = handle  # type: ignore[method-assign]  # noqa: SLF001 - paho offers no hook


def _handle(client: Client, cmd: Literal["PUBACK", "PUBCOMP"]) -> MQTTErrorCode:
    packet = client._in_packet["packet"]  # noqa: SLF001 - as above
    reason = plain_reason(packet) if cmd == "PUBACK" and client.protocol == MQTTv5 else None
    if reason is None:
        return type(client)._handle_pubackcomp(client, cmd)  # noqa: SLF001 - as above
    packet_id = int.from_bytes(packet[:_REASON_AT])
    with client._out_message_mutex:  # noqa: SLF001 - as paho does when a publish ends
        if packet_id in client._out_messages:  # noqa: SLF001 - as above
            return client._do_on_publish(packet_id, reason, LazyProperties(PacketTypes.PUBACK))  # noqa: SLF001 - as above
    return MQTTErrorCode.MQTT_ERR_SUCCESS


def plain_properties() -> Properties:
    """What paho makes of a PUBACK without properties, but for its tables, which all of these share."""
    properties = Properties.__new__(Properties)
    vars(properties).update(_PLAIN)
    return properties


def plain_reason(packet: bytes | bytearray) -> ReasonCode | None:
    """The reason code of a PUBACK without properties, None if it has any, or if it is none that paho knows."""
    match len(packet):
        case 2:
            return _REASONS[_SUCCESS]
        case 3:
            return _REASONS.get(packet[_REASON_AT])
        case _:
            return None
