"""The status of a fleet, as pure functions of its spec and of the observed state."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Self

from lightkube.resources.core_v1 import Pod

from mqtt_trace.aio import REFUSED
from mqtt_trace_operator.children import FLEET_FILE
from mqtt_trace_operator.diagnosis import Reason
from mqtt_trace_operator.fleet import Fleet, Object, count_pods
from mqtt_trace_operator.sensors import Report

Status = dict[str, Any]

_INDEX = "apps.kubernetes.io/pod-index"
_SHOWN_SENSORS = 3


@dataclass(frozen=True)
class Applied:
    """The fleet file that the pods mount. It differs from the spec while the fleet is paused or stalled.

    Attributes:
        generation: Generation of the fleet in the file; 0 without a file.
        replicas: Number of sensors of all pods.
        sensors_per_pod: The most sensors that one pod simulates.
    """

    generation: int = 0
    replicas: int = 0
    sensors_per_pod: int = 1

    @classmethod
    def from_config_map(cls, config_map: Object | None) -> Self:
        """Read the ConfigMap that the pods mount; a missing or unreadable one counts as no file."""
        try:
            content = json.loads((config_map or {})["data"][FLEET_FILE])
            return cls(int(content["generation"]), int(content["replicas"]), int(content["sensorsPerPod"]))
        except (KeyError, TypeError, ValueError):
            return cls()

    @property
    def pods(self) -> int:
        """The number of pods for these sensors."""
        return count_pods(self.replicas, self.sensors_per_pod)

    def count_sensors(self, pod: int) -> int:
        """The number of sensors that the pod of this index simulates."""
        return min(max(self.replicas - pod * self.sensors_per_pod, 0), self.sensors_per_pod)


@dataclass(frozen=True)
class Observed:
    """The observed state of a fleet.

    Attributes:
        applied: The fleet file that its pods mount.
        pods: Its pods.
        reports: The pods' reports, by pod name.
        rolled_out: Whether the StatefulSet has no pod left to create, replace or delete.
        pod_failure: Why pods do not run.
        stalled: Why the operator cannot apply the children.
        revoked: Numbers of the sensors that the broker has to refuse.
    """

    applied: Applied = field(default_factory=Applied)
    pods: Sequence[Pod] = ()
    reports: Mapping[str, Report] = field(default_factory=dict)
    rolled_out: bool = False
    pod_failure: Reason | None = None
    stalled: Reason | None = None
    revoked: frozenset[int] = frozenset()

    @property
    def connected(self) -> int:
        """The number of connected sensors in the pods' reports, without sensors that the fleet file no longer has."""
        return sum(
            min(report.connected, self.applied.count_sensors(index))
            for pod in self.pods
            if (index := pod_index(pod)) is not None and (report := self.reports.get(pod_name(pod))) is not None
        )

    @property
    def complete(self) -> bool:
        """Whether all sensors of the fleet file are connected; it may have none."""
        return self.applied.generation > 0 and self.connected == self.applied.replicas

    @property
    def refuses_revoked(self) -> bool:
        """Whether all sensors except revoked ones are connected."""
        return self.applied.generation > 0 and self.connected == self.applied.replicas - len(self.revoked)

    @property
    def cause(self) -> str:
        """The most frequent cause of missing connections; empty if no pod reports one."""
        causes: Counter[str] = Counter()
        for report in self.reports.values():
            causes.update(report.causes)
        return next((cause for cause, _ in causes.most_common(1)), "")

    @property
    def outdated(self) -> list[Pod]:
        """The pods that still use an older fleet file."""
        return [
            pod
            for pod in self.pods
            if (report := self.reports.get(pod_name(pod))) is not None and report.generation < self.applied.generation
        ]

    @property
    def settled(self) -> bool:
        """Whether nothing changes until the next event."""
        return self.stalled is None and self.rolled_out and not self.outdated and self.refuses_revoked


def build_status(fleet: Fleet, observed: Observed, former: Mapping[str, Any], now: datetime) -> Status:
    """Build the whole status.

    Args:
        fleet: The fleet.
        observed: Its observed state.
        former: Its current status: a condition whose status does not change keeps its transition time.
        now: The transition time of the conditions that change.
    """
    replicas = observed.applied.replicas
    return {
        "observedGeneration": fleet.generation,
        "replicas": replicas,
        "readyReplicas": observed.connected,
        "pods": len(observed.pods),
        "selector": fleet.selector,
        "conditions": _format_conditions(fleet.generation, _judge(fleet, observed), former, now),
    }


def build_invalid_status(resource: Object, reason: Reason, now: datetime) -> Status:
    """Build the status of a fleet whose spec is invalid: its sensors stay what they were."""
    former = resource.get("status") or {}
    generation = resource["metadata"]["generation"]
    return {
        **former,
        "observedGeneration": generation,
        "conditions": _format_conditions(generation, _stalled_conditions(reason), former, now),
    }


def find_ready(status: Mapping[str, Any]) -> Mapping[str, Any]:
    """Find the condition `Ready`; empty if it does not exist."""
    return next((condition for condition in status.get("conditions") or [] if condition["type"] == "Ready"), {})


def pod_name(pod: Pod) -> str:
    """A pod's name."""
    return (pod.metadata.name if pod.metadata else None) or ""


def pod_uid(pod: Pod) -> str:
    """A pod's uid, which distinguishes it from earlier pods with its name."""
    return (pod.metadata.uid if pod.metadata else None) or ""


def pod_index(pod: Pod) -> int | None:
    """A pod's ordinal in its StatefulSet."""
    index = ((pod.metadata.labels if pod.metadata else None) or {}).get(_INDEX, "")
    return int(index) if index.isdecimal() else None


@dataclass(frozen=True)
class _Conditions:
    """The truth and the reason of each condition."""

    ready: tuple[bool, Reason]
    reconciling: tuple[bool, Reason]
    stalled: tuple[bool, Reason]


def _stalled_conditions(reason: Reason) -> _Conditions:
    return _Conditions((False, reason), (False, Reason("Stalled", "")), (True, reason))


def _judge(fleet: Fleet, observed: Observed) -> _Conditions:
    if observed.stalled is not None:
        return _stalled_conditions(observed.stalled)
    reason = _ready_reason(fleet, observed)
    reconciling = (True, reason)
    if fleet.spec.paused or observed.settled:
        reconciling = (False, Reason("Paused" if fleet.spec.paused else "Settled", ""))
    return _Conditions((observed.complete, reason), reconciling, (False, Reason("NotStalled", "")))


def _ready_reason(fleet: Fleet, observed: Observed) -> Reason:
    connected, replicas = observed.connected, observed.applied.replicas
    paused = "paused: " if fleet.spec.paused else ""
    if observed.pod_failure is not None and not observed.settled:
        return Reason(observed.pod_failure.name, paused + observed.pod_failure.message)
    if observed.applied.generation == 0:
        return Reason("NotApplied", f"{paused}nothing applied yet")
    if observed.complete:
        return Reason("Connected", f"{paused}{_count(connected)} connected")
    message = f"{paused}{connected} of {_count(replicas)} connected"
    # Other causes, such as the end of a TLS handshake, vary from attempt to attempt.
    refusal = f": {observed.cause}" if observed.cause.startswith(REFUSED) else ""
    if observed.revoked and observed.refuses_revoked:
        names = _enumerate(fleet.client_ids(sorted(observed.revoked)))
        return Reason("Revoked", f"{message}, revoked: {names}{refusal}")
    return Reason("Connecting", f"{message}{refusal}")


def _format_conditions(
    generation: int, judged: _Conditions, former: Mapping[str, Any], now: datetime
) -> list[dict[str, Any]]:
    before = {condition["type"]: condition for condition in former.get("conditions") or []}
    conditions = {"Ready": judged.ready, "Reconciling": judged.reconciling, "Stalled": judged.stalled}
    return [
        _format_condition(kind, truth, reason, before.get(kind, {}), now) | {"observedGeneration": generation}
        for kind, (truth, reason) in conditions.items()
    ]


def _format_condition(
    kind: str, truth: bool, reason: Reason, before: Mapping[str, Any], now: datetime
) -> dict[str, Any]:
    status = "True" if truth else "False"
    stays = before.get("status") == status
    return {
        "type": kind,
        "status": status,
        "lastTransitionTime": before["lastTransitionTime"] if stays else _timestamp(now),
        "reason": reason.name,
        "message": reason.message,
    }


def _timestamp(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _count(sensors: int) -> str:
    return f"{sensors} sensor{'' if sensors == 1 else 's'}"


def _enumerate(sensors: Sequence[str]) -> str:
    others = len(sensors) - _SHOWN_SENSORS
    more = [f"{others} more"] if others > 0 else []
    return ", ".join([*sensors[:_SHOWN_SENSORS], *more])
