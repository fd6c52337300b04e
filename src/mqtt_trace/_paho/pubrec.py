"""PUBREC with a reason code of 0x80 or more, which paho takes for success."""

from __future__ import annotations

from paho.mqtt.client import Client, MQTTv5
from paho.mqtt.enums import LogLevel, MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from mqtt_trace._paho.compat import Feature, supports
from mqtt_trace._paho.hooks import Method, hook_client
from mqtt_trace.reasons import REFUSED_FROM

PACKET_ID_BYTES = 2


def report_refused_pubrec(client: Client) -> None:
    """Make a PUBREC with a reason code of 0x80 or more end a QoS 2 publish, with that code in `on_publish`.

    Such a PUBREC is the last packet of its publish (MQTT 5, section 4.3.3). paho ignores the code, sends PUBREL, and
    then reports the message as delivered.
    """
    if supports(client, Feature.PUBREC_REFUSALS):
        hook_client(client, "_handle_pubrec", _handle_pubrec)


def _handle_pubrec(client: Client, original: Method) -> object:
    refusal = refused_pubrec(client)
    if refusal is None:
        return original(client)
    packet_id, reason = refusal
    client._easy_log(LogLevel.MQTT_LOG_DEBUG, "Received PUBREC (Mid: %d)", packet_id)  # noqa: SLF001 - as paho does
    with client._out_message_mutex:  # noqa: SLF001 - as paho does when a publish ends
        if packet_id in client._out_messages:  # noqa: SLF001 - as above
            return client._do_on_publish(packet_id, reason, Properties(PacketTypes.PUBREC))  # noqa: SLF001 - as above
    return MQTTErrorCode.MQTT_ERR_SUCCESS


def refused_pubrec(client: Client) -> tuple[int, ReasonCode] | None:
    """Packet id and reason code of the PUBREC that a client is about to handle, if the code is 0x80 or more.

    None for a code that no PUBREC may have: paho handles such a packet.
    """
    packet = bytes(client._in_packet["packet"])  # noqa: SLF001 - see compat
    if client.protocol != MQTTv5 or packet[PACKET_ID_BYTES : PACKET_ID_BYTES + 1] < bytes([REFUSED_FROM]):
        return None
    try:
        reason = ReasonCode(PacketTypes.PUBREC, identifier=packet[PACKET_ID_BYTES])
    except (KeyError, ValueError):
        return None
    return int.from_bytes(packet[:PACKET_ID_BYTES]), reason
