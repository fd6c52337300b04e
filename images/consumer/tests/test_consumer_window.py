"""Our own window limits memory, even if the broker ignores Receive Maximum."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from images.consumer.tests.answers import Hold
from images.consumer.tests.conftest import MakeConsumer
from images.consumer.tests.harness import OK, Answer, Consumer, Echo, ids, numbered, publish
from local.flooding_broker import FloodingBroker
from local.mosquitto import Mosquitto
from local.waiting import DEADLINE_S, until

MakeBroker = Callable[..., Mosquitto]

TOPIC = "sensors/sensor-001/reading"
FAULT = "the broker sends more than Receive Maximum"
KEEPALIVE_S = 2
WINDOW = {"RECEIVE_MAXIMUM": "8", "ECHO_CONCURRENCY": "4", "ECHO_TIMEOUT_S": "60", "MQTT_KEEPALIVE_S": str(KEEPALIVE_S)}
FULL = 8 + 1
"""The number of messages held from a broker that sends more: one more than the window."""
ANSWER_TIMEOUT_S = 10
"""After which a SUBACK or UNSUBACK is late, unless readings come before it."""
PINGS = ANSWER_TIMEOUT_S // KEEPALIVE_S + 1
"""The number of PINGREQs after which more than that time has passed."""


def flooded(consumer: Consumer) -> Consumer:
    """Start a consumer and return when its window is full."""
    consumer.start()
    consumer.wait_status(in_flight=FULL)
    return consumer


@contextmanager
def stopped(consumer: Consumer) -> Iterator[None]:
    """Begin to stop it before the block, and have it ended well after it."""
    with ThreadPoolExecutor(1) as thread:
        code = thread.submit(consumer.stop, timeout_s=DEADLINE_S)
        consumer.wait_said("stopping: ")
        yield
        assert code.result() == 0


def test_a_broker_that_sends_everything_at_once(make_consumer: MakeConsumer, echo: Echo) -> None:
    """The window is held, the connection stays, the consumer is ready without SUBACK, and one line names the fault."""
    hold = echo.answer = Hold()
    with FloodingBroker(TOPIC, numbered(800)) as broker:
        consumer = flooded(make_consumer(broker, **WINDOW))

        def has_waited_for_suback() -> bool:
            assert consumer.status.items() >= {"ready": True, "subscribed": False, "in_flight": FULL}.items()
            return broker.pings >= PINGS

        until(has_waited_for_suback, f"{PINGS} PINGREQs came")
        hold.released.set()
        until(
            lambda: consumer.status["in_flight"] <= FULL and consumer.status["processed"] == 800,
            "all readings are processed",
        )
        consumer.wait_status(ready=True, subscribed=True, in_flight=0)
        consumer.wait_said("ready: a probe")
        until(lambda: len(broker.acknowledged) >= 800, "all readings are acknowledged")
        assert broker.acknowledged == list(range(1, 801))
        assert (broker.connections, broker.expired) == (1, 0)
    assert len(consumer.said(FAULT)) == 1
    assert "more than Receive Maximum 8 (MQTT 5, section 3.3.4)" in consumer.said(FAULT)[0]
    assert not consumer.said("no SUBACK")
    assert not consumer.said("not ready")


def test_mosquitto_with_a_backlog(make_broker: MakeBroker, make_consumer: MakeConsumer, echo: Echo) -> None:
    """With an old Mosquitto and a new one only the window is held, and the log blames only the old one."""
    broker = make_broker()
    consumer = make_consumer(broker, RECEIVE_MAXIMUM="64", ECHO_TIMEOUT_S="60").start_ready()
    consumer.stop()
    publish(broker, TOPIC, *numbered(1_500))
    hold = Hold()

    def thirty(payload: bytes) -> Answer:
        return OK if echo.calls <= 30 else hold(payload)

    echo.answer = thirty
    consumer.start()
    until(lambda: hold.held == 16, "echo holds 16 calls")
    consumer.wait_until(lambda: consumer.status["in_flight"] >= 64)
    held = [consumer.status for _ in range(50)]
    assert all(status["ready"] for status in held)
    assert max(status["in_flight"] for status in held) <= 64 + 1
    hold.released.set()
    until(lambda: set(echo.ids) == ids(1_500), "echo has all readings")
    consumer.wait_status(ready=True, in_flight=0)
    assert len(consumer.said(FAULT)) == (Mosquitto.version() < (2, 0, 13))


def test_a_broker_that_leaves_while_nothing_is_read(make_consumer: MakeConsumer, echo: Echo) -> None:
    """A restart is noticed while echo hangs, and the new connection is read."""
    hold = echo.answer = Hold()
    with FloodingBroker(TOPIC, numbered(300)) as broker:
        consumer = flooded(make_consumer(broker, **WINDOW))
        broker.break_connections()
        until(lambda: broker.connections == 2, "it connected again")
        consumer.wait_status(ready=True, in_flight=FULL)
        assert broker.acknowledged == []
        hold.released.set()
        consumer.wait_status(in_flight=0, ready=True, subscribed=True)
        until(
            lambda: len(broker.acknowledged) >= 300, "all readings are acknowledged"
        )  # the last PUBACKs are on their way
        assert broker.acknowledged == list(range(1, 301))
    assert len(consumer.said(FAULT)) == 2
    assert len(consumer.said("closed while reading from it was paused")) == 1


def test_a_stop_acknowledges_what_was_begun(make_consumer: MakeConsumer, echo: Echo) -> None:
    """After SIGTERM while reading is paused, calls are finished, the session keeps the rest, and DISCONNECT is sent."""
    hold = echo.answer = Hold()
    with FloodingBroker(TOPIC, numbered(5_000)) as broker:
        consumer = flooded(make_consumer(broker, **WINDOW))
        until(lambda: hold.held == 4, "echo holds 4 calls")
        with stopped(consumer):
            hold.released.set()
        assert broker.disconnects == [0]
        assert broker.acknowledged == [1, 2, 3, 4]
    assert not consumer.said("stopped with")


def test_a_replica_that_leaves_works_off_what_was_sent(make_consumer: MakeConsumer, echo: Echo) -> None:
    """A replica waits for the UNSUBACK behind its readings, and its session ends when they are finished."""
    hold = echo.answer = Hold()
    with FloodingBroker(TOPIC, numbered(300)) as broker:
        consumer = flooded(make_consumer(broker, "consumer-1", MQTT_SHARE_GROUP="g", DRAIN_TIMEOUT_S="60", **WINDOW))
        with stopped(consumer):
            begun = broker.pings
            until(lambda: broker.pings > begun + PINGS, "the time for UNSUBACK has passed")
            hold.released.set()
        assert broker.disconnects == [0]
        assert broker.acknowledged == list(range(1, 301))
    assert not consumer.said("stopped with")


@pytest.mark.parametrize("poison", [{3}, {100, 101, 250}])
def test_a_dead_letter_does_not_deadlock(make_consumer: MakeConsumer, echo: Echo, poison: set[int]) -> None:
    """If a dead letter's PUBACK is behind readings without room, those are redelivered, and each is processed."""
    payloads = [b"poison" if number in poison else payload for number, payload in enumerate(numbered(300))]
    with FloodingBroker(TOPIC, payloads) as broker:
        consumer = make_consumer(broker, **WINDOW)
        consumer.start()
        most = 0

        def are_all_acknowledged() -> bool:
            nonlocal most
            most = max(most, consumer.status.get("in_flight", 0))
            return len(broker.acknowledged) >= 300

        until(are_all_acknowledged, "all readings are acknowledged", every_s=0)
        consumer.wait_status(ready=True, subscribed=True, in_flight=0)
        assert most <= FULL
        assert broker.acknowledged == list(range(1, 301))
        assert {payload for topic, payload in broker.published if topic == f"dead-letter/{TOPIC}"} == {b"poison"}
        # A PUBACK that comes before the window is full needs no redelivery.
        assert set(broker.disconnects) <= {0x93}
    assert set(echo.ids) == ids(300) - {str(number) for number in poison}
    assert not consumer.said("ERROR")
    assert not consumer.said("another client")
