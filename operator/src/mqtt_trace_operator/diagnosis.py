"""Finds out why pods do not run, as one line for `kubectl get fleet`."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from lightkube.models.core_v1 import ContainerStateTerminated, ContainerStatus
from lightkube.resources.core_v1 import Event, Pod

_PULL = {"ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName", "RegistryUnavailable"}
_WAITING = {"CreateContainerConfigError", "CreateContainerError", "RunContainerError"}
_FAILED_CREATE = "FailedCreate"
_FAILED_MOUNT = "FailedMount"
_MOUNTED_WITHIN = timedelta(seconds=5)
_LONGEST_BACK_OFF = timedelta(minutes=6)
"""A little more than the longest time that kubelet waits before it restarts a container."""

_SHOWN = 240


@dataclass(frozen=True)
class Reason:
    """The reason and the message of a condition.

    Attributes:
        name: The condition's `reason`, in CamelCase.
        message: The condition's `message`, such as `demo-0: cannot pull image nowhere/x:1: not found`.
    """

    name: str
    message: str


def diagnose_pods(pods: Iterable[Pod], now: datetime) -> Reason | None:
    """Find the most frequent reason why pods fail; the message names the first pod and counts the others."""
    found: dict[Reason, list[str]] = {}
    for pod in pods:
        reason = _diagnose_pod(pod, now)
        if reason is not None:
            found.setdefault(reason, []).append(_name(pod))
    if not found:
        return None
    reason, (first, *others) = max(found.items(), key=lambda item: len(item[1]))
    more = f" and {len(others)} more" if others else ""
    return Reason(reason.name, _cut(f"{first}{more}: {reason.message}"))


def diagnose_creation(events: Iterable[Event], since: datetime | None) -> Reason | None:
    """Find out why pods cannot be created, such as a quota or an admission policy.

    Args:
        events: The Events of the StatefulSet.
        since: Time of the StatefulSet's last change: earlier Events do not count.
    """
    observed = [event for when, event in _in_order(events) if since is None or when >= since]
    if not observed or observed[-1].reason != _FAILED_CREATE:
        return None
    return Reason(_FAILED_CREATE, _cut(_cause_of_failed_create(observed[-1].message or "")))


def find_stuck(pods: Iterable[Pod], now: datetime) -> Pod | None:
    """Find the first pod that waits for longer than it takes to mount volumes: its status does not say why."""
    return next((pod for pod in pods if not _is_terminating(pod) and _is_stuck(pod, now)), None)


def diagnose_mounts(pod: Pod, events: Iterable[Event]) -> Reason | None:
    """Find out why a pod's volumes cannot be mounted, such as a missing Secret or key.

    Args:
        pod: The pod.
        events: The Events of the pod.
    """
    observed = [event for _, event in _in_order(events)]
    if not observed or observed[-1].reason != _FAILED_MOUNT:
        return None
    failures = [event.message or "" for event in observed if event.reason == _FAILED_MOUNT]
    # Every other minute kubelet reports a time-out, without its cause.
    causes = [message for message in failures if message.startswith("MountVolume")]
    message = (causes or failures)[-1].replace('" : ', '": ')
    return Reason(_FAILED_MOUNT, _cut(f"{_name(pod)}: {message}"))


def _is_stuck(pod: Pod, now: datetime) -> bool:
    status = pod.status
    if status is None or status.startTime is None or now - status.startTime < _MOUNTED_WITHIN:
        return False
    # While volumes are mounted, a pod's init containers wait, if it has any: the others also wait while those run.
    containers, reason = (
        (status.initContainerStatuses[:1], "PodInitializing")
        if status.initContainerStatuses
        else (status.containerStatuses or [], "ContainerCreating")
    )
    states = [container.state for container in containers]
    return any(state and state.waiting and state.waiting.reason == reason for state in states)


def _diagnose_pod(pod: Pod, now: datetime) -> Reason | None:
    status = pod.status
    if status is None or _is_terminating(pod):
        return None
    for condition in status.conditions or []:
        if condition.type == "PodScheduled" and condition.status == "False" and condition.reason == "Unschedulable":
            return Reason("Unschedulable", f"cannot be scheduled: {_first_sentence(condition.message or '')}")
    containers = [*(status.initContainerStatuses or []), *(status.containerStatuses or [])]
    found = next(filter(None, (_diagnose_container(container, now) for container in containers)), None)
    if found is None and status.phase == "Failed":
        return Reason(status.reason or "Failed", _first_sentence(status.message or "the pod has failed"))
    return found


def _diagnose_container(container: ContainerStatus, now: datetime) -> Reason | None:
    waiting = container.state.waiting if container.state else None
    reason = (waiting.reason if waiting else None) or ""
    message = (waiting.message if waiting else None) or ""
    if reason in _PULL:
        # The two reasons of a pull that fails alternate; the cause is at the end of both messages.
        return Reason("ImagePullBackOff", f"cannot pull image {container.image}: {_last_part(message)}")
    if reason in _WAITING:
        return Reason(reason, message)
    ended = None if container.ready else _last_termination(container, now)
    if ended is None:
        return None
    if ended.reason == "OOMKilled":
        return Reason(ended.reason, "killed: it needed more memory than its limit")
    return Reason("CrashLoopBackOff", f"ended with exit code {ended.exitCode}: see kubectl logs --previous")


def _last_termination(container: ContainerStatus, now: datetime) -> ContainerStateTerminated | None:
    """A container's termination, if recent; the container may be running again."""
    if container.state is not None and container.state.terminated is not None:
        return container.state.terminated
    last = container.lastState.terminated if container.lastState else None
    is_old = last is not None and last.finishedAt is not None and now - last.finishedAt > _LONGEST_BACK_OFF
    return None if is_old else last


def _is_terminating(pod: Pod) -> bool:
    return pod.metadata is not None and pod.metadata.deletionTimestamp is not None


def _name(pod: Pod) -> str:
    return (pod.metadata.name if pod.metadata else None) or "?"


def _when(event: Event) -> datetime | None:
    if event.series is not None and event.series.lastObservedTime is not None:
        return event.series.lastObservedTime
    return event.lastTimestamp or event.eventTime


def _in_order(events: Iterable[Event]) -> list[tuple[datetime, Event]]:
    observed = [(when, event) for event in events if (when := _when(event)) is not None]
    # Times are whole seconds. A pod that went on in the second of a failed mount has mounted its volumes since.
    return sorted(observed, key=lambda item: (item[0], item[1].reason != _FAILED_MOUNT))


def _cause_of_failed_create(message: str) -> str:
    """Cut the beginning of `create Pod demo-0 in StatefulSet demo failed error: pods "demo-0" is forbidden: …`."""
    pod, _, cause = message.removeprefix("create Pod ").partition(" failed error: ")
    name = pod.split(" ")[0]
    reason = cause.removeprefix(f'pods "{name}" is ')
    return f"{name} cannot be created: {reason}" if reason else message


def _first_sentence(message: str) -> str:
    return message.splitlines()[0].split(". ")[0].rstrip(".") if message else "no reason given"


def _last_part(message: str) -> str:
    return message.rstrip().rsplit(": ", 1)[-1] if message else "no reason given"


def _cut(message: str) -> str:
    line = " ".join(message.split())
    return line if len(line) <= _SHOWN else f"{line[: _SHOWN - 1]}…"
