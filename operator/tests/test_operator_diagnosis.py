"""Why pods do not run, in one line."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from lightkube.resources.core_v1 import Event, Pod
from mqtt_trace_operator.diagnosis import Reason, diagnose_creation, diagnose_mounts, diagnose_pods, find_stuck

MakePod = Callable[..., Pod]

NOW = datetime(2026, 11, 25, 9, 0, tzinfo=UTC)
PULL = (
    'failed to pull and unpack image "docker.io/library/nope:1": failed to resolve reference '
    '"docker.io/library/nope:1": docker.io/library/nope:1: not found'
)


def container(state: dict[str, Any] | None = None, last: dict[str, Any] | None = None) -> dict[str, Any]:
    """Make the status of a container that is not ready."""
    return {
        "name": "producer",
        "image": "nope:1",
        "imageID": "",
        "ready": False,
        "restartCount": 0,
        "state": state or {},
        "lastState": last or {},
    }


def waiting(reason: str, message: str = "") -> dict[str, Any]:
    """Make the state of a waiting container."""
    return {"waiting": {"reason": reason, "message": message}}


def ended(reason: str, code: int, *, minutes_ago: int = 1) -> dict[str, Any]:
    """Make the state of a container that terminated some minutes before NOW."""
    finished = (NOW - timedelta(minutes=minutes_ago)).isoformat()
    return {"terminated": {"reason": reason, "exitCode": code, "finishedAt": finished}}


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (
            container(waiting("ErrImagePull", PULL)),
            Reason("ImagePullBackOff", "demo-0: cannot pull image nope:1: not found"),
        ),
        (
            container(waiting("ImagePullBackOff", f'Back-off pulling image "nope:1": ErrImagePull: {PULL}')),
            Reason("ImagePullBackOff", "demo-0: cannot pull image nope:1: not found"),
        ),
        (
            container(waiting("CreateContainerConfigError", 'secret "auth" not found')),
            Reason("CreateContainerConfigError", 'demo-0: secret "auth" not found'),
        ),
        (
            container(waiting("CrashLoopBackOff", "back-off 40s restarting"), ended("Error", 2)),
            Reason("CrashLoopBackOff", "demo-0: ended with exit code 2: see kubectl logs --previous"),
        ),
        (
            container(waiting("CrashLoopBackOff"), ended("OOMKilled", 137)),
            Reason("OOMKilled", "demo-0: killed: it needed more memory than its limit"),
        ),
        (
            container(ended("OOMKilled", 137)),
            Reason("OOMKilled", "demo-0: killed: it needed more memory than its limit"),
        ),
        (
            container(ended("Error", 1)),
            Reason("CrashLoopBackOff", "demo-0: ended with exit code 1: see kubectl logs --previous"),
        ),
        (
            container({"running": {}}, ended("Error", 1)),
            Reason("CrashLoopBackOff", "demo-0: ended with exit code 1: see kubectl logs --previous"),
        ),
        (container({"running": {}}, ended("OOMKilled", 137, minutes_ago=7)), None),
        (container({"running": {}}, ended("Error", 1)) | {"ready": True}, None),
        (container(waiting("ContainerCreating")), None),
        (container({"running": {}}), None),
    ],
)
def test_a_container_that_cannot_run_says_why(make_pod: MakePod, status: dict[str, Any], reason: Reason | None) -> None:
    """The message names the pod and the cause; the two reasons of a failing pull share one message."""
    assert diagnose_pods([make_pod(containerStatuses=[status])], NOW) == reason


def test_a_pod_without_a_place_says_why(make_pod: MakePod) -> None:
    """The message has the scheduler's first sentence, without the advice that follows."""
    message = "0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available: 1 No victims."
    unschedulable = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    assert diagnose_pods([make_pod(conditions=[unschedulable])], NOW) == Reason(
        "Unschedulable", "demo-0: cannot be scheduled: 0/1 nodes are available: 1 Insufficient cpu"
    )


def test_an_evicted_pod_says_why(make_pod: MakePod) -> None:
    """The message of an evicted pod names the resource that the node lacked."""
    pod = make_pod(phase="Failed", reason="Evicted", message="The node was low on resource: memory. Threshold: 100Mi.")
    assert diagnose_pods([pod], NOW) == Reason("Evicted", "demo-0: The node was low on resource: memory")


def test_pods_with_the_same_reason_are_counted(make_pod: MakePod) -> None:
    """The message names the first pod with the most frequent reason and counts the others."""
    broken = [container(waiting("ErrImagePull", PULL))]
    crashing = [container(waiting("CrashLoopBackOff"), ended("Error", 1))]
    pods = [make_pod(0, containerStatuses=crashing), *(make_pod(n, containerStatuses=broken) for n in (1, 2, 3))]
    assert diagnose_pods(pods, NOW) == Reason(
        "ImagePullBackOff", "demo-1 and 2 more: cannot pull image nope:1: not found"
    )


def test_a_terminating_pod_has_not_failed(make_pod: MakePod) -> None:
    """A pod that fails while it terminates counts as no failure."""
    pod = make_pod(containerStatuses=[container(ended("OOMKilled", 137))])
    assert pod.metadata
    pod.metadata.deletionTimestamp = NOW
    assert diagnose_pods([pod], NOW) is None


def event(reason: str, message: str, seconds: float) -> Event:
    """Make an Event some seconds after NOW."""
    made = Event.from_dict(
        {
            "metadata": {},
            "involvedObject": {"kind": "StatefulSet", "name": "demo"},
            "reason": reason,
            "message": message,
            "lastTimestamp": (NOW + timedelta(seconds=seconds)).isoformat(),
        }
    )
    return cast("Event", made)


QUOTA = (
    'create Pod demo-1 in StatefulSet demo failed error: pods "demo-1" is forbidden: exceeded quota: pods, '
    "requested: pods=1, used: pods=1, limited: pods=1"
)


def test_a_quota_that_pods_exceed_is_named() -> None:
    """The StatefulSet's Events name the quota, as there is no pod with a status."""
    reason = diagnose_creation([event("SuccessfulCreate", "", -5), event("FailedCreate", QUOTA, 1)], NOW)
    message = (
        "demo-1 cannot be created: forbidden: exceeded quota: pods, requested: pods=1, used: pods=1, limited: pods=1"
    )
    assert reason == Reason("FailedCreate", message)


@pytest.mark.parametrize(
    "events",
    [
        [],
        [event("FailedCreate", QUOTA, -1)],
        [event("FailedCreate", QUOTA, 1), event("SuccessfulCreate", "create Pod demo-1 successful", 2)],
    ],
)
def test_an_outdated_failure_does_not_count(events: list[Event]) -> None:
    """A failure counts no longer after a change of the StatefulSet or a success."""
    assert diagnose_creation(events, NOW) is None


def starting(*states: dict[str, Any], seconds: float = 6) -> dict[str, Any]:
    """Make the status of a pod that kubelet accepted some seconds before NOW."""
    containers = [container(state) for state in states]
    return {"startTime": (NOW - timedelta(seconds=seconds)).isoformat(), "containerStatuses": containers}


def test_a_pod_that_waits_for_too_long_is_stuck(make_pod: MakePod) -> None:
    """The first pod that waits for too long is found."""
    creating = starting(waiting("ContainerCreating"))
    pods = [make_pod(0, **starting({"running": {}})), make_pod(1, **creating), make_pod(2, **creating)]
    assert find_stuck(pods, NOW) is pods[1]


def test_a_pod_whose_init_containers_wait_for_too_long_is_stuck(make_pod: MakePod) -> None:
    """Init containers wait for volumes, the others for them."""
    initializing = starting(waiting("PodInitializing"))
    mounting = make_pod(**initializing, initContainerStatuses=[container(waiting("PodInitializing"))])
    running = make_pod(**initializing, initContainerStatuses=[container({"running": {}})])
    assert find_stuck([running, mounting], NOW) is mounting


@pytest.mark.parametrize(
    "status",
    [
        {},
        {"startTime": (NOW - timedelta(minutes=1)).isoformat()},
        {"containerStatuses": [container(waiting("ContainerCreating"))]},
        starting(waiting("ContainerCreating"), seconds=4),
        starting(waiting("PodInitializing")),
        starting({"running": {}}),
        starting({}),
    ],
)
def test_a_pod_that_only_starts_is_not_stuck(make_pod: MakePod, status: dict[str, Any]) -> None:
    """A pod that starts, or waits for a moment only, is not stuck."""
    assert find_stuck([make_pod(**status)], NOW) is None


def test_a_terminating_pod_is_not_stuck(make_pod: MakePod) -> None:
    """A terminating pod is not stuck."""
    pod = make_pod(**starting(waiting("ContainerCreating")))
    assert pod.metadata
    pod.metadata.deletionTimestamp = NOW
    assert find_stuck([pod], NOW) is None


MOUNT = 'MountVolume.SetUp failed for volume "ca" : secret "x" not found'
TIMEOUT = "Unable to attach or mount volumes: unmounted volumes=[ca]: timed out waiting for the condition"


@pytest.mark.parametrize(
    ("events", "message"),
    [
        (
            [event("FailedMount", MOUNT, -3), event("Scheduled", "", -9)],
            'demo-0: MountVolume.SetUp failed for volume "ca": secret "x" not found',
        ),
        (
            [event("FailedMount", TIMEOUT, 0), event("FailedMount", MOUNT, -3)],
            'demo-0: MountVolume.SetUp failed for volume "ca": secret "x" not found',
        ),
        ([event("FailedMount", TIMEOUT, 0)], f"demo-0: {TIMEOUT}"),
        ([event("FailedMount", "x" * 999, 0)], f"demo-0: {'x' * 231}…"),
    ],
)
def test_a_volume_that_cannot_be_mounted_is_named(make_pod: MakePod, events: list[Event], message: str) -> None:
    """The message names the volume and the cause, even after kubelet's later report of a time-out."""
    assert diagnose_mounts(make_pod(), events) == Reason("FailedMount", message)


@pytest.mark.parametrize(
    "events",
    [
        [],
        [event("Scheduled", "", -9)],
        [event("FailedMount", MOUNT, -3), event("Pulling", "", -1)],
        [event("Pulling", "", -3), event("FailedMount", MOUNT, -3)],
    ],
)
def test_a_volume_that_is_mounted_meanwhile_is_no_failure(make_pod: MakePod, events: list[Event]) -> None:
    """A failed mount counts no longer once the pod goes on, even in the same second."""
    assert diagnose_mounts(make_pod(), events) is None


def test_a_long_message_is_cut_to_a_line(make_pod: MakePod) -> None:
    """A message fits a column of `kubectl get fleet`: one line of at most 240 characters."""
    status = container(waiting("CreateContainerError", "a\nlong story " * 100))
    reason = diagnose_pods([make_pod(containerStatuses=[status])], NOW)
    assert reason is not None
    assert "\n" not in reason.message
    assert len(reason.message) == 240
    assert reason.message.endswith("…")
