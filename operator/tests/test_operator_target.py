"""`spec.target`: a broker that the chart does not know."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
from mqtt_trace_operator.children import PodTemplate, stateful_set
from mqtt_trace_operator.fleet import Fleet

MakeFleet = Callable[..., Fleet]

CHART = {
    "MQTT_BROKER_HOST": "mosquitto",
    "MQTT_BROKER_PORT": "1883",
    "MQTT_USERNAME": "producer",
    "MQTT_TLS": "true",
    "MQTT_TLS_CA_FILE": "/etc/mqtt-trace/tls/ca.crt",
    "MQTT_TLS_CERT_FILE": "/etc/mqtt-trace/client/tls.crt",
    "MQTT_TLS_KEY_FILE": "/etc/mqtt-trace/client/tls.key",
    "MQTT_KEEPALIVE_S": "60",
    "LOG_LEVEL": "INFO",
}


@pytest.fixture
def chart(template: PodTemplate) -> PodTemplate:
    """A pod template that connects to the chart's broker in every way that it can."""
    manifest = copy.deepcopy(template.manifest)
    (container,) = manifest["spec"]["containers"]
    container["env"] = [{"name": name, "value": value} for name, value in CHART.items()]
    container["env"].append(
        {"name": "MQTT_PASSWORD", "valueFrom": {"secretKeyRef": {"name": "auth", "key": "producer-password"}}}
    )
    container["volumeMounts"] = [
        {"name": "ca", "mountPath": "/etc/mqtt-trace/tls"},
        {"name": "client", "mountPath": "/etc/mqtt-trace/client"},
        {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - a path in a pod
    ]
    manifest["spec"]["volumes"] = [{"name": "ca"}, {"name": "client"}, {"name": "tmp"}]
    return PodTemplate(manifest, 8080)


def pod(fleet: Fleet, template: PodTemplate) -> dict[str, Any]:
    """The spec of the fleet's pods."""
    found: dict[str, Any] = stateful_set(fleet, template)["spec"]["template"]["spec"]
    return found


def variables(spec: dict[str, Any]) -> dict[str, Any]:
    """Variables of the pod's container that the chart, the target or the fleet has set."""
    (container,) = spec["containers"]
    found = {one["name"]: one.get("value", one.get("valueFrom")) for one in container["env"]}
    return {name: value for name, value in found.items() if name in CHART or name == "MQTT_PASSWORD"}


def test_a_target_replaces_every_variable_of_the_connection(make_fleet: MakeFleet, chart: PodTemplate) -> None:
    """Nothing of the chart's broker stays, neither its password nor its authority; other settings do."""
    spec = pod(make_fleet(target={"host": "broker.example.com"}), chart)
    assert variables(spec) == {
        "MQTT_BROKER_HOST": "broker.example.com",
        "MQTT_BROKER_PORT": "1883",
        "MQTT_KEEPALIVE_S": "60",
        "LOG_LEVEL": "INFO",
    }
    for mounted in (spec["volumes"], spec["containers"][0]["volumeMounts"]):
        assert {"ca", "client", "tmp"} & {volume["name"] for volume in mounted} == {"tmp"}


def test_a_target_has_user_password_and_authority(make_fleet: MakeFleet, chart: PodTemplate) -> None:
    """User and password come from keys of Secrets, and the authority from `ca.crt`."""
    target = {
        "host": "broker.example.com",
        "tls": True,
        "caSecret": "authority",
        "usernameSecretRef": {"name": "login", "key": "user"},
        "passwordSecretRef": {"name": "login", "key": "password"},
    }
    spec = pod(make_fleet(target=target), chart)
    found = variables(spec)
    assert (found["MQTT_BROKER_PORT"], found["MQTT_TLS"]) == ("8883", "true")
    assert found["MQTT_USERNAME"] == {"secretKeyRef": {"name": "login", "key": "user"}}
    assert found["MQTT_PASSWORD"] == {"secretKeyRef": {"name": "login", "key": "password"}}
    (volume,) = (one for one in spec["volumes"] if one.get("secret"))
    (mount,) = (one for one in spec["containers"][0]["volumeMounts"] if one["name"] == volume["name"])
    assert volume["secret"] == {"secretName": "authority", "items": [{"key": "ca.crt", "path": "ca.crt"}]}
    assert found["MQTT_TLS_CA_FILE"] == f"{mount['mountPath']}/ca.crt"


def test_a_port_is_that_of_the_target(make_fleet: MakeFleet, chart: PodTemplate) -> None:
    """A given port takes precedence over the one of the protocol."""
    spec = pod(make_fleet(target={"host": "::1", "port": 18830, "tls": True}), chart)
    assert variables(spec)["MQTT_BROKER_PORT"] == "18830"


def test_variables_of_the_fleet_still_override(make_fleet: MakeFleet, chart: PodTemplate) -> None:
    """`spec.env` is the user's last word, as everywhere."""
    fleet = make_fleet(target={"host": "a"}, env=[{"name": "MQTT_BROKER_PORT", "value": "1884"}])
    assert variables(pod(fleet, chart))["MQTT_BROKER_PORT"] == "1884"


def test_without_a_target_the_chart_decides(make_fleet: MakeFleet, chart: PodTemplate) -> None:
    """The pod template stays as it is."""
    assert {**CHART, "MQTT_PASSWORD": None}.keys() == variables(pod(make_fleet(), chart)).keys()
