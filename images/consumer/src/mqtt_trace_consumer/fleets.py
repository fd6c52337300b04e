"""The fleets that readings come from."""

from __future__ import annotations

import re

OTHER = "_OTHER"
"""Stands for the fleets beyond the limit, as the semantic conventions have it for `error.type`."""

_MOST_FLEETS = 100
"""A metric has a series for each fleet, and any publisher may invent device ids."""

_SENSOR_OF_FLEET = re.compile(r"[a-z0-9-]{1,63}\.(?P<fleet>[a-z0-9][a-z0-9.-]{0,252})-[0-9]{5,}", re.ASCII)
"""Id of a SensorFleet's sensor, `<namespace>.<fleet>-00042`."""


class Fleets:
    """Finds `fleet.id` of a device, which a message has only as part of its device id."""

    def __init__(self) -> None:
        self._known: set[str] = set()

    def find(self, device_id: str | None) -> str | None:
        """The fleet of a sensor, `OTHER` beyond the first hundred fleets, and None for a device without a fleet."""
        match = _SENSOR_OF_FLEET.fullmatch(device_id or "")
        if match is None:
            return None
        fleet = match["fleet"]
        if fleet not in self._known:
            if len(self._known) >= _MOST_FLEETS:
                return OTHER
            self._known.add(fleet)
        return fleet
