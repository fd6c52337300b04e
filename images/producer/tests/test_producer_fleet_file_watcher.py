"""A fleet file that changes while the devices run."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from images.producer.tests.conftest import StartProducer
from images.producer.tests.mounted_fleet_file import MountedFleetFile
from images.producer.tests.producer_harness import (
    Backend,
    Listener,
    Producer,
    ReadyFigures,
    command,
    environment,
)
from local.mosquitto import Mosquitto
from local.waiting import until

MakeBroker = Callable[..., Mosquitto]

FAULTS = {"missingContext": 0, "malformedContext": 0, "mqtt311": 0}


@pytest.fixture
def mount(tmp_path: Path) -> MountedFleetFile:
    """The fleet file of three sensors."""
    return MountedFleetFile(tmp_path)


def sensors(*numbers: int) -> set[str]:
    """The ids of sensors with these numbers."""
    return {f"iot.demo-{number:05d}" for number in numbers}


def make_change(producer: Producer, mount: MountedFleetFile) -> Callable[..., ReadyFigures]:
    """Return a function that changes the fleet file, and returns the figures once all devices are connected."""

    def change(**members: object) -> ReadyFigures:
        before = producer.figures().get("generation", 0)
        mount.write(**members)
        until(lambda: producer.figures()["generation"] > before, "the new generation")
        producer.wait_ready()
        return producer.figures()

    return change


def connections(broker: Mosquitto) -> list[str]:
    """The client ids of all connections so far, in order."""
    return re.findall(r"New client connected from \S+ as (iot\.demo-\d{5}) ", broker.log)


def device_ids_in(listener: Listener, since: int) -> set[str]:
    """The device ids in the messages from index `since` on."""
    return {reading["device_id"] for reading in listener.readings()[since:]}


def test_a_rescale_reconnects_no_other_device(
    make_broker: MakeBroker, start_producer: StartProducer, mount: MountedFleetFile
) -> None:
    """After each rescale, exactly the devices of the fleet publish, and remaining devices do not reconnect."""
    broker = make_broker()
    with Listener(broker) as listener:
        producer = start_producer(broker.port, FLEET_FILE=mount.path, FLEET_POD_INDEX=0)
        producer.wait_ready()
        change = make_change(producer, mount)

        figures = change(replicas=10)
        assert (figures["devices"], figures["connected"]) == (10, 10)
        since = len(listener.messages)
        until(lambda: device_ids_in(listener, since) == sensors(*range(10)), "readings of ten devices")
        assert sorted(connections(broker)) == sorted(sensors(*range(10)))

        figures = change(replicas=2)
        assert (figures["devices"], figures["connected"]) == (2, 2)
        until(lambda: broker.log.count("disconnected.") == 8, "eight DISCONNECT packets")
        until(lambda: device_ids_in(listener, -20) == sensors(0, 1), "readings of these two and no others")

        figures = change(replicas=0)
        assert (figures["ready"], figures["devices"], figures["connected"]) == (True, 0, 0)

        change(replicas=3)
        since = len(listener.messages)
        until(lambda: device_ids_in(listener, since) == sensors(0, 1, 2), "readings of three devices")
        assert len(connections(broker)) == 10 + 3
        assert producer.stop() == 0
        published = set(producer.published())
        assert producer.final_counts() == (len(published), 0, 0)
        until(lambda: published <= listener.message_ids, "every published reading")


def test_a_pod_has_its_own_share_of_the_fleet(
    make_broker: MakeBroker, start_producer: StartProducer, mount: MountedFleetFile
) -> None:
    """With two sensors per pod, the second pod has the third and the fourth sensor."""
    mount.write(sensorsPerPod=2)
    broker = make_broker()
    producer = start_producer(broker.port, FLEET_FILE=mount.path, FLEET_POD_INDEX=1)
    producer.wait_ready()
    assert set(connections(broker)) == sensors(2)
    figures = make_change(producer, mount)(replicas=9)
    assert (figures["devices"], figures["generation"]) == (2, 3)
    assert set(connections(broker)) == sensors(2, 3)
    assert producer.wait_line("generation 3") == "fleet demo: generation 3 applied, 2 of its 9 sensors are in this pod"


def test_interval_qos_and_topic_change_without_a_reconnect(
    make_broker: MakeBroker, start_producer: StartProducer, mount: MountedFleetFile
) -> None:
    """A new interval, QoS and topic apply to the existing connections."""
    mount.write(intervalSeconds=3600)
    broker = make_broker()
    with Listener(broker, "#") as listener:
        producer = start_producer(broker.port, FLEET_FILE=mount.path, FLEET_POD_INDEX=0)
        producer.wait_ready()
        make_change(producer, mount)(intervalSeconds=0.1, qos=2, topicTemplate="plant/{device_id}/t")
        until(lambda: len(listener.messages) >= 40, "forty readings")
        seen = {(message.topic, message.qos) for message in listener.messages[-30:]}
    assert seen == {(f"plant/{device_id}/t", 2) for device_id in sensors(0, 1, 2)}
    assert len(connections(broker)) == 3


def test_resource_attributes_change_without_a_reconnect(
    make_broker: MakeBroker, backend: Backend, start_producer: StartProducer, mount: MountedFleetFile
) -> None:
    """Later spans have the new tenant, site, priority, firmware and battery; earlier spans have the old ones."""
    broker = make_broker()
    producer = start_producer(broker.port, FLEET_FILE=mount.path, FLEET_POD_INDEX=0, **backend.exports())
    until(producer.published, "a reading")
    change = {"tenant": "globex", "site": "site-2", "priority": "high", "firmware": "2.0.0", "battery": 15}
    make_change(producer, mount)(**change)
    before = set(producer.published())
    until(lambda: len(producer.published()) > len(before) + 6, "later readings")
    assert producer.stop() == 0

    changed = backend.query("traces", attribute="fleet.tenant=globex", limit=100_000)["traces"]
    (span,) = backend.query(f"traces/{changed[0]['trace_id']}")["spans"]
    resource = span["resource"]
    own = {name: value for name, value in resource.items() if name.split(".")[0] in {"device", "fleet", "site"}}
    assert own == {
        "device.id": resource["device.id"],
        "device.kind": "sensor",
        "device.firmware.version": "2.0.0",
        "device.battery.level": 15,
        "fleet.id": "demo",
        "fleet.tenant": "globex",
        "fleet.priority": "high",
        "site.id": "site-2",
    }
    earlier = backend.query("traces", attribute="fleet.tenant=acme", limit=100_000)["traces"]
    assert earlier
    assert not {trace["trace_id"] for trace in earlier} & {trace["trace_id"] for trace in changed}
    assert len(earlier) + len(changed) == len(producer.published())
    assert len(connections(broker)) == 3


def test_a_device_with_a_new_protocol_reconnects_with_its_id(
    make_broker: MakeBroker, start_producer: StartProducer, mount: MountedFleetFile
) -> None:
    """Only the devices whose protocol changes reconnect, after a DISCONNECT, and no reading is lost."""
    mount.write(replicas=10)
    broker = make_broker()
    with Listener(broker) as listener:
        producer = start_producer(broker.port, FLEET_FILE=mount.path, FLEET_POD_INDEX=0)
        producer.wait_ready()
        figures = make_change(producer, mount)(faults={**FAULTS, "mqtt311": 20})
        assert figures["connected"] == 10
        old = re.findall(r"as (iot\.demo-\d{5}) \(p2,", broker.log)
        assert len(set(old)) == len(old) == 2
        assert len(connections(broker)) == 12
        assert "already connected" not in broker.log
        since = len(listener.messages)
        until(lambda: device_ids_in(listener, since) == sensors(*range(10)), "readings of all devices")
        assert producer.stop() == 0
        published = set(producer.published())
        assert producer.final_counts() == (len(published), 0, 0)
        until(lambda: published <= listener.message_ids, "every published reading")


def test_a_device_waits_for_the_drain_of_the_previous_device_with_its_id(
    make_broker: MakeBroker, start_producer: StartProducer, mount: MountedFleetFile
) -> None:
    """While the broker does not answer, no id has two connections; when it answers again, no reading is lost."""
    broker = make_broker()
    producer = start_producer(broker.port, FLEET_FILE=mount.path, FLEET_POD_INDEX=0, DRAIN_TIMEOUT_S=60)
    until(lambda: len(producer.published()) >= 3, "readings")
    os.kill(broker.pid, signal.SIGSTOP)
    try:
        until(lambda: producer.figures()["buffered"] >= 9, "readings without an answer")
        for replicas in (0, 3, 0, 3):
            generation = producer.figures()["generation"]
            mount.write(replicas=replicas)
            until(lambda before=generation: producer.figures()["generation"] > before, "the new generation")  # type: ignore[misc] # mypy does not infer a lambda with a default
        assert producer.figures()["connected"] == 0
    finally:
        os.kill(broker.pid, signal.SIGCONT)
    producer.wait_ready()
    assert len(connections(broker)) > 3
    assert "already connected" not in broker.log
    assert producer.stop() == 0
    assert producer.final_counts().dropped == 0


def test_unacknowledged_readings_of_removed_devices_are_counted_and_logged_once(
    make_broker: MakeBroker, start_producer: StartProducer, mount: MountedFleetFile
) -> None:
    """Removed devices drain for at most the drain time-out, and one line has the number of dropped readings."""
    broker = make_broker()
    producer = start_producer(broker.port, FLEET_FILE=mount.path, FLEET_POD_INDEX=0, DRAIN_TIMEOUT_S=0.2)
    until(producer.published, "a reading")
    broker.stop()
    until(lambda: producer.figures()["buffered"] >= 12, "readings that wait")
    mount.write(replicas=0)
    line = producer.wait_line("devices removed")
    figures = producer.figures()
    assert line == f"devices removed: {figures['dropped']} of their readings were not acknowledged"
    assert (figures["dropped"] >= 12, figures["buffered"], figures["ready"]) == (True, 0, True)
    assert producer.stop() == 0
    assert producer.final_counts().unacknowledged == 0


def test_an_invalid_file_is_one_line_and_the_last_valid_one_stays(
    make_broker: MakeBroker, start_producer: StartProducer, mount: MountedFleetFile
) -> None:
    """A truncated file, a wrong member and a missing file are logged once each; the next valid file is applied."""
    broker = make_broker()
    producer = start_producer(broker.port, FLEET_FILE=mount.path, FLEET_POD_INDEX=0)
    producer.wait_ready()

    mount.write(qos=7)
    line = producer.wait_line("qos")
    assert line == (
        f"fleet file {mount.path}: qos: input should be less than or equal to 2 (got 7); generation 1 stays in effect"
    )
    mount.write_text('{"generation": 9')
    line = producer.wait_line("JSON")
    assert line.endswith("; generation 1 stays in effect")
    mount.path.unlink()
    line = producer.wait_line("cannot be read")
    assert line == f"fleet file {mount.path}: cannot be read: No such file or directory; generation 1 stays in effect"
    figures = producer.figures()
    assert (figures["ready"], figures["devices"], figures["generation"]) == (True, 3, 1)

    mount.write(qos=1, replicas=4)
    mount.path.symlink_to(Path("..data", "fleet.json"))
    until(lambda: producer.figures()["devices"] == 4, "the next valid file")
    assert len(producer.lines("fleet file ")) == 3


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"FLEET_FILE": __file__}, "FLEET_FILE: is set, but FLEET_POD_INDEX is not"),
        ({"FLEET_POD_INDEX": 0}, "FLEET_POD_INDEX: is set, but FLEET_FILE is not"),
        (
            {"FLEET_FILE": "/nowhere", "FLEET_POD_INDEX": 0},
            "FLEET_FILE: path does not point to a file (got '/nowhere')",
        ),
        (
            {"FLEET_FILE": __file__, "FLEET_POD_INDEX": -1},
            "FLEET_POD_INDEX: input should be greater than or equal to 0",
        ),
        ({"FLEET_FILE": __file__, "FLEET_POD_INDEX": 0}, f"FLEET_FILE: {__file__}: invalid JSON"),
    ],
)
def test_a_wrong_fleet_setting_is_one_line(settings: dict[str, object], problem: str) -> None:
    """The exit code is 2 after one line that names the variable."""
    done = subprocess.run(
        [command("mqtt-trace-producer")],
        env=environment(settings),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 2
    assert done.stderr.startswith(f"mqtt-trace-producer: {problem}")
    assert done.stderr.count("\n") == 1
