"""When a message was sent: MQTT has no property for it, but CloudEvents does."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

_LONGEST_TIME = 64
"""Characters; a publisher may send 64 KiB."""


def read_time(user_properties: Sequence[Any]) -> float | None:
    """The `time` of an event in CloudEvents' binary mode (its MQTT binding, section 3.1), in seconds since the epoch.

    None unless the message says, by `specversion`, that it is one, and has one valid time (RFC 3339).
    """
    values = {"specversion": "", "time": ""}
    for name, value in user_properties:
        if name in values:
            if values[name]:
                return None
            values[name] = value
    time = values["time"]
    if not values["specversion"] or not time or len(time) > _LONGEST_TIME:
        return None
    try:
        moment = datetime.fromisoformat(time)
        return None if moment.tzinfo is None else moment.timestamp()
    except (ValueError, OverflowError):
        return None
