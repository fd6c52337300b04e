"""A consumer that stops: readings in progress, its session, and the readings of other replicas."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable

from images.consumer.tests.answers import Hold, slowly
from images.consumer.tests.conftest import MakeConsumer
from images.consumer.tests.harness import Consumer, Echo, ids, numbered, publish
from images.consumer.tests.sessions import session_present
from local.mosquitto import Mosquitto
from local.waiting import until

MakeBroker = Callable[..., Mosquitto]

TOPIC = "sensors/sensor-001/reading"


def test_sigterm_finishes_what_is_in_progress(make_broker: MakeBroker, make_consumer: MakeConsumer, echo: Echo) -> None:
    """After SIGTERM the current call is finished and acknowledged; the other readings follow at the next start."""
    hold = Hold()
    echo.answer = hold
    broker = make_broker()
    consumer = make_consumer(broker, ECHO_CONCURRENCY="2").start_ready()
    publish(broker, TOPIC, *numbered(20))
    until(lambda: hold.held == 2, "echo holds 2 calls")
    stopping = threading.Thread(target=consumer.stop)
    stopping.start()
    consumer.wait_said("stopping: ")
    hold.released.set()
    stopping.join()
    assert len(echo.accepted) == 2
    consumer.start_ready()
    consumer.wait_status(processed=18, in_flight=0)
    assert Counter(echo.ids) == Counter(ids(20))


def test_sigterm_does_not_wait_for_an_echo_that_is_away(
    make_broker: MakeBroker, make_consumer: MakeConsumer, echo: Echo
) -> None:
    """With echo away, SIGTERM ends the consumer at once with exit code 0, because the session keeps the readings."""
    broker = make_broker()
    consumer = make_consumer(broker, DRAIN_TIMEOUT_S="3600").start_ready()
    echo.stop()
    publish(broker, TOPIC, *numbered(5))
    consumer.wait_status(paused=True)
    assert consumer.stop() == 0


def test_replicas_share_the_readings_and_one_leaves(
    make_broker: MakeBroker, make_consumer: MakeConsumer, echo: Echo
) -> None:
    """Replicas process each reading once, and a scale-down meanwhile loses none and leaves no session behind."""
    echo.answer = slowly
    broker = make_broker()
    first = make_consumer(broker, "consumer-0", MQTT_SHARE_GROUP="g")
    second = make_consumer(broker, "consumer-1", MQTT_SHARE_GROUP="g", RECEIVE_MAXIMUM="4")
    first.start_ready()
    second.start_ready()
    publish(broker, TOPIC, *numbered(400, "before-"))
    until(lambda: second.status["processed"] > 0 and first.status["processed"] > 0, "both process readings")
    assert second.status["in_flight"] > 0
    sender = threading.Thread(target=publish, args=(broker, TOPIC, *numbered(300, "during-")))
    sender.start()
    assert second.stop() == 0
    sender.join()
    publish(broker, TOPIC, *numbered(50, "after-"))
    expected = ids(400, "before-") | ids(300, "during-") | ids(50, "after-")
    until(lambda: set(echo.ids) == expected, "echo has all readings")
    first.wait_status(in_flight=0, dead_lettered=0)
    assert Counter(echo.ids) == Counter(expected)
    assert not second.said("stopped with")
    assert not session_present(broker, "consumer-1")


def test_a_replica_that_cannot_drain_keeps_its_session(
    make_broker: MakeBroker, make_consumer: MakeConsumer, echo: Echo
) -> None:
    """With echo away during a scale-down, the replica's readings stay in its session, and a log line says so."""
    broker = make_broker()
    consumer = make_consumer(broker, "consumer-1", MQTT_SHARE_GROUP="g", DRAIN_TIMEOUT_S="1").start_ready()
    echo.stop()
    publish(broker, TOPIC, *numbered(100))
    consumer.wait_status(paused=True, in_flight=64)
    assert consumer.stop() == 0
    assert "the session of consumer-1 keeps them" in consumer.said("stopped with 64 readings not acknowledged")[0]
    echo.start()
    consumer.start_ready()
    until(lambda: set(echo.ids) == ids(100), "echo has all readings")


def test_a_replica_waits_for_echo_before_it_leaves(
    make_broker: MakeBroker, make_consumer: MakeConsumer, echo: Echo
) -> None:
    """If echo comes back within the drain time-out, no reading is left in the replica's session."""
    broker = make_broker()
    consumer = make_consumer(broker, "consumer-1", MQTT_SHARE_GROUP="g", DRAIN_TIMEOUT_S="60").start_ready()
    echo.stop()
    publish(broker, TOPIC, *numbered(20))
    consumer.wait_status(paused=True, in_flight=20)
    stopping = threading.Thread(target=consumer.stop)
    stopping.start()
    consumer.wait_said("stopping: ")
    echo.start()
    stopping.join()
    assert set(echo.ids) == ids(20)
    assert not session_present(broker, "consumer-1")


def replica_without_broker(
    make_broker: MakeBroker, make_consumer: MakeConsumer, *, drain_s: int
) -> tuple[Mosquitto, Consumer]:
    """A stopped broker, and a replica that has noticed."""
    broker = make_broker()
    consumer = make_consumer(broker, "consumer-1", MQTT_SHARE_GROUP="g", DRAIN_TIMEOUT_S=str(drain_s)).start_ready()
    broker.stop()
    until(lambda: bool(consumer.said("not connected to")), "the consumer noticed")
    return broker, consumer


def hold_that_it_leaves_when_the_broker_is_back(broker: Mosquitto, consumer: Consumer) -> None:
    """Stop a replica without a connection, start the broker, and check that no session is left."""
    stopping = threading.Thread(target=consumer.stop)
    stopping.start()
    consumer.wait_said("stopping: ")
    broker.start()
    stopping.join()
    assert not consumer.said("stopped with")
    assert not session_present(broker, "consumer-1")


def test_a_replica_without_a_connection_leaves_on_the_next(
    make_broker: MakeBroker, make_consumer: MakeConsumer
) -> None:
    """It waits for the broker before it goes: its session would go on getting a share of the readings."""
    broker, consumer = replica_without_broker(make_broker, make_consumer, drain_s=60)
    hold_that_it_leaves_when_the_broker_is_back(broker, consumer)


def test_a_replica_that_loses_its_connection_while_it_leaves_finishes_on_the_next(
    make_broker: MakeBroker, make_consumer: MakeConsumer, echo: Echo
) -> None:
    """Unacknowledged readings are redelivered to the same replica and processed before its session ends."""
    hold = Hold()
    echo.answer = hold
    broker = make_broker(config=["log_type all"])
    consumer = make_consumer(
        broker, "consumer-1", MQTT_SHARE_GROUP="g", ECHO_CONCURRENCY="1", DRAIN_TIMEOUT_S="20"
    ).start_ready()
    publish(broker, TOPIC, *numbered(8))
    consumer.wait_status(in_flight=8)
    stopping = threading.Thread(target=consumer.stop)
    stopping.start()
    until(lambda: "Received UNSUBSCRIBE from consumer-1" in broker.log, "the broker has the UNSUBSCRIBE")
    broker.stop()
    consumer.wait_said("not connected to")
    hold.released.set()
    broker.start()
    stopping.join()
    assert set(echo.ids) == ids(8)
    assert not consumer.said("stopped with")
    assert not session_present(broker, "consumer-1")


def test_a_replica_that_never_subscribed_leaves_at_once(make_broker: MakeBroker, make_consumer: MakeConsumer) -> None:
    """A replica stopped before its first connection ends its session on that one, well within the drain time-out."""
    broker = make_broker()
    broker.stop()
    consumer = make_consumer(broker, "consumer-1", MQTT_SHARE_GROUP="g", DRAIN_TIMEOUT_S="20")
    consumer.start()
    consumer.wait_said("not connected to")
    hold_that_it_leaves_when_the_broker_is_back(broker, consumer)


def test_a_replica_that_cannot_leave_says_what_its_session_gets(
    make_broker: MakeBroker, make_consumer: MakeConsumer
) -> None:
    """A replica without a connection during the drain time-out logs that it is still subscribed."""
    _, consumer = replica_without_broker(make_broker, make_consumer, drain_s=1)
    assert consumer.stop() == 0
    assert "still subscribed" in consumer.said("stopped with 0 readings not acknowledged")[0]


def test_ordinal_0_keeps_its_session(make_broker: MakeBroker, make_consumer: MakeConsumer, echo: Echo) -> None:
    """Readings of a shared subscription wait while no replica runs."""
    broker = make_broker()
    consumer = make_consumer(broker, "consumer-0", MQTT_SHARE_GROUP="g").start_ready()
    assert consumer.stop() == 0
    publish(broker, TOPIC, *numbered(20))
    consumer.start_ready()
    until(lambda: set(echo.ids) == ids(20), "echo has all readings")
