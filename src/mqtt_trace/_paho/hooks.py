"""Hooks on paho's methods, on one client or on a class.

A replacement is called with the client, the original method and the arguments of the call.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from functools import wraps
from typing import Any

from paho.mqtt.client import Client
from paho.mqtt.enums import MQTTErrorCode

Method = Callable[..., Any]
Replacement = Callable[..., Any]


def hook_client(client: Client, name: str, replacement: Replacement) -> None:
    """Replace a method of one client, unless it is already replaced."""
    if name in vars(client):
        return
    # The hook must not hold the client: only the garbage collector would free such a cycle.
    reference = weakref.ref(client)

    def hooked(*args: Any, **kwargs: Any) -> Any:
        alive = reference()
        if alive is None:
            return MQTTErrorCode.MQTT_ERR_NO_CONN
        return replacement(alive, getattr(type(alive), name), *args, **kwargs)

    setattr(client, name, hooked)


def hook_class(owner: type, name: str, replacement: Replacement) -> Method:
    """Replace a method of a class, which may be another library's wrapper, and return the new one."""
    original: Method = getattr(owner, name)

    @wraps(original)
    def hooked(self: Any, *args: Any, **kwargs: Any) -> Any:
        return replacement(self, original, *args, **kwargs)

    setattr(owner, name, hooked)
    return hooked
