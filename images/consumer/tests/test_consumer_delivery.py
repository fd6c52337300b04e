"""At-least-once delivery: echo away, connections lost, processes killed."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Callable

import pytest

from images.consumer.tests.answers import Hold
from images.consumer.tests.conftest import MakeConsumer
from images.consumer.tests.harness import OK, Echo, ids, numbered, publish
from local.mosquitto import Mosquitto
from local.waiting import poll, until

MakeBroker = Callable[..., Mosquitto]

TOPIC = "sensors/sensor-001/reading"
ECHO_AWAY_S = float(os.environ.get("ECHO_AWAY_S", "3"))
"""Set it to 60 for the long version."""


def test_echo_away_pauses_and_nothing_is_given_up(
    make_broker: MakeBroker, make_consumer: MakeConsumer, echo: Echo
) -> None:
    """While echo is away, nothing is acknowledged and only the window is in flight; later all are processed."""
    broker = make_broker()
    consumer = make_consumer(broker).start_ready()
    echo.stop()
    publish(broker, TOPIC, *numbered(300))
    consumer.wait_status(paused=True, in_flight=64)
    back_at = time.monotonic() + ECHO_AWAY_S
    while time.monotonic() < back_at:
        assert consumer.status.items() >= {"ready": True, "paused": True, "processed": 0, "in_flight": 64}.items()
        time.sleep(0.1)
    echo.start()
    consumer.wait_status(paused=False, processed=300, dead_lettered=0, in_flight=0)
    assert Counter(echo.ids) == Counter(ids(300))
    assert len(consumer.said("paused: echo is unavailable")) == 1
    assert len(consumer.said("resumed: echo is back")) == 1


def test_a_reconnect_while_echo_is_away(make_broker: MakeBroker, make_consumer: MakeConsumer, echo: Echo) -> None:
    """Readings that waited for echo are redelivered on the new connection, and processed when echo is back."""
    broker = make_broker()
    consumer = make_consumer(broker, ECHO_CONCURRENCY="4").start_ready()
    echo.stop()
    publish(broker, TOPIC, *numbered(20))
    consumer.wait_status(paused=True, in_flight=20)
    broker.restart()
    consumer.wait_status(paused=True, in_flight=20 + 1)  # with the new connection's probe
    echo.start()
    consumer.wait_status(paused=False, processed=20, dead_lettered=0, in_flight=0)
    assert set(echo.ids) == ids(20)


@pytest.mark.parametrize("status", [429, 503])
def test_an_overloaded_echo_pauses(
    make_broker: MakeBroker, make_consumer: MakeConsumer, echo: Echo, status: int
) -> None:
    """Overload answers (429, 503) do not count as tries, so no reading is given up."""
    answers = [status] * 5
    echo.answer = lambda _: (answers.pop(), {"retry-after": "1"}) if answers else OK
    broker = make_broker()
    consumer = make_consumer(broker, ECHO_CONCURRENCY="4").start_ready()
    publish(broker, TOPIC, *numbered(20))
    consumer.wait_status(processed=20, dead_lettered=0, in_flight=0)
    assert f"echo answered {status}" in consumer.said("paused: ")[0]


def test_a_late_echo_pauses(make_broker: MakeBroker, make_consumer: MakeConsumer, echo: Echo) -> None:
    """Calls that time out are repeated, and no reading is lost."""
    hold = Hold()
    echo.answer = hold
    broker = make_broker()
    consumer = make_consumer(broker, ECHO_TIMEOUT_S="0.3").start_ready()
    publish(broker, TOPIC, *numbered(5))
    consumer.wait_status(paused=True)
    hold.released.set()
    consumer.wait_status(processed=5, dead_lettered=0, in_flight=0)
    assert set(echo.ids) == ids(5)


def test_a_reconnect_in_the_middle_of_processing(
    make_broker: MakeBroker, make_consumer: MakeConsumer, echo: Echo
) -> None:
    """The broker restarts while calls are under way: nothing is acknowledged before it is processed.

    So a consumer that is killed then, with other readings in progress, gets each of those again.
    """
    first = echo.answer = Hold()
    broker = make_broker()
    consumer = make_consumer(broker, ECHO_CONCURRENCY="32", ECHO_TIMEOUT_S="60").start_ready()
    publish(broker, TOPIC, *numbered(16, "first-"))
    until(lambda: first.held == 16, "echo holds 16 calls")
    broker.restart()
    until(lambda: first.held == 32, "echo holds the same readings again")  # they have come again, on the new connection
    second = echo.answer = Hold()
    publish(broker, TOPIC, *numbered(32, "second-"))
    consumer.wait_status(in_flight=16 + 1 + 32)  # one is a probe, whose turn to be acknowledged comes after the first
    first.released.set()
    until(lambda: second.held == 32, "echo holds the readings of the new connection")
    consumer.wait_status(in_flight=32)
    consumer.kill()
    second.released.set()
    until(
        lambda: len(echo.accepted) == 16 + 16 + 32, "echo has answered all calls"
    )  # the publisher was gone before the last ones
    echo.answer = lambda _: OK
    echo.accepted.clear()
    consumer.start_ready()
    until(lambda: set(echo.ids) >= ids(32, "second-"), "echo has all later readings")


def test_a_late_answer_does_not_acknowledge_another_reading(
    make_broker: MakeBroker, make_consumer: MakeConsumer, echo: Echo
) -> None:
    """No reading is lost when a broker that lost the session reuses its packet ids."""
    old = echo.answer = Hold()
    broker = make_broker()
    consumer = make_consumer(broker, ECHO_TIMEOUT_S="60").start_ready()
    publish(broker, TOPIC, *numbered(4, "old-"))
    until(lambda: old.held == 4, "echo holds 4 old readings")
    broker.kill()
    broker.start()
    until(lambda: len(consumer.said("ready: a probe")) == 2, "a probe came back on the second connection")
    new = echo.answer = Hold()
    publish(broker, TOPIC, *numbered(4, "new-"))
    until(lambda: new.held == 4, "echo holds 4 new readings")
    old.released.set()
    until(lambda: consumer.status["processed"] == 4, "4 readings are processed")
    assert consumer.status["in_flight"] == 4
    consumer.kill()
    new.released.set()
    until(
        lambda: len(echo.accepted) == 4 + 4, "echo has answered all calls"
    )  # the publisher was gone before the last ones
    echo.answer = lambda _: OK
    echo.accepted.clear()
    consumer.start_ready()
    until(lambda: set(echo.ids) >= ids(4, "new-"), "echo has all new readings")


def test_a_killed_consumer_receives_unfinished_readings_again(
    make_broker: MakeBroker, make_consumer: MakeConsumer, echo: Echo
) -> None:
    """After SIGKILL, every reading that echo had not accepted is delivered again."""
    hold = Hold(only="20")
    echo.answer = hold
    broker = make_broker()
    consumer = make_consumer(broker).start_ready()
    publish(broker, TOPIC, *numbered(200))
    until(lambda: hold.held == 1, "echo holds a call")
    until(lambda: "21" in echo.ids, "echo has reading 21")  # behind the one that is held, so it is not acknowledged
    consumer.kill()
    hold.released.set()
    until(lambda: "20" in echo.ids, "echo has reading 20")  # the publisher was gone before it
    echo.answer = lambda _: OK
    echo.accepted.clear()
    consumer.start_ready()
    until(lambda: set(echo.ids) >= ids(200) - ids(20), "echo has all later readings")
    consumer.wait_status(in_flight=0)


def test_a_reading_is_acknowledged_after_its_dead_letter(
    make_broker: MakeBroker, make_consumer: MakeConsumer, echo: Echo
) -> None:
    """A reading stays in flight until the broker acknowledges its dead letter."""
    hold = echo.answer = Hold(status=500)
    broker = make_broker()
    consumer = make_consumer(broker, ECHO_MAX_TRIES="1").start_ready()
    publish(broker, TOPIC, *numbered(1))
    until(lambda: hold.held == 1, "echo holds a call")
    os.kill(broker.pid, signal.SIGSTOP)
    try:
        hold.released.set()
        assert not poll(lambda: consumer.status["in_flight"] == 0, 2)
        assert consumer.status.items() >= {"in_flight": 1, "dead_lettered": 0}.items()
    finally:
        os.kill(broker.pid, signal.SIGCONT)
    consumer.wait_status(in_flight=0, dead_lettered=1)


def test_readings_wait_for_a_consumer_that_is_down(
    make_broker: MakeBroker, make_consumer: MakeConsumer, echo: Echo
) -> None:
    """Readings sent between SIGTERM and the next start are processed after that start."""
    broker = make_broker()
    consumer = make_consumer(broker).start_ready()
    assert consumer.stop() == 0
    publish(broker, TOPIC, *numbered(150))
    assert not echo.accepted
    consumer.start_ready()
    consumer.wait_status(processed=150, in_flight=0)
    assert Counter(echo.ids) == Counter(ids(150))


def test_a_broker_that_restarts_under_load(make_broker: MakeBroker, make_consumer: MakeConsumer, echo: Echo) -> None:
    """Every acknowledged publish is processed at least once, over two restarts of the broker."""
    broker = make_broker()
    consumer = make_consumer(broker).start_ready()
    for restart in range(3):
        publish(broker, TOPIC, *numbered(500, f"{restart}-"))
        if restart < 2:
            broker.restart()
    expected = ids(500, "0-") | ids(500, "1-") | ids(500, "2-")
    until(lambda: set(echo.ids) == expected, "echo has all readings")
    consumer.wait_status(ready=True, in_flight=0, dead_lettered=0)


def test_an_unreachable_broker_is_logged_once_and_waited_for(
    make_broker: MakeBroker, make_consumer: MakeConsumer
) -> None:
    """Without a broker the consumer runs, is not ready, logs why once, and connects when the broker is up."""
    broker = make_broker()
    broker.stop()
    consumer = make_consumer(broker)
    consumer.start()
    consumer.wait_said("not connected to")
    assert not poll(lambda: len(consumer.said("not connected to")) > 1, 3)
    assert consumer.status["ready"] is False
    broker.start()
    consumer.wait_status(ready=True)
