"""Kubernetes' own objects in the values: checked by the names of their fields, and handed through."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.chart.conftest import Refuse, Render
from tests.chart.placement import IN_PODS

# Of each value that is an object of Kubernetes, or a list of them, one with a field that there is not.
MISSPELLED: dict[str, Any] = {
    "affinity": {"nodeAfinity": {}},
    "dnsConfig": {"nameserver": ["192.0.2.1"]},
    "envFrom": [{"secretReff": {"name": "a"}}],
    "extraVolumes": [{"name": "a", "emptydir": {}}],
    "extraVolumeMounts": [{"name": "a", "mountPath": "/a", "readonly": True}],
    "hostAliases": [{"ip": "192.0.2.1", "hostname": ["a"]}],
    "initContainers": [{"name": "a", "image": "a", "commands": ["a"]}],
    "livenessProbe": {"httpGet": {"port": 80, "paths": "/"}},
    "podSecurityContext": {"runAsuser": 1},
    "readinessProbe": {"periodSecond": 1},
    "resources": {"limit": {}},
    "securityContext": {"capabilities": {"dropp": ["ALL"]}},
    "sidecars": [{"name": "a", "env": [{"name": "A", "values": "a"}]}],
    "startupProbe": {"failureTreshold": 1},
    "tolerations": [{"key": "a", "effects": "NoSchedule"}],
    "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "a", "whenUnsatisfiable": "a", "labelSelctor": {}}],
}


@pytest.mark.parametrize("value", MISSPELLED)
def test_a_misspelled_field_of_an_object_of_kubernetes_is_refused(refuse: Refuse, value: str) -> None:
    """Helm 3 would drop it silently."""
    place, misspelled = place_of_misspelling(MISSPELLED[value], f"/echo/{value}")
    said = refuse(options=("--set-json", f"echo.{value}={json.dumps(MISSPELLED[value])}"))
    assert f"at '{place}': additional properties '{misspelled}' not allowed" in said


def place_of_misspelling(part: Any, place: str) -> tuple[str, str]:
    """The place and the name of the last field of the last object."""
    if isinstance(part, list) and isinstance(part[0], dict):
        return place_of_misspelling(part[0], f"{place}/0")
    name = list(part)[-1]
    value = part[name]
    if isinstance(value, dict) and value and name in ("httpGet", "capabilities"):
        return place_of_misspelling(value, f"{place}/{name}")
    if name == "env":
        return place_of_misspelling(value, f"{place}/{name}")
    return place, name


def test_each_object_of_kubernetes_has_its_misspelling() -> None:
    """A new value with such an object gets a test with it."""
    others = {"podAnnotations", "podLabels", "nodeSelector", "priorityClassName", "runtimeClassName"}
    assert MISSPELLED.keys() == IN_PODS.keys() - others - {"terminationGracePeriodSeconds"}


@pytest.mark.parametrize("uid", [1, 2_000_000, 1_000_650_000, 2**31 - 1])
def test_an_integer_stays_one(render: Render, uid: int) -> None:
    """OpenShift's user ids have ten digits, which Go would print as `1.00065e+09`."""
    pods = [
        manifest["spec"]["template"]["spec"]
        for manifest in render(f"podSecurityContext.runAsUser={uid}", f"producer.securityContext.runAsUser={uid}")
        if manifest["kind"] in ("Deployment", "StatefulSet")
    ]
    users = [pod["securityContext"]["runAsUser"] for pod in pods]
    assert {repr(user) for user in users if user != 1883} == {repr(uid)}
    assert uid in [pod["containers"][0]["securityContext"].get("runAsUser") for pod in pods]
