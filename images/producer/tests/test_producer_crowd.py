"""Two thousand devices in one process."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator

import psutil
import pytest

from images.producer.tests.conftest import StartProducer
from images.producer.tests.producer_harness import Listener, wait_for
from local.mosquitto import Mosquitto

DEVICES = 2000


@pytest.fixture
def enough_descriptors() -> Iterator[None]:
    """The broker of the test inherits the limit, and needs a descriptor for each device as the producer does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, DEVICES + 500)), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("enough_descriptors")
def test_two_thousand_devices_connect_and_publish(
    make_broker: Callable[..., Mosquitto], start_producer: StartProducer
) -> None:
    """Each has its own connection and publishes, with no thread or descriptor more than its connection's."""
    broker = make_broker()
    with Listener(broker) as listener:
        producer = start_producer(broker.port, DEVICE_ID="sensor-0001", DEVICE_COUNT=DEVICES, PUBLISH_INTERVAL_S=10)
        producer.wait_ready()
        process = psutil.Process(producer.pid)
        assert DEVICES < process.num_fds() < DEVICES + 64
        assert process.num_threads() < 50
        wait_for(lambda: len({message.topic for message in listener.messages.copy()}) == DEVICES, "every device")
        assert producer.stop() == 0
        published = producer.published()
        assert producer.stopped() == (len(published), 0, 0)
        wait_for(lambda: set(published) <= listener.message_ids, "every published reading")
    assert producer.lines("broker ") == [
        f"broker {broker.host}:{broker.port}: {DEVICES} of {DEVICES} devices connected",
    ]
