"""The producer and our consumer count the same readings, through kills and restarts."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from images.consumer.tests.answers import Hold
from images.consumer.tests.harness import OK, Answer, Consumer, Echo
from images.consumer.tests.sessions import session_present
from images.producer.tests.mounted_fleet_file import MountedFleetFile
from images.producer.tests.producer_harness import Producer
from images.producer.tests.test_producer_results import scenario
from local.mosquitto import Mosquitto
from local.waiting import until

MakeBroker = Callable[..., Mosquitto]


class Bench:
    """A broker, an echo, a fleet with a scenario, and consumers that start on request."""

    def __init__(self, broker: Mosquitto, folder: Path, parts: ExitStack) -> None:
        self.broker = broker
        self.echo = parts.enter_context(Echo())
        self.fleet = MountedFleetFile(folder, intervalSeconds=0.05, scenario=scenario())
        self.producer = Producer(
            folder / "producer.log",
            port=broker.port,
            FLEET_FILE=self.fleet.path,
            FLEET_POD_INDEX=0,
            RESULTS_TIMEOUT_S=0,
            PUBLISH_RETRY_S=60,
        )
        parts.callback(self.producer.stop)
        self._folder = folder
        self._parts = parts

    def consumer(self, client_id: str = "consumer-0", **env: str) -> Consumer:
        """A consumer that is ready."""
        consumer = Consumer(self.broker, self.echo.url, self._folder, client_id, **env)
        self._parts.callback(consumer.stop)
        return consumer.start_ready()

    def silence(self) -> int:
        """Remove the sensors, and return how many readings they have published."""
        self.fleet.write(replicas=0)
        until(
            lambda: self.producer.figures()["devices"] == 0 and self.producer.figures()["buffered"] == 0,
            "no more readings",
        )
        until(lambda: self.producer.total("waiting") == 0, "every receipt")
        return self.producer.total("published")

    def readings(self) -> Counter[str]:
        """How often echo accepted each reading."""
        return Counter(self.echo.ids)


@pytest.fixture
def bench(make_broker: MakeBroker, tmp_path: Path) -> Iterator[Bench]:
    """A broker, an echo and a fleet that has not started."""
    with ExitStack() as parts:
        yield Bench(make_broker(), tmp_path, parts)


def test_nothing_is_lost_over_kills_and_a_restart(bench: Bench) -> None:
    """With the consumer killed twice and the broker restarted, no reading is lost, and none is missed."""
    consumer = bench.consumer()
    bench.producer.start()
    for part in (1, 2, 3):
        until(lambda part=part: bench.producer.total("processed") >= 50 * part, "receipts")  # type: ignore[misc]  # mypy does not infer a lambda with a default
        if part == 2:
            bench.broker.restart()
        else:
            consumer.kill()
            consumer.start_ready()
    published = bench.silence()
    assert bench.producer.total("processed") == published == len(bench.readings())
    assert bench.producer.total("duplicates") <= bench.readings().total() - published


def test_readings_that_a_killed_consumer_had_confirmed_are_duplicates(bench: Bench) -> None:
    """Readings with a receipt whose PUBACK waits behind an earlier one are delivered again, and count as duplicates."""
    consumer = bench.consumer(ECHO_CONCURRENCY="2", RECEIVE_MAXIMUM="50")
    first = Hold()
    answers: Iterator[Callable[[bytes], Answer]] = itertools.chain([first], itertools.repeat(lambda _: OK))

    def answer(payload: bytes) -> Answer:
        return next(answers)(payload)

    bench.echo.answer = answer
    bench.producer.start()
    until(lambda: bench.producer.total("processed") == 49, "receipts of all but the first that is held")
    consumer.kill()
    first.released.set()
    consumer.start_ready()
    published = bench.silence()
    assert bench.producer.total("processed") == published
    assert bench.producer.total("duplicates") == 49


def test_two_replicas_and_dead_letters(bench: Bench) -> None:
    """Over two replicas, each reading has one receipt, and those that echo refused count as dead-lettered."""
    bench.echo.answer = lambda payload: (422 if payload.endswith(b"7}") else 200, {})
    for ordinal in (0, 1):
        bench.consumer(f"consumer-{ordinal}", MQTT_SHARE_GROUP="g", ECHO_MAX_TRIES="1")
    bench.producer.start()
    until(lambda: bench.producer.total("dead_lettered") >= 10 and bench.producer.total("processed") >= 200, "readings")
    published = bench.silence()
    processed = bench.producer.total("processed")
    assert processed == len(bench.readings())
    assert bench.producer.total("dead_lettered") == published - processed
    assert bench.producer.total("duplicates") == 0
    results = bench.producer.results()
    assert results is not None
    assert set(results["clock_skew"]) == {"consumer-0", "consumer-1"}
    assert len(results["phases"][0]["slowest"]) == 5


def test_readings_of_a_fleet_that_is_gone_are_processed(bench: Bench) -> None:
    """Receipts that nobody receives hold the readings up for seconds in all, not for seconds each."""
    consumer = bench.consumer(ECHO_CONCURRENCY="1")
    bench.producer.start()
    until(lambda: bench.producer.total("processed") >= 20, "receipts")
    bench.echo.stop()
    until(lambda: bench.producer.total("waiting") >= 100, "a backlog")
    waiting = bench.producer.total("waiting")
    bench.producer.stop()
    assert session_present(bench.broker, "iot.demo-receipts-0")  # and ends it
    processed = consumer.status["processed"]
    bench.echo.start()
    until(lambda: consumer.status["processed"] >= processed + waiting, "every reading")
