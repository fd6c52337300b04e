"""Fleets as the API server returns them, pods, and the chart's pod template."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
from lightkube.resources.core_v1 import Pod
from mqtt_trace_operator.children import PodTemplate
from mqtt_trace_operator.fleet import Fleet

MakeFleet = Callable[..., Fleet]
MakePod = Callable[..., Pod]

DEFAULTS: dict[str, Any] = {
    "replicas": 250,
    "sensorsPerPod": 100,
    "interval": "2s",
    "qos": 1,
    "topicTemplate": "sensors/{device_id}/reading",
    "tenant": "acme",
    "site": "site-hq",
    "priority": "normal",
    "firmware": "1.4.2",
    "battery": 100,
    "faults": {"missingContext": 0, "malformedContext": 0, "mqtt311": 0},
    "paused": False,
}

TEMPLATE: dict[str, Any] = {
    "metadata": {"labels": {"app.kubernetes.io/component": "fleet"}},
    "spec": {
        "containers": [
            {
                "name": "producer",
                "image": "mqtt-trace-producer:1",
                "env": [{"name": "MQTT_BROKER_HOST", "value": "mosquitto"}, {"name": "LOG_LEVEL", "value": "INFO"}],
                "ports": [{"name": "health", "containerPort": 8080}],
                "resources": {"limits": {"memory": "512Mi"}},
            }
        ]
    },
}


@pytest.fixture
def make_object() -> Callable[..., dict[str, Any]]:
    """Make SensorFleets as the API server returns them; the given fields of the spec replace the defaults."""

    def make(**spec: Any) -> dict[str, Any]:
        metadata = {"name": "demo", "namespace": "iot", "uid": "uid-of-demo", "generation": 7}
        return {"metadata": metadata, "spec": {**DEFAULTS, **spec}}

    return make


@pytest.fixture
def make_fleet(make_object: Callable[..., dict[str, Any]]) -> MakeFleet:
    """Make fleets read from such objects."""
    return lambda **spec: Fleet.from_object(make_object(**spec))


@pytest.fixture
def template(tmp_path: Path) -> PodTemplate:
    """The pod template, read from a file as the chart writes it."""
    path = tmp_path / "pod-template.json"
    path.write_text(json.dumps(TEMPLATE))
    return PodTemplate.read(path)


@pytest.fixture
def make_pod() -> MakePod:
    """Make pods of the fleet demo, with the given index, status and annotations."""

    def make(index: int = 0, *, annotations: dict[str, str] | None = None, **status: Any) -> Pod:
        labels = {"apps.kubernetes.io/pod-index": str(index)}
        metadata = {"name": f"demo-{index}", "labels": labels, "annotations": annotations or {}}
        return cast("Pod", Pod.from_dict({"metadata": metadata, "status": status}))

    return make
