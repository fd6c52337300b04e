"""What paho 2.x leaves out of MQTT 5 and offers no hook for."""

from __future__ import annotations

import weakref
from typing import TypeGuard

from paho.mqtt.client import Client, MQTTv5, MQTTv31, MQTTv311
from paho.mqtt.enums import LogLevel, MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from mqtt_trace.reasons import REFUSED_FROM

PACKET_ID_BYTES = 2
WITHOUT_PROPERTIES = (MQTTv31, MQTTv311)
"""The versions of MQTT before 5."""


def is_paho(client: object) -> TypeGuard[Client]:
    """Whether it is a client of paho's, with all that makes one: a mock of the class says that it is an instance.

    None is where this module was first imported while a unit test had the class itself replaced.
    """
    return isinstance(Client, type) and issubclass(type(client), Client)


def report_refused_pubrec(client: Client) -> None:
    """Make a PUBREC with a reason code of 0x80 or more end a QoS 2 publish, with that code in `on_publish`.

    Such a PUBREC is the last packet of its publish (MQTT 5, section 4.3.3). paho ignores the code, sends PUBREL, and
    then reports the message as delivered.
    """
    if "_handle_pubrec" in vars(client):
        return
    # What the client holds must not hold the client: it would live until the garbage collector finds the two.
    reference = weakref.ref(client)

    def handle_pubrec() -> MQTTErrorCode:
        alive = reference()
        return MQTTErrorCode.MQTT_ERR_NO_CONN if alive is None else _handle_pubrec(alive)

    client._handle_pubrec = handle_pubrec  # type: ignore[method-assign]  # noqa: SLF001 - no callback is told of PUBREC


def _handle_pubrec(client: Client) -> MQTTErrorCode:
    refusal = refused_pubrec(client)
    if refusal is None:
        return type(client)._handle_pubrec(client)  # noqa: SLF001 - as above
    packet_id, reason = refusal
    client._easy_log(LogLevel.MQTT_LOG_DEBUG, "Received PUBREC (Mid: %d)", packet_id)  # noqa: SLF001 - as paho does
    with client._out_message_mutex:  # noqa: SLF001 - as paho does when a publish ends
        if packet_id in client._out_messages:  # noqa: SLF001 - as above
            return client._do_on_publish(packet_id, reason, Properties(PacketTypes.PUBREC))  # noqa: SLF001 - as above
    return MQTTErrorCode.MQTT_ERR_SUCCESS


def refused_pubrec(client: Client) -> tuple[int, ReasonCode] | None:
    """Packet id and reason code of the PUBREC that a client is about to handle, if the code is 0x80 or more.

    None for a code that no PUBREC has: what becomes of such a packet is paho's to say.
    """
    packet = bytes(client._in_packet["packet"])  # noqa: SLF001 - as above
    if client.protocol != MQTTv5 or packet[PACKET_ID_BYTES : PACKET_ID_BYTES + 1] < bytes([REFUSED_FROM]):
        return None
    try:
        reason = ReasonCode(PacketTypes.PUBREC, identifier=packet[PACKET_ID_BYTES])
    except (KeyError, ValueError):
        return None
    return int.from_bytes(packet[:PACKET_ID_BYTES]), reason


def forget_ping(client: Client) -> None:
    """Have a client wait for no PINGRESP, so that it does not give up a connection on which one lies unread."""
    client._ping_t = 0.0  # noqa: SLF001 - only a PINGRESP that is read resets it


_CONSUMERS = "_mqtt_trace_consumers"


def trace_explicitly(client: Client, consumer: object) -> None:
    """Leave the messages of a client to a consumer, for as long as that exists."""
    vars(client).setdefault(_CONSUMERS, weakref.WeakSet()).add(consumer)


def is_traced_explicitly(client: Client) -> bool:
    """Whether the messages of a client are left to a consumer."""
    return bool(vars(client).get(_CONSUMERS))
