"""Simulated readings."""

import itertools
import json
import random
import statistics
import time
import uuid

import pytest
from mqtt_trace_producer.sensor import Sensor
from mqtt_trace_service.scenario import Payload

COUNT = 5000


def read(payload: Payload, count: int = COUNT) -> list[float]:
    """The temperatures of a sensor's first readings."""
    sensor = Sensor("sensor-001", random.Random(1))  # noqa: S311 - weather
    return [sensor.read(payload).celsius for _ in range(count)]


def test_temperatures_vary_between_18_and_26() -> None:
    """By default, consecutive readings are close to each other, and many use the range without leaving it."""
    celsius = read(Payload())
    assert all(18 <= value <= 26 for value in celsius)
    assert all(abs(after - before) < 1 for before, after in itertools.pairwise(celsius))
    assert max(celsius) - min(celsius) > 2
    assert len(set(celsius)) > 100


def test_a_constant_stays() -> None:
    """All readings have the value."""
    assert set(read(Payload(distribution="constant", value=-3.5), 10)) == {-3.5}


def test_a_uniform_distribution_fills_its_range() -> None:
    """The readings lie in the range, and as many in each half of it."""
    celsius = read(Payload(distribution="uniform", min=0, max=100))
    assert all(0 <= value <= 100 for value in celsius)
    assert min(celsius) < 5
    assert max(celsius) > 95
    assert statistics.mean(celsius) == pytest.approx(50, abs=3)


def test_a_normal_distribution_has_its_mean_and_deviation() -> None:
    """Mean and standard deviation are the given ones."""
    celsius = read(Payload(distribution="normal", mean=40, standard_deviation=3))
    assert statistics.mean(celsius) == pytest.approx(40, abs=0.3)
    assert statistics.stdev(celsius) == pytest.approx(3, rel=0.1)


def test_a_walk_has_its_own_range_and_step() -> None:
    """A walk stays in its range, and its steps have the given size."""
    celsius = read(Payload(distribution="walk", min=-10, max=10, step=1))
    assert all(-10 <= value <= 10 for value in celsius)
    steps = [after - before for before, after in itertools.pairwise(celsius)]
    assert statistics.stdev(steps) == pytest.approx(1, rel=0.2)


def test_a_walk_goes_on_from_another_distribution() -> None:
    """A sensor whose distribution changes walks on from its last reading, within the new range."""
    sensor = Sensor("sensor-001", random.Random(1))  # noqa: S311 - weather
    sensor.read(Payload(distribution="constant", value=25))
    assert sensor.read(Payload()).celsius == pytest.approx(25, abs=1)
    assert sensor.read(Payload(min=30, max=40)).celsius == 30


def test_a_sine_follows_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A quarter of the period after the mean comes the highest reading, in every sensor."""
    payload = Payload(distribution="sine", mean=10, amplitude=5, period="1m")
    for now, celsius in {0: 10, 15: 15, 30: 10, 45: 5, 60: 10}.items():
        monkeypatch.setattr(time, "time", lambda now=now: float(now))
        assert read(payload, 1) == [celsius]


def test_padding_makes_a_payload_as_much_longer() -> None:
    """The padding is one more member of the given size."""
    reading = Sensor("sensor-007", random.Random(2)).read(Payload(padding=200))  # noqa: S311 - weather
    payload = json.loads(reading.payload())
    assert len(payload.pop("padding")) == 200
    assert len(payload) == 4


def test_a_payload_has_exactly_the_four_keys() -> None:
    """The payload has the device, the reading, a UUID version 4 as message id, and the time in epoch seconds."""
    reading = Sensor("sensor-007", random.Random(2)).read(Payload())  # noqa: S311 - weather
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
        Sensor("sensor-001", random.Random(3)).read(Payload()).message_id  # noqa: S311 - weather
        for _ in range(100)
    ]
    assert len(set(ids)) == 100
