"""A broker that is unreachable, or that refuses connections or readings."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from images.producer.tests.conftest import StartProducer
from images.producer.tests.producer_harness import Listener, Producer
from local.mosquitto import Mosquitto
from local.ports import HOST, free_port
from local.waiting import until

MakeBroker = Callable[..., Mosquitto]

NOT_AUTHORIZED = "0x87 Not authorized"


def has_published(producer: Producer, count: int) -> bool:
    """Whether the broker has acknowledged at least `count` readings."""
    return producer.figures()["published"] >= count


def has_connected(producer: Producer, times: int) -> bool:
    """Whether the log has the line about all devices being connected `times` times."""
    return len(producer.lines("20 of 20 devices connected")) == times


def dropped(producer: Producer) -> int:
    """The number of dropped readings."""
    return producer.figures()["dropped"]


def test_nothing_is_lost_when_the_broker_restarts(make_broker: MakeBroker, start_producer: StartProducer) -> None:
    """Every reading is published and arrives, and each change of state is one line."""
    broker = make_broker()
    with Listener(broker) as listener:
        producer = start_producer(broker.port, DEVICE_COUNT=20, PUBLISH_INTERVAL_S=0.1, DRAIN_TIMEOUT_S=60)
        producer.wait_ready()
        for restarts in (1, 2):
            until(partial(has_published, producer, restarts * 200), "readings")
            broker.stop()
            until(lambda: producer.figures()["buffered"] >= 100, "readings that wait")
            broker.start()
            until(partial(has_connected, producer, 1 + restarts), "all devices to be back")
        assert producer.stop(timeout_s=90) == 0

        ids = set(producer.published())
        assert producer.final_counts() == (len(ids), 0, 0)
        until(lambda: ids <= listener.message_ids, "every published reading")
        assert listener.message_ids == ids
    assert len(producer.lines("devices waiting; retrying")) == 2
    assert len(producer.lines("broker ")) == 5


def test_the_backlog_is_sent_before_new_readings(make_broker: MakeBroker, start_producer: StartProducer) -> None:
    """A device's readings arrive in the order of their measurement, despite an outage."""
    broker = make_broker()
    with Listener(broker) as listener:
        producer = start_producer(broker.port)
        until(lambda: len(listener.messages) >= 10, "readings")
        broker.stop()
        until(lambda: producer.figures()["buffered"] >= 50, "readings that wait")
        broker.start()
        until(lambda: len(listener.messages) >= 100, "the backlog and more")
        first_arrivals = dict.fromkeys(reading["ts"] for reading in listener.readings())
    assert list(first_arrivals) == sorted(first_arrivals)


def test_a_full_buffer_drops_its_oldest_readings_and_logs_it_once(
    make_broker: MakeBroker, start_producer: StartProducer
) -> None:
    """The outage is two lines, with totals, and the newest readings arrive afterwards."""
    broker = make_broker()
    with Listener(broker) as listener:
        producer = start_producer(broker.port, DEVICE_BUFFER_READINGS=5)
        until(lambda: len(listener.messages) >= 10, "readings")
        broker.stop()
        stopped = time.time()
        until(lambda: dropped(producer) >= 30, "readings that were dropped")
        kept_from = time.time() - 30 * 0.05
        until(lambda: dropped(producer) >= 60, "more")
        assert producer.figures()["buffered"] <= 5 + 10
        broker.start()
        line = producer.wait_line("backlog sent")
        assert producer.stop() == 0
        until(lambda: set(producer.published()) <= listener.message_ids, "every published reading")
        arrived = [reading["ts"] for reading in listener.readings()]
    assert line == f"backlog sent; dropped meanwhile: {producer.final_counts().dropped} readings of 1 device"
    assert producer.lines("buffers are full") == ["buffers are full, the oldest readings are dropped: 1 device so far"]
    # Of the first half of the outage, at most one reading was kept: one that was in flight when it began.
    assert len([moment for moment in arrived if stopped < moment < kept_from]) <= 1


def test_an_unreachable_broker_is_logged_once_and_connected_to_later(
    make_broker: MakeBroker, start_producer: StartProducer
) -> None:
    """The producer starts without a broker, logs this once, and later delivers the readings of that time."""
    port = free_port()
    producer = start_producer(port, DEVICE_COUNT=3)
    line = producer.wait_line("retrying")
    assert line.startswith(f"broker {HOST}:{port}: ConnectionRefusedError: ")
    assert line.endswith(", 3 of 3 devices waiting; retrying")
    figures = producer.figures()
    assert (figures["ready"], figures["devices"], figures["connected"]) == (False, 3, 0)
    until(lambda: producer.figures()["buffered"] >= 100, "readings that wait")

    make_broker(port=port)
    producer.wait_ready()
    until(lambda: has_published(producer, 150), "the backlog to be published")
    assert producer.stop() == 0
    assert producer.lines("broker ") == [line, f"broker {HOST}:{port}: 3 of 3 devices connected"]
    assert producer.final_counts().dropped == 0


def test_a_wrong_password_is_logged_with_the_brokers_reason(
    make_broker: MakeBroker, start_producer: StartProducer
) -> None:
    """The log line has the reason of the CONNACK."""
    broker = make_broker(users={"producer": "right"})
    producer = start_producer(broker.port, MQTT_USERNAME="producer", MQTT_PASSWORD="wrong", DRAIN_TIMEOUT_S=0)  # noqa: S106 - of this test
    line = producer.wait_line("retrying")
    assert line == (
        f"broker {HOST}:{broker.port}: the broker refused the connection: Not authorized, "
        "1 of 1 device waiting; retrying"
    )
    assert producer.stop() == 0
    assert producer.lines("broker ") == [line]
    assert "wrong" not in producer.output()


@pytest.mark.parametrize("qos", [1, 2])
def test_refused_readings_are_counted_and_logged_once(
    make_broker: MakeBroker, start_producer: StartProducer, tmp_path: Path, qos: int
) -> None:
    """A reading whose PUBACK or PUBREC has an error is neither counted as published nor sent again."""
    broker = make_broker(acl=["topic read #"], folder=tmp_path)
    producer = start_producer(broker.port, DEVICE_COUNT=2, PUBLISH_QOS=qos)
    line = producer.wait_line("refuses")
    assert line == f"the broker refuses readings ({NOT_AUTHORIZED}): 2 devices so far"
    until(lambda: dropped(producer) >= 50, "refused readings")
    assert producer.figures()["published"] == 0

    (tmp_path / "acl").write_text("topic readwrite #\n")
    os.kill(broker.pid, signal.SIGHUP)
    producer.wait_line("the broker accepts readings again; dropped meanwhile: ")
    until(lambda: has_published(producer, 10), "accepted readings")
    assert producer.stop() == 0
    assert producer.lines("refuses") == [line]
    assert len(producer.published()) == producer.final_counts().published


def test_receive_maximum_is_respected(make_broker: MakeBroker, start_producer: StartProducer) -> None:
    """The producer never exceeds the broker's Receive Maximum (MQTT 5, section 3.3.4), even with a backlog."""
    broker = make_broker(config=["max_inflight_messages 1", "log_type all"])
    broker.stop()
    producer = start_producer(broker.port, PUBLISH_QOS=2)  # Mosquitto completes a QoS 1 message at once
    until(lambda: producer.figures()["buffered"] >= 50, "readings that wait")
    broker.start()
    until(lambda: has_published(producer, 60), "the backlog to be published")
    assert count_most_in_flight(broker.log, "sensor-001") == 1


def count_most_in_flight(broker_log: str, client_id: str) -> int:
    """The largest number of publishes of a client that were in flight at once, according to the broker's log."""
    in_flight = most = 0
    for line in broker_log.splitlines():
        in_flight += f"Received PUBLISH from {client_id} " in line
        in_flight -= f"Sending PUBCOMP to {client_id} " in line
        most = max(most, in_flight)
    return most
