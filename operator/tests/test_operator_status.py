"""The status of a fleet, by its observed state."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from lightkube.resources.core_v1 import Pod
from mqtt_trace_operator.children import config_map
from mqtt_trace_operator.diagnosis import Reason
from mqtt_trace_operator.fleet import Fleet
from mqtt_trace_operator.observed import Applied, Observed
from mqtt_trace_operator.sensors import Report
from mqtt_trace_operator.status import Status, build_invalid_status, build_status, find_ready

from mqtt_trace.aio import REFUSED

MakeFleet = Callable[..., Fleet]
MakePod = Callable[..., Pod]

NOW = datetime(2026, 11, 25, 9, 0, tzinfo=UTC)


@pytest.fixture
def observe(make_fleet: MakeFleet, make_pod: MakePod) -> Callable[..., Observed]:
    """Observe a fleet of 250 sensors in pods that report these numbers of connected sensors."""

    def observed(*connected: int, generation: int = 7, **others: Any) -> Observed:
        pods = [make_pod(index) for index in range(len(connected))]
        reports = {f"demo-{index}": Report(count, generation) for index, count in enumerate(connected)}
        applied = Applied.from_config_map(config_map(make_fleet()), NOW)
        return Observed(**{"applied": applied, "pods": pods, "reports": reports, "rolled_out": True, **others})

    return observed


def conditions(status: Status) -> dict[str, tuple[str, str, str]]:
    """Return status, reason and message of each condition."""
    return {one["type"]: (one["status"], one["reason"], one["message"]) for one in status["conditions"]}


def test_a_settled_fleet_is_ready(make_fleet: MakeFleet, observe: Callable[..., Observed]) -> None:
    """A fleet is ready and settled when all sensors are connected and no pod has to change."""
    status = build_status(make_fleet(), observe(100, 100, 50), {}, NOW)
    numbers = {key: value for key, value in status.items() if key != "conditions"}
    assert numbers == {
        "observedGeneration": 7,
        "replicas": 250,
        "readyReplicas": 250,
        "pods": 3,
        "selector": "mqtt-trace.io/fleet=demo",
    }
    assert conditions(status) == {
        "Ready": ("True", "Connected", "250 sensors connected"),
        "Reconciling": ("False", "Settled", ""),
        "Stalled": ("False", "NotStalled", ""),
    }


def test_a_fleet_whose_sensors_connect_is_reconciling(make_fleet: MakeFleet, observe: Callable[..., Observed]) -> None:
    """While sensors connect, the message counts them."""
    observed = observe(100, 60, 0)
    assert not observed.settled
    message = "160 of 250 sensors connected"
    found = conditions(build_status(make_fleet(), observed, {}, NOW))
    assert found["Ready"] == ("False", "Connecting", message)
    assert found["Reconciling"] == ("True", "Connecting", message)


def test_pods_with_an_outdated_file_are_waited_for(make_fleet: MakeFleet, observe: Callable[..., Observed]) -> None:
    """A fleet is still reconciling while a pod uses an older fleet file."""
    observed = observe(100, 100, 50, generation=6)
    assert [pod.metadata and pod.metadata.name for pod in observed.outdated] == ["demo-0", "demo-1", "demo-2"]
    found = conditions(build_status(make_fleet(), observed, {}, NOW))
    assert (found["Ready"][0], found["Reconciling"][0]) == ("True", "True")


def test_a_pod_counts_for_no_more_than_its_sensors(observe: Callable[..., Observed]) -> None:
    """Sensors that the fleet file no longer gives to a pod do not count, although the pod still reports them."""
    assert observe(100, 100, 100, 100).connected == 250


def test_a_pod_that_does_not_answer_counts_for_none(observe: Callable[..., Observed], make_pod: MakePod) -> None:
    """The sensors of a pod without a report do not count as connected."""
    observed = observe(100, 100, pods=[make_pod(0), make_pod(1), make_pod(2)])
    assert observed.connected == 200


def test_a_pod_failure_is_the_message(make_fleet: MakeFleet, observe: Callable[..., Observed]) -> None:
    """A failure of pods is the reason of Ready, but stalls nothing: it may pass."""
    failure = Reason("ImagePullBackOff", "demo-2: cannot pull image nope:1: not found")
    found = conditions(build_status(make_fleet(), observe(100, 100, 0, pod_failure=failure), {}, NOW))
    assert found["Ready"] == ("False", failure.name, failure.message)
    assert found["Reconciling"][0] == "True"
    assert found["Stalled"][0] == "False"


def test_a_child_that_cannot_be_applied_stalls_the_fleet(
    make_fleet: MakeFleet, observe: Callable[..., Observed]
) -> None:
    """A fleet whose children cannot be applied is stalled, even if all sensors are connected."""
    stalled = Reason("ForeignChild", "StatefulSet demo exists and is not this fleet's")
    observed = observe(100, 100, 50, stalled=stalled)
    assert not observed.settled
    assert conditions(build_status(make_fleet(), observed, {}, NOW)) == {
        "Ready": ("False", stalled.name, stalled.message),
        "Reconciling": ("False", "Stalled", ""),
        "Stalled": ("True", stalled.name, stalled.message),
    }


@pytest.mark.parametrize(
    ("revoked", "cause", "message"),
    [
        ([3], f"{REFUSED}: no", f"249 of 250 sensors connected, revoked: iot.demo-00003: {REFUSED}: no"),
        ([3], "connection lost: EOF", "249 of 250 sensors connected, revoked: iot.demo-00003"),
        (range(5), "", "245 of 250 sensors connected, revoked: iot.demo-00000, iot.demo-00001, iot.demo-00002, 2 more"),
    ],
)
def test_a_fleet_that_lacks_only_revoked_sensors_is_settled(
    make_fleet: MakeFleet, observe: Callable[..., Observed], revoked: list[int], cause: str, message: str
) -> None:
    """A fleet without its revoked sensors is not ready, names them and a refusal, and waits for nothing."""
    reports = {
        "demo-0": Report(100 - len(revoked), 7, causes={cause: len(revoked)}),
        "demo-1": Report(100, 7),
        "demo-2": Report(50, 7),
    }
    observed = observe(100, 100, 50, reports=reports, revoked=frozenset(revoked))
    assert observed.settled
    found = conditions(build_status(make_fleet(), observed, {}, NOW))
    assert found["Ready"] == ("False", "Revoked", message)
    assert found["Reconciling"][0] == "False"


def test_a_revoked_sensor_that_is_still_connected_is_waited_for(observe: Callable[..., Observed]) -> None:
    """A fleet is not settled while the broker still accepts a revoked sensor."""
    assert not observe(100, 100, 50, revoked=frozenset({3})).settled


def test_a_refusal_by_the_broker_is_named(make_fleet: MakeFleet, observe: Callable[..., Observed]) -> None:
    """Of the causes of missing connections, a refusal is in the message, because it may last."""
    for cause, message in {
        f"{REFUSED}: no": f"60 of 250 sensors connected: {REFUSED}: no",
        "TimeoutError: timed out": "60 of 250 sensors connected",
    }.items():
        observed = observe(60, 0, 0, reports={"demo-0": Report(60, 7, causes={cause: 40})})
        assert conditions(build_status(make_fleet(), observed, {}, NOW))["Ready"][2] == message


def test_a_paused_fleet_says_so_and_counts_what_is_there(
    make_fleet: MakeFleet, observe: Callable[..., Observed]
) -> None:
    """The status of a paused fleet counts the sensors of its fleet file, not of its spec."""
    status = build_status(make_fleet(replicas=9999, paused=True), observe(100, 100, 50), {}, NOW)
    assert (status["replicas"], status["readyReplicas"]) == (250, 250)
    found = conditions(status)
    assert found["Ready"] == ("True", "Connected", "paused: 250 sensors connected")
    assert found["Reconciling"] == ("False", "Paused", "")


@pytest.mark.parametrize(
    ("paused", "message", "reconciling"),
    [(True, "paused: nothing applied yet", "False"), (False, "nothing applied yet", "True")],
)
def test_a_fleet_without_a_fleet_file_is_not_ready(
    make_fleet: MakeFleet, paused: bool, message: str, reconciling: str
) -> None:
    """A fleet without a fleet file is not ready, although it lacks no sensor."""
    observed = Observed()
    assert not observed.settled
    found = conditions(build_status(make_fleet(paused=paused), observed, {}, NOW))
    assert found["Ready"] == ("False", "NotApplied", message)
    assert found["Reconciling"][0] == reconciling


def test_a_condition_keeps_its_time_while_it_stays(make_fleet: MakeFleet, observe: Callable[..., Observed]) -> None:
    """A condition keeps its transition time while its status stays the same."""
    fleet, later = make_fleet(), NOW + timedelta(minutes=1)
    before = build_status(fleet, observe(100, 100, 0), {}, NOW)
    assert build_status(fleet, observe(100, 100, 0), before, later) == before
    still = find_ready(build_status(fleet, observe(100, 100, 40), before, later))
    assert (still["lastTransitionTime"], still["message"]) == ("2026-11-25T09:00:00Z", "240 of 250 sensors connected")
    ready = find_ready(build_status(fleet, observe(100, 100, 50), before, later))
    assert ready["lastTransitionTime"] == "2026-11-25T09:01:00Z"


def test_an_invalid_spec_leaves_the_numbers(make_object: Callable[..., dict[str, Any]]) -> None:
    """An invalid spec stalls the fleet and leaves its sensors as they are."""
    resource = {**make_object(), "status": {"replicas": 50, "readyReplicas": 50}}
    status = build_invalid_status(resource, Reason("InvalidSpec", "spec.interval: field required"), NOW)
    assert (status["replicas"], status["observedGeneration"]) == (50, 7)
    assert conditions(status)["Stalled"] == ("True", "InvalidSpec", "spec.interval: field required")


@pytest.mark.parametrize(
    "content", [None, {}, {"data": {}}, {"data": {"fleet.json": "{"}}, {"data": {"fleet.json": "[]"}}]
)
def test_without_a_readable_fleet_file_no_sensor_is_there(content: dict[str, Any] | None) -> None:
    """A missing or unreadable fleet file counts as one without sensors."""
    assert Applied.from_config_map(content, NOW) == Applied(generation=0, replicas=0)


@pytest.mark.parametrize(("count", "message"), [(0, "0 sensors connected"), (1, "1 sensor connected")])
def test_a_count_is_english(make_fleet: MakeFleet, make_pod: MakePod, count: int, message: str) -> None:
    """The message has the plural of any number but one."""
    pods = [make_pod(0)] if count else []
    observed = Observed(Applied(7, count, 100), pods, {"demo-0": Report(count, 7)}, rolled_out=True)
    assert find_ready(build_status(make_fleet(), observed, {}, NOW))["message"] == message
