"""The methods of paho's client that instrumentation goes through."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from paho.mqtt.client import Client

from mqtt_trace.instrumentation import _publish, _receive, _will
from mqtt_trace.instrumentation._tracing import Tracing

Wrap = Callable[[Tracing, Callable[..., Any]], Callable[..., Any]]

_WRAPS: dict[str, Wrap] = {
    "publish": _publish.publish,
    "_do_on_publish": _publish.do_on_publish,
    "_handle_pubrec": _publish.handle_pubrec,
    "_handle_on_message": _receive.handle_on_message,
    "_easy_log": _receive.easy_log,
    "_send_subscribe": _receive.send_subscribe,
    "_send_unsubscribe": _receive.send_unsubscribe,
    "_send_connect": _will.send_connect,
}
"""Of all clients, as attributes of the class: callbacks, which programs set and read, are not touched."""


class Patches:
    """Puts them in place, and takes them away again."""

    def __init__(self, tracing: Tracing) -> None:
        self._tracing = tracing
        self._replaced: dict[str, tuple[Any, Any]] = {}

    def install(self) -> None:
        """Wrap what is there, which may be another library's wrapper."""
        for name, wrap in _WRAPS.items():
            wrapper = wrap(self._tracing, getattr(Client, name))
            self._replaced[name] = (vars(Client)[name], wrapper)
            setattr(Client, name, wrapper)

    def remove(self) -> None:
        """Put back what was there; what another library has wrapped since stays in its hands, and traces no more."""
        self._tracing.close()
        for name, (before, wrapper) in self._replaced.items():
            if vars(Client)[name] is wrapper:
                setattr(Client, name, before)
