"""A simulated temperature sensor."""

import json
import math
import random
import time
import uuid
from dataclasses import dataclass

from mqtt_trace_service.scenario import Payload, to_seconds

_PULL = 0.02
"""Share of the distance to the middle of its range by which `walk` returns between two readings, as a heated room."""

_USUAL = Payload()


@dataclass(frozen=True, slots=True)
class Reading:
    """One measurement.

    Attributes:
        device_id: Id of the device.
        celsius: The temperature.
        message_id: Id of its message, a UUID version 4.
        taken_at: Time of the measurement, in seconds since the epoch.
        padding: Bytes of the additional member `padding`.
    """

    device_id: str
    celsius: float
    message_id: str
    taken_at: float
    padding: int = 0

    def payload(self) -> bytes:
        """Return the JSON payload."""
        members: dict[str, object] = {
            "device_id": self.device_id,
            "reading": self.celsius,
            "message_id": self.message_id,
            "ts": self.taken_at,
        }
        if self.padding:
            members["padding"] = "x" * self.padding
        return json.dumps(members).encode()


class Sensor:
    """Takes readings whose temperature varies as a payload's distribution says."""

    def __init__(self, device_id: str, rng: random.Random) -> None:
        self._device_id = device_id
        self._rng = rng
        self._celsius: float | None = None

    def read(self, payload: Payload = _USUAL) -> Reading:
        """Take the next reading."""
        now = time.time()
        self._celsius = self._measure(payload, now)
        return Reading(self._device_id, round(self._celsius, 2), str(uuid.uuid4()), round(now, 3), payload.padding)

    def _measure(self, payload: Payload, now: float) -> float:
        match payload.distribution:
            case "constant":
                return payload.value
            case "uniform":
                return self._rng.uniform(payload.min, payload.max)
            case "normal":
                return self._rng.gauss(payload.mean, payload.standard_deviation)
            case "walk":
                return self._walk(payload)
            case "sine":
                return payload.mean + payload.amplitude * math.sin(math.tau * now / to_seconds(payload.period))

    def _walk(self, payload: Payload) -> float:
        """Continue from the last reading, whatever its distribution was."""
        last = self._rng.uniform(payload.min, payload.max) if self._celsius is None else self._celsius
        step = self._rng.gauss(0.0, payload.step) + ((payload.min + payload.max) / 2 - last) * _PULL
        return min(payload.max, max(payload.min, last + step))
