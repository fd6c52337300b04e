"""The child objects of a fleet."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mqtt_trace_operator.children import (
    FLEET_FILE,
    FLEET_LABEL,
    PodTemplate,
    config_map,
    fleet_file,
    results_map,
    stateful_set,
)
from mqtt_trace_operator.fleet import Fleet, InvalidFleetError

from mqtt_trace import ConfigurationError

MakeFleet = Callable[..., Fleet]


def build_container(fleet: Fleet, template: PodTemplate) -> dict[str, Any]:
    """Build the container of the fleet's pods."""
    container: dict[str, Any]
    (container,) = stateful_set(fleet, template)["spec"]["template"]["spec"]["containers"]
    return container


def test_the_fleet_file_has_all_that_pods_apply_live(make_fleet: MakeFleet) -> None:
    """The fleet file has every field that the producer reads, with times in seconds."""
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
    """An interval is written with a unit and read in seconds."""
    assert make_fleet(interval=interval).spec.interval_seconds == seconds


@pytest.mark.parametrize(
    ("sensors", "per_pod", "pods"), [(0, 100, 0), (1, 100, 1), (100, 100, 1), (101, 100, 2), (250, 100, 3), (7, 1, 7)]
)
def test_pods_are_as_many_as_the_sensors_need(
    make_fleet: MakeFleet, template: PodTemplate, sensors: int, per_pod: int, pods: int
) -> None:
    """A fleet has just enough pods for its sensors."""
    assert stateful_set(make_fleet(replicas=sensors, sensorsPerPod=per_pod), template)["spec"]["replicas"] == pods


def test_children_belong_to_the_fleet(make_fleet: MakeFleet, template: PodTemplate) -> None:
    """The fleet is the controller of its children, and their label names it."""
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


def test_the_results_belong_to_the_fleet_and_are_not_watched(make_fleet: MakeFleet) -> None:
    """The garbage collector deletes them with the fleet, and their changes do not wake the operator."""
    metadata = results_map(make_fleet(), {"results.json": "{}"})["metadata"]
    (owner,) = metadata["ownerReferences"]
    assert (metadata["name"], owner["name"], owner["controller"]) == ("demo-results", "demo", True)
    assert FLEET_LABEL not in metadata["labels"]


def test_the_statefulset_finds_its_own_pods(make_fleet: MakeFleet, template: PodTemplate) -> None:
    """The StatefulSet starts its pods in parallel and selects them by a label that it adds to the chart's."""
    spec = stateful_set(make_fleet(), template)["spec"]
    assert spec["podManagementPolicy"] == "Parallel"
    assert spec["selector"] == {"matchLabels": {"mqtt-trace.io/fleet": "demo"}}
    assert spec["template"]["metadata"]["labels"] == {
        "app.kubernetes.io/component": "fleet",
        "mqtt-trace.io/fleet": "demo",
    }


def test_a_pod_mounts_the_fleet_file_and_knows_its_number(make_fleet: MakeFleet, template: PodTemplate) -> None:
    """The fleet file is mounted as a directory, which kubelet refreshes, unlike a single file."""
    pod = stateful_set(make_fleet(), template)["spec"]["template"]["spec"]
    assert pod["volumes"] == [
        {"name": "fleet", "configMap": {"name": "demo-fleet"}},
        {"name": "results", "emptyDir": {}},
    ]
    (container,) = pod["containers"]
    assert container["volumeMounts"] == [
        {"name": "fleet", "mountPath": "/etc/mqtt-trace/fleet", "readOnly": True},
        {"name": "results", "mountPath": "/var/lib/mqtt-trace"},
    ]
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
def test_a_live_change_replaces_no_pod(make_fleet: MakeFleet, template: PodTemplate, change: dict[str, Any]) -> None:
    """A change of these fields leaves the pod template as it is, so that no pod is replaced."""
    before, after = stateful_set(make_fleet(), template), stateful_set(make_fleet(**change), template)
    assert before["spec"]["template"] == after["spec"]["template"]
    assert config_map(make_fleet()) != config_map(make_fleet(**change))


def test_a_fleet_overrides_image_variables_and_resources(make_fleet: MakeFleet, template: PodTemplate) -> None:
    """The fleet's image, pull policy, resources and variables replace the chart's; other variables stay."""
    env = [{"name": "LOG_LEVEL", "value": "DEBUG"}, {"name": "OTEL_BSP_MAX_QUEUE_SIZE", "value": "9"}]
    resources = {"requests": {"cpu": "1"}}
    fleet = make_fleet(image="mine:2", imagePullPolicy="Always", env=env, resources=resources)
    container = build_container(fleet, template)
    assert (container["image"], container["imagePullPolicy"]) == ("mine:2", "Always")
    assert container["resources"] == resources
    values = {variable["name"]: variable.get("value") for variable in container["env"]}
    assert values.pop("FLEET_FILE")
    assert values == {
        "MQTT_BROKER_HOST": "mosquitto",
        "LOG_LEVEL": "DEBUG",
        "OTEL_BSP_MAX_QUEUE_SIZE": "9",
        "FLEET_POD_INDEX": None,
        "RESULTS_FILE": "/var/lib/mqtt-trace/results.json",
    }
    assert build_container(make_fleet(), template)["image"] == "mqtt-trace-producer:1"


def test_a_fleets_settings_are_those_of_the_producer_alone(make_fleet: MakeFleet, template: PodTemplate) -> None:
    """Containers, volumes and envFrom that the chart adds to the pods reach the fleet unchanged."""
    others = {"initContainers": [{"name": "before", "image": "busybox:1"}], "volumes": [{"name": "certificates"}]}
    sidecar = {"name": "proxy", "image": "proxy:1", "env": [{"name": "LOG_LEVEL", "value": "WARN"}]}
    manifest = copy.deepcopy(template.manifest)
    manifest["spec"] |= {**others, "containers": [*manifest["spec"]["containers"], sidecar]}
    manifest["spec"]["containers"][0]["envFrom"] = [{"secretRef": {"name": "proxy"}}]
    fleet = make_fleet(image="mine:2", env=[{"name": "LOG_LEVEL", "value": "DEBUG"}], resources={"limits": {}})
    pod = stateful_set(fleet, PodTemplate(manifest, template.health_port))["spec"]["template"]["spec"]
    assert pod["containers"][1:] == [sidecar]
    assert pod["initContainers"] == others["initContainers"]
    assert [volume["name"] for volume in pod["volumes"]] == ["certificates", "fleet", "results"]
    assert pod["containers"][0]["envFrom"] == [{"secretRef": {"name": "proxy"}}]
    assert pod["containers"][0]["image"] == "mine:2"


def test_the_same_fleet_has_the_same_children(make_fleet: MakeFleet, template: PodTemplate) -> None:
    """Building children has no effect on later ones."""
    first = stateful_set(make_fleet(), template)
    stateful_set(make_fleet(env=[{"name": "A", "value": "b"}]), template)
    assert stateful_set(make_fleet(), template) == first


def test_an_invalid_field_of_the_spec_is_named(make_object: Callable[..., dict[str, Any]]) -> None:
    """One line names the field and suggests that the CRD is of another version."""
    resource = make_object()
    del resource["spec"]["interval"]
    with pytest.raises(InvalidFleetError, match=r"^spec\.interval: field required: does the CRD fit the operator\?$"):
        Fleet.from_object(resource)
    with pytest.raises(InvalidFleetError, match=r"^spec\.interval: 'soon' is not a duration such as 2s or 500ms$"):
        fleet_file(Fleet.from_object(make_object(interval="soon")))


@pytest.mark.parametrize(
    "content", ["", "[]", '{"spec": {"containers": []}}', '{"spec": {"containers": [{"ports": []}]}}']
)
def test_a_wrong_pod_template_is_named(tmp_path: Path, content: str) -> None:
    """A wrong pod template is one line that begins with its variable."""
    path = tmp_path / "pod-template.json"
    path.write_text(content)
    with pytest.raises(
        ConfigurationError, match=r"^POD_TEMPLATE_FILE: must be a pod template with a port named health"
    ):
        PodTemplate.read(path)


def test_sensors_with_passwords_mount_their_secrets(make_fleet: MakeFleet, template: PodTemplate) -> None:
    """The pods mount the Secrets of the largest fleet, and keep the user for receipts; a rescale changes none of it."""
    env = [{"name": "MQTT_USERNAME", "value": "producer"}]
    few = stateful_set(make_fleet(replicas=1, env=env, identity={"type": "Password"}), template)["spec"]["template"]
    many = stateful_set(make_fleet(replicas=10_000, env=env, identity={"type": "Password"}), template)["spec"][
        "template"
    ]
    assert few == many
    (container,) = few["spec"]["containers"]
    variables = {variable["name"]: variable.get("value") for variable in container["env"]}
    assert variables["DEVICE_PASSWORDS_DIR"] == "/etc/mqtt-trace/identity"
    assert variables["MQTT_USERNAME"] == "producer"
    assert {"name": "identity", "mountPath": "/etc/mqtt-trace/identity", "readOnly": True} in container["volumeMounts"]
    sources = few["spec"]["volumes"][-1]["projected"]["sources"]
    assert [source["secret"] for source in sources] == [
        {"name": f"demo-identity-{number}", "optional": True} for number in range(10)
    ]


def test_a_secret_of_the_users_own_is_mounted_alone(make_fleet: MakeFleet, template: PodTemplate) -> None:
    """With `secretName` the pods mount that Secret."""
    fleet = make_fleet(identity={"type": "Password", "secretName": "mine"})
    assert not fleet.spec.identity.is_generated
    volume = stateful_set(fleet, template)["spec"]["template"]["spec"]["volumes"][-1]
    assert volume["projected"]["sources"] == [{"secret": {"name": "mine", "optional": True}}]


def test_revoked_sensors_are_those_that_exist(make_fleet: MakeFleet) -> None:
    """A revoked number beyond the fleet's sensors does not count."""
    fleet = make_fleet(replicas=3, identity={"type": "Password", "revoked": [2, 3]})
    assert fleet.revoked == {2}
    assert fleet.client_ids(fleet.revoked) == ["iot.demo-00002"]


def test_every_sensor_of_a_scenario_can_be_revoked(make_fleet: MakeFleet) -> None:
    """Sensors exist up to the highest number of a phase, and those of the fleet itself."""
    identity = {"type": "Password", "revoked": [2, 9, 10]}
    phases = [{"name": "more", "duration": "1m", "replicas": 10}, {"name": "few", "duration": "1m", "replicas": 1}]
    fleet = make_fleet(replicas=3, identity=identity, scenario={"phases": phases})
    assert (fleet.most_sensors, fleet.revoked) == (10, frozenset({2, 9}))
