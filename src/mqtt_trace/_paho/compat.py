"""The private names of paho-mqtt that our features need, checked before a feature is used.

A release of paho may rename any of them, or change what they are. The program then still publishes and receives: the
feature is left out, one log line names it, and tracing that needs only paho's public API continues.
"""

from __future__ import annotations

import inspect
import logging
import threading
from collections.abc import Callable
from enum import Enum
from functools import lru_cache
from typing import Any

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


_PARAMETERS: dict[str, tuple[str, ...]] = {
    "_do_on_publish": ("mid", "reason_code", "properties"),
    "_easy_log": ("level", "fmt", "args"),
    "_handle_connack": (),
    "_handle_on_message": ("message",),
    "_handle_pubackcomp": ("cmd",),
    "_handle_pubrec": (),
    "_send_connect": ("keepalive",),
    "_send_publish": ("mid", "topic", "payload", "qos", "retain", "dup", "info", "properties"),
    "_send_subscribe": ("dup", "topics", "properties"),
    "_send_unsubscribe": ("dup", "topics", "properties"),
}
"""The parameters of the methods that we replace or call."""

_ATTRIBUTES: dict[str, Callable[[Any], bool]] = {
    "_in_callback_mutex": lambda mutex: hasattr(mutex, "__enter__"),
    "_in_packet": lambda packet: isinstance(packet, dict) and "packet" in packet,
    "_on_message_filtered": lambda matcher: hasattr(matcher, "iter_match"),
    "_out_message_mutex": lambda mutex: hasattr(mutex, "__enter__"),
    "_out_messages": lambda messages: isinstance(messages, dict),
}
"""What we use of attributes that are objects."""

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
    """Whether a client has all that a feature needs, as we know it; if not, one log line says what is missing."""
    missing = [name for name in feature.value if not _has(client, name)]
    if not missing:
        return True
    consequence = _WITHOUT.get(feature)
    with _lock:
        is_first = feature not in _logged
        _logged.add(feature)
    if is_first and consequence is not None:
        line = "paho-mqtt %s has no %s that mqtt-trace knows: %s"
        log(_log, logging.WARNING, line, paho.mqtt.__version__, ", ".join(missing), consequence)
    return False


def _has(client: Client, name: str) -> bool:
    if not hasattr(client, name):
        return False
    if name in _PARAMETERS:
        return _takes(getattr(type(client), name, None), _PARAMETERS[name])
    return name not in _ATTRIBUTES or _ATTRIBUTES[name](getattr(client, name))


@lru_cache(maxsize=64)  # a fleet has thousands of clients
def _takes(method: object, names: tuple[str, ...]) -> bool:
    """Whether a method of a class has these parameters after `self`, or is a wrapper that accepts any."""
    if not callable(method):
        return False
    try:
        parameters = [*inspect.signature(method).parameters.values()]
    except (TypeError, ValueError):  # one that is not written in Python
        return False
    is_wrapper = any(one.kind is one.VAR_KEYWORD for one in parameters) or any(
        one.kind is one.VAR_POSITIONAL for one in parameters[:2]
    )
    return is_wrapper or tuple(one.name for one in parameters[1:]) == names
