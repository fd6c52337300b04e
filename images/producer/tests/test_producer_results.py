"""Exact results of a fleet with a scenario, against a real broker."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt.client import MQTTMessage

from images.producer.tests.confirming import ConfirmingConsumer
from images.producer.tests.conftest import StartProducer
from images.producer.tests.mounted_fleet_file import MountedFleetFile
from images.producer.tests.producer_harness import Producer
from local.mosquitto import Mosquitto
from local.waiting import until

MakeBroker = Callable[..., Mosquitto]


START = round(time.time())


def scenario(started_at: float | None = START, *durations: str) -> dict[str, object]:
    """A scenario with phases of these durations, or with one that lasts."""
    phases = [{"name": f"p{index}", "duration": duration} for index, duration in enumerate(durations or ["1000h"])]
    return {"phases": phases, "startedAt": started_at}


@pytest.fixture
def fleet_file(tmp_path: Path) -> MountedFleetFile:
    """The file of a fleet of three sensors with a scenario, in a folder of its own."""
    return mounted(tmp_path, "demo")


def mounted(folder: Path, fleet: str, **members: object) -> MountedFleetFile:
    """The file of a fleet with a scenario."""
    own = folder / fleet
    own.mkdir()
    return MountedFleetFile(own, **{"fleet": fleet, "intervalSeconds": 0.02, "scenario": scenario(), **members})


def start(start_producer: StartProducer, broker: Mosquitto, file: MountedFleetFile, **settings: object) -> Producer:
    """Start a producer of a fleet's first pod."""
    return start_producer(broker.port, FLEET_FILE=file.path, FLEET_POD_INDEX=0, **{"RESULTS_TIMEOUT_S": 0, **settings})


def silence(producer: Producer, file: MountedFleetFile) -> None:
    """Remove the sensors, and wait until each of their readings is acknowledged."""
    file.write(replicas=0)
    until(lambda: producer.figures()["devices"] == 0 and producer.figures()["buffered"] == 0, "no more readings")


def trace_of(message: MQTTMessage) -> str:
    """The trace id of a message."""
    pairs: dict[str, str] = dict(getattr(message.properties, "UserProperty", ()))
    return pairs["traceparent"].split("-")[1]


def test_each_lost_reading_is_counted(
    make_broker: MakeBroker, start_producer: StartProducer, fleet_file: MountedFleetFile
) -> None:
    """A consumer that drops every 100th reading has lost exactly those, and their traces are named."""
    broker = make_broker()
    with ConfirmingConsumer(broker, drops=lambda number: number % 100 == 0) as consumer:
        producer = start(start_producer, broker, fleet_file)
        until(lambda: len(consumer.received) >= 700, "readings")
        silence(producer, fleet_file)
        published = producer.total("published")
        until(lambda: len(consumer.received) == published, "every reading")
        until(lambda: producer.total("waiting") == published // 100, "the receipts")
        lost = {trace_of(message) for message in consumer.dropped}
    results = producer.results()
    assert results is not None
    (phase,) = results["phases"]
    assert len(consumer.dropped) == published // 100
    assert phase["processed"] == published - len(consumer.dropped)
    assert (phase["duplicates"], phase["dropped"], phase["refused"], phase["unnumbered"]) == (0, 0, {}, 0)
    assert len(phase["waiting_traces"]) == 5
    assert set(phase["waiting_traces"]) <= lost
    assert sum(count for _, count in phase["puback"]["buckets"]) == published
    assert abs(results["clock_skew"]["confirming"]) < 1
    assert 0 < results["connected_within"] < 60


def test_a_reading_that_is_processed_twice_is_a_duplicate(
    make_broker: MakeBroker, start_producer: StartProducer, fleet_file: MountedFleetFile
) -> None:
    """A second receipt for a reading counts as a duplicate, and not as a further reading."""
    broker = make_broker()
    with ConfirmingConsumer(broker) as first, ConfirmingConsumer(broker, client_id="second") as second:
        producer = start(start_producer, broker, fleet_file)
        until(lambda: len(first.received) >= 100, "readings")
        silence(producer, fleet_file)
        published = producer.total("published")
        until(lambda: producer.total("duplicates") == published, "a receipt of both for each")
        assert (len(first.received), len(second.received)) == (published, published)
    assert (producer.total("processed"), producer.total("waiting")) == (published, 0)


def test_two_fleets_do_not_mix(make_broker: MakeBroker, start_producer: StartProducer, tmp_path: Path) -> None:
    """Fleets and pods get the receipts of their own readings only."""
    broker = make_broker()
    files = [mounted(tmp_path, "one"), mounted(tmp_path, "two"), mounted(tmp_path, "one-more")]
    with ConfirmingConsumer(broker) as consumer:
        producers = [start(start_producer, broker, file) for file in files]
        until(lambda: all(producer.total("processed") >= 50 for producer in producers), "readings of each")
        for producer, file in zip(producers, files, strict=True):
            silence(producer, file)
        for producer, fleet in zip(producers, ("one", "two", "one-more"), strict=True):
            until(lambda producer=producer: producer.total("waiting") == 0, "the receipts")  # type: ignore[misc]  # mypy does not infer a lambda with a default
            own = [message for message in consumer.received if message.topic.startswith(f"sensors/iot.{fleet}-0")]
            assert producer.total("processed") == producer.total("published") == len(own)
            assert producer.total("duplicates") == 0


def test_sensors_of_mqtt_311_are_counted_apart(
    make_broker: MakeBroker, start_producer: StartProducer, tmp_path: Path
) -> None:
    """The readings of MQTT 3.1.1 sensors have no number: they are neither published nor waiting, but unnumbered."""
    broker = make_broker()
    file = mounted(tmp_path, "demo", faults={"missingContext": 20, "malformedContext": 20, "mqtt311": 50})
    file.write(replicas=10)
    with ConfirmingConsumer(broker) as consumer:
        producer = start(start_producer, broker, file)
        until(lambda: producer.total("unnumbered") >= 100 and producer.total("processed") >= 100, "readings")
        silence(producer, file)
        until(lambda: producer.total("waiting") == 0, "the receipts")
        published, unnumbered = producer.total("published"), producer.total("unnumbered")
        until(lambda: len(consumer.received) == published + unnumbered, "every reading")
        assert len(consumer.sequences) == published
    results = producer.results()
    assert results is not None
    missing = results["phases"][0]["missing_context"]
    assert set(missing) == {"absent", "malformed"}
    assert sum(missing.values()) == sum(1 for message in consumer.received if is_faulty(message)) - unnumbered


def is_faulty(message: MQTTMessage) -> bool:
    """Whether a message has no whole context."""
    pairs: dict[str, str] = dict(getattr(message.properties, "UserProperty", ()))
    return len(pairs.get("traceparent", "")) != 55


def test_the_results_outlive_a_killed_container(
    make_broker: MakeBroker, start_producer: StartProducer, fleet_file: MountedFleetFile, tmp_path: Path
) -> None:
    """A producer that is killed twice has no false loss: what it was told before, and meanwhile, counts."""
    broker = make_broker()
    file = tmp_path / "results.json"
    with ConfirmingConsumer(broker) as consumer:
        producer = start(start_producer, broker, fleet_file, RESULTS_FILE=file)
        epochs = set()
        for run in (1, 2, 3):
            until(lambda run=run: producer.total("processed") >= 150 * run, "readings")  # type: ignore[misc]  # mypy does not infer a lambda with a default
            results = producer.results()
            assert results is not None
            epochs.add(results["epoch"])
            if run < 3:
                producer.kill()
                producer.start()
        silence(producer, fleet_file)
        until(lambda: producer.total("waiting") == 0, "the receipts")
        assert len({sequence.split("/")[0] for sequence in consumer.sequences}) == 3
        until(lambda: producer.total("processed") == len(set(consumer.sequences)), "every reading that was received")
        # paho sends a reading again after a restart only if the same process does; the broker may have delivered twice
        assert producer.total("duplicates") == len(consumer.sequences) - len(set(consumer.sequences))
    assert len(epochs) == 1


def test_another_run_starts_over(
    make_broker: MakeBroker, start_producer: StartProducer, fleet_file: MountedFleetFile
) -> None:
    """A scenario that starts again has figures of its own, and without a scenario there are none."""
    broker = make_broker()
    with ConfirmingConsumer(broker) as consumer:
        producer = start(start_producer, broker, fleet_file)
        until(lambda: producer.total("processed") >= 50, "readings")
        first = producer.results()
        fleet_file.write(replicas=0, scenario=scenario(START - 1))
        until(lambda: producer.results() != first and producer.total("published") == 0, "figures of the second run")
        fleet_file.write(replicas=3)
        until(lambda: producer.total("processed") >= 50, "readings")
        second = producer.results()
        assert first is not None
        assert second is not None
        assert second["epoch"] != first["epoch"]
        assert second["since"] > first["since"]
        fleet_file.write(scenario=None)
        until(lambda: producer.results() is None, "no results")
        received = len(consumer.received)
        until(lambda: len(consumer.received) > received + 10, "more readings")
        assert not dict(consumer.received[-1].properties.UserProperty).get("mqtt-trace-sequence")  # type: ignore[union-attr]


def test_only_readings_of_a_phase_count(
    make_broker: MakeBroker, start_producer: StartProducer, fleet_file: MountedFleetFile
) -> None:
    """Readings before the start and after the last phase have no number, and the results say when all are in."""
    broker = make_broker()
    fleet_file.write(scenario=scenario(None))
    with ConfirmingConsumer(broker) as consumer:
        producer = start(start_producer, broker, fleet_file)
        until(lambda: len(consumer.received) >= 20, "readings")
        assert producer.results() is None
        started_at = time.time() + 1
        fleet_file.write(scenario=scenario(started_at, "2s", "2s"))

        def complete() -> dict[str, Any] | None:
            results = producer.results()
            return results if results and len(results["phases"]) == 2 and results["drained"] else None

        results = until(complete, "the end of the scenario")
        received = len(consumer.received)
        until(lambda: len(consumer.received) > received + 20, "readings after it")
    assert results["since"] == started_at
    first, second = results["phases"]
    assert (first["index"], second["index"]) == (0, 1)
    assert min(first["published"], second["published"]) >= 50
    last = producer.results()
    assert last is not None
    assert last["phases"] == results["phases"]
    assert first["processed"] + second["processed"] == len(consumer.sequences)


def test_without_a_scenario_nothing_is_added(
    make_broker: MakeBroker, start_producer: StartProducer, tmp_path: Path
) -> None:
    """Without a scenario, a reading has no number and no Response Topic, and the pod has no further connection."""
    broker = make_broker()
    file = mounted(tmp_path, "demo", scenario=None)
    with ConfirmingConsumer(broker) as consumer:
        producer = start(start_producer, broker, file)
        until(lambda: consumer.received, "a reading")
    message = consumer.received[0]
    assert [name for name, _ in message.properties.UserProperty] == ["traceparent"]  # type: ignore[union-attr]
    assert not hasattr(message.properties, "ResponseTopic")
    assert producer.results() is None
    assert "receipts" not in broker.log


def test_refused_and_dropped_readings_are_counted(
    make_broker: MakeBroker, start_producer: StartProducer, fleet_file: MountedFleetFile
) -> None:
    """A reading that the broker refuses counts by reason code, and one that finds no subscribers as dropped."""
    broker = make_broker(acl=["topic write sensors/iot.demo-00001/reading"])
    producer = start(start_producer, broker, fleet_file, PUBLISH_RETRY_S=0.01)
    until(lambda: producer.total("dropped") >= 5, "readings without subscribers")
    results = producer.results()
    assert results is not None
    (phase,) = results["phases"]
    assert phase["refused"]["0x87"] >= 5
    assert (phase["published"], phase["waiting"]) == (0, 0)


def test_sigterm_waits_for_receipts_and_for_the_results(
    make_broker: MakeBroker, start_producer: StartProducer, fleet_file: MountedFleetFile
) -> None:
    """After SIGTERM the process answers until its readings are confirmed and the results were read after that."""
    broker = make_broker()
    held = threading.Event()
    with ConfirmingConsumer(broker) as consumer:
        producer = start(start_producer, broker, fleet_file, RESULTS_TIMEOUT_S=60)
        until(lambda: producer.total("processed") >= 20, "readings")
        consumer.hold(held)
        until(lambda: producer.total("waiting") > 0, "readings without a receipt")
        os.kill(producer.pid, signal.SIGTERM)
        until(lambda: producer.figures()["buffered"] == 0, "the drain")
        published = producer.total("published")
        results: dict[str, Any] | None = producer.results()
        assert results is not None
        assert not results["drained"]
        held.set()

        def last() -> dict[str, Any] | None:
            results = producer.results()
            return results if results and results["drained"] else None

        drained = until(last, "the receipts")
        assert drained["phases"][0]["processed"] == published
        until(lambda: not producer.running, "the end of the process")
    assert producer.stop() == 0


def test_sigterm_does_not_wait_for_ever(
    make_broker: MakeBroker, start_producer: StartProducer, fleet_file: MountedFleetFile
) -> None:
    """Without receipts, and with nobody who reads the results, the process ends in time."""
    broker = make_broker()
    with ConfirmingConsumer(broker, drops=lambda _: True):
        producer = start(start_producer, broker, fleet_file, RESULTS_TIMEOUT_S=0.5)
        until(lambda: producer.total("waiting") >= 20, "readings")
        assert producer.stop() == 0
