"""Readings that the broker acknowledges although they have no subscribers."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Callable
from typing import Any

from images.producer.tests.conftest import StartProducer
from images.producer.tests.producer_harness import Backend, Listener, Producer
from local.mosquitto import Mosquitto
from local.waiting import until

MakeBroker = Callable[..., Mosquitto]

NO_SUBSCRIBERS = "readings have no subscribers, they are published again"


def dropped(producer: Producer) -> int:
    """The number of dropped readings."""
    return producer.figures()["dropped"]


def test_readings_wait_for_a_subscriber_and_keep_their_trace(
    make_broker: MakeBroker, backend: Backend, start_producer: StartProducer
) -> None:
    """Readings from before a subscription arrive once, and later publish spans are children of the first one."""
    broker = make_broker()
    producer = start_producer(
        broker.port, DEVICE_COUNT=3, PUBLISH_INTERVAL_S=0.2, PUBLISH_RETRY_S=60, **backend.exports()
    )
    assert producer.wait_line(NO_SUBSCRIBERS).startswith(NO_SUBSCRIBERS)
    until(lambda: producer.figures()["buffered"] >= 30, "readings without subscribers")
    assert producer.published() == {}
    with Listener(broker) as listener:
        recovery = producer.wait_line("readings have subscribers again")
        until(lambda: producer.figures()["buffered"] <= 3, "the backlog to be published")
        assert producer.stop() == 0
        published = producer.published()
        assert producer.final_counts() == (len(published), 0, 0)
        until(lambda: set(published) <= listener.message_ids, "every published reading")
        arrivals = Counter(reading["message_id"] for reading in listener.readings())
    assert recovery == "readings have subscribers again; dropped meanwhile: 0 readings of 3 devices"
    assert set(arrivals.values()) == {1}
    assert set(arrivals) == set(published)
    assert len(producer.lines(NO_SUBSCRIBERS)) == 1

    again = backend.query("traces", attribute="mqtt.reason_code=16", limit=100_000)["traces"]
    assert len(again) >= 30
    assert all(trace["connected"] for trace in again)
    for trace in again:
        first, *further = sort_spans(backend, trace["trace_id"])
        assert (first["parent_span_id"], first["status"]["code"]) == (None, "UNSET")
        assert further
        assert {span["parent_span_id"] for span in further} == {first["span_id"]}
        assert {span["attributes"]["messaging.message.id"] for span in further} <= set(published)
        assert [span["attributes"].get("mqtt.reason_code") for span in further[:-1]] == [16] * (len(further) - 1)
        assert "mqtt.reason_code" not in further[-1]["attributes"]


def sort_spans(backend: Backend, trace_id: str) -> list[dict[str, Any]]:
    """The spans of a trace, by start time."""
    return sorted(backend.query(f"traces/{trace_id}")["spans"], key=lambda span: span["start_ns"])


def test_only_the_oldest_reading_is_tried_without_subscribers(
    make_broker: MakeBroker, start_producer: StartProducer
) -> None:
    """Forty readings without subscribers cause far fewer than eighty messages."""
    broker = make_broker(config=["log_type all"])
    producer = start_producer(broker.port, PUBLISH_INTERVAL_S=0.1, PUBLISH_RETRY_S=60, DRAIN_TIMEOUT_S=0)
    until(lambda: producer.figures()["buffered"] >= 40, "readings without subscribers")
    figures = producer.figures()
    sent = broker.log.count("Received PUBLISH from sensor-001 ")
    assert sent < 2 * figures["buffered"]
    assert producer.stop() == 0


def test_a_reading_without_subscribers_is_dropped_after_its_time(
    make_broker: MakeBroker, backend: Backend, start_producer: StartProducer
) -> None:
    """Dropped readings do not count as published, the metric has the reason, and the log has one line."""
    broker = make_broker()
    patient = {
        "DEVICE_BUFFER_READINGS": 100_000,
        "DRAIN_TIMEOUT_S": 0,
    }  # so that readings are dropped only for their time
    producer = start_producer(broker.port, PUBLISH_RETRY_S=1, **patient, **backend.exports())
    until(lambda: dropped(producer) >= 30, "dropped readings")
    assert producer.stop() == 0
    end = producer.final_counts()
    assert end.published == len(producer.published()) == 0
    (metric,) = [
        metric
        for metric in backend.query("metrics")["metrics"]
        if metric["name"] == "iot.readings.dropped" and metric["attributes"]["reason"] == "no_subscribers"
    ]
    assert metric["value"] == end.dropped - end.unacknowledged
    assert producer.lines("subscribers") == [f"{NO_SUBSCRIBERS}: 1 device so far"]


def test_no_more_readings_are_kept_than_the_buffer_holds(
    make_broker: MakeBroker, start_producer: StartProducer
) -> None:
    """The oldest readings are dropped, long before the end of their time."""
    broker = make_broker()
    producer = start_producer(broker.port, PUBLISH_RETRY_S=3600, DEVICE_BUFFER_READINGS=5, DRAIN_TIMEOUT_S=0)
    until(lambda: dropped(producer) >= 20, "dropped readings")
    assert producer.figures()["buffered"] <= 5 + 5 + 10
    assert producer.stop() == 0


def test_without_retries_an_acknowledged_reading_is_published(
    make_broker: MakeBroker, start_producer: StartProducer
) -> None:
    """With PUBLISH_RETRY_S=0, an acknowledged reading counts as published without subscribers."""
    producer = start_producer(make_broker().port, PUBLISH_RETRY_S=0)
    until(lambda: producer.figures()["published"] >= 5, "published readings")
    assert producer.stop() == 0
    assert producer.final_counts() == (len(producer.published()), 0, 0)


def test_sigterm_waits_for_a_subscriber_as_it_does_for_a_broker(
    make_broker: MakeBroker, start_producer: StartProducer
) -> None:
    """A subscriber that arrives within the drain time-out receives every reading."""
    broker = make_broker()
    producer = start_producer(broker.port, PUBLISH_RETRY_S=60, DRAIN_TIMEOUT_S=60)
    until(lambda: producer.figures()["buffered"] >= 10, "readings without subscribers")
    os.kill(producer.pid, signal.SIGTERM)
    with Listener(broker) as listener:
        until(lambda: not producer.running, "the process to end")
        assert producer.stop() == 0
        published = set(producer.published())
        assert producer.final_counts() == (len(published), 0, 0)
        until(lambda: published <= listener.message_ids, "every reading")


def test_the_drain_timeout_limits_the_wait_for_a_subscriber(
    make_broker: MakeBroker, start_producer: StartProducer
) -> None:
    """After the drain time-out, readings without subscribers are counted as unacknowledged."""
    producer = start_producer(make_broker().port, PUBLISH_RETRY_S=60, DRAIN_TIMEOUT_S=0.2)
    until(lambda: producer.figures()["buffered"] >= 10, "readings without subscribers")
    assert producer.stop() == 0
    assert producer.final_counts().unacknowledged >= 10


def test_a_shared_subscription_that_the_broker_forgets_costs_no_reading(
    make_broker: MakeBroker, start_producer: StartProducer
) -> None:
    """A consumer that subscribes late after a restart of Mosquitto receives every reading."""
    broker = make_broker()
    with Listener(broker, "$share/readers/sensors/+/reading") as listener:
        producer = start_producer(broker.port, DEVICE_COUNT=5, PUBLISH_RETRY_S=60)
        until(lambda: len(producer.published()) >= 50, "readings")
        with listener.delay_resubscription():
            broker.stop()
            broker.start()
            producer.wait_line(NO_SUBSCRIBERS)
            until(lambda: producer.figures()["buffered"] >= 20, "readings without subscribers")
        producer.wait_line("readings have subscribers again; dropped meanwhile: 0 readings")
        assert producer.stop() == 0
        published = set(producer.published())
        assert producer.final_counts() == (len(published), 0, 0)
        until(lambda: published <= listener.message_ids, "every published reading")
        assert listener.message_ids == published
