"""Readings that the broker takes although nobody is subscribed."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Callable
from typing import Any

from images.producer.tests.conftest import StartProducer
from images.producer.tests.producer_harness import Backend, Listener, Producer, wait_for
from local.mosquitto import Mosquitto

MakeBroker = Callable[..., Mosquitto]

WAITING = "nobody is subscribed to readings, they are published again"


def dropped(producer: Producer) -> int:
    """How many readings were given up."""
    count: int = producer.figures()["dropped"]
    return count


def test_readings_wait_for_a_subscriber_and_go_on_in_their_trace(
    make_broker: MakeBroker, backend: Backend, start_producer: StartProducer
) -> None:
    """What was taken before somebody subscribed arrives once, below the publish span of its first try."""
    broker = make_broker()
    producer = start_producer(
        broker.port, DEVICE_COUNT=3, PUBLISH_INTERVAL_S=0.2, PUBLISH_RETRY_S=60, **backend.exports()
    )
    assert producer.wait_line(WAITING).startswith(WAITING)
    wait_for(lambda: producer.figures()["buffered"] >= 30, "readings that nobody received")
    assert producer.published() == {}
    with Listener(broker) as listener:
        relief = producer.wait_line("readings have subscribers again")
        wait_for(lambda: producer.figures()["buffered"] <= 3, "the backlog to be published")
        assert producer.stop() == 0
        published = producer.published()
        assert producer.final_counts() == (len(published), 0, 0)
        wait_for(lambda: set(published) <= listener.message_ids, "every published reading")
        arrivals = Counter(reading["message_id"] for reading in listener.readings())
    assert relief == "readings have subscribers again; dropped meanwhile: 0 readings of 3 devices"
    assert set(arrivals.values()) == {1}
    assert set(arrivals) == set(published)
    assert len(producer.lines(WAITING)) == 1

    again = backend.ask("traces", attribute="mqtt.reason_code=16", limit=100_000)["traces"]
    assert len(again) >= 30
    assert all(trace["connected"] for trace in again)
    for trace in again:
        first, *further = spans_in_order(backend, trace["trace_id"])
        assert (first["parent_span_id"], first["status"]["code"]) == (None, "UNSET")
        assert further
        assert {span["parent_span_id"] for span in further} == {first["span_id"]}
        assert {span["attributes"]["messaging.message.id"] for span in further} <= set(published)
        assert [span["attributes"].get("mqtt.reason_code") for span in further[:-1]] == [16] * (len(further) - 1)
        assert "mqtt.reason_code" not in further[-1]["attributes"]


def spans_in_order(backend: Backend, trace_id: str) -> list[dict[str, Any]]:
    """The spans of a trace by their start."""
    return sorted(backend.ask(f"traces/{trace_id}")["spans"], key=lambda span: span["start_ns"])


def test_only_the_oldest_reading_is_tried_while_nobody_is_there(
    make_broker: MakeBroker, start_producer: StartProducer
) -> None:
    """Forty readings without a subscriber cost the broker far fewer than eighty messages."""
    broker = make_broker(config=["log_type all"])
    producer = start_producer(broker.port, PUBLISH_INTERVAL_S=0.1, PUBLISH_RETRY_S=60, DRAIN_TIMEOUT_S=0)
    wait_for(lambda: producer.figures()["buffered"] >= 40, "readings that nobody received")
    figures = producer.figures()
    sent = broker.log.count("Received PUBLISH from sensor-001 ")
    assert sent < 2 * figures["buffered"]
    assert producer.stop() == 0


def test_a_reading_that_nobody_receives_in_time_is_counted_and_told_once(
    make_broker: MakeBroker, backend: Backend, start_producer: StartProducer
) -> None:
    """Given up readings are no published ones; the metric names the reason, and the log has one line."""
    broker = make_broker()
    patient = {"DEVICE_BUFFER_READINGS": 100_000, "DRAIN_TIMEOUT_S": 0}  # so that only time is a reason to give up
    producer = start_producer(broker.port, PUBLISH_RETRY_S=1, **patient, **backend.exports())
    wait_for(lambda: dropped(producer) >= 30, "readings that were given up")
    assert producer.stop() == 0
    end = producer.final_counts()
    assert end.published == len(producer.published()) == 0
    (metric,) = [
        metric
        for metric in backend.ask("metrics")["metrics"]
        if metric["name"] == "iot.readings.dropped" and metric["attributes"]["reason"] == "no_subscribers"
    ]
    assert metric["value"] == end.dropped - end.unacknowledged
    assert producer.lines("subscribe") == [f"{WAITING}: 1 device so far"]


def test_no_more_readings_are_kept_than_the_buffer_holds(
    make_broker: MakeBroker, start_producer: StartProducer
) -> None:
    """The oldest give way, long before their time is over."""
    broker = make_broker()
    producer = start_producer(broker.port, PUBLISH_RETRY_S=3600, DEVICE_BUFFER_READINGS=5, DRAIN_TIMEOUT_S=0)
    wait_for(lambda: dropped(producer) >= 20, "readings that gave way")
    assert producer.figures()["buffered"] <= 5 + 5 + 10
    assert producer.stop() == 0


def test_without_retries_the_brokers_word_is_enough(make_broker: MakeBroker, start_producer: StartProducer) -> None:
    """With 0 a reading counts as published when the broker has taken it, whoever is there."""
    producer = start_producer(make_broker().port, PUBLISH_RETRY_S=0)
    wait_for(lambda: producer.figures()["published"] >= 5, "published readings")
    assert producer.stop() == 0
    assert producer.final_counts() == (len(producer.published()), 0, 0)


def test_sigterm_waits_for_a_subscriber_as_it_does_for_a_broker(
    make_broker: MakeBroker, start_producer: StartProducer
) -> None:
    """Within the drain time-out a subscriber still gets everything."""
    broker = make_broker()
    producer = start_producer(broker.port, PUBLISH_RETRY_S=60, DRAIN_TIMEOUT_S=60)
    wait_for(lambda: producer.figures()["buffered"] >= 10, "readings that nobody received")
    os.kill(producer.pid, signal.SIGTERM)
    with Listener(broker) as listener:
        wait_for(lambda: not producer.running, "the process to end")
        assert producer.stop() == 0
        published = set(producer.published())
        assert producer.final_counts() == (len(published), 0, 0)
        wait_for(lambda: published <= listener.message_ids, "every reading")


def test_sigterm_does_not_wait_longer_for_a_subscriber_than_it_may(
    make_broker: MakeBroker, start_producer: StartProducer
) -> None:
    """After the drain time-out the readings that nobody received are counted."""
    producer = start_producer(make_broker().port, PUBLISH_RETRY_S=60, DRAIN_TIMEOUT_S=0.2)
    wait_for(lambda: producer.figures()["buffered"] >= 10, "readings that nobody received")
    assert producer.stop() == 0
    assert producer.final_counts().unacknowledged >= 10


def test_a_shared_subscription_that_the_broker_forgets_costs_no_reading(
    make_broker: MakeBroker, start_producer: StartProducer
) -> None:
    """After a restart of Mosquitto a consumer that takes its time to subscribe again still gets everything."""
    broker = make_broker()
    with Listener(broker, "$share/readers/sensors/+/reading") as listener:
        producer = start_producer(broker.port, DEVICE_COUNT=5, PUBLISH_RETRY_S=60)
        wait_for(lambda: len(producer.published()) >= 50, "readings")
        with listener.slow_to_subscribe_again():
            broker.stop()
            broker.start()
            producer.wait_line(WAITING)
            wait_for(lambda: producer.figures()["buffered"] >= 20, "readings that nobody received")
        producer.wait_line("readings have subscribers again; dropped meanwhile: 0 readings")
        assert producer.stop() == 0
        published = set(producer.published())
        assert producer.final_counts() == (len(published), 0, 0)
        wait_for(lambda: published <= listener.message_ids, "every published reading")
        assert listener.message_ids == published
