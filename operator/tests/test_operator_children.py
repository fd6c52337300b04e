"""What a fleet's objects are, as functions of the fleet and the chart's pod template."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mqtt_trace_operator.children import FLEET_FILE, PodTemplate, config_map, fleet_file, stateful_set
from mqtt_trace_operator.fleet import Fleet, InvalidFleetError

from mqtt_trace import ConfigurationError

MakeFleet = Callable[..., Fleet]


def container_of(fleet: Fleet, template: PodTemplate) -> dict[str, Any]:
    """The container of the fleet's pods."""
    container: dict[str, Any]
    (container,) = stateful_set(fleet, template)["spec"]["template"]["spec"]["containers"]
    return container


def test_the_fleet_file_says_all_that_pods_apply_live(make_fleet: MakeFleet) -> None:
    """It is what the producer reads, in its words and in seconds."""
    faults = {"missingContext": 3, "malformedContext": 2, "mqtt311": 10}
    fleet = make_fleet(
        interval="500ms", qos=2, tenant="t", site="s", priority="high", firmware="2", battery=5, faults=faults
    )
    assert fleet_file(fleet) == {
        "generation": 7,
        "fleet": "demo",
        "namespace": "iot",
        "replicas": 250,
        "sensorsPerPod": 100,
        "intervalSeconds": 0.5,
        "qos": 2,
        "topicTemplate": "sensors/{device_id}/reading",
        "tenant": "t",
        "site": "s",
        "priority": "high",
        "firmware": "2",
        "battery": 5,
        "faults": faults,
    }
    assert json.loads(config_map(fleet)["data"][FLEET_FILE]) == fleet_file(fleet)


@pytest.mark.parametrize(
    ("interval", "seconds"), [("10ms", 0.01), ("500ms", 0.5), ("2s", 2.0), ("3m", 180.0), ("24h", 86400.0)]
)
def test_an_interval_has_a_unit(make_fleet: MakeFleet, interval: str, seconds: float) -> None:
    """It is written with the unit and read in seconds."""
    assert make_fleet(interval=interval).spec.interval_seconds == seconds


@pytest.mark.parametrize(
    ("sensors", "per_pod", "pods"), [(0, 100, 0), (1, 100, 1), (100, 100, 1), (101, 100, 2), (250, 100, 3), (7, 1, 7)]
)
def test_pods_are_as_many_as_the_sensors_need(
    make_fleet: MakeFleet, template: PodTemplate, sensors: int, per_pod: int, pods: int
) -> None:
    """The last one may have fewer sensors than it could."""
    assert stateful_set(make_fleet(replicas=sensors, sensorsPerPod=per_pod), template)["spec"]["replicas"] == pods


def test_children_belong_to_the_fleet(make_fleet: MakeFleet, template: PodTemplate) -> None:
    """It is their controller, so that they go with it, and its label leads back to it."""
    for child in (config_map(make_fleet()), stateful_set(make_fleet(), template)):
        metadata = child["metadata"]
        (owner,) = metadata["ownerReferences"]
        assert owner == {
            "apiVersion": "mqtt-trace.io/v1alpha1",
            "kind": "SensorFleet",
            "name": "demo",
            "uid": "uid-of-demo",
            "controller": True,
        }
        assert (metadata["namespace"], metadata["labels"]["mqtt-trace.io/fleet"]) == ("iot", "demo")


def test_the_statefulset_finds_its_own_pods(make_fleet: MakeFleet, template: PodTemplate) -> None:
    """They start together, and carry the label that it selects besides those of the chart."""
    spec = stateful_set(make_fleet(), template)["spec"]
    assert spec["podManagementPolicy"] == "Parallel"
    assert spec["selector"] == {"matchLabels": {"mqtt-trace.io/fleet": "demo"}}
    assert spec["template"]["metadata"]["labels"] == {
        "app.kubernetes.io/component": "fleet",
        "mqtt-trace.io/fleet": "demo",
    }


def test_a_pod_mounts_the_fleet_file_and_knows_its_number(make_fleet: MakeFleet, template: PodTemplate) -> None:
    """As a directory, which kubelet refreshes; a single file would stay what it was."""
    pod = stateful_set(make_fleet(), template)["spec"]["template"]["spec"]
    assert pod["volumes"] == [{"name": "fleet", "configMap": {"name": "demo-fleet"}}]
    (container,) = pod["containers"]
    assert container["volumeMounts"] == [{"name": "fleet", "mountPath": "/etc/mqtt-trace/fleet", "readOnly": True}]
    variables = {variable["name"]: variable for variable in container["env"]}
    assert variables["FLEET_FILE"]["value"] == f"/etc/mqtt-trace/fleet/{FLEET_FILE}"
    path = variables["FLEET_POD_INDEX"]["valueFrom"]["fieldRef"]["fieldPath"]
    assert path == "metadata.labels['apps.kubernetes.io/pod-index']"


@pytest.mark.parametrize(
    "change",
    [
        {"replicas": 251},
        {"interval": "1s"},
        {"qos": 0},
        {"topicTemplate": "x/{device_id}"},
        {"tenant": "other"},
        {"faults": {"missingContext": 1, "malformedContext": 0, "mqtt311": 0}},
    ],
)
def test_what_is_applied_live_leaves_the_pods_alone(
    make_fleet: MakeFleet, template: PodTemplate, change: dict[str, Any]
) -> None:
    """The pod template is the same, so that no pod is replaced."""
    before, after = stateful_set(make_fleet(), template), stateful_set(make_fleet(**change), template)
    assert before["spec"]["template"] == after["spec"]["template"]
    assert config_map(make_fleet()) != config_map(make_fleet(**change))


def test_image_variables_and_resources_are_the_fleets_to_choose(make_fleet: MakeFleet, template: PodTemplate) -> None:
    """They take the place of the chart's, a variable also of one from a Secret; the others stay."""
    env = [{"name": "LOG_LEVEL", "value": "DEBUG"}, {"name": "OTEL_BSP_MAX_QUEUE_SIZE", "value": "9"}]
    resources = {"requests": {"cpu": "1"}}
    fleet = make_fleet(image="mine:2", imagePullPolicy="Always", env=env, resources=resources)
    container = container_of(fleet, template)
    assert (container["image"], container["imagePullPolicy"]) == ("mine:2", "Always")
    assert container["resources"] == resources
    values = {variable["name"]: variable.get("value") for variable in container["env"]}
    assert values.pop("FLEET_FILE")
    assert values == {
        "MQTT_BROKER_HOST": "mosquitto",
        "LOG_LEVEL": "DEBUG",
        "OTEL_BSP_MAX_QUEUE_SIZE": "9",
        "FLEET_POD_INDEX": None,
    }
    assert container_of(make_fleet(), template)["image"] == "mqtt-trace-producer:1"


def test_the_same_fleet_has_the_same_children(make_fleet: MakeFleet, template: PodTemplate) -> None:
    """Building changes nothing that the next building sees."""
    first = stateful_set(make_fleet(), template)
    stateful_set(make_fleet(env=[{"name": "A", "value": "b"}]), template)
    assert stateful_set(make_fleet(), template) == first


def test_a_spec_that_this_version_does_not_know_is_named(make_object: Callable[..., dict[str, Any]]) -> None:
    """One line says which field, and that the CRD may be of another version."""
    resource = make_object()
    del resource["spec"]["interval"]
    with pytest.raises(InvalidFleetError, match=r"^spec\.interval: field required: does the CRD fit the operator\?$"):
        Fleet.from_object(resource)
    with pytest.raises(InvalidFleetError, match=r"^spec\.interval: 'soon' is not a duration such as 2s or 500ms$"):
        fleet_file(Fleet.from_object(make_object(interval="soon")))


@pytest.mark.parametrize(
    "content", ["", "[]", '{"spec": {"containers": []}}', '{"spec": {"containers": [{"ports": []}]}}']
)
def test_a_file_that_is_no_pod_template_is_named(tmp_path: Path, content: str) -> None:
    """With the variable that leads to it."""
    path = tmp_path / "pod-template.json"
    path.write_text(content)
    with pytest.raises(ConfigurationError, match=r"^POD_TEMPLATE_FILE: must be a pod template of one container"):
        PodTemplate.read(path)
