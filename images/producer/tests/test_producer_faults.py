"""Faulty publishers: their shares, and their messages on the wire."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from mqtt_trace_producer.faults import Fault, choose_fault, corrupt_context, speaks_mqtt311
from mqtt_trace_service.scenario import Faults
from paho.mqtt.client import MQTTMessage
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from images.producer.tests.conftest import StartProducer
from images.producer.tests.mounted_fleet_file import MountedFleetFile
from images.producer.tests.producer_harness import Backend, Listener
from local.mosquitto import Mosquitto
from local.waiting import until
from mqtt_trace import MissingReason, extract

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def missing(message: MQTTMessage) -> MissingReason | None:
    """The reason why a message has no usable context, as the consumer reads it."""
    return extract(getattr(message.properties, "UserProperty", None)).missing


@pytest.mark.parametrize("percent", [0, 1, 10, 33, 50, 99, 100])
def test_as_many_of_a_hundred_devices_speak_mqtt_3_1_1_as_the_percentage_says(percent: int) -> None:
    """The share is exact in any hundred consecutive devices, and off by less than two in any ten."""
    faults = Faults(mqtt311=percent)
    chosen = [speaks_mqtt311(faults, device) for device in range(1000)]
    assert {sum(chosen[first : first + 100]) for first in range(900)} == {percent}
    assert all(abs(sum(chosen[first : first + 10]) - percent / 10) < 2 for first in range(990))


def test_a_larger_share_only_adds_devices() -> None:
    """A device that speaks MQTT 3.1.1 still does so with a larger share."""
    few, more = Faults(mqtt311=10), Faults(mqtt311=35)
    assert all(speaks_mqtt311(more, device) for device in range(1000) if speaks_mqtt311(few, device))


@pytest.mark.parametrize("device", [0, 1, 42])
def test_shares_of_readings_hold_over_few_readings(device: int) -> None:
    """The shares are exact in a hundred readings of a device, and nearly exact in twenty."""
    faults = Faults(missing_context=20, malformed_context=30)
    found = [choose_fault(faults, device, reading) for reading in range(100)]
    assert Counter(found) == {Fault.NONE: 50, Fault.MALFORMED_CONTEXT: 30, Fault.MISSING_CONTEXT: 20}
    few = Counter(found[:20])
    assert 3 <= few[Fault.MISSING_CONTEXT] <= 5
    assert 5 <= few[Fault.MALFORMED_CONTEXT] <= 7


def test_shares_are_those_of_the_whole_fleet() -> None:
    """When half of the devices speak MQTT 3.1.1, the others have all faulty readings of the fleet."""
    faults = Faults(missing_context=20, malformed_context=30, mqtt311=50)
    found = Counter(
        choose_fault(faults, device, reading)
        for device in range(100)
        if not speaks_mqtt311(faults, device)
        for reading in range(100)
    )
    assert found == {Fault.MISSING_CONTEXT: 2000, Fault.MALFORMED_CONTEXT: 3000}


def test_the_first_readings_of_neighbours_differ() -> None:
    """The shares also hold in the first reading of each device."""
    faults = Faults(missing_context=25)
    found = [choose_fault(faults, device, 0) for device in range(100)]
    assert found.count(Fault.MISSING_CONTEXT) == 25
    assert 3 <= found[:20].count(Fault.MISSING_CONTEXT) <= 7


def test_other_properties_and_the_original_stay_unchanged() -> None:
    """Only the properties of the propagator are removed or truncated, in a copy."""
    properties = Properties(PacketTypes.PUBLISH)
    own = [("unit", "Cel"), ("traceparent", TRACEPARENT)]
    properties.UserProperty = own
    without = corrupt_context(properties, Fault.MISSING_CONTEXT)
    cut = corrupt_context(properties, Fault.MALFORMED_CONTEXT)
    assert getattr(without, "UserProperty", None) == [("unit", "Cel")]
    assert extract(getattr(cut, "UserProperty", None)).missing is MissingReason.MALFORMED
    assert ("unit", "Cel") in getattr(cut, "UserProperty", [])
    assert corrupt_context(properties, Fault.NONE) is properties
    assert getattr(properties, "UserProperty", None) == own


def test_messages_have_the_shares_of_the_fleet(
    make_broker: Callable[..., Mosquitto], backend: Backend, start_producer: StartProducer, tmp_path: Path
) -> None:
    """Two of twenty sensors speak MQTT 3.1.1, the shares of faulty readings are right, and no span has an error."""
    broker = make_broker()
    mount = MountedFleetFile(
        tmp_path, replicas=20, faults={"missingContext": 20, "malformedContext": 30, "mqtt311": 10}, qos=1
    )
    with Listener(broker) as listener:
        producer = start_producer(broker.port, FLEET_FILE=mount.path, FLEET_POD_INDEX=0, **backend.exports())
        until(lambda: len(listener.messages) >= 600, "six hundred readings")
        assert producer.stop() == 0
        published = producer.published()
        until(lambda: set(published) <= listener.message_ids, "every published reading")
        messages = listener.messages.copy()

    old = set(re.findall(r"as (iot\.demo-\d{5}) \(p2,", broker.log))
    assert len(old) == 2
    assert len(set(re.findall(r"as (iot\.demo-\d{5}) \(p5,", broker.log))) == 18
    by_old = Counter(missing(message) for message in messages if message.topic.split("/")[1] in old)
    assert set(by_old) == {MissingReason.ABSENT}
    found = Counter(missing(message) for message in messages)
    share = {reason: count / found.total() for reason, count in found.items()}
    assert 0.27 <= share[MissingReason.ABSENT] <= 0.33
    assert 0.27 <= share[MissingReason.MALFORMED] <= 0.33
    assert set(found) == {None, MissingReason.ABSENT, MissingReason.MALFORMED}

    spans = backend.query("traces", service="mqtt-trace-producer", limit=100_000)["traces"]
    assert {trace["trace_id"] for trace in spans} == set(published.values())
    assert not any(trace["error"] for trace in spans)
