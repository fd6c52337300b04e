"""Fleets and the operator are independent of each other's lifetime."""

import json
from collections.abc import Callable, Iterator

import pytest

from e2e.fleets import SensorFleet, connected_sensors, exists
from e2e.release import Release, now, until
from e2e.test_cluster_lifecycle import install_previous
from local.commands import Helm, Kubectl
from local.scout import Scout

NAMESPACE = "mqtt-trace-e2e-fleets"
CRD = "crd/sensorfleets.mqtt-trace.io"

# Few pods and no volumes: these releases test the CRD.
LITTLE = [
    *(f"{service}.enabled=false" for service in ("producer", "consumer", "echo")),
    *(f"{part}.persistence.enabled=false" for part in ("broker", "collector", "scoutSim")),
]


@pytest.fixture
def make_fleet(release: Release) -> Iterator[Callable[[str], SensorFleet]]:
    """Return fleets by name; the end of the test deletes them."""
    fleets = []

    def make(name: str) -> SensorFleet:
        fleets.append(SensorFleet(release.kubectl, name))
        return fleets[-1]

    yield make
    for fleet in fleets:
        fleet.delete()


@pytest.fixture
def stop_operator(release: Release) -> Iterator[Callable[[], None]]:
    """Stop the operator from the call until the test ends."""
    operator = f"deployment/{release.object('operator')}"
    yield lambda: release.scale(operator, 0)
    release.scale(operator, 1)


def test_a_restart_of_the_operator_amid_a_rescale_loses_nothing(
    release: Release, scout: Scout, make_fleet: Callable[[str], SensorFleet]
) -> None:
    """The next operator finishes the scaling of a stopped one, and leaves remaining sensors unchanged."""
    fleet = make_fleet("restart")
    fleet.apply(10, interval="1s", sensorsPerPod=10)
    fleet.wait_ready(10)
    first = fleet.pod_uids()
    fleet.scale(25)
    release.delete_pod("operator")
    fleet.wait_ready(25)
    since = now()
    until(lambda: connected_sensors(scout, fleet, since) == fleet.sensors(range(25)), "all its sensors publish", 60)
    assert fleet.pod_uids().items() >= first.items()
    assert len(fleet.pods()) == 3


def test_a_deleted_fleet_leaves_nothing(release: Release, make_fleet: Callable[[str], SensorFleet]) -> None:
    """Deleting a fleet deletes its StatefulSet, ConfigMap and pods, and a fleet of the same name can follow."""
    fleet = make_fleet("fleeting")
    for sensors in (3, 4):
        fleet.apply(sensors)
        fleet.wait_ready(sensors)
        assert {child.split("/")[0] for child in fleet.children()} == {"statefulset.apps", "configmap", "pod"}
        fleet.delete()
    assert not exists(release.kubectl, "fleet/fleeting")


def test_a_fleet_that_follows_at_once_is_ready_by_its_own_pods(make_fleet: Callable[[str], SensorFleet]) -> None:
    """A new fleet ignores the terminating children of a deleted fleet of its name."""
    fleet = make_fleet("hasty")
    fleet.apply(3)
    fleet.wait_ready(3)
    before = fleet.pod_uids()
    fleet.kubectl("delete", f"fleet/{fleet.name}", "--wait=false")
    fleet.apply(3)
    fleet.kubectl("wait", f"fleet/{fleet.name}", "--for=condition=Ready", "--timeout=180s")
    assert not before.items() & fleet.pod_uids().items()


def test_a_fleet_can_be_deleted_without_the_operator(
    release: Release, stop_operator: Callable[[], None], make_fleet: Callable[[str], SensorFleet]
) -> None:
    """Without an operator, a fleet and its children are deleted."""
    fleet = make_fleet("abandoned")
    fleet.apply(3)
    fleet.wait_ready(3)
    stop_operator()
    fleet.delete()
    assert not exists(release.kubectl, "fleet/abandoned")


def test_the_crd_comes_with_an_upgrade_and_goes_without_keep(
    release: Release, make_namespace: Callable[[str], Kubectl], options: tuple[str, ...]
) -> None:
    """An upgrade from the chart 0.1.0 adds the CRD, and `crds.keep` decides whether uninstalling keeps it."""
    kubectl = make_namespace(NAMESPACE)
    others = json.loads(kubectl("get", "fleet", "--all-namespaces", "--output=json"))["items"]
    if others:
        pytest.skip(f"{len(others)} fleets would go with the CRD")
    kubectl("delete", CRD, "--wait")
    other = Release("other", Helm(kubectl.kubeconfig, NAMESPACE), kubectl, options)
    install_previous(other, *LITTLE)
    assert not exists(kubectl, CRD)

    other.apply(*LITTLE)
    fleet = SensorFleet(kubectl, "kept")
    fleet.apply(0)
    fleet.wait_ready(0)
    other.helm("uninstall", other.name, "--wait", "--timeout", "5m")
    assert exists(kubectl, "fleet/kept")

    other.apply(*LITTLE, "crds.keep=false")
    fleet.patch(interval="5s")
    fleet.wait_ready(0)
    other.helm("uninstall", other.name, "--wait", "--timeout", "5m")
    until(lambda: not exists(kubectl, CRD), "the CRD is gone", 60)
    kubectl("delete", "namespace", NAMESPACE, "--wait=false")

    release.apply()
    back = SensorFleet(release.kubectl, "back")
    back.apply(2)
    back.wait_ready(2)
    back.delete()
