"""A simulated temperature sensor."""

import json
import random
import time
import uuid
from dataclasses import dataclass

LOWEST_CEL = 18.0
HIGHEST_CEL = 26.0

_COMFORT_CEL = 22.0
_STEP_CEL = 0.15
_PULL = 0.02
"""Share of the distance to the comfortable temperature by which heating or cooling corrects between two readings."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One measurement.

    Attributes:
        device_id: Id of the device.
        celsius: The temperature.
        message_id: Id of its message, a UUID version 4.
        taken_at: Time of the measurement, in seconds since the epoch.
    """

    device_id: str
    celsius: float
    message_id: str
    taken_at: float

    def payload(self) -> bytes:
        """Return the JSON payload."""
        return json.dumps(
            {
                "device_id": self.device_id,
                "reading": self.celsius,
                "message_id": self.message_id,
                "ts": self.taken_at,
            }
        ).encode()


class Sensor:
    """Takes readings whose temperature varies within bounds, like that of a heated room."""

    def __init__(self, device_id: str, rng: random.Random) -> None:
        self._device_id = device_id
        self._rng = rng
        self._celsius = rng.uniform(LOWEST_CEL, HIGHEST_CEL)

    def read(self) -> Reading:
        """Take the next reading."""
        step = self._rng.gauss(0.0, _STEP_CEL) + (_COMFORT_CEL - self._celsius) * _PULL
        self._celsius = min(HIGHEST_CEL, max(LOWEST_CEL, self._celsius + step))
        return Reading(self._device_id, round(self._celsius, 2), str(uuid.uuid4()), round(time.time(), 3))
