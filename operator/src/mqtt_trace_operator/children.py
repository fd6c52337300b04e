"""The child objects of a fleet, as pure functions of the fleet and the chart's pod template."""

import base64
import copy
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from mqtt_trace_service.scenario import Clock

from mqtt_trace import ConfigurationError
from mqtt_trace_operator.fleet import GROUP, KIND, VERSION, Fleet, Object, count_pods
from mqtt_trace_operator.target import connect

Manifest = dict[str, Any]

FLEET_LABEL = f"{GROUP}/fleet"
FLEET_FILE = "fleet.json"
SENSORS_PER_SECRET = 1000
"""A certificate and its key take about 850 bytes, and a Secret has 1 MiB."""

_FOLDER = "/etc/mqtt-trace/fleet"
_IDENTITY_FOLDER = "/etc/mqtt-trace/identity"
_IDENTITY_VARIABLES = {"Password": "DEVICE_PASSWORDS_DIR", "Certificate": "DEVICE_CERTIFICATES_DIR"}
_MAX_SENSORS = 10_000
_POD_INDEX = "metadata.labels['apps.kubernetes.io/pod-index']"
_VOLUME = "fleet"
_RESULTS_FOLDER = "/var/lib/mqtt-trace"
_RESULTS_VOLUME = "results"
_IDENTITY_VOLUME = "identity"


@dataclass(frozen=True)
class PodTemplate:
    """The chart's part of the pods of fleets, with one container.

    Attributes:
        manifest: A pod template, with `metadata` and `spec`.
        health_port: The port on which the container answers `GET /ready`.
        certificates_port: The port of the chart's broker for sensors with certificates of the operator's.
    """

    manifest: Manifest
    health_port: int
    certificates_port: int | None = None

    @classmethod
    def read(cls, path: Path, certificates_port: int | None = None) -> Self:
        """Read it from a JSON file.

        Raises:
            mqtt_trace.ConfigurationError: The file contains no such template.
        """
        try:
            manifest = json.loads(path.read_text())
            container, *_ = manifest["spec"]["containers"]
            (port,) = (port["containerPort"] for port in container["ports"] if port["name"] == "health")
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ConfigurationError(
                variable="POD_TEMPLATE_FILE",
                problem=f"must be a pod template with a port named health in its first container: {error!r}"
                f" (got '{path}')",
            ) from error
        return cls(manifest, port, certificates_port)


def fleet_file(fleet: Fleet, clock: Clock | None = None) -> dict[str, Any]:
    """The content of the fleet file, which the fleet's pods read again after each change.

    Args:
        fleet: The fleet.
        clock: The clock of its scenario.
    """
    spec = fleet.spec
    content = {
        "generation": fleet.generation,
        "fleet": fleet.name,
        "namespace": fleet.namespace,
        "replicas": spec.replicas,
        "sensorsPerPod": spec.sensors_per_pod,
        "intervalSeconds": spec.interval_seconds,
        "qos": spec.qos,
        "topicTemplate": spec.topic_template,
        "tenant": spec.tenant,
        "site": spec.site,
        "priority": spec.priority,
        "firmware": spec.firmware,
        "battery": spec.battery,
        "faults": spec.faults.model_dump(by_alias=True),
    }
    if spec.scenario is not None:
        content["scenario"] = spec.scenario.model_dump(by_alias=True, exclude_unset=True) | _times(clock or Clock())
    return content


def config_map(fleet: Fleet, clock: Clock | None = None) -> Manifest:
    """The ConfigMap with the fleet file."""
    return _config_map(fleet, fleet_file(fleet, clock))


def paused_config_map(fleet: Fleet, live: Object | None, clock: Clock) -> Manifest | None:
    """The live ConfigMap with a paused clock, and all else as it is; None if it is paused or has no scenario."""
    content = read_fleet_file(live)
    scenario = content.get("scenario") or {}
    if "startedAt" not in scenario or clock.paused_at is None or scenario.get("pausedAt") == clock.paused_at:
        return None
    return _config_map(fleet, {**content, "generation": fleet.generation, "scenario": {**scenario, **_times(clock)}})


def read_fleet_file(config_map: Object | None) -> dict[str, Any]:
    """The content of the fleet file in a ConfigMap; empty if it is missing or unreadable."""
    try:
        content = json.loads((config_map or {})["data"][FLEET_FILE])
    except (KeyError, TypeError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def results_map(fleet: Fleet, data: Mapping[str, str]) -> Manifest:
    """The ConfigMap with the history of the fleet's scenario.

    It has no label of the fleet: the operator does not watch what it alone writes every few seconds.
    """
    metadata = {"name": f"{fleet.name}-results"}
    manifest = _owned(fleet, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": dict(data)})
    del manifest["metadata"]["labels"][FLEET_LABEL]
    return manifest


def stateful_set(fleet: Fleet, template: PodTemplate, sensors: int | None = None) -> Manifest:
    """The StatefulSet. Only image, pull policy, variables and resources of the fleet change its pod template.

    Args:
        fleet: The fleet.
        template: The chart's part of its pods.
        sensors: The most sensors that its pods simulate; `spec.replicas` if None.
    """
    most = fleet.spec.replicas if sensors is None else sensors
    return _owned(
        fleet,
        {
            "apiVersion": "apps/v1",
            "kind": "StatefulSet",
            "metadata": {"name": fleet.name},
            "spec": {
                "replicas": count_pods(most, fleet.spec.sensors_per_pod),
                "podManagementPolicy": "Parallel",
                "selector": {"matchLabels": {FLEET_LABEL: fleet.name}},
                "template": _pod_template(fleet, template),
            },
        },
    )


def _times(clock: Clock) -> dict[str, Any]:
    return clock.model_dump(by_alias=True, exclude_none=True)


def _config_map(fleet: Fleet, content: dict[str, Any]) -> Manifest:
    manifest = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": f"{fleet.name}-fleet"},
        "data": {FLEET_FILE: json.dumps(content)},
    }
    return _owned(fleet, manifest)


def identity_secret(fleet: Fleet, number: int, credentials: Mapping[str, bytes]) -> Manifest:
    """The Secret with the credentials of up to a thousand sensors, from the one with number * 1000 on."""
    return _owned(
        fleet,
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": f"{fleet.name}-identity-{number}"},
            "data": {name: base64.b64encode(content).decode() for name, content in credentials.items()},
        },
    )


def _pod_template(fleet: Fleet, template: PodTemplate) -> Manifest:
    pod = copy.deepcopy(template.manifest)
    pod.setdefault("metadata", {}).setdefault("labels", {})[FLEET_LABEL] = fleet.name
    container, *_sidecars = pod["spec"]["containers"]
    spec = fleet.spec
    if spec.image is not None:
        container["image"] = spec.image
    if spec.image_pull_policy is not None:
        container["imagePullPolicy"] = spec.image_pull_policy
    if spec.resources is not None:
        container["resources"] = spec.resources
    if spec.target is not None:
        connect(pod, spec.target)
    variables = [{"name": variable.name, "value": variable.value} for variable in spec.env]
    contract = [
        {"name": "FLEET_FILE", "value": f"{_FOLDER}/{FLEET_FILE}"},
        {"name": "FLEET_POD_INDEX", "valueFrom": {"fieldRef": {"fieldPath": _POD_INDEX}}},
        {"name": "RESULTS_FILE", "value": f"{_RESULTS_FOLDER}/results.json"},
    ]
    given = {variable["name"]: variable for variable in [*container.get("env", []), *variables, *contract]}
    container["env"] = list(given.values())
    # Results outlive a restart of the container, whether or not the fleet has a scenario yet: a volume that came with
    # the scenario would restart the pods.
    container.setdefault("volumeMounts", []).extend(
        [
            {"name": _VOLUME, "mountPath": _FOLDER, "readOnly": True},
            {"name": _RESULTS_VOLUME, "mountPath": _RESULTS_FOLDER},
        ]
    )
    pod["spec"].setdefault("volumes", []).extend(
        [
            {"name": _VOLUME, "configMap": {"name": f"{fleet.name}-fleet"}},
            {"name": _RESULTS_VOLUME, "emptyDir": {}},
        ]
    )
    if spec.identity.type != "Shared":
        _add_identity(fleet, pod["spec"], container, template.certificates_port)
    return pod


def _add_identity(fleet: Fleet, pod: Manifest, container: Manifest, certificates_port: int | None) -> None:
    """Give the sensors credentials of their own. With the shared ones, the pod still receives receipts.

    All pods of a StatefulSet have the same volumes, and a rescale must not change them: each pod mounts the Secrets of
    the largest fleet, of which most do not exist.
    """
    identity = fleet.spec.identity
    names = [identity.secret_name]
    if identity.secret_name is None:
        names = [f"{fleet.name}-identity-{number}" for number in range(_MAX_SENSORS // SENSORS_PER_SECRET)]
    sources = [{"secret": {"name": name, "optional": True}} for name in names]
    pod["volumes"].append({"name": _IDENTITY_VOLUME, "projected": {"sources": sources}})
    container["volumeMounts"].append({"name": _IDENTITY_VOLUME, "mountPath": _IDENTITY_FOLDER, "readOnly": True})
    variables = {_IDENTITY_VARIABLES[identity.type]: _IDENTITY_FOLDER}
    if identity.type == "Certificate" and identity.is_generated:
        variables["DEVICE_CERTIFICATES_PORT"] = str(certificates_port)
    container["env"] = [variable for variable in container["env"] if variable["name"] not in variables]
    container["env"] += [{"name": name, "value": value} for name, value in variables.items()]


def _owned(fleet: Fleet, manifest: Manifest) -> Manifest:
    owner = {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": KIND,
        "name": fleet.name,
        "uid": fleet.uid,
        "controller": True,
    }
    metadata = manifest["metadata"]
    metadata["namespace"] = fleet.namespace
    metadata["labels"] = {
        FLEET_LABEL: fleet.name,
        "app.kubernetes.io/managed-by": "mqtt-trace-operator",
        "app.kubernetes.io/part-of": "mqtt-trace",
    }
    metadata["ownerReferences"] = [owner]
    return manifest
