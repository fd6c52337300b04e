"""A fleet file that changes while its devices run."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from images.producer.tests.conftest import StartProducer
from images.producer.tests.mounted_fleet_file import MountedFleetFile
from images.producer.tests.producer_harness import Backend, Listener, Producer, command, environment, wait_for
from local.mosquitto import Mosquitto

MakeBroker = Callable[..., Mosquitto]

FAULTS = {"missingContext": 0, "malformedContext": 0, "mqtt311": 0}


@pytest.fixture
def mount(tmp_path: Path) -> MountedFleetFile:
    """The fleet file of three sensors."""
    return MountedFleetFile(tmp_path)


def sensors(*numbers: int) -> set[str]:
    """Ids of sensors by their numbers."""
    return {f"iot.demo-{number:05d}" for number in numbers}


def change_fleet(producer: Producer, mount: MountedFleetFile) -> Callable[..., dict[str, Any]]:
    """Change the fleet file, and return the figures once the change is applied and every device connected."""

    def change(**members: object) -> dict[str, Any]:
        before = producer.figures().get("generation", 0)
        mount.write(**members)
        wait_for(lambda: producer.figures()["generation"] > before, "the new generation")
        producer.wait_ready()
        return producer.figures()

    return change


def connections(broker: Mosquitto) -> list[str]:
    """Ids of the clients that have connected so far, in order."""
    return re.findall(r"New client connected from \S+ as (iot\.demo-\d{5}) ", broker.log)


def device_ids_in(listener: Listener, since: int) -> set[str]:
    """Devices whose readings have arrived after so many messages, or are among so many last ones."""
    return {reading["device_id"] for reading in listener.readings()[since:]}


def test_devices_come_and_go_without_touching_those_that_stay(
    make_broker: MakeBroker, start_producer: StartProducer, mount: MountedFleetFile
) -> None:
    """Scaled up, down to none and up again, each id publishes when wanted, and no device that stays reconnects."""
    broker = make_broker()
    with Listener(broker) as listener:
        producer = start_producer(broker.port, FLEET_FILE=mount.path, FLEET_POD_INDEX=0)
        producer.wait_ready()
        change = change_fleet(producer, mount)

        figures = change(replicas=10)
        assert (figures["devices"], figures["connected"]) == (10, 10)
        since = len(listener.messages)
        wait_for(lambda: device_ids_in(listener, since) == sensors(*range(10)), "readings of ten devices")
        assert sorted(connections(broker)) == sorted(sensors(*range(10)))

        figures = change(replicas=2)
        assert (figures["devices"], figures["connected"]) == (2, 2)
        wait_for(lambda: broker.log.count("disconnected.") == 8, "eight DISCONNECT packets")
        wait_for(lambda: device_ids_in(listener, -20) == sensors(0, 1), "readings of these two and no others")

        figures = change(replicas=0)
        assert (figures["ready"], figures["devices"], figures["connected"]) == (True, 0, 0)

        change(replicas=3)
        since = len(listener.messages)
        wait_for(lambda: device_ids_in(listener, since) == sensors(0, 1, 2), "readings of three devices")
        assert len(connections(broker)) == 10 + 3
        assert producer.stop() == 0
        published = set(producer.published())
        assert producer.final_counts() == (len(published), 0, 0)
        wait_for(lambda: published <= listener.message_ids, "every published reading")


def test_a_pod_has_its_own_share_of_the_fleet(
    make_broker: MakeBroker, start_producer: StartProducer, mount: MountedFleetFile
) -> None:
    """The second pod of a fleet with two sensors per pod has the third and the fourth, when there are so many."""
    mount.write(sensorsPerPod=2)
    broker = make_broker()
    producer = start_producer(broker.port, FLEET_FILE=mount.path, FLEET_POD_INDEX=1)
    producer.wait_ready()
    assert set(connections(broker)) == sensors(2)
    figures = change_fleet(producer, mount)(replicas=9)
    assert (figures["devices"], figures["generation"]) == (2, 3)
    assert set(connections(broker)) == sensors(2, 3)
    assert producer.wait_line("generation 3") == "fleet demo: generation 3 applied, 2 of its 9 sensors are here"


def test_pace_quality_and_topic_change_on_the_same_connections(
    make_broker: MakeBroker, start_producer: StartProducer, mount: MountedFleetFile
) -> None:
    """A reading an hour becomes ten a second, with another QoS on another topic, and nobody reconnects."""
    mount.write(intervalSeconds=3600)
    broker = make_broker()
    with Listener(broker, "#") as listener:
        producer = start_producer(broker.port, FLEET_FILE=mount.path, FLEET_POD_INDEX=0)
        producer.wait_ready()
        change_fleet(producer, mount)(intervalSeconds=0.1, qos=2, topicTemplate="plant/{device_id}/t")
        wait_for(lambda: len(listener.messages) >= 40, "forty readings")
        seen = {(message.topic, message.qos) for message in listener.messages[-30:]}
    assert seen == {(f"plant/{device_id}/t", 2) for device_id in sensors(0, 1, 2)}
    assert len(connections(broker)) == 3


def test_attributes_become_those_of_the_resource_without_a_reconnect(
    make_broker: MakeBroker, backend: Backend, start_producer: StartProducer, mount: MountedFleetFile
) -> None:
    """Later spans have the new tenant, site, priority, firmware and battery; those before keep the former ones."""
    broker = make_broker()
    producer = start_producer(broker.port, FLEET_FILE=mount.path, FLEET_POD_INDEX=0, **backend.exports())
    wait_for(producer.published, "a reading")
    change = {"tenant": "globex", "site": "site-2", "priority": "high", "firmware": "2.0.0", "battery": 15}
    change_fleet(producer, mount)(**change)
    before = set(producer.published())
    wait_for(lambda: len(producer.published()) > len(before) + 6, "later readings")
    assert producer.stop() == 0

    changed = backend.ask("traces", attribute="fleet.tenant=globex", limit=100_000)["traces"]
    (span,) = backend.ask(f"traces/{changed[0]['trace_id']}")["spans"]
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
    former = backend.ask("traces", attribute="fleet.tenant=acme", limit=100_000)["traces"]
    assert former
    assert not {trace["trace_id"] for trace in former} & {trace["trace_id"] for trace in changed}
    assert len(former) + len(changed) == len(producer.published())
    assert len(connections(broker)) == 3


def test_a_device_that_is_to_speak_mqtt_3_1_1_reconnects_under_its_id(
    make_broker: MakeBroker, start_producer: StartProducer, mount: MountedFleetFile
) -> None:
    """Only the devices whose protocol changes connect again, after a DISCONNECT, and lose nothing."""
    mount.write(replicas=10)
    broker = make_broker()
    with Listener(broker) as listener:
        producer = start_producer(broker.port, FLEET_FILE=mount.path, FLEET_POD_INDEX=0)
        producer.wait_ready()
        figures = change_fleet(producer, mount)(faults={**FAULTS, "mqtt311": 20})
        assert figures["connected"] == 10
        old = re.findall(r"as (iot\.demo-\d{5}) \(p2,", broker.log)
        assert len(set(old)) == len(old) == 2
        assert len(connections(broker)) == 12
        assert "already connected" not in broker.log
        since = len(listener.messages)
        wait_for(lambda: device_ids_in(listener, since) == sensors(*range(10)), "readings of all devices")
        assert producer.stop() == 0
        published = set(producer.published())
        assert producer.final_counts() == (len(published), 0, 0)
        wait_for(lambda: published <= listener.message_ids, "every published reading")


def test_a_device_that_is_wanted_again_waits_until_its_former_self_is_gone(
    make_broker: MakeBroker, start_producer: StartProducer, mount: MountedFleetFile
) -> None:
    """While the broker answers nothing, no id connects twice at once, and nothing is lost when it answers again."""
    broker = make_broker()
    producer = start_producer(broker.port, FLEET_FILE=mount.path, FLEET_POD_INDEX=0, DRAIN_TIMEOUT_S=60)
    wait_for(lambda: len(producer.published()) >= 3, "readings")
    os.kill(broker.pid, signal.SIGSTOP)
    try:
        wait_for(lambda: producer.figures()["buffered"] >= 9, "readings without an answer")
        for replicas in (0, 3, 0, 3):
            generation = producer.figures()["generation"]
            mount.write(replicas=replicas)
            wait_for(lambda before=generation: producer.figures()["generation"] > before, "the new generation")  # type: ignore[misc] # mypy does not infer a lambda with a default
        assert producer.figures()["connected"] == 0
    finally:
        os.kill(broker.pid, signal.SIGCONT)
    producer.wait_ready()
    assert len(connections(broker)) > 3
    assert "already connected" not in broker.log
    assert producer.stop() == 0
    assert producer.final_counts().dropped == 0


def test_what_a_removed_device_cannot_deliver_is_counted_and_told_once(
    make_broker: MakeBroker, start_producer: StartProducer, mount: MountedFleetFile
) -> None:
    """A removal waits for acknowledgements no longer than the drain time-out, and says in one line what was lost."""
    broker = make_broker()
    producer = start_producer(broker.port, FLEET_FILE=mount.path, FLEET_POD_INDEX=0, DRAIN_TIMEOUT_S=0.2)
    wait_for(producer.published, "a reading")
    broker.stop()
    wait_for(lambda: producer.figures()["buffered"] >= 12, "readings that wait")
    mount.write(replicas=0)
    line = producer.wait_line("devices removed")
    figures = producer.figures()
    assert line == f"devices removed: {figures['dropped']} of their readings were not acknowledged"
    assert (figures["dropped"] >= 12, figures["buffered"], figures["ready"]) == (True, 0, True)
    assert producer.stop() == 0
    assert producer.final_counts().unacknowledged == 0


def test_a_wrong_file_is_one_line_and_the_former_stays(
    make_broker: MakeBroker, start_producer: StartProducer, mount: MountedFleetFile
) -> None:
    """Half a file, a wrong member and no file are told once each; the next good file is applied."""
    broker = make_broker()
    producer = start_producer(broker.port, FLEET_FILE=mount.path, FLEET_POD_INDEX=0)
    producer.wait_ready()

    mount.write(qos=7)
    line = producer.wait_line("qos")
    assert line == (
        f"fleet file {mount.path}: qos: input should be less than or equal to 2 (got 7); generation 1 stays"
    )
    mount.write_text('{"generation": 9')
    line = producer.wait_line("JSON")
    assert line.endswith("; generation 1 stays")
    mount.path.unlink()
    line = producer.wait_line("cannot be read")
    assert line == f"fleet file {mount.path}: cannot be read: No such file or directory; generation 1 stays"
    figures = producer.figures()
    assert (figures["ready"], figures["devices"], figures["generation"]) == (True, 3, 1)

    mount.write(qos=1, replicas=4)
    mount.path.symlink_to(Path("..data", "fleet.json"))
    wait_for(lambda: producer.figures()["devices"] == 4, "the next good file")
    assert len(producer.lines("fleet file ")) == 3


@pytest.mark.parametrize(
    ("settings", "said"),
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
def test_a_fleet_that_cannot_start_says_why(settings: dict[str, object], said: str) -> None:
    """The command ends with 2 after one line that names the variable."""
    done = subprocess.run(
        [command("mqtt-trace-producer")],
        env=environment(settings),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 2
    assert done.stderr.startswith(f"mqtt-trace-producer: {said}")
    assert done.stderr.count("\n") == 1
