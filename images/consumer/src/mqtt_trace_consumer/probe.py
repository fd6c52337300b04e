"""Probes: messages from the consumer to itself, which prove that readings can arrive.

A SUBACK is no proof: Mosquitto answers a SUBSCRIBE with success and then delivers only the messages that its ACL
allows. So the consumer publishes a probe to a topic that the filter matches, and is ready once the probe comes back. A
user property and an empty payload distinguish a probe from a reading. Probes expire quickly.
"""

from __future__ import annotations

from paho.mqtt.client import MQTTMessage
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

PROPERTY = "mqtt-trace-probe"


def probe_topic(topic_filter: str, client_id: str) -> str:
    """A topic that the filter matches: each wildcard becomes a level that names the client.

    `sensors/+/reading` becomes `sensors/_probe-<client id>/reading`. A filter without wildcards matches one topic only,
    so its probes go there, and other subscribers of the topic receive empty messages.
    """
    level = f"_probe-{client_id}"
    return "/".join(level if part in {"+", "#"} else part for part in topic_filter.split("/"))


def probe_properties(nonce: str, expiry_s: int) -> Properties:
    """PUBLISH properties of the probe with this nonce."""
    properties = Properties(PacketTypes.PUBLISH)
    properties.MessageExpiryInterval = expiry_s
    properties.UserProperty = (PROPERTY, nonce)
    return properties


def probe_nonce(message: MQTTMessage) -> str | None:
    """The nonce of a probe of any replica; None for any other message."""
    if message.payload:
        return None
    pairs = getattr(message.properties, "UserProperty", ())
    return next((value for name, value in pairs if name == PROPERTY), None)
