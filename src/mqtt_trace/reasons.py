"""Reason codes that decide what becomes of a publish (MQTT 5, section 2.4)."""

NO_MATCHING_SUBSCRIBERS = 0x10
"""The broker took the message, and nobody is there to receive it."""
REFUSED_FROM = 0x80
"""From here on the message was not accepted."""
