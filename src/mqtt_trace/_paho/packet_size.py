"""The broker's Maximum Packet Size (MQTT 5, section 3.2.2.3.6), which no packet exceeds because of a context.

paho sends a packet that is too large, is disconnected for it, and sends it again on the next connection, for ever.
"""

from __future__ import annotations

import logging
import weakref

from paho.mqtt.client import Client, MQTTMessageInfo, MQTTv5
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from mqtt_trace._guard import Guard
from mqtt_trace._paho.properties import PublishProperties
from mqtt_trace._spans.semconv import OmittedReason

_REMAINING_LENGTH = 268_435_455
"""The greatest that can be encoded (MQTT 5, section 1.5.5)."""
LARGEST_PACKET = 1 + 4 + _REMAINING_LENGTH
_LARGEST_HEADER = 1 + 4 + 2 + 2
"""Of a PUBLISH: type, remaining length, length of the topic, packet id."""
_LARGEST_PAIR = 1 + 2 * (2 + 65_535)
_SUCCESS = 0
_PACKET_TOO_LARGE = 0x95

_NOT_READ = Guard("the Maximum Packet Size of a broker is not known")
_log = logging.getLogger(__name__)


class PacketSize:
    """What the broker of one client takes in a packet.

    Attributes:
        maximum: Bytes, as the last CONNACK announced it, or as MQTT itself has it.
    """

    def __init__(self) -> None:
        self.maximum = LARGEST_PACKET
        self._told = False
        self._will_carried = False
        self._will_doubted = False

    def note_connack(self, client: Client) -> None:
        """To be called before the client handles a CONNACK: while it does, it sends what waited for that."""
        with _NOT_READ:
            if client.protocol != MQTTv5:
                return
            _, reason, *properties = bytes(client._in_packet["packet"])  # noqa: SLF001 - no callback comes before
            if self._will_carried and reason != _PACKET_TOO_LARGE:
                self._will_doubted = False
            if reason == _SUCCESS:
                announced = _maximum_in(bytes(properties))
                self.maximum = announced or LARGEST_PACKET
                self._will_doubted = self._will_doubted and announced is None

    def fit(
        self, client: Client, topic: bytes, payload: bytes | bytearray, qos: int, properties: Properties | None
    ) -> Properties | None:
        """The properties of a PUBLISH that is about to be sent, without the context in them if it does not fit."""
        if not isinstance(properties, PublishProperties) or properties.without_context is None:
            return properties
        room = self.maximum - len(topic) - len(payload) - _LARGEST_HEADER
        # A pair more for all the properties that may be there once.
        if room < _LARGEST_PAIR * (len(properties.UserProperty) + 2):
            size = publish_size(len(topic), len(payload), qos, len(properties.pack()))
            if size > self.maximum and client.socket() is not None:  # without one, nothing is sent yet
                self._tell(client, "PUBLISH", size)
                properties.note_omission(omitted=True)
                return PublishProperties(properties.without_context, properties)
        properties.note_omission(omitted=False)
        return properties

    def refuses_will(self, client: Client, size: int) -> OmittedReason | None:
        """Why the next CONNECT, of this size with a context in its will, is not to carry it; None if it is.

        What a broker takes is not known before its first CONNACK, and one that finds CONNECT too large need not answer.
        So after a CONNECT that was not answered the next ones do without.
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
            self._tell(client, "CONNECT", size)
        return reason

    def _tell(self, client: Client, packet: str, size: int) -> None:
        """One line per client."""
        if not self._told:
            self._told = True
            _log.warning(
                "client %s: a context is left out of what the broker would not take with it (first: %s of %d bytes)",
                client._client_id.decode(errors="replace"),  # noqa: SLF001 - paho has no public name for it
                packet,
                size,
            )


def heed_packet_size(client: Client) -> None:
    """Let a client leave a context out of packets that would be too large with it."""
    if "_send_publish" in vars(client):
        return
    # What the client holds must not hold the client: it would live until the garbage collector finds the two.
    reference = weakref.ref(client)
    packet_size = PacketSize()

    def handle_connack() -> MQTTErrorCode:
        alive = reference()
        if alive is None:
            return MQTTErrorCode.MQTT_ERR_NO_CONN
        packet_size.note_connack(alive)
        return type(alive)._handle_connack(alive)  # noqa: SLF001 - as below

    def send_publish(
        mid: int,
        topic: bytes,
        payload: bytes | bytearray = b"",
        qos: int = 0,
        retain: bool = False,
        dup: bool = False,
        info: MQTTMessageInfo | None = None,
        properties: Properties | None = None,
    ) -> MQTTErrorCode:
        alive = reference()
        if alive is None:
            return MQTTErrorCode.MQTT_ERR_NO_CONN
        properties = packet_size.fit(alive, topic, payload, qos, properties)
        return type(alive)._send_publish(alive, mid, topic, payload, qos, retain, dup, info, properties)  # noqa: SLF001 - as below

    client._handle_connack = handle_connack  # type: ignore[method-assign]  # noqa: SLF001 - paho offers no hook
    client._send_publish = send_publish  # type: ignore[method-assign]  # noqa: SLF001 - as above


def publish_size(topic: int, payload: int, qos: int, properties: int) -> int:
    """Bytes of a PUBLISH of MQTT 5 (section 3.3) with parts of these sizes; the properties begin with their length."""
    return _packet_size(2 + topic + (2 if qos else 0) + properties + payload)


def publish_311_size(topic: int, payload: int) -> int:
    """The same with MQTT 3.1.1 (section 3.3), for any QoS."""
    return _packet_size(2 + topic + 2 + payload)


def connect_size(client: Client, will_properties: Properties) -> int:
    """Bytes of the CONNECT of MQTT 5 (section 3.1) that a client with a will is about to send."""
    fixed = 2 + len("MQTT") + 1 + 1 + 2
    texts: list[bytes | bytearray] = [client._client_id, client._will_topic, client._will_payload]  # noqa: SLF001 - paho has no public names for all of these
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
