"""Hearing of acknowledgements from paho itself, whatever a program makes of `on_publish`.

That callback is told of QoS 0 publishes, too, whose packet id may be that of a pending one. With callback API version 1
it is told no reason code, and `reinitialise` forgets it.
"""

from __future__ import annotations

import threading
import weakref

from paho.mqtt.client import Client
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from mqtt_trace._spans.pending import PendingSpans, PublishOutcome
from mqtt_trace.reasons import REFUSED_FROM

_HEARERS = "_mqtt_trace_hearers"

_lock = threading.Lock()


def hear_acknowledgements(client: Client, pending: PendingSpans) -> None:
    """Tell pending spans of each PUBACK, PUBCOMP or refusal before `on_publish`, for as long as they exist."""
    with _lock:
        known: tuple[weakref.ref[PendingSpans], ...] | None = vars(client).get(_HEARERS)
        # A new one each time: paho's thread may be going through the one before.
        vars(client)[_HEARERS] = (*(one for one in known or () if one() is not None), weakref.ref(pending))
        if known is None:
            _listen(client)


def outcome_of(packet_id: int, reason: ReasonCode | None) -> PublishOutcome:
    """What a PUBACK, PUBCOMP or refusal says of a publish."""
    if reason is None or reason.value < REFUSED_FROM:
        return PublishOutcome(packet_id, reason.value if reason else 0)
    return PublishOutcome(packet_id, reason.value, f"0x{reason.value:02x}", str(reason))


def _listen(client: Client) -> None:
    """Be called in place of `_do_on_publish`, which paho calls when the broker has answered: never for QoS 0."""
    # What the client holds must not hold the client: it would live until the garbage collector finds the two.
    reference = weakref.ref(client)

    def do_on_publish(mid: int, reason_code: ReasonCode, properties: Properties) -> MQTTErrorCode:
        alive = reference()
        if alive is None:
            return MQTTErrorCode.MQTT_ERR_NO_CONN
        outcome = outcome_of(mid, reason_code)
        # As paho around `on_publish`: what is published there is not written at once, in the midst of reading.
        with alive._in_callback_mutex:  # noqa: SLF001 - as below
            for hearer in vars(alive)[_HEARERS]:
                pending = hearer()
                if pending is not None:
                    pending.acknowledge(outcome)
        return type(alive)._do_on_publish(alive, mid, reason_code, properties)  # noqa: SLF001 - as below

    client._do_on_publish = do_on_publish  # type: ignore[method-assign]  # noqa: SLF001 - paho offers no hook
