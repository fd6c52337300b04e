"""The whole consumer as a process, against a real broker."""

from __future__ import annotations

from collections.abc import Callable

from images.consumer.tests.conftest import MakeConsumer
from images.consumer.tests.harness import Echo, listening, publish, reading, wait_for
from local.mosquitto import Mosquitto

MakeBroker = Callable[..., Mosquitto]

POISON = [b"5", b"[1]", b"null", b'"x"', b"not JSON", b"\xff\xfe", b"", b'{"message_id": 5}', b"NaN", b"[" * 100_000]


def test_readings_reach_echo(make_broker: MakeBroker, make_consumer: MakeConsumer, echo: Echo) -> None:
    """Every reading is posted once, unchanged, and acknowledged; SIGTERM ends the process with 0."""
    broker = make_broker()
    consumer = make_consumer(broker).start_ready()
    payloads = [reading(str(number)) for number in range(200)]
    publish(broker, "sensors/sensor-001/reading", *payloads)
    consumer.wait_status(processed=200, in_flight=0)
    assert sorted(echo.accepted) == sorted(payloads)
    assert len(consumer.said("processed message on sensors/sensor-001/reading")) == 200
    assert consumer.stop() == 0


def test_poison_between_good_readings(make_broker: MakeBroker, make_consumer: MakeConsumer, echo: Echo) -> None:
    """Poison goes to the dead letters at once, and the readings around it are processed."""
    broker = make_broker()
    consumer = make_consumer(broker).start_ready()
    with listening(broker, "dead-letter/#") as dead_letters:
        for number, poison in enumerate(POISON):
            publish(
                broker, "sensors/sensor-001/reading", reading(f"before-{number}"), poison, reading(f"after-{number}")
            )
        consumer.wait_status(processed=2 * len(POISON), dead_lettered=len(POISON), in_flight=0)
        wait_for(lambda: len(dead_letters) == len(POISON))
    assert sorted(letter.payload for letter in dead_letters) == sorted(POISON)
    assert {letter.topic for letter in dead_letters} == {"dead-letter/sensors/sensor-001/reading"}
    assert echo.calls == 2 * len(POISON)
