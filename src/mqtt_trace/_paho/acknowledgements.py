"""PUBACK, PUBCOMP and refusals, read from paho itself and independent of the program's `on_publish`.

That callback also reports QoS 0 publishes, whose packet id may be that of a pending one. With callback API version 1 it
has no reason code, and `reinitialise` forgets it.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator
from typing import Any, Protocol

from paho.mqtt.client import Client
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from mqtt_trace._paho.compat import Feature, supports
from mqtt_trace._paho.hooks import Method, hook_client

_LISTENERS = "_mqtt_trace_listeners"
_HOOK = "_mqtt_trace_hook"

_lock = threading.Lock()


class Listener(Protocol):
    """An object that is called with each acknowledgement."""

    def acknowledge(self, packet_id: int, reason: ReasonCode | None) -> None:
        """Handle a PUBACK, a PUBCOMP or a refusal (MQTT 5, section 4.3); None is success."""


def listen(client: Client, listener: Listener) -> bool:
    """Report each acknowledgement of a client before its `on_publish`, for as long as the listener exists.

    Returns:
        Whether paho itself reports them; if not, call `listen_by_callback` before each publish.
    """
    with _lock:
        known: tuple[weakref.ref[Listener], ...] = vars(client).get(_LISTENERS, ())
        # A new tuple each time: paho's thread may iterate over the previous one.
        vars(client)[_LISTENERS] = (*(one for one in known if one() is not None), weakref.ref(listener))
    if not supports(client, Feature.ACKNOWLEDGEMENTS):
        return False
    # paho calls it when the broker has answered: never for QoS 0.
    hook_client(client, "_do_on_publish", _do_on_publish)
    return True


def listen_by_callback(client: Client) -> None:
    """Make the client's `on_publish`, which the program may have set in the meantime, call the listeners."""
    program = client.on_publish
    if hasattr(program, _HOOK):
        return
    reference = weakref.ref(client)

    def on_publish(self: Client, userdata: Any, packet_id: int, *more: Any) -> None:
        alive = reference()
        for listener in () if alive is None else _listeners(alive):
            listener.acknowledge(packet_id, more[0] if more else None)
        if program is not None:
            program(self, userdata, packet_id, *more)

    setattr(on_publish, _HOOK, True)
    client.on_publish = on_publish


def _do_on_publish(client: Client, original: Method, mid: int, reason_code: ReasonCode, properties: Properties) -> Any:
    # As paho does around `on_publish`: a publish in a callback is not written at once, in the middle of a read.
    with client._in_callback_mutex:  # noqa: SLF001 - see compat
        for listener in _listeners(client):
            listener.acknowledge(mid, reason_code)
    return original(client, mid, reason_code, properties)


def _listeners(client: Client) -> Iterator[Listener]:
    for reference in vars(client)[_LISTENERS]:
        listener = reference()
        if listener is not None:
            yield listener
