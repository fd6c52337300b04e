"""Paho's clients: how to recognize them, their client ids, and whose messages the program traces itself."""

from __future__ import annotations

import weakref
from typing import TypeGuard

from paho.mqtt.client import Client, MQTTMessage, MQTTv31, MQTTv311

from mqtt_trace._paho.compat import Feature, supports

WITHOUT_PROPERTIES = (MQTTv31, MQTTv311)
"""The versions of MQTT before 5."""

_CONSUMERS = "_mqtt_trace_consumers"


def is_paho(client: object) -> TypeGuard[Client]:
    """Whether it is a complete paho client; a mock of the class passes `isinstance`, too.

    False if a unit test had replaced the class when this module was imported, and for a subclass that did not call
    `Client.__init__`.
    """
    return isinstance(Client, type) and issubclass(type(client), Client) and hasattr(client, "on_publish")


def client_id_of(client: object) -> str:
    """The client id, which paho has no public name for; empty if the object has none."""
    client_id = getattr(client, "_client_id", None)
    if isinstance(client_id, bytes):
        return client_id.decode(errors="replace")
    return client_id if isinstance(client_id, str) else ""


def identity(client: Client) -> object:
    """A value that changes with host, port, client id or protocol; paho's properties cost several times as much."""
    try:
        return client._host, client._port, client._client_id, client._protocol  # noqa: SLF001 - see compat
    except AttributeError:  # another release of paho, or a mock, which is read each time
        return object()


def has_filtered_callback(client: Client, message: MQTTMessage) -> bool:
    """Whether a callback that was added for a topic filter gets the message."""
    return next(client._on_message_filtered.iter_match(message.topic), None) is not None  # noqa: SLF001 - see compat


def forget_ping(client: Client) -> None:
    """Make a client expect no PINGRESP, so that it keeps a connection on which one is still unread."""
    if supports(client, Feature.UNREAD_PINGRESP):
        client._ping_t = 0.0  # noqa: SLF001 - otherwise only a received PINGRESP resets it


def trace_explicitly(client: Client, consumer: object) -> None:
    """Leave the tracing of a client's messages to a consumer while that consumer exists."""
    vars(client).setdefault(_CONSUMERS, weakref.WeakSet()).add(consumer)


def is_traced_explicitly(client: Client) -> bool:
    """Whether a consumer traces the messages of a client."""
    return bool(vars(client).get(_CONSUMERS))
