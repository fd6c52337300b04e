"""A scenario of a fleet, followed by the devices of a pod."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from images.producer.tests.conftest import StartProducer
from images.producer.tests.mounted_fleet_file import MountedFleetFile
from images.producer.tests.producer_harness import Listener, Producer
from local.mosquitto import Mosquitto
from local.waiting import until

MakeBroker = Callable[..., Mosquitto]


@pytest.fixture
def mount(tmp_path: Path) -> MountedFleetFile:
    """The fleet file of three sensors."""
    return MountedFleetFile(tmp_path)


@pytest.fixture
def producer(make_broker: MakeBroker, start_producer: StartProducer, mount: MountedFleetFile) -> Producer:
    """A connected producer whose scenario waits for its start."""
    mount.write(scenario=scenario({"name": "never", "duration": "1s", "replicas": 9}))
    started = start_producer(make_broker().port, FLEET_FILE=mount.path, FLEET_POD_INDEX=0)
    started.wait_ready()
    assert started.figures()["devices"] == 3
    assert "started_at" not in started.figures()
    return started


def scenario(*phases: dict[str, Any], **others: Any) -> dict[str, Any]:
    """A scenario of a fleet file."""
    return {"phases": list(phases), **others}


def device_counts(producer: Producer, done: Callable[[], bool]) -> list[int]:
    """The different numbers of devices in a row, until the condition is true."""
    counts: list[int] = []

    def look() -> bool:
        is_done = done()
        devices = producer.figures()["devices"]
        if counts[-1:] != [devices]:
            counts.append(devices)
        return is_done

    until(look, "the end of the scenario")
    return counts


def test_devices_follow_the_phases_by_the_clock(producer: Producer, mount: MountedFleetFile) -> None:
    """Sensors come and go at the boundaries of phases, without another fleet file, and those of the last phase stay."""
    start = time.time() + 1
    phases: list[dict[str, Any]] = [
        {"name": "more", "duration": "2s", "replicas": 6},
        {"name": "same", "duration": "1s"},
        {"name": "fewer", "duration": "1s", "replicas": 2},
    ]
    mount.write(scenario=scenario(*phases, startedAt=start))
    assert device_counts(producer, lambda: bool(producer.lines("is complete"))) == [3, 6, 2]
    assert time.time() - start >= 4
    producer.wait_ready()
    figures = producer.figures()
    assert (figures["devices"], figures["connected"], figures.get("started_at")) == (2, 2, start)
    names = [line.removeprefix("fleet demo: ") for line in producer.lines("fleet demo: ")[-4:]]
    assert names == ["phase more begins", "phase same begins", "phase fewer begins", "the scenario is complete"]


def test_a_ramp_adds_devices_evenly_and_the_end_removes_them_all(producer: Producer, mount: MountedFleetFile) -> None:
    """The number of devices takes values in between, each larger than the one before, and then falls to zero."""
    phase = {"name": "ramp", "duration": "4s", "replicas": 43, "transition": "Linear"}
    mount.write(scenario=scenario(phase, afterwards="ScaleToZero", startedAt=time.time() + 1))
    counts = device_counts(producer, lambda: producer.figures()["devices"] == 0)
    assert counts[-1] == 0
    assert counts[:-1] == sorted(counts[:-1])
    assert len([count for count in counts if 3 < count < 43]) >= 3


def test_a_pod_beyond_the_present_sensors_waits_for_its_phase(
    make_broker: MakeBroker, start_producer: StartProducer, mount: MountedFleetFile
) -> None:
    """A pod has its share of the sensors of the phase, and none before."""
    phase = {"name": "more", "duration": "1h", "replicas": 5}
    mount.write(sensorsPerPod=3, scenario=scenario(phase))
    producer = start_producer(make_broker().port, FLEET_FILE=mount.path, FLEET_POD_INDEX=1)
    producer.wait_ready()
    assert producer.figures()["devices"] == 0
    mount.write(scenario=scenario(phase, startedAt=time.time()))
    until(lambda: producer.figures()["devices"] == 2, "two devices")


def test_a_producer_that_starts_late_is_where_the_others_are(
    make_broker: MakeBroker, start_producer: StartProducer, mount: MountedFleetFile
) -> None:
    """A restarted pod finds the phase by the clock, and leaves out the storm that the others had at its start."""
    phases: list[dict[str, Any]] = [
        {"name": "past", "duration": "100s"},
        {"name": "now", "duration": "1h", "replicas": 7, "storm": True},
    ]
    mount.write(scenario=scenario(*phases, startedAt=time.time() - 200))
    broker = make_broker()
    producer = start_producer(broker.port, FLEET_FILE=mount.path, FLEET_POD_INDEX=0)
    until(lambda: producer.figures()["connected"] == 7, "seven devices")
    until(lambda: len(set(producer.published())) >= 20, "readings")
    assert len(re.findall(r"New client connected .* as iot\.demo-\d{5} ", broker.log)) == 7
    assert not producer.lines("begins")


def test_a_paused_scenario_stays_where_it_is(producer: Producer, mount: MountedFleetFile) -> None:
    """While the clock is paused the sensors go on as they are, and the rest of the phase follows the pause."""
    start = time.time()
    phases: list[dict[str, Any]] = [
        {"name": "first", "duration": "2s", "replicas": 4},
        {"name": "second", "duration": "1h", "replicas": 5},
    ]
    mount.write(scenario=scenario(*phases, startedAt=start, pausedAt=start + 1))
    until(lambda: producer.figures()["devices"] == 4, "the first phase")
    until(lambda: time.time() > start + 3, "the time at which the phase would have ended")
    published = len(producer.published())
    until(lambda: len(producer.published()) > published, "readings of a paused fleet")
    assert producer.figures()["devices"] == 4
    resumed = time.time()
    mount.write(scenario=scenario(*phases, startedAt=start, pausedSeconds=resumed - (start + 1)))
    until(lambda: producer.figures()["devices"] == 5, "the second phase")
    assert time.time() >= resumed + 0.9


def test_a_storm_reconnects_all_devices_at_once(
    make_broker: MakeBroker, start_producer: StartProducer, mount: MountedFleetFile
) -> None:
    """Every device, of either version of MQTT, disconnects and connects again, and no reading is lost."""
    mount.write(replicas=20, faults={"mqtt311": 50})
    broker = make_broker()
    with Listener(broker) as listener:
        producer = start_producer(broker.port, FLEET_FILE=mount.path, FLEET_POD_INDEX=0)
        producer.wait_ready()
        phase = {"name": "storm", "duration": "1h", "storm": True}
        mount.write(scenario=scenario(phase, startedAt=time.time() + 0.5))
        left = re.compile(r"Client iot\.demo-\d{5} .*disconnected\.")
        until(lambda: len(left.findall(broker.log)) == 20, "twenty devices that disconnect")
        came = re.compile(r"New client connected from \S+ as iot\.demo-\d{5} ")
        until(lambda: len(came.findall(broker.log)) == 40, "twenty devices that connect again")
        producer.wait_ready()
        producer.wait_line("a storm of the scenario")
        assert producer.stop() == 0
        published = set(producer.published())
        assert producer.final_counts() == (len(published), 0, 0)
        until(lambda: published <= listener.message_ids, "every published reading")


def test_churn_reconnects_a_share_of_the_devices_that_count_as_connected(
    make_broker: MakeBroker, start_producer: StartProducer, mount: MountedFleetFile
) -> None:
    """With all of 60 devices per minute, one reconnects per second, and the fleet stays ready."""
    phase = {"name": "churn", "duration": "1h", "churn": 100}
    mount.write(replicas=60, scenario=scenario(phase, startedAt=time.time()))
    broker = make_broker()
    producer = start_producer(broker.port, FLEET_FILE=mount.path, FLEET_POD_INDEX=0)
    producer.wait_ready()

    def reconnects() -> int:
        assert producer.figures()["ready"]
        return len(re.findall(r"New client connected from \S+ as iot\.demo-\d{5} ", broker.log)) - 60

    before, began = reconnects(), time.monotonic()
    until(lambda: reconnects() >= before + 6, "six reconnects")
    assert 3 < time.monotonic() - began < 30
    assert not producer.lines("waiting; retrying")


def test_payload_faults_and_interval_change_without_a_reconnect(
    make_broker: MakeBroker, start_producer: StartProducer, mount: MountedFleetFile
) -> None:
    """A phase changes what existing connections publish."""
    mount.write(intervalSeconds=3600)
    broker = make_broker()
    with Listener(broker) as listener:
        producer = start_producer(broker.port, FLEET_FILE=mount.path, FLEET_POD_INDEX=0)
        producer.wait_ready()
        phase = {
            "name": "burst",
            "duration": "1h",
            "interval": "100ms",
            "faults": {"missingContext": 100},
            "payload": {"padding": 300, "distribution": "constant", "value": 7},
        }
        mount.write(scenario=scenario(phase, startedAt=time.time()))
        until(lambda: len(listener.messages) >= 30, "thirty readings")
        readings = listener.readings()[-20:]
        assert {(reading["reading"], len(reading["padding"])) for reading in readings} == {(7, 300)}
        properties = [message.properties for message in listener.messages[-20:]]
        assert {name for found in properties for name, _ in getattr(found, "UserProperty", [])} == {
            "mqtt-trace-sequence"
        }
    assert len(re.findall(r"New client connected from \S+ as iot\.demo-\d{5} ", broker.log)) == 3


def test_a_wrong_scenario_is_one_line_and_the_last_valid_file_stays(
    producer: Producer, mount: MountedFleetFile
) -> None:
    """The line names the member."""
    mount.write(scenario=scenario({"name": "zero", "duration": "0s"}))
    line = producer.wait_line("stays in effect")
    assert "scenario.phases.0.duration: 0s is not a positive duration" in line
    assert producer.figures()["generation"] == 2
