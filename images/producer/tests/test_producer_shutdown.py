"""SIGTERM, as a real process gets it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

from images.producer.tests.conftest import StartProducer
from images.producer.tests.producer_harness import Backend, Listener, wait_for
from local.mosquitto import Mosquitto

MakeBroker = Callable[..., Mosquitto]


def test_every_reading_is_acknowledged_and_every_span_exported(
    make_broker: MakeBroker, backend: Backend, start_producer: StartProducer
) -> None:
    """It exits with 0, each published reading has its span and its log record, and each device sent DISCONNECT."""
    broker = make_broker()
    producer = start_producer(broker.port, DEVICE_COUNT=20, **backend.exports())
    wait_for(lambda: len(producer.published()) >= 300, "readings")
    assert producer.stop() == 0

    published = producer.published()
    assert producer.final_counts() == (len(published), 0, 0)
    traces = backend.ask("traces", service="mqtt-trace-producer", limit=100_000)["traces"]
    assert {trace["trace_id"] for trace in traces} == set(published.values())
    assert not any(trace["error"] for trace in traces)
    logs = backend.ask("logs", service="mqtt-trace-producer", contains="published reading", limit=100_000)["logs"]
    assert len(logs) == len(published)
    for number in range(1, 21):
        assert f"Client sensor-{number:03d} disconnected." in broker.log


def test_a_backlog_is_sent_before_the_process_ends(make_broker: MakeBroker, start_producer: StartProducer) -> None:
    """A broker that comes back within the time that SIGTERM leaves gets everything."""
    broker = make_broker()
    with Listener(broker) as listener:
        producer = start_producer(broker.port, DRAIN_TIMEOUT_S=60)
        wait_for(lambda: listener.messages, "a reading")
        broker.stop()
        wait_for(lambda: producer.figures()["buffered"] >= 50, "readings that wait")
        os.kill(producer.pid, signal.SIGTERM)
        broker.start()
        wait_for(lambda: not producer.running, "the process to end")
        assert producer.stop() == 0
        published = set(producer.published())
        assert producer.final_counts() == (len(published), 0, 0)
        wait_for(lambda: published <= listener.message_ids, "the backlog")


def test_without_a_broker_what_is_left_is_counted(make_broker: MakeBroker, start_producer: StartProducer) -> None:
    """It still ends with 0, and the last line says how many readings nobody has."""
    broker = make_broker()
    producer = start_producer(broker.port, DRAIN_TIMEOUT_S=0.2)
    wait_for(producer.published, "a reading")
    broker.stop()
    wait_for(lambda: producer.figures()["buffered"] >= 50, "readings that wait")
    assert producer.stop() == 0
    end = producer.final_counts()
    assert end.published == len(producer.published())
    assert end.unacknowledged == end.dropped >= 50


def test_a_broker_that_does_not_answer_cannot_hold_it_up(
    make_broker: MakeBroker, backend: Backend, start_producer: StartProducer
) -> None:
    """Readings under way when the time is over end with an error, their spans are exported, and it exits with 0."""
    broker = make_broker()
    producer = start_producer(broker.port, DRAIN_TIMEOUT_S=0.2, **backend.exports())
    wait_for(producer.published, "a reading")
    os.kill(broker.pid, signal.SIGSTOP)
    try:
        wait_for(lambda: producer.figures()["buffered"] >= 20, "readings without an answer")
        assert producer.stop(timeout_s=30) == 0
    finally:
        os.kill(broker.pid, signal.SIGCONT)
    end = producer.final_counts()
    assert end.published == len(producer.published())
    assert end.unacknowledged == end.dropped >= 20
    failed = backend.ask("traces", attribute="error.type=closed", limit=1000)["traces"]
    assert len(failed) == 10  # as many as may be under way at once
