"""The chart's Mosquitto refuses messages before the kernel kills it, and starts in spite of a damaged file."""

from __future__ import annotations

from pathlib import Path

import pytest

from local.waiting import until
from tests.chart.conftest import Render
from tests.chart.rendered_mosquitto import Answers, RenderedMosquitto, subscribe

NO_SUBSCRIBERS, NOT_AUTHORIZED = 0x10, 0x87
TOPIC = "sensors/sensor-001/reading"
# Payloads of this size have memory of their own, which glibc then returns at once, as musl does.
BIG, MMAP = 150_000, {"MALLOC_MMAP_THRESHOLD_": "131072"}


@pytest.mark.parametrize(
    ("memory", "kib"),
    [("1.5Gi", 1336934), ("500M", 415039), ("512Mi", 445644), ("0.5Gi", 445644)],
)
def test_the_bounds_come_from_the_memory_limit(render: Render, memory: str, kib: int) -> None:
    """Mosquitto gets 85 percent of the limit, in whichever unit it is."""
    (files,) = (m["data"] for m in render(f"broker.resources.limits.memory={memory}") if "start" in m.get("data", {}))
    assert f"ulimit -d {kib}\n" in files["start"]


def test_without_a_limit_nothing_is_watched(render: Render) -> None:
    """The container runs Mosquitto itself."""
    manifests = render("broker.resources.limits=null")
    assert not any("start" in m.get("data", {}) for m in manifests)
    (mosquitto,) = (m for m in manifests if m["kind"] == "StatefulSet" and m["metadata"]["name"].endswith("-mosquitto"))
    assert mosquitto["spec"]["template"]["spec"]["containers"][0]["command"][0] == "mosquitto"


def test_acknowledged_messages_survive_a_flood(render: Render, tmp_path: Path) -> None:
    """Near its memory limit Mosquitto refuses the producer, delivers what it had acknowledged, and accepts again."""
    received: list[bytes] = []
    acknowledged: list[bytes] = []
    manifests = render("broker.resources.limits.memory=40Mi", "broker.resources.requests.memory=40Mi")
    with RenderedMosquitto(manifests, tmp_path, env=MMAP) as broker:
        with broker.client("consumer", "consumer-0") as consumer:
            subscribe(consumer, "sensors/+/reading")
        broker.stop()
        broker.start()  # Mosquitto does not know the password of a session from the file
        with broker.client("producer", "sensor-001") as producer:
            publish = Answers(producer).publish

            def refused() -> bool:
                payload = str(len(acknowledged)).encode().ljust(BIG)
                if (code := publish(TOPIC, payload)) == 0:
                    acknowledged.append(payload)
                return code == NOT_AUTHORIZED

            until(refused, "the producer is refused")
            assert "refusing messages with 0x87" in broker.log
            with broker.client("consumer", "consumer-0", received) as consumer:
                subscribe(consumer, "sensors/+/reading")
                assert Answers(consumer).publish("dead-letter/x") != NOT_AUTHORIZED
                until(lambda: set(acknowledged) <= set(received), "everything acknowledged is delivered")
                until(lambda: publish(TOPIC) == 0, "the producer is accepted again")
        assert "accepting messages again" in broker.log


def test_a_truncated_file_is_moved_aside(render: Render, tmp_path: Path) -> None:
    """Mosquitto starts without it, and the pod's description names the file."""
    broker = queued(render, tmp_path)
    whole = broker.database.read_bytes()
    for size in (5, 100, len(whole) - 3):
        broker.database.write_bytes(whole[:size])
        assert "mosquitto.db is damaged: moved to mosquitto.db.damaged" in broker.prepare()
        assert "moved to mosquitto.db.damaged" in broker.termination_message
        assert damaged(broker) == whole[:size]
    with broker, broker.client("producer", "sensor-001") as producer:
        assert Answers(producer).publish(TOPIC) == NO_SUBSCRIBERS


def test_of_a_partly_readable_file_a_copy_remains(render: Render, tmp_path: Path) -> None:
    """Mosquitto starts with what it can read, and a sound file is left alone without a word."""
    broker = queued(render, tmp_path)
    whole = broker.database.read_bytes()
    assert broker.prepare() == broker.termination_message == ""
    assert broker.database.read_bytes() == whole
    holed = bytearray(whole)
    holed[-200:-100] = bytes(100)
    broker.database.write_bytes(holed)
    assert "copied to mosquitto.db.damaged" in broker.prepare()
    assert damaged(broker) == broker.database.read_bytes() == holed


def queued(render: Render, folder: Path) -> RenderedMosquitto:
    """Return a stopped broker with a session and ten messages on disk."""
    broker = RenderedMosquitto(render(), folder)
    with broker:
        with broker.client("consumer", "consumer-0") as consumer:
            subscribe(consumer, "sensors/+/reading")
        with broker.client("producer", "sensor-001") as producer:
            publish = Answers(producer).publish
            assert {publish(TOPIC, b"x" * 100) for _ in range(10)} == {0}
    return broker


def damaged(broker: RenderedMosquitto) -> bytes:
    """Return the content of the file that was kept."""
    return broker.database.with_name("mosquitto.db.damaged").read_bytes()
