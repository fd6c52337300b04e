"""The private names of paho-mqtt that our features need, checked before a feature is used.

A release of paho may rename any of them. The program then still publishes and receives: the feature is left out, one
log line names it, and tracing that needs only paho's public API continues.
"""

from __future__ import annotations

import logging
import threading
from enum import Enum

import paho.mqtt
from paho.mqtt.client import Client

from mqtt_trace._guard import log

_log = logging.getLogger(__name__)


class Feature(Enum):
    """A feature, with the client attributes that it needs: methods, and attributes set by `Client.__init__`."""

    ACKNOWLEDGEMENTS = ("_do_on_publish", "_in_callback_mutex")
    PUBREC_REFUSALS = (
        "_do_on_publish",
        "_easy_log",
        "_handle_pubrec",
        "_in_packet",
        "_out_message_mutex",
        "_out_messages",
    )
    MAXIMUM_PACKET_SIZE = ("_handle_connack", "_in_packet", "_send_publish")
    FAST_PUBACK = (
        "_do_on_publish",
        "_easy_log",
        "_handle_pubackcomp",
        "_in_packet",
        "_out_message_mutex",
        "_out_messages",
    )
    UNREAD_PINGRESP = ("_ping_t",)
    INSTRUMENTATION = (
        "_client_id",
        "_connect_properties",
        "_do_on_publish",
        "_easy_log",
        "_handle_connack",
        "_handle_on_message",
        "_handle_pubrec",
        "_in_packet",
        "_on_message_filtered",
        "_password",
        "_send_connect",
        "_send_publish",
        "_send_subscribe",
        "_send_unsubscribe",
        "_username",
        "_will",
        "_will_payload",
        "_will_properties",
        "_will_qos",
        "_will_retain",
        "_will_topic",
    )


_WITHOUT = {
    Feature.ACKNOWLEDGEMENTS: "publish spans end with `on_publish`, which a program must set before it publishes",
    Feature.PUBREC_REFUSALS: "a refused QoS 2 publish counts as delivered",
    Feature.MAXIMUM_PACKET_SIZE: "a context may make a packet too large for the broker",
    Feature.UNREAD_PINGRESP: "a connection that pauses reading may end by paho's keep-alive check",
    Feature.INSTRUMENTATION: "paho-mqtt is not instrumented",
}
"""The log line for each feature; a feature that only saves time has none."""

_logged: set[Feature] = set()
_lock = threading.Lock()


def supports(client: Client, feature: Feature) -> bool:
    """Whether a client has every attribute that a feature needs; if not, one log line says what is missing."""
    missing = [name for name in feature.value if not hasattr(client, name)]
    if not missing:
        return True
    consequence = _WITHOUT.get(feature)
    with _lock:
        is_first = feature not in _logged
        _logged.add(feature)
    if is_first and consequence is not None:
        line = "paho-mqtt %s has no %s: %s"
        log(_log, logging.WARNING, line, paho.mqtt.__version__, ", ".join(missing), consequence)
    return False
