"""`kubectl get fleet` prints why a fleet's pods do not run."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from e2e.fleets import SensorFleet
from e2e.release import Release, until
from local.commands import CommandError

THING = "example.com/thing"
"""A resource that no other pod asks for, so that its quota affects no other pod."""

FAILURES: dict[str, tuple[dict[str, Any], str]] = {
    "image": ({"image": "nowhere.invalid/sensors:1"}, "cannot pull image nowhere.invalid/sensors:1"),
    "unschedulable": ({"resources": {"requests": {"cpu": "1000"}}}, "cannot be scheduled"),
    "oom": (
        {"resources": {"limits": {"memory": "32Mi"}, "requests": {"memory": "32Mi"}}},
        "more memory than its limit",
    ),
    "quota": ({"resources": {"limits": {THING: "1"}, "requests": {THING: "1"}}}, "exceeded quota: no-things"),
}


@pytest.fixture(scope="module")
def failing(release: Release) -> Iterator[dict[str, SensorFleet]]:
    """A fleet for each failure, by name."""
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "no-things"},
        "spec": {"hard": {f"requests.{THING}": "0"}},
    }
    release.kubectl("apply", "--filename", "-", stdin=json.dumps(quota))
    # Until the quota has its own count, it refuses everything.
    until(lambda: "hard" in release.kubectl.json("get", "quota", "no-things").get("status", {}), "the quota holds", 60)
    fleets = {name: SensorFleet(release.kubectl, name) for name in FAILURES}
    for name, (spec, _) in FAILURES.items():
        fleets[name].apply(2, **spec)
    yield fleets
    for fleet in fleets.values():
        fleet.delete()
    release.kubectl("delete", "quota", "no-things")


@pytest.mark.parametrize("name", FAILURES)
def test_a_failure_names_its_pod(failing: dict[str, SensorFleet], name: str) -> None:
    """The message column names the pod and the cause, and the fleet is not ready."""
    fleet, (_, said) = failing[name], FAILURES[name]
    try:
        until(lambda: said in fleet.line(), f"{said!r} in kubectl get fleet {name}", 120)
    except AssertionError as error:
        error.add_note(fleet.line())
        raise
    assert f"{name}-0" in fleet.line()
    conditions = {condition["type"]: condition for condition in fleet.object()["status"]["conditions"]}
    assert conditions["Ready"]["status"] == "False"


def test_a_fleet_recovers_from_a_failure(failing: dict[str, SensorFleet]) -> None:
    """A pod with an existing image replaces the one that waits for a missing image."""
    fleet = failing["image"]
    fleet.patch(image=None)
    fleet.wait_ready(2)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"interval": "2 seconds"}, "spec.interval"),
        ({"qos": 3}, "spec.qos"),
        ({"faults": {"missingContext": 60, "mqtt311": 60}}, "the sum of the faults must not exceed 100 percent"),
        ({"sensorsPerPod": 1, "replicas": 5000}, "must not exceed 200"),
    ],
)
def test_an_impossible_spec_is_refused_at_once(release: Release, spec: dict[str, Any], said: str) -> None:
    """`kubectl apply` fails with a message that names the field."""
    with pytest.raises(CommandError) as refused:
        SensorFleet(release.kubectl, "refused").apply(**{"replicas": 1, **spec})
    assert said in refused.value.output
