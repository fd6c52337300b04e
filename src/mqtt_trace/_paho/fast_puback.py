"""Reads PUBACK packets without building paho's tables for each, which is a tenth of the cost of a traced publish."""

from __future__ import annotations

from typing import Any, Literal

from paho.mqtt.client import Client, MQTTv5
from paho.mqtt.enums import LogLevel, MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from mqtt_trace._paho.compat import Feature, supports
from mqtt_trace._paho.hooks import Method, hook_client
from mqtt_trace._paho.pubrec import PACKET_ID_BYTES

Acknowledgement = Literal["PUBACK", "PUBCOMP"]

_SUCCESS = 0
_REASONS = {
    code: ReasonCode(PacketTypes.PUBACK, identifier=code)
    for code, names in ReasonCode(PacketTypes.PUBACK).names.items()
    if any(PacketTypes.PUBACK in packets for packets in names.values())
}
_PLAIN = vars(Properties(PacketTypes.PUBACK))


def read_pubacks_quickly(client: Client) -> None:
    """Make a client read PUBACKs (MQTT 5, section 3.4) without properties itself, and leave others to paho."""
    if supports(client, Feature.FAST_PUBACK):
        hook_client(client, "_handle_pubackcomp", read_puback)


def read_puback(client: Client, original: Method, cmd: Acknowledgement) -> Any:
    """Read a PUBACK without properties, with the same result as `original`, which reads all other packets."""
    packet = client._in_packet["packet"]  # noqa: SLF001 - see compat
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
    """Return the reason code of a PUBACK without properties; None if it has any, or paho does not know it."""
    match len(packet):
        case 2:
            return _REASONS[_SUCCESS]
        case 3:
            return _REASONS.get(packet[PACKET_ID_BYTES])
        case _:
            return None


def _plain_properties() -> Properties:
    """The properties that paho creates for a PUBACK without any, except that they share their tables."""
    properties = Properties.__new__(Properties)
    vars(properties).update(_PLAIN)
    return properties
