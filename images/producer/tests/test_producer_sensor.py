"""Simulated readings."""

import itertools
import json
import random
import uuid

from mqtt_trace_producer.sensor import HIGHEST_CEL, LOWEST_CEL, Sensor

COUNT = 5000


def test_temperatures_vary_between_18_and_26() -> None:
    """Consecutive readings are close to each other, and many readings use the range without leaving it."""
    sensor = Sensor("sensor-001", random.Random(1))  # noqa: S311 - weather
    celsius = [sensor.read().celsius for _ in range(COUNT)]
    assert all(LOWEST_CEL <= value <= HIGHEST_CEL for value in celsius)
    assert all(abs(after - before) < 1 for before, after in itertools.pairwise(celsius))
    assert max(celsius) - min(celsius) > 2
    assert len(set(celsius)) > 100


def test_a_payload_has_exactly_the_four_keys() -> None:
    """The payload has the device, the reading, a UUID version 4 as message id, and the time in epoch seconds."""
    reading = Sensor("sensor-007", random.Random(2)).read()  # noqa: S311 - weather
    payload = json.loads(reading.payload())
    assert payload == {
        "device_id": "sensor-007",
        "reading": reading.celsius,
        "message_id": reading.message_id,
        "ts": reading.taken_at,
    }
    assert uuid.UUID(payload["message_id"]).version == 4
    assert payload["ts"] > 1_700_000_000


def test_no_two_readings_share_a_message_id() -> None:
    """Sensors with the same seed send messages with different ids."""
    ids = [
        Sensor("sensor-001", random.Random(3)).read().message_id  # noqa: S311 - weather
        for _ in range(100)
    ]
    assert len(set(ids)) == 100
