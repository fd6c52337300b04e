"""The outcome of a publish."""

from __future__ import annotations

from typing import NamedTuple

from paho.mqtt.reasoncodes import ReasonCode

from mqtt_trace.reasons import REFUSED_FROM


class PublishOutcome(NamedTuple):
    """The outcome of a publish.

    Attributes:
        packet_id: Its packet id (MQTT 5, section 2.2.1); 0 if paho refused the message before assigning one.
        reason_code: The code of PUBACK, PUBREC or PUBCOMP (MQTT 5, section 2.4); 0 if there was none.
        error_type: None if the message was delivered, otherwise a reason code such as `0x87`, `timeout`, `closed`,
            `overflow`, or the name of paho's error.
        description: The error in words.
    """

    packet_id: int
    reason_code: int = 0
    error_type: str | None = None
    description: str = ""


def outcome_of(packet_id: int, reason: ReasonCode | None) -> PublishOutcome:
    """The outcome for a PUBACK, a PUBCOMP or a refusal; None means success."""
    if reason is None or reason.value < REFUSED_FROM:
        return PublishOutcome(packet_id, reason.value if reason else 0)
    return PublishOutcome(packet_id, reason.value, f"0x{reason.value:02x}", str(reason))
