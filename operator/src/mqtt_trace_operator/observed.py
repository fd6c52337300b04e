"""The observed state of a fleet: the fleet file that its pods mount, the pods, and their reports."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Self

from lightkube.resources.core_v1 import Pod
from mqtt_trace_service.scenario import ScheduledScenario, Settings

from mqtt_trace_operator.children import read_fleet_file
from mqtt_trace_operator.diagnosis import Reason
from mqtt_trace_operator.fleet import Object, count_pods
from mqtt_trace_operator.sensors import Report

_INDEX = "apps.kubernetes.io/pod-index"

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
        replicas_ever: The most sensors at any time of its scenario.
        started_at: When its scenario starts, in seconds since the epoch; None without a scenario or before it is known.
        paused: Whether its scenario is paused.
    """

    generation: int = 0
    replicas: int = 0
    sensors_per_pod: int = 1
    replicas_before: int | None = None
    replicas_at_most: int | None = None
    replicas_ever: int | None = None
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
        most = scenario.max_replicas(initial)
        return cls(
            generation,
            moment.settings.replicas,
            per_pod,
            replicas_before=(moment if moment.place is None else before).settings.replicas,
            replicas_at_most=moment.settings.replicas if moment.complete else most,
            replicas_ever=most,
            started_at=scenario.started_at,
            paused=scenario.paused_at is not None,
        )

    @property
    def pods(self) -> int:
        """The number of pods for these sensors."""
        most = self.replicas if self.replicas_at_most is None else self.replicas_at_most
        return count_pods(most, self.sensors_per_pod)

    @property
    def most_sensors(self) -> int:
        """The most sensors that the fleet has at any time."""
        return self.replicas if self.replicas_ever is None else self.replicas_ever

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
        fewest, _ = self.applied.expected
        enough = self.connected >= self._without_revoked(fewest)
        return self.applied.generation > 0 and enough and not self.accepts_revoked

    @property
    def accepts_revoked(self) -> bool:
        """Whether a revoked sensor must be among the connected ones, by their number."""
        _, most = self.applied.expected
        return self.connected > self._without_revoked(most)

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
