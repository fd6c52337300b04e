"""From the previous chart to uninstall, with each version of Helm."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from e2e.fleets import SensorFleet
from e2e.readings import wait_complete
from e2e.release import VERSION, Release, now, spans_of, until
from local.commands import Helm, Kubectl
from local.needed import skip_without
from local.scout import Scout

NAMESPACE = "mqtt-trace-e2e-lifecycle"
CHANGED = (
    "scout.environment=upgraded",
    "producer.deviceId=upgraded-001",
    "consumer.replicas=2",
    "producer.env.DRAIN_TIMEOUT_S=1",  # at the end the broker is deleted too, and acknowledges nothing
)
PREVIOUS = Path(__file__).parents[1] / "previous"

# Every namespace has these objects.
_GIVEN = {"configmap/kube-root-ca.crt", "serviceaccount/default"}


@pytest.fixture(params=["helm", "helm4"])
def release(
    request: pytest.FixtureRequest, make_namespace: Callable[[str], Kubectl], options: tuple[str, ...]
) -> Release:
    """A release of the test's own, not installed yet."""
    skip_without(request.param)
    kubectl = make_namespace(NAMESPACE)
    return Release("other", Helm(kubectl.kubeconfig, NAMESPACE, request.param), kubectl, options)


def passwords(release: Release) -> dict[str, str]:
    """Return the generated values of the release's Secrets."""
    secrets = release.kubectl.json("get", "secret", "--selector", f"app.kubernetes.io/instance={release.name}")["items"]
    return {
        f"{secret['metadata']['name']}/{key}": value
        for secret in secrets
        for key, value in secret.get("data", {}).items()  # nothing before a fleet has users
    }


def left_in(kubectl: Kubectl) -> set[str]:
    """Return everything in the namespace that was not there from the start, events aside."""
    kinds = kubectl("api-resources", "--namespaced", "--verbs=list", "--output=name").split()
    kept = ",".join(kind for kind in kinds if not kind.startswith(("events", "pods.metrics")))
    names = kubectl("get", kept, "--ignore-not-found", "--output=name").split()
    return set(names) - _GIVEN


def volumes_of(kubectl: Kubectl) -> list[str]:
    """Return the persistent volumes that claims of the namespace are bound to."""
    volumes = json.loads(kubectl("get", "persistentvolumes", "--output=json"))["items"]
    return [
        volume["metadata"]["name"]
        for volume in volumes
        if volume["spec"].get("claimRef", {}).get("namespace") == kubectl.namespace
    ]


def test_upgrade_and_uninstall(release: Release, open_scout: Callable[[Release], Scout]) -> None:
    """An upgrade keeps passwords and connects traces, and uninstalling leaves only the user's fleet."""
    install_previous(release)
    before = passwords(release)
    assert before
    release.published_next(2, now())

    release.apply(*CHANGED)
    assert passwords(release) == before
    scout = open_scout(release)
    (reading,) = release.published_next(1, now())
    wait_complete(scout, [reading])
    spans = spans_of(scout, reading.trace_id)
    assert {span["resource"]["environment"] for span in spans} == {"upgraded"}
    assert spans[0]["name"].startswith("publish sensors/upgraded-")

    fleet = SensorFleet(release.kubectl, "live")
    fleet.apply(3)
    fleet.wait_ready(3)
    release.helm("uninstall", release.name, "--wait", "--timeout", "5m")
    assert len(fleet.pods()) == 1
    fleet.delete()
    until(lambda: not left_in(release.kubectl), "everything is gone", 180)
    until(lambda: not volumes_of(release.kubectl), "the volumes are gone", 180)


def install_previous(release: Release, *values: str) -> None:
    """Install the previous chart with the images under test."""
    (chart,) = PREVIOUS.glob("mqtt-trace-*.tgz")
    services = ("producer", "consumer", "echo", "scoutSim")
    tags = [f"{service}.image.tag={VERSION}" for service in services]
    given = [part for value in (*tags, *values) for part in ("--set", value)]
    release.helm("install", release.name, str(chart), *release.options, *given, "--wait", "--timeout", "10m")
