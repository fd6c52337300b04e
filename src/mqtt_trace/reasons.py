"""Reason codes that decide the outcome of a publish (MQTT 5, section 2.4)."""

__all__ = ["NO_MATCHING_SUBSCRIBERS", "REFUSED_FROM"]

NO_MATCHING_SUBSCRIBERS = 0x10
"""The broker accepted the message, but nobody subscribes to its topic."""
REFUSED_FROM = 0x80
"""This code and all higher ones mean that the broker refused the message."""
