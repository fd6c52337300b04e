"""Fleet files, from JSON to the devices of a pod."""

from __future__ import annotations

import json

import pytest
from mqtt_trace_producer.fleet_file import parse_fleet_file
from paho.mqtt.enums import MQTTProtocolVersion

from images.producer.tests.mounted_fleet_file import FLEET
from mqtt_trace import ConfigurationError


def text(**changes: object) -> str:
    """A fleet file with some members changed."""
    return json.dumps({**FLEET, **changes})


def test_each_pod_has_its_share_of_the_sensors_and_no_other() -> None:
    """With 250 sensors and 100 per pod, each sensor is in exactly one of three pods, and a fourth pod has none."""
    file = parse_fleet_file(text(replicas=250))
    pods = [list(file.specs_for_pod(pod)) for pod in range(4)]
    assert [len(pod) for pod in pods] == [100, 100, 50, 0]
    assert [device_id for pod in pods for device_id in pod] == [f"iot.demo-{number:05d}" for number in range(250)]


def test_a_device_has_the_configuration_of_the_file() -> None:
    """Interval, QoS, topic and resource are those of the file, and the number is that in the whole fleet."""
    file = parse_fleet_file(
        text(replicas=101, sensorsPerPod=100, intervalSeconds=3, qos=2, topicTemplate="t/{device_id}", later=1)
    )
    ((device_id, spec),) = file.specs_for_pod(1).items()
    assert (device_id, spec.number, spec.interval, spec.qos) == ("iot.demo-00100", 100, 3.0, 2)
    assert (spec.topic_template, spec.topic(device_id)) == ("t/{device_id}", "t/iot.demo-00100")
    assert spec.attributes == {
        "device.id": "iot.demo-00100",
        "device.kind": "sensor",
        "device.firmware.version": "1.4.2",
        "device.battery.level": 100,
        "fleet.id": "demo",
        "fleet.tenant": "acme",
        "fleet.priority": "normal",
        "site.id": "site-hq",
    }


def test_a_rescale_changes_the_protocol_of_no_sensor() -> None:
    """The protocol of a sensor depends only on its number and on the share."""
    faults = {"missingContext": 0, "malformedContext": 0, "mqtt311": 20}
    few = parse_fleet_file(text(replicas=10, faults=faults)).specs_for_pod(0)
    more = parse_fleet_file(text(replicas=90, faults=faults)).specs_for_pod(0)
    assert {id_: spec.protocol for id_, spec in few.items()} == {id_: more[id_].protocol for id_ in few}
    assert sum(spec.protocol == MQTTProtocolVersion.MQTTv311 for spec in few.values()) == 2


def test_a_pod_knows_the_most_sensors_of_its_scenario() -> None:
    """The limit of descriptors is that of the largest phase, and other pods' sensors do not count."""
    scenario = {"phases": [{"name": "few", "duration": "1s"}, {"name": "many", "duration": "1s", "replicas": 130}]}
    file = parse_fleet_file(text(scenario=scenario))
    assert [file.max_sensors(pod) for pod in range(3)] == [100, 30, 0]
    assert parse_fleet_file(text()).max_sensors(0) == 3


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"replicas": -1}, "replicas: input should be greater than or equal to 0 (got -1)"),
        ({"replicas": "3"}, "replicas: input should be a valid integer (got '3')"),
        ({"sensorsPerPod": 0}, "sensorsPerPod: input should be greater than or equal to 1 (got 0)"),
        ({"intervalSeconds": 0}, "intervalSeconds: input should be greater than or equal to 0.01 (got 0)"),
        ({"qos": 3}, "qos: input should be less than or equal to 2 (got 3)"),
        ({"topicTemplate": "sensors/+"}, "topicTemplate: must be a topic, without wildcards (got 'sensors/+')"),
        ({"topicTemplate": "s/{id}"}, "topicTemplate: the only placeholder is {device_id} (got 's/{id}')"),
        ({"priority": "urgent"}, "priority: input should be 'critical', 'high', 'normal' or 'low' (got 'urgent')"),
        (
            {"faults": {"missingContext": 101, "malformedContext": 0, "mqtt311": 0}},
            "faults.missingContext: input should be less than or equal to 100 (got 101)",
        ),
        (
            {"faults": {"missingContext": 40, "malformedContext": 40, "mqtt311": 40}},
            "faults: are more than 100 percent together",
        ),
        (
            {"scenario": {"phases": [{"name": "ramp", "duration": "1s", "churn": 101}]}},
            "scenario.phases.0.churn: input should be less than or equal to 100 (got 101)",
        ),
        ({"qos": 5, "battery": 101}, "qos: input should be less than or equal to 2 (got 5); battery: input should be "),
    ],
)
def test_wrong_members_are_named(changes: dict[str, object], problem: str) -> None:
    """One line names each wrong member and its value."""
    with pytest.raises(ConfigurationError) as error:
        parse_fleet_file(text(**changes))
    assert error.value.problem.startswith(problem)
    assert "\n" not in error.value.problem


def test_a_missing_member_is_named() -> None:
    """A file without a member is refused, and the member is named."""
    with pytest.raises(ConfigurationError, match=r"FLEET_FILE: tenant: field required$"):
        parse_fleet_file(json.dumps({name: value for name, value in FLEET.items() if name != "tenant"}))


@pytest.mark.parametrize("broken", ["", "{", "[]", "null", '{"generation": NaN}'])
def test_invalid_json_is_reported_in_one_line(broken: str) -> None:
    """The problem of a file that is not a JSON object is one line."""
    with pytest.raises(ConfigurationError) as error:
        parse_fleet_file(broken)
    assert error.value.problem
    assert "\n" not in error.value.problem
