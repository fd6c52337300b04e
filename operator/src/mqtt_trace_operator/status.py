"""The status of a fleet, as pure functions of its spec and of the observed state."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Self

from lightkube.resources.core_v1 import Pod
from mqtt_trace_service.scenario import ScheduledScenario, Settings

from mqtt_trace.aio import REFUSED
from mqtt_trace_operator.children import read_fleet_file
from mqtt_trace_operator.diagnosis import Reason
from mqtt_trace_operator.fleet import Fleet, Object, count_pods
from mqtt_trace_operator.scenario import Progress, build_scenario_status, describe_count, judge_completion
from mqtt_trace_operator.sensors import Report

Status = dict[str, Any]

_Conditions = dict[str, tuple[bool, Reason]]
"""The truth and the reason of each condition."""

_NO_SCENARIO = Progress()

_INDEX = "apps.kubernetes.io/pod-index"
_SHOWN_SENSORS = 3


_PODS_FOLLOW_WITHIN_S = 5.0
"""Sensors that a linear transition has added or removed since then may still be connecting or disconnecting."""


@dataclass(frozen=True)
class Applied:
    """The fleet file that the pods mount. It differs from the spec while the fleet is paused or stalled.

    Attributes:
        generation: Generation of the fleet in the file; 0 without a file.
        replicas: Number of sensors of all pods, at this moment of the scenario if it has one.
        sensors_per_pod: The most sensors that one pod simulates.
        replicas_before: Number of sensors a moment ago, if a linear transition changes it.
        replicas_at_most: The most sensors from now on.
        started_at: When its scenario starts, in seconds since the epoch; None without a scenario or before it is known.
        paused: Whether its scenario is paused.
    """

    generation: int = 0
    replicas: int = 0
    sensors_per_pod: int = 1
    replicas_before: int | None = None
    replicas_at_most: int | None = None
    started_at: float | None = None
    paused: bool = False

    @classmethod
    def from_config_map(cls, config_map: Object | None, now: datetime) -> Self:
        """Read the ConfigMap that the pods mount; a missing or unreadable one counts as no file."""
        content = read_fleet_file(config_map)
        try:
            generation, replicas, per_pod = (int(content[key]) for key in ("generation", "replicas", "sensorsPerPod"))
            if content.get("scenario") is None:
                return cls(generation, replicas, per_pod)
            scenario = ScheduledScenario.model_validate(content["scenario"])
            initial = Settings(replicas, content["intervalSeconds"])
        except (KeyError, TypeError, ValueError):
            return cls()
        elapsed = scenario.elapsed(now.timestamp())
        moment = scenario.at(elapsed, initial)
        before = scenario.at(max(moment.began, (elapsed or 0.0) - _PODS_FOLLOW_WITHIN_S), initial)
        return cls(
            generation,
            moment.settings.replicas,
            per_pod,
            replicas_before=(moment if moment.place is None else before).settings.replicas,
            replicas_at_most=moment.settings.replicas if moment.complete else scenario.max_replicas(initial),
            started_at=scenario.started_at,
            paused=scenario.paused_at is not None,
        )

    @property
    def pods(self) -> int:
        """The number of pods for these sensors."""
        most = self.replicas if self.replicas_at_most is None else self.replicas_at_most
        return count_pods(most, self.sensors_per_pod)

    @property
    def version(self) -> str:
        """Identifies the file for the pods that mount it."""
        return f"{self.generation}" if self.started_at is None else f"{self.generation}.{self.started_at:.0f}"

    @property
    def expected(self) -> tuple[int, int]:
        """The fewest and the most sensors that should be connected."""
        before = self.replicas if self.replicas_before is None else self.replicas_before
        return min(before, self.replicas), max(before, self.replicas)

    def count_sensors(self, pod: int) -> int:
        """The most sensors that the pod of this index should simulate."""
        _, most = self.expected
        return min(max(most - pod * self.sensors_per_pod, 0), self.sensors_per_pod)


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
        return self.applied.generation > 0 and self.connected >= self.applied.expected[0]

    @property
    def refuses_revoked(self) -> bool:
        """Whether all sensors except revoked ones are connected."""
        fewest, most = map(self._without_revoked, self.applied.expected)
        return self.applied.generation > 0 and fewest <= self.connected <= most

    def _without_revoked(self, sensors: int) -> int:
        return sensors - sum(number < sensors for number in self.revoked)

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
            if (report := self.reports.get(pod_name(pod))) is not None
            and (report.generation < self.applied.generation or report.started_at != self.applied.started_at)
        ]

    @property
    def reported(self) -> bool:
        """Whether all pods run the fleet file that they mount."""
        return self.applied.generation > 0 and not self.outdated and len(self.reports) == self.applied.pods

    @property
    def settled(self) -> bool:
        """Whether nothing changes until the next event."""
        return self.stalled is None and self.rolled_out and not self.outdated and self.refuses_revoked


def build_status(
    fleet: Fleet, observed: Observed, former: Mapping[str, Any], now: datetime, progress: Progress = _NO_SCENARIO
) -> Status:
    """Build the whole status.

    Args:
        fleet: The fleet.
        observed: Its observed state.
        former: Its current status: a condition whose status does not change keeps its transition time.
        now: The transition time of the conditions that change.
        progress: Where its scenario is.
    """
    judged = _judge(fleet, observed)
    completion = judge_completion(fleet, progress, judged["Ready"][1], now)
    if completion is not None:
        judged["Complete"] = completion
    scenario = build_scenario_status(fleet, progress, former, now)
    return {
        "observedGeneration": fleet.generation,
        "replicas": observed.applied.replicas,
        "readyReplicas": observed.connected,
        "pods": len(observed.pods),
        "selector": fleet.selector,
        **({} if scenario is None else {"scenario": scenario}),
        "conditions": _format_conditions(fleet.generation, judged, former, now),
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


def is_worth_writing(status: Mapping[str, Any], former: Mapping[str, Any]) -> bool:
    """Whether to write a status. While a scenario runs, the counts of sensors alone wait for the next other change.

    Otherwise a ramp would cost a write for each of its steps.
    """
    if status == former:
        return False
    scenario = status.get("scenario", {})
    if "phase" not in scenario or scenario["complete"]:
        return True
    return _without_counts(status) != _without_counts(former)


def _without_counts(status: Mapping[str, Any]) -> dict[str, Any]:
    conditions = [
        {key: value for key, value in condition.items() if key != "message"}
        for condition in status.get("conditions") or []
    ]
    counts = {"replicas": None, "readyReplicas": None}
    return {**status, **counts, "conditions": conditions}


def find_ready(status: Mapping[str, Any]) -> Mapping[str, Any]:
    """Find the condition `Ready`; empty if it does not exist."""
    return find_condition(status, "Ready")


def find_condition(status: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    """Find a condition; empty if it does not exist."""
    return next((condition for condition in status.get("conditions") or [] if condition["type"] == kind), {})


def format_condition(
    kind: str, truth: bool, reason: Reason, before: Mapping[str, Any], now: datetime
) -> dict[str, Any]:
    """Format a condition, which keeps its transition time while its status stays what it was."""
    status = "True" if truth else "False"
    stays = before.get("status") == status
    return {
        "type": kind,
        "status": status,
        "lastTransitionTime": before["lastTransitionTime"] if stays else _timestamp(now),
        "reason": reason.name,
        "message": reason.message,
    }


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


def _stalled_conditions(reason: Reason) -> _Conditions:
    return {"Ready": (False, reason), "Reconciling": (False, Reason("Stalled", "")), "Stalled": (True, reason)}


def _judge(fleet: Fleet, observed: Observed) -> _Conditions:
    if observed.stalled is not None:
        return _stalled_conditions(observed.stalled)
    reason = _ready_reason(fleet, observed)
    reconciling = (True, reason)
    if fleet.spec.paused or observed.settled:
        reconciling = (False, Reason("Paused" if fleet.spec.paused else "Settled", ""))
    return {
        "Ready": (observed.complete, reason),
        "Reconciling": reconciling,
        "Stalled": (False, Reason("NotStalled", "")),
    }


def _ready_reason(fleet: Fleet, observed: Observed) -> Reason:
    connected, replicas = observed.connected, observed.applied.replicas
    paused = "paused: " if fleet.spec.paused else ""
    if observed.pod_failure is not None and not observed.settled:
        return Reason(observed.pod_failure.name, paused + observed.pod_failure.message)
    if observed.applied.generation == 0:
        return Reason("NotApplied", f"{paused}nothing applied yet")
    if observed.complete:
        return Reason("Connected", f"{paused}{describe_count(connected, 'sensor')} connected")
    message = f"{paused}{connected} of {describe_count(replicas, 'sensor')} connected"
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
    return [
        format_condition(kind, truth, reason, before.get(kind, {}), now) | {"observedGeneration": generation}
        for kind, (truth, reason) in judged.items()
    ]


def _timestamp(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _enumerate(sensors: Sequence[str]) -> str:
    others = len(sensors) - _SHOWN_SENSORS
    more = [f"{others} more"] if others > 0 else []
    return ", ".join([*sensors[:_SHOWN_SENSORS], *more])
