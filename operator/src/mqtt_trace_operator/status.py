"""The status of a fleet, as pure functions of its spec and of the observed state."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from mqtt_trace.aio import REFUSED
from mqtt_trace_operator.diagnosis import Reason
from mqtt_trace_operator.fleet import Fleet, Object
from mqtt_trace_operator.observed import Observed
from mqtt_trace_operator.scenario.progress import Progress, build_scenario_status, describe_count, judge_completion

Status = dict[str, Any]

_Conditions = dict[str, tuple[bool, Reason]]
"""The truth and the reason of each condition."""

_NO_SCENARIO = Progress()

_SHOWN_SENSORS = 3


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
    revoked = sorted(number for number in observed.revoked if number < replicas)
    if revoked and observed.refuses_revoked:
        names = _enumerate(fleet.client_ids(revoked))
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
