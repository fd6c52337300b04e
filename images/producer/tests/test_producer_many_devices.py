"""Two thousand devices in one process."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psutil

from images.producer.tests.conftest import StartProducer
from images.producer.tests.producer_harness import Listener
from local.mosquitto import Mosquitto
from local.waiting import until

DEVICES = 2000
ORDINARY_LIMIT = 1024


@contextmanager
def descriptor_limit(limit: int) -> Iterator[None]:
    """Processes that start within the block inherit this soft limit of descriptors."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_two_thousand_devices_connect_and_publish(
    make_broker: Callable[..., Mosquitto], start_producer: StartProducer
) -> None:
    """Each device connects and publishes, at the cost of one descriptor and no thread."""
    with descriptor_limit(DEVICES + 500):
        broker = make_broker()
    with Listener(broker) as listener:
        with descriptor_limit(ORDINARY_LIMIT):  # which the producer raises
            producer = start_producer(
                broker.port, DEVICE_ID="sensor-0001", DEVICE_COUNT=DEVICES, PUBLISH_INTERVAL_S=10, DRAIN_TIMEOUT_S=60
            )
        producer.wait_ready()
        process = psutil.Process(producer.pid)
        assert DEVICES < process.num_fds() < DEVICES + 64
        assert process.num_threads() < 50
        until(lambda: len({message.topic for message in listener.messages.copy()}) == DEVICES, "every device")
        assert producer.stop(timeout_s=90) == 0
        published = producer.published()
        assert producer.final_counts() == (len(published), 0, 0)
        until(lambda: set(published) <= listener.message_ids, "every published reading")
    assert producer.lines("broker ") == [
        f"broker {broker.host}:{broker.port}: {DEVICES} of {DEVICES} devices connected",
    ]
