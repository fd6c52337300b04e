"""Reconciles one fleet: brings the cluster to the state that its spec describes."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum, auto
from typing import Any

from lightkube import ApiError
from lightkube.resources.core_v1 import Pod

from mqtt_trace_operator.applying import Children, is_namespace_terminating
from mqtt_trace_operator.children import PodTemplate, config_map, stateful_set
from mqtt_trace_operator.cluster import FIELD_MANAGER, Cluster
from mqtt_trace_operator.diagnosis import Reason, diagnose_creation, diagnose_mounts, diagnose_pods, find_stuck
from mqtt_trace_operator.drift import is_controlled_by, owns_pod
from mqtt_trace_operator.fleet import Fleet, InvalidFleetError, Object
from mqtt_trace_operator.identity.identities import Identities
from mqtt_trace_operator.observed import Applied, Observed, pod_index, pod_name, pod_uid
from mqtt_trace_operator.refresh import refresh_annotation
from mqtt_trace_operator.results.measuring import Finished, Measuring, count_sensors_to_report
from mqtt_trace_operator.results.status import find_verdict
from mqtt_trace_operator.scenario.progress import Progress, count_sensors_at_most, find_news, seconds_to_next_change
from mqtt_trace_operator.sensors import Sensors
from mqtt_trace_operator.status import build_invalid_status, build_status, find_ready, is_worth_writing

_CONCURRENT_CHANGES = {404, 409}
"""Not found, and conflict: the next reconcile reads the new state."""


class Outcome(Enum):
    """What the worker does next."""

    DONE = auto()
    """Wait for an event."""
    REQUEUE = auto()
    """Reconcile again soon: pods are still starting, stopping or connecting."""
    RECHECK = auto()
    """Reconcile again in a while: nothing reports a change of the sensors' credentials."""
    GONE = auto()
    """Forget the fleet: it does not exist, or is being deleted."""


@dataclass
class Result:
    """The result of a reconcile.

    Attributes:
        changes: Changes of children and pods, such as `StatefulSet demo created`.
        ready: The fleet's condition `Ready`, if its status or reason has changed.
        fleet: The object that Events refer to.
        news: Other news of the fleet, such as a new phase of its scenario.
        verdict: The verdict on its scenario, if it is new.
        finished: Its scenario, if the results have become final.
        status: Its status after the reconcile, None if that is unknown.
        outcome: What the worker does next.
        reconcile_after_s: Seconds after which the worker reconciles again in any case; None for never.
    """

    changes: list[str] = field(default_factory=list)
    ready: Mapping[str, Any] | None = None
    news: list[Reason] = field(default_factory=list)
    verdict: Reason | None = None
    finished: Finished | None = None
    fleet: Object | None = None
    status: Mapping[str, Any] | None = None
    outcome: Outcome = Outcome.GONE
    reconcile_after_s: float | None = None


class Reconciler:
    """Reconciles fleets. It is idempotent: when nothing has changed it writes nothing.

    Args:
        cluster: The API server.
        sensors: Reads the pods' reports.
        template: The chart's part of the pods of fleets.
        identities: Gives sensors credentials of their own.
        now: Returns the current time.
    """

    def __init__(
        self,
        cluster: Cluster,
        sensors: Sensors,
        template: PodTemplate,
        identities: Identities,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._cluster = cluster
        self._sensors = sensors
        self._template = template
        self._identities = identities
        self._now = now
        self._children = Children(cluster, identities, now)
        self._measuring = Measuring(cluster, sensors)

    async def reconcile(self, namespace: str, name: str) -> Result:
        """Reconcile one fleet.

        Raises:
            lightkube.ApiError: The API server refused a request for a reason that may pass.
            httpx2.HTTPError: It cannot be reached.
        """
        resource = await self._cluster.get_fleet(namespace, name)
        if resource is None or resource["metadata"].get("deletionTimestamp"):
            await self._forget(namespace, name)
            return Result()
        result, now = Result(fleet=resource, outcome=Outcome.REQUEUE), self._now()
        former = resource.get("status") or {}
        try:
            fleet = Fleet.from_object(resource)
            progress = Progress.read(former).follow(fleet, now)
            sensors = max(
                count_sensors_at_most(fleet, progress, now), count_sensors_to_report(fleet, progress, former, now)
            )
            manifests = config_map(fleet, progress.clock), stateful_set(fleet, self._template, sensors)
        except InvalidFleetError as error:
            reason = Reason("InvalidSpec", str(error))
            await self._write(result, build_invalid_status(resource, reason, now))
            result.outcome = Outcome.DONE
            return result
        try:
            children, stalled = await self._children.apply(fleet, manifests, progress, result.changes)
        except ApiError as error:
            if is_namespace_terminating(error):
                await self._forget(namespace, name)
                return Result()
            if error.status.code in _CONCURRENT_CHANGES:
                return result
            raise
        observed = await self._observe(fleet, children, stalled)
        await self._refresh_volumes(fleet, observed, result)
        if not fleet.spec.paused and stalled is None:
            await self._identities.enforce(fleet, observed.accepts_revoked)
        waits = _waits_for_pods(fleet, progress)
        if waits and observed.settled and observed.reported and observed.applied.generation == fleet.generation:
            progress = progress.start(now)
        elif not (observed.reported and observed.applied.started_at == progress.clock.started_at):
            progress = progress.put_off(former, now)
        measured = await self._measuring.measure(fleet, progress, observed.pods, observed.connected, former, now)
        status = build_status(fleet, observed, former, now, progress)
        await self._write(result, measured.add_to(status))
        result.news = find_news(fleet, progress, former, now)
        result.verdict, result.finished = find_verdict(former, result.status or {}), measured.finished
        if not observed.settled or waits or self._identities.is_spreading(fleet):
            result.outcome = Outcome.REQUEUE
        else:
            result.outcome = Outcome.RECHECK if fleet.spec.identity.is_generated else Outcome.DONE
        times = [seconds_to_next_change(fleet, progress, now), measured.next_s]
        result.reconcile_after_s = min((seconds for seconds in times if seconds is not None), default=None)
        return result

    async def _forget(self, namespace: str, name: str) -> None:
        self._children.forget(namespace, name)
        self._measuring.forget(namespace, name)
        await self._identities.forget(namespace, name)

    async def _observe(self, fleet: Fleet, children: list[Object | None], stalled: Reason | None) -> Observed:
        # The children of a former fleet of the same name are about to be deleted.
        fleet_config, workload = (child if child and is_controlled_by(child, fleet) else None for child in children)
        pods = [pod for pod in await self._cluster.list_pods(fleet) if workload and owns_pod(workload, pod)]
        reports = await self._sensors.read_reports(pods)
        applied = Applied.from_config_map(fleet_config, self._now())
        reason = await self._diagnose(fleet, workload, applied, pods)
        rolled_out = _is_rolled_out(workload, applied, pods)
        return Observed(applied, pods, reports, rolled_out, reason, stalled, fleet.revoked)

    async def _diagnose(
        self, fleet: Fleet, stateful_set: Object | None, applied: Applied, pods: list[Pod]
    ) -> Reason | None:
        """Find out why pods fail; reads Events only where the pods' status does not say why: not in a settled fleet."""
        reason = diagnose_pods(pods, self._now())
        if reason is None and stateful_set is not None and len(pods) < applied.pods:
            events = await self._cluster.list_events(fleet.namespace, "StatefulSet", stateful_set["metadata"]["uid"])
            reason = diagnose_creation(events, _applied_at(stateful_set))
        if reason is None and (pod := find_stuck(pods, self._now())) is not None:
            events = await self._cluster.list_events(fleet.namespace, "Pod", pod_uid(pod))
            reason = diagnose_mounts(pod, events)
        return reason

    async def _refresh_volumes(self, fleet: Fleet, observed: Observed, result: Result) -> None:
        if fleet.spec.paused and not observed.applied.paused:
            return
        version, now = observed.applied.version, self._now()
        changed = self._identities.pods_with_changes(fleet)
        behind = observed.outdated + [pod for pod in observed.pods if pod_index(pod) in changed]
        values = {pod_name(pod): value for pod in behind if (value := refresh_annotation(pod, version, now))}
        await asyncio.gather(*(self._cluster.annotate(fleet.namespace, pod, value) for pod, value in values.items()))
        if values:
            result.changes.append(f"{len(values)} pod{'' if len(values) == 1 else 's'} annotated")

    async def _write(self, result: Result, status: Mapping[str, Any]) -> None:
        resource = result.fleet or {}
        former = resource.get("status") or {}
        result.status = status
        if not is_worth_writing(status, former):
            return
        metadata = resource["metadata"]
        await self._cluster.write_status(metadata["namespace"], metadata["name"], status)
        before, now = find_ready(former), find_ready(status)
        if any(before.get(key) != now[key] for key in ("status", "reason")):
            result.ready = now


def _waits_for_pods(fleet: Fleet, progress: Progress) -> bool:
    """Whether the scenario starts once every pod has read it and has connected its sensors."""
    return fleet.spec.scenario is not None and progress.clock.started_at is None and not fleet.spec.paused


def _is_rolled_out(stateful_set: Object | None, applied: Applied, pods: list[Pod]) -> bool:
    if stateful_set is None:
        return False
    status = stateful_set.get("status") or {}
    replicas = stateful_set["spec"].get("replicas", 0)
    return (
        status.get("observedGeneration") == stateful_set["metadata"]["generation"]
        and len(pods) == replicas == applied.pods
        and status.get("updateRevision") == status.get("currentRevision")
    )


def _applied_at(stateful_set: Object) -> datetime | None:
    entries = stateful_set["metadata"].get("managedFields") or []
    times = [entry["time"] for entry in entries if entry.get("manager") == FIELD_MANAGER and entry.get("time")]
    return max((datetime.fromisoformat(time) for time in times), default=None)
