"""Keeps packets with a context within the broker's Maximum Packet Size (MQTT 5, section 3.2.2.3.6).

paho would send a packet that is too large, be disconnected, and send it again on each later connection.
"""

from __future__ import annotations

import logging
from enum import StrEnum
from functools import partial
from typing import Any

from paho.mqtt.client import Client, MQTTMessageInfo, MQTTv5
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from mqtt_trace._guard import Guard, log
from mqtt_trace._paho.client import client_id_of
from mqtt_trace._paho.compat import Feature, supports
from mqtt_trace._paho.hooks import Method, hook_client
from mqtt_trace._paho.properties import PublishProperties

_REMAINING_LENGTH = 268_435_455
"""The largest that can be encoded (MQTT 5, section 1.5.5)."""
LARGEST_PACKET = 1 + 4 + _REMAINING_LENGTH
_LARGEST_HEADER = 1 + 4 + 2 + 2
"""Of a PUBLISH: type, remaining length, length of the topic, packet id."""
_LARGEST_PAIR = 1 + 2 * (2 + 65_535)
_SUCCESS = 0
_PACKET_TOO_LARGE = 0x95

_NOT_READ = Guard("the Maximum Packet Size of a broker is not known")
_log = logging.getLogger(__name__)


class OmittedReason(StrEnum):
    """Why a message was sent without the context of its span."""

    PACKET_TOO_LARGE = "packet_too_large"
    CONNECT_UNANSWERED = "connect_unanswered"
    ERROR = "error"


class PacketSize:
    """The largest packet that the broker of one client accepts.

    Attributes:
        maximum: Bytes, from the last CONNACK, or MQTT's own limit.
    """

    def __init__(self) -> None:
        self.maximum = LARGEST_PACKET
        self._logged = False
        self._will_carried = False
        self._will_doubted = False

    def note_connack(self, client: Client) -> None:
        """Call it before the client handles a CONNACK: the client sends waiting messages while it handles that."""
        with _NOT_READ:
            if client.protocol != MQTTv5:
                return
            _, reason, *properties = bytes(client._in_packet["packet"])  # noqa: SLF001 - see compat
            if self._will_carried and reason != _PACKET_TOO_LARGE:
                self._will_doubted = False
            if reason == _SUCCESS:
                announced = _maximum_in(bytes(properties))
                self.maximum = announced or LARGEST_PACKET
                self._will_doubted = self._will_doubted and announced is None

    def fit(
        self, client: Client, topic: bytes, payload: bytes | bytearray, qos: int, properties: Properties | None
    ) -> Properties | None:
        """The properties of a PUBLISH that is about to be sent, without the context if it does not fit."""
        if not isinstance(properties, PublishProperties) or properties.without_context is None:
            return properties
        room = self.maximum - len(topic) - len(payload) - _LARGEST_HEADER
        # One pair more, for all properties that may occur only once.
        if room < _LARGEST_PAIR * (len(properties.UserProperty) + 2):
            size = publish_size(len(topic), len(payload), qos, len(properties.pack()))
            if size > self.maximum and client.socket() is not None:  # without one, nothing is sent yet
                self._log_once(client, "PUBLISH", size)
                properties.note_omission(omitted=True)
                return PublishProperties(properties.without_context, properties)
        properties.note_omission(omitted=False)
        return properties

    def refuses_will(self, client: Client, size: int) -> OmittedReason | None:
        """Return why the next CONNECT, of this size with a context in its will, must not carry it; None if it may.

        The limit is unknown before the first CONNACK, and a broker need not answer a CONNECT that is too large. So
        after a CONNECT without an answer, the next ones carry no context.
        """
        reason = None
        if size > self.maximum:
            reason = OmittedReason.PACKET_TOO_LARGE
        elif self._will_doubted:
            reason = OmittedReason.CONNECT_UNANSWERED
        self._will_carried = reason is None
        if reason is None:
            self._will_doubted = True
        else:
            self._log_once(client, "CONNECT", size)
        return reason

    def _log_once(self, client: Client, packet: str, size: int) -> None:
        """One line per client."""
        if not self._logged:
            self._logged = True
            log(
                _log,
                logging.WARNING,
                "client %s: contexts are left out of packets that exceed the broker's limit (first: %s of %d bytes)",
                client_id_of(client),
                packet,
                size,
            )


def heed_packet_size(client: Client) -> None:
    """Let a client leave a context out of packets that would be too large with it."""
    if not supports(client, Feature.MAXIMUM_PACKET_SIZE):
        return
    packet_size = PacketSize()
    hook_client(client, "_handle_connack", partial(note_connack, packet_size))
    hook_client(client, "_send_publish", partial(send_publish, packet_size))


def note_connack(packet_size: PacketSize, client: Client, original: Method) -> Any:
    """Replace `Client._handle_connack`: CONNACK limits the packet size, which paho does not keep."""
    packet_size.note_connack(client)
    return original(client)


def send_publish(
    packet_size: PacketSize,
    client: Client,
    original: Method,
    mid: int,
    topic: bytes,
    payload: bytes | bytearray = b"",
    qos: int = 0,
    retain: bool = False,
    dup: bool = False,
    info: MQTTMessageInfo | None = None,
    properties: Properties | None = None,
) -> Any:
    """Replace `Client._send_publish`, which paho calls each time it sends a message, resends included."""
    if properties is not None:
        properties = packet_size.fit(client, topic, payload, qos, properties)
    return original(client, mid, topic, payload, qos, retain, dup, info, properties)


def publish_size(topic: int, payload: int, qos: int, properties: int) -> int:
    """Bytes of a PUBLISH of MQTT 5 (section 3.3) with parts of these sizes; the properties begin with their length."""
    return _packet_size(2 + topic + (2 if qos else 0) + properties + payload)


def publish_311_size(topic: int, payload: int) -> int:
    """The same with MQTT 3.1.1 (section 3.3), for any QoS."""
    return _packet_size(2 + topic + 2 + payload)


def connect_size(client: Client, will_properties: Properties) -> int:
    """Bytes of the CONNECT of MQTT 5 (section 3.1) that a client with a will is about to send."""
    fixed = 2 + len("MQTT") + 1 + 1 + 2
    texts: list[bytes | bytearray] = [client._client_id, client._will_topic, client._will_payload]  # noqa: SLF001 - see compat
    if client._username is not None:  # noqa: SLF001 - as above
        texts += [text for text in (client._username, client._password) if text is not None]  # noqa: SLF001 - as above
    own = client._connect_properties  # noqa: SLF001 - as above
    properties = len(own.pack() if own is not None else b"\0") + len(will_properties.pack())
    return _packet_size(fixed + properties + sum(2 + len(text) for text in texts))


def _packet_size(remaining: int) -> int:
    lengths = 1 + sum(remaining >= limit for limit in (1 << 7, 1 << 14, 1 << 21))
    return 1 + lengths + remaining


def _maximum_in(packed: bytes) -> int | None:
    properties = Properties(PacketTypes.CONNACK)
    properties.unpack(packed)
    maximum: int | None = getattr(properties, "MaximumPacketSize", None)
    return maximum
