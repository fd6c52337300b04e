"""SensorFleets of a release's namespace, and their sensors' telemetry in the backend."""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from e2e.release import until
from local.commands import CommandError, Kubectl
from local.golden import Json
from local.scout import Scout

SERVICES = {"mqtt-trace-producer", "mqtt-trace-consumer", "mqtt-trace-echo"}

_READY_WITHIN_S = 180
_API = "/apis/mqtt-trace.io/v1alpha1"


@dataclass(frozen=True)
class SensorFleet:
    """One fleet, there or not.

    Attributes:
        kubectl: kubectl in its namespace.
        name: Its name.
    """

    kubectl: Kubectl
    name: str

    def apply(self, replicas: int, **spec: Any) -> None:
        """Create it, or change these members of its spec."""
        manifest = {
            "apiVersion": "mqtt-trace.io/v1alpha1",
            "kind": "SensorFleet",
            "metadata": {"name": self.name},
            "spec": {"replicas": replicas, **spec},
        }
        self.kubectl("apply", "--filename", "-", stdin=json.dumps(manifest))

    def patch(self, **spec: Any) -> None:
        """Change members of its spec."""
        self.kubectl("patch", "fleet", self.name, "--type=merge", "--patch", json.dumps({"spec": spec}))

    def scale(self, replicas: int) -> None:
        """Run `kubectl scale`."""
        self.kubectl("scale", f"fleet/{self.name}", f"--replicas={replicas}")

    def delete(self) -> None:
        """Delete it, and wait until all its objects are gone."""
        self.kubectl("delete", f"fleet/{self.name}", "--ignore-not-found", "--wait")
        until(lambda: not self.children(), f"nothing of fleet {self.name} is left", _READY_WITHIN_S)

    def object(self) -> Json:
        """Return it as the API server has it."""
        fleet: Json = self.kubectl.json("get", "fleet", self.name)
        return fleet

    def wait_ready(self, sensors: int) -> Json:
        """Wait until its newest spec is applied and exactly this number of sensors is connected; return its status."""

        def ready() -> Json | None:
            fleet = self.object()
            status: Json = fleet.get("status") or {}
            conditions = {condition["type"]: condition["status"] for condition in status.get("conditions", [])}
            counts = status.get("replicas"), status.get("readyReplicas"), status.get("observedGeneration")
            settled = conditions.get("Ready") == "True" and conditions.get("Reconciling") == "False"
            return status if settled and counts == (sensors, sensors, fleet["metadata"]["generation"]) else None

        try:
            status = until(ready, f"{sensors} sensors of fleet {self.name} are connected", _READY_WITHIN_S)
        except AssertionError as error:
            error.add_note(json.dumps(self.object(), indent=1))
            raise
        assert status is not None
        return status

    def wait_reason(self, reason: str) -> str:
        """Wait until its condition `Ready` has this reason, and return the message."""

        def message() -> str | None:
            conditions = {condition["type"]: condition for condition in self.object()["status"]["conditions"]}
            return conditions["Ready"]["message"] if conditions["Ready"]["reason"] == reason else None

        return until(message, f"Ready of fleet {self.name} has the reason {reason}", _READY_WITHIN_S) or ""

    def line(self) -> str:
        """Return its line in `kubectl get fleet`."""
        return self.kubectl("get", "fleet", self.name, "--no-headers").strip()

    def pods(self) -> list[Json]:
        """Return its pods."""
        pods: list[Json] = self.kubectl.json("get", "pods", "--selector", f"mqtt-trace.io/fleet={self.name}")["items"]
        return pods

    def pod_uids(self) -> dict[str, str]:
        """Return the uids of its pods by their names; a pod that was replaced or whose container restarted differs."""
        return {
            pod["metadata"]["name"]: f"{pod['metadata']['uid']}/{pod['status']['containerStatuses'][0]['restartCount']}"
            for pod in self.pods()
        }

    def children(self) -> list[str]:
        """Return the names of the objects that belong to it."""
        kinds = "statefulsets,configmaps,secrets,pods"
        return self.kubectl("get", kinds, "--selector", f"mqtt-trace.io/fleet={self.name}", "--output=name").split()

    def sensors(self, numbers: Iterable[int]) -> set[str]:
        """Return ids of its sensors."""
        return {f"{self.kubectl.namespace}.{self.name}-{number:05d}" for number in numbers}

    def write_scale(self, replicas: int) -> Json:
        """Write /scale as an autoscaler does, and return the new scale."""
        path = f"{_API}/namespaces/{self.kubectl.namespace}/sensorfleets/{self.name}/scale"
        scale = json.loads(self.kubectl("get", "--raw", path))
        scale["spec"]["replicas"] = replicas
        self.kubectl("replace", "--raw", path, "--filename", "-", stdin=json.dumps(scale))
        after: Json = json.loads(self.kubectl("get", "--raw", path))
        return after


def exists(kubectl: Kubectl, name: str) -> bool:
    """Return whether an object `kind/name` exists."""
    try:
        return bool(kubectl("get", name, "--ignore-not-found", "--output=name").strip())
    except CommandError:  # the kind does not exist
        return False


def connected_sensors(scout: Scout, fleet: SensorFleet, since: datetime) -> set[str]:
    """Return the sensors of a fleet with a connected trace since then."""
    return sensors_in(connected_traces(scout, fleet, since))


def connected_traces(scout: Scout, fleet: SensorFleet, since: datetime) -> list[Json]:
    """Return the summaries of these sensors' connected traces."""
    fleet_id = f"fleet.id={fleet.name}"
    found = scout.get(
        "/api/traces", attribute=fleet_id, service="mqtt-trace-echo", since=str(since.timestamp()), limit=100_000
    )["traces"]
    return [trace for trace in found if trace["connected"] and set(trace["services"]) == SERVICES]


def orphans(scout: Scout, fleet: SensorFleet, since: datetime, reason: str) -> list[str]:
    """Return the sensor of each reading of a fleet that lacked its context for this reason."""
    found = scout.get(
        "/api/traces",
        attribute=f"mqtt.missing_context_reason={reason}",
        since=str(since.timestamp()),
        limit=100_000,
    )["traces"]
    sensors = [_sensor_of(trace["root_name"]) for trace in found]
    return [sensor for sensor in sensors if sensor.startswith(f"{fleet.kubectl.namespace}.{fleet.name}-")]


def sensors_in(traces: Iterable[Json]) -> set[str]:
    """Return the sensors that started traces."""
    return {_sensor_of(trace["root_name"]) for trace in traces}


def _sensor_of(span_name: str) -> str:
    match = re.fullmatch(r"(?:publish|process) sensors/([^/]+)/reading", span_name)
    assert match is not None, span_name
    return match[1]
