"""The methods of paho that instrumentation replaces."""

from __future__ import annotations

import logging
from functools import partial
from types import ModuleType
from typing import Any

import wrapt
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.properties import Properties

from mqtt_trace._paho.compat import Feature, supports
from mqtt_trace._paho.hooks import Replacement, hook_class
from mqtt_trace.instrumentation import _aiomqtt, _publish, _receive, _will
from mqtt_trace.instrumentation._tracing import Tracing

_REPLACEMENTS: dict[tuple[type, str], Replacement] = {
    (Client, "publish"): _publish.publish,
    (Client, "_handle_connack"): _publish.handle_connack,
    (Client, "_send_publish"): _publish.send_publish,
    (Client, "_do_on_publish"): _publish.do_on_publish,
    (Client, "_handle_pubrec"): _publish.handle_pubrec,
    (Client, "_handle_on_message"): _receive.handle_on_message,
    (Client, "_easy_log"): _receive.easy_log,
    (Client, "_send_subscribe"): _receive.send_subscribe,
    (Client, "_send_unsubscribe"): _receive.send_unsubscribe,
    (Client, "_send_connect"): _will.send_connect,
    (Properties, "__init__"): _receive.init_properties,
    (Properties, "unpack"): _receive.unpack,
}
"""All are attributes of classes; callbacks, which programs set and read, are not replaced."""

_FAST_PUBACK: dict[tuple[type, str], Replacement] = {(Client, "_handle_pubackcomp"): _publish.handle_pubackcomp}

_INHERITED = object()
"""Stands for a method of a base class, which the class itself does not have."""

_log = logging.getLogger(__name__)


class Patches:
    """Installs all replacements or none, and removes them."""

    def __init__(self, tracing: Tracing) -> None:
        self._tracing = tracing
        self._replaced: dict[tuple[type, str], tuple[Any, Any]] = {}

    def install(self) -> bool:
        """Replace the methods, which may be another library's wrappers; return whether that was possible.

        A mock has no methods to replace, and another release of paho may lack some.
        """
        if not isinstance(Client, type):
            return True  # type: ignore[unreachable]  # a unit test may have replaced the class
        client = Client(CallbackAPIVersion.VERSION2)
        if not supports(client, Feature.INSTRUMENTATION):
            return False
        replacements = {**_REPLACEMENTS, **(_FAST_PUBACK if supports(client, Feature.FAST_PUBACK) else {})}
        try:
            for (owner, name), replacement in replacements.items():
                self._replace(owner, name, partial(replacement, self._tracing))
        except Exception:
            self.remove()
            raise
        # aiomqtt may be imported before, later, or never; we do not import it.
        wrapt.register_post_import_hook(self._install_in_aiomqtt, "aiomqtt")
        return True

    def remove(self) -> None:
        """Restore the methods; a method that another library has wrapped since stays wrapped, but no longer traces."""
        self._tracing.close()
        for (owner, name), (before, wrapper) in self._replaced.items():
            if vars(owner).get(name) is not wrapper:
                continue
            if before is _INHERITED:
                delattr(owner, name)
            else:
                setattr(owner, name, before)

    def _replace(self, owner: type, name: str, replacement: Replacement) -> None:
        before = vars(owner).get(name, _INHERITED)
        self._replaced[owner, name] = (before, hook_class(owner, name, replacement))

    def _install_in_aiomqtt(self, aiomqtt: ModuleType) -> None:
        """Called when the program imports aiomqtt. Version 3 is not built on paho and has no such property."""
        try:
            owner: Any = getattr(aiomqtt, "Client", None)
            if self._tracing.active and isinstance(getattr(owner, "messages", None), property):
                before = vars(owner)["messages"]
                owner.messages = _aiomqtt.messages(self._tracing, owner.messages)
                self._replaced[owner, "messages"] = (before, owner.messages)
                self._tracing.queueing = (owner,)
        except Exception:
            _log.exception("messages of aiomqtt are not traced")
