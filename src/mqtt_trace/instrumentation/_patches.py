"""The methods of paho that instrumentation goes through."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from paho.mqtt.client import Client
from paho.mqtt.properties import Properties

from mqtt_trace.instrumentation import _publish, _receive, _will
from mqtt_trace.instrumentation._tracing import Tracing

Wrap = Callable[[Tracing, Callable[..., Any]], Callable[..., Any]]

_WRAPS: dict[tuple[type, str], Wrap] = {
    (Client, "publish"): _publish.publish,
    (Client, "_handle_connack"): _publish.handle_connack,
    (Client, "_send_publish"): _publish.send_publish,
    (Client, "_do_on_publish"): _publish.do_on_publish,
    (Client, "_handle_pubackcomp"): _publish.handle_pubackcomp,
    (Client, "_handle_pubrec"): _publish.handle_pubrec,
    (Client, "_handle_on_message"): _receive.handle_on_message,
    (Client, "_easy_log"): _receive.easy_log,
    (Client, "_send_subscribe"): _receive.send_subscribe,
    (Client, "_send_unsubscribe"): _receive.send_unsubscribe,
    (Client, "_send_connect"): _will.send_connect,
    (Properties, "__init__"): _receive.init_properties,
    (Properties, "unpack"): _receive.unpack,
}
"""All of them attributes of classes: callbacks, which programs set and read, are not touched."""


class Patches:
    """Puts them in place, and takes them away again."""

    def __init__(self, tracing: Tracing) -> None:
        self._tracing = tracing
        self._replaced: dict[tuple[type, str], tuple[Any, Any]] = {}

    def install(self) -> None:
        """Wrap what is there, which may be another library's wrapper; of a mock there is nothing to wrap."""
        if not isinstance(Client, type):
            return  # type: ignore[unreachable]  # a unit test may have replaced the class
        for (owner, name), wrap in _WRAPS.items():
            wrapper = wrap(self._tracing, getattr(owner, name))
            self._replaced[owner, name] = (vars(owner)[name], wrapper)
            setattr(owner, name, wrapper)

    def remove(self) -> None:
        """Put back what was there; what another library has wrapped since stays in its hands, and traces no more."""
        self._tracing.close()
        for (owner, name), (before, wrapper) in self._replaced.items():
            if vars(owner)[name] is wrapper:
                setattr(owner, name, before)
