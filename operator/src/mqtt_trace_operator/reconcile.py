"""Reconciles one fleet: brings the cluster to the state that its spec describes."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum, auto
from typing import Any

from lightkube import ApiError
from lightkube.resources.core_v1 import Pod

from mqtt_trace_operator.children import Manifest, PodTemplate, config_map, stateful_set
from mqtt_trace_operator.cluster import FIELD_MANAGER, Cluster
from mqtt_trace_operator.diagnosis import Reason, diagnose_creation, diagnose_mounts, diagnose_pods, find_stuck
from mqtt_trace_operator.drift import (
    Child,
    LastApplied,
    classify,
    is_controlled_by,
    owns_pod,
    without_status,
)
from mqtt_trace_operator.fleet import Fleet, InvalidFleetError, Object
from mqtt_trace_operator.identities import Identities
from mqtt_trace_operator.refresh import refresh_annotation
from mqtt_trace_operator.sensors import Sensors
from mqtt_trace_operator.status import (
    Applied,
    Observed,
    build_invalid_status,
    build_status,
    find_ready,
    pod_index,
    pod_name,
    pod_uid,
)

_CONCURRENT_CHANGES = {404, 409}
"""Not found, and conflict: the next reconcile reads the new state."""

_MAY_PASS = _CONCURRENT_CHANGES | {401, 408, 429}
"""Refusals for other reasons than the object's content."""


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
        status: Its status after the reconcile, None if that is unknown.
        outcome: What the worker does next.
    """

    changes: list[str] = field(default_factory=list)
    ready: Mapping[str, Any] | None = None
    fleet: Object | None = None
    status: Mapping[str, Any] | None = None
    outcome: Outcome = Outcome.GONE


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
        self._last_applied = LastApplied()

    async def reconcile(self, namespace: str, name: str) -> Result:
        """Reconcile one fleet.

        Raises:
            lightkube.ApiError: The API server refused a request for a reason that may pass.
            httpx2.HTTPError: It cannot be reached.
        """
        resource = await self._cluster.get_fleet(namespace, name)
        if resource is None or resource["metadata"].get("deletionTimestamp"):
            self._last_applied.forget(namespace, name)
            await self._identities.forget(namespace, name)
            return Result()
        result = Result(fleet=resource, outcome=Outcome.REQUEUE)
        try:
            fleet = Fleet.from_object(resource)
            manifests = config_map(fleet), stateful_set(fleet, self._template)
        except InvalidFleetError as error:
            reason = Reason("InvalidSpec", str(error))
            await self._write(result, build_invalid_status(resource, reason, self._now()))
            result.outcome = Outcome.DONE
            return result
        try:
            children, stalled = await self._apply(fleet, manifests, result)
        except ApiError as error:
            if _is_namespace_terminating(error):
                self._last_applied.forget(namespace, name)
                return Result()
            if error.status.code in _CONCURRENT_CHANGES:
                return result
            raise
        observed = await self._observe(fleet, children, stalled)
        await self._refresh_volumes(fleet, observed, result)
        if not fleet.spec.paused and stalled is None:
            await self._identities.enforce(fleet, observed.connected)
        former = resource.get("status") or {}
        await self._write(result, build_status(fleet, observed, former, self._now()))
        if not observed.settled or self._identities.is_spreading(fleet):
            result.outcome = Outcome.REQUEUE
        else:
            result.outcome = Outcome.RECHECK if fleet.spec.identity.is_generated else Outcome.DONE
        return result

    async def _apply(
        self, fleet: Fleet, manifests: tuple[Manifest, ...], result: Result
    ) -> tuple[list[Object | None], Reason | None]:
        """Apply the manifests; returns the live children, and why one of them cannot be applied."""
        live = list(await asyncio.gather(*map(self._cluster.get_child, manifests)))
        stalled = await self._apply_identity(fleet, live[0], result)
        if fleet.spec.paused or stalled is not None:
            return live, stalled
        for number, manifest in enumerate(manifests):
            before = live[number]
            owner = classify(before, fleet)
            description = f"{manifest['kind']} {manifest['metadata']['name']}"
            if owner is Child.FOREIGN:
                message = f"{description} exists and is not this fleet's: delete it, or rename the fleet"
                return live, Reason("ForeignChild", message)
            if owner is Child.TERMINATING:
                return live, None
            if before is not None and self._last_applied.is_current(fleet, manifest, before):
                continue
            try:
                after = await self._cluster.apply(manifest)
            except ApiError as error:
                if not _is_refusal(error):
                    raise
                return live, Reason("Refused", f"the API server refused {description}: {error.status.message}")
            live[number] = after
            self._last_applied.remember(fleet, manifest, after)
            if before is None:
                result.changes.append(f"{description} created")
            elif without_status(before) != without_status(after):
                result.changes.append(f"{description} changed")
        return live, None

    async def _apply_identity(self, fleet: Fleet, config: Object | None, result: Result) -> Reason | None:
        if fleet.spec.paused:
            return None
        try:
            applied = await self._identities.apply(fleet, Applied.from_config_map(config).replicas)
        except ApiError as error:
            if not _is_refusal(error):
                raise
            return Reason("Refused", f"the API server refused the sensors' credentials: {error.status.message}")
        result.changes += applied.changes
        return applied.stalled

    async def _observe(self, fleet: Fleet, children: list[Object | None], stalled: Reason | None) -> Observed:
        # The children of a former fleet of the same name are about to be deleted.
        fleet_config, workload = (child if child and is_controlled_by(child, fleet) else None for child in children)
        pods = [pod for pod in await self._cluster.list_pods(fleet) if workload and owns_pod(workload, pod)]
        reports = await self._sensors.read_reports(pods)
        applied = Applied.from_config_map(fleet_config)
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
        if fleet.spec.paused:
            return
        generation, now = observed.applied.generation, self._now()
        changed = self._identities.pods_with_changes(fleet)
        behind = observed.outdated + [pod for pod in observed.pods if pod_index(pod) in changed]
        values = {pod_name(pod): value for pod in behind if (value := refresh_annotation(pod, generation, now))}
        await asyncio.gather(*(self._cluster.annotate(fleet.namespace, pod, value) for pod, value in values.items()))
        if values:
            result.changes.append(f"{len(values)} pod{'' if len(values) == 1 else 's'} annotated")

    async def _write(self, result: Result, status: Mapping[str, Any]) -> None:
        resource = result.fleet or {}
        former = resource.get("status") or {}
        result.status = status
        if status == former:
            return
        metadata = resource["metadata"]
        await self._cluster.write_status(metadata["namespace"], metadata["name"], status)
        before, now = find_ready(former), find_ready(status)
        if any(before.get(key) != now[key] for key in ("status", "reason")):
            result.ready = now


def _is_refusal(error: ApiError) -> bool:
    """Whether the API server would refuse the same object again."""
    code = error.status.code or 0
    return 400 <= code < 500 and code not in _MAY_PASS and not _is_namespace_terminating(error)  # noqa: PLR2004 - client errors


def _is_namespace_terminating(error: ApiError) -> bool:
    causes = (error.status.details.causes if error.status.details else None) or []
    return any(cause.reason == "NamespaceTerminating" for cause in causes)


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
