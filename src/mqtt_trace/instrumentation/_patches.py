"""The methods of paho that instrumentation goes through."""

from __future__ import annotations

import logging
from collections.abc import Callable
from types import ModuleType
from typing import Any

import wrapt
from paho.mqtt.client import Client
from paho.mqtt.properties import Properties

from mqtt_trace.instrumentation import _aiomqtt, _publish, _receive, _will
from mqtt_trace.instrumentation._tracing import Tracing

Wrap = Callable[[Tracing, Any], Any]

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

_log = logging.getLogger(__name__)


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
            self._wrap(owner, name, wrap)
        # aiomqtt may be imported already, later, or never; we do not import it.
        wrapt.register_post_import_hook(self._install_in_aiomqtt, "aiomqtt")

    def remove(self) -> None:
        """Put back what was there; what another library has wrapped since stays in its hands, and traces no more."""
        self._tracing.close()
        for (owner, name), (before, wrapper) in self._replaced.items():
            if vars(owner)[name] is wrapper:
                setattr(owner, name, before)

    def _wrap(self, owner: type, name: str, wrap: Wrap) -> None:
        wrapper = wrap(self._tracing, getattr(owner, name))
        self._replaced[owner, name] = (vars(owner)[name], wrapper)
        setattr(owner, name, wrapper)

    def _install_in_aiomqtt(self, aiomqtt: ModuleType) -> None:
        """Called by the program's import. Version 3 has no such property: it is not built on paho."""
        try:
            owner: Any = getattr(aiomqtt, "Client", None)
            if self._tracing.active and isinstance(getattr(owner, "messages", None), property):
                self._wrap(owner, "messages", _aiomqtt.messages)
                self._tracing.queueing = (owner,)
        except Exception:
            _log.exception("messages of aiomqtt are not traced")
