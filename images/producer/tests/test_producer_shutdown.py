"""The shutdown of a producer process after SIGTERM."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

from images.producer.tests.conftest import StartProducer
from images.producer.tests.producer_harness import Backend, Listener
from local.mosquitto import Mosquitto
from local.waiting import until

MakeBroker = Callable[..., Mosquitto]


def test_every_reading_is_acknowledged_and_every_span_exported(
    make_broker: MakeBroker, backend: Backend, start_producer: StartProducer
) -> None:
    """The exit code is 0, each published reading has a span and a log record, and each device sends DISCONNECT."""
    broker = make_broker()
    producer = start_producer(broker.port, DEVICE_COUNT=20, **backend.exports())
    until(lambda: len(producer.published()) >= 300, "readings")
    assert producer.stop() == 0

    published = producer.published()
    assert producer.final_counts() == (len(published), 0, 0)
    traces = backend.query("traces", service="mqtt-trace-producer", limit=100_000)["traces"]
    assert {trace["trace_id"] for trace in traces} == set(published.values())
    assert not any(trace["error"] for trace in traces)
    logs = backend.query("logs", service="mqtt-trace-producer", contains="published reading", limit=100_000)["logs"]
    assert len(logs) == len(published)
    for number in range(1, 21):
        assert f"Client sensor-{number:03d} disconnected." in broker.log


def test_a_backlog_is_sent_before_the_process_ends(make_broker: MakeBroker, start_producer: StartProducer) -> None:
    """A broker that returns within the drain time-out receives every reading."""
    broker = make_broker()
    with Listener(broker) as listener:
        producer = start_producer(broker.port, DRAIN_TIMEOUT_S=60)
        until(lambda: listener.messages, "a reading")
        broker.stop()
        until(lambda: producer.figures()["buffered"] >= 50, "readings that wait")
        os.kill(producer.pid, signal.SIGTERM)
        broker.start()
        until(lambda: not producer.running, "the process to end")
        assert producer.stop() == 0
        published = set(producer.published())
        assert producer.final_counts() == (len(published), 0, 0)
        until(lambda: published <= listener.message_ids, "the backlog")


def test_without_a_broker_the_remaining_readings_are_counted(
    make_broker: MakeBroker, start_producer: StartProducer
) -> None:
    """The exit code is 0, and the last line has the number of unacknowledged readings."""
    broker = make_broker()
    producer = start_producer(broker.port, DRAIN_TIMEOUT_S=0.2)
    until(producer.published, "a reading")
    broker.stop()
    until(lambda: producer.figures()["buffered"] >= 50, "readings that wait")
    assert producer.stop() == 0
    end = producer.final_counts()
    assert end.published == len(producer.published())
    assert end.unacknowledged == end.dropped >= 50


def test_a_broker_that_does_not_answer_does_not_delay_the_end(
    make_broker: MakeBroker, backend: Backend, start_producer: StartProducer
) -> None:
    """At the drain time-out, spans of readings in flight end with an error and are exported, and the exit code is 0."""
    broker = make_broker()
    producer = start_producer(broker.port, DRAIN_TIMEOUT_S=0.2, **backend.exports())
    until(producer.published, "a reading")
    os.kill(broker.pid, signal.SIGSTOP)
    try:
        until(lambda: producer.figures()["buffered"] >= 20, "readings without an answer")
        assert producer.stop(timeout_s=30) == 0
    finally:
        os.kill(broker.pid, signal.SIGCONT)
    end = producer.final_counts()
    assert end.published == len(producer.published())
    assert end.unacknowledged == end.dropped >= 20
    failed = backend.query("traces", attribute="error.type=closed", limit=1000)["traces"]
    assert len(failed) == 10  # the limit of readings in flight
