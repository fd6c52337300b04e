"""Paho's clients: which objects are some, what they are called, and which of their messages a program traces itself."""

from __future__ import annotations

import weakref
from typing import TypeGuard

from paho.mqtt.client import Client, MQTTMessage, MQTTv31, MQTTv311

from mqtt_trace._paho.compat import Feature, supports

WITHOUT_PROPERTIES = (MQTTv31, MQTTv311)
"""The versions of MQTT before 5."""

_CONSUMERS = "_mqtt_trace_consumers"


def is_paho(client: object) -> TypeGuard[Client]:
    """Whether it is a client of paho's, with all that makes one: a mock of the class says that it is an instance.

    None is where this module was first imported while a unit test had the class itself replaced, nor where a subclass
    did not call `Client.__init__`.
    """
    return isinstance(Client, type) and issubclass(type(client), Client) and hasattr(client, "on_publish")


def client_id_of(client: object) -> object:
    """The client id, which paho has no public name for; None if the object has none."""
    return getattr(client, "_client_id", None)


def identity(client: Client) -> object:
    """Something that changes with host, port, client id or protocol; paho's properties cost several times as much."""
    try:
        return client._host, client._port, client._client_id, client._protocol  # noqa: SLF001 - see compat
    except AttributeError:  # another release of paho, or a stand-in for a client, which is asked each time
        return object()


def has_filtered_callback(client: Client, message: MQTTMessage) -> bool:
    """Whether a callback that was added for a topic filter gets the message."""
    return next(client._on_message_filtered.iter_match(message.topic), None) is not None  # noqa: SLF001 - see compat


def forget_ping(client: Client) -> None:
    """Have a client wait for no PINGRESP, so that it does not give up a connection on which one lies unread."""
    if supports(client, Feature.UNREAD_PINGRESP):
        client._ping_t = 0.0  # noqa: SLF001 - only a PINGRESP that is read resets it


def trace_explicitly(client: Client, consumer: object) -> None:
    """Leave the messages of a client to a consumer, for as long as that exists."""
    vars(client).setdefault(_CONSUMERS, weakref.WeakSet()).add(consumer)


def is_traced_explicitly(client: Client) -> bool:
    """Whether the messages of a client are left to a consumer."""
    return bool(vars(client).get(_CONSUMERS))
