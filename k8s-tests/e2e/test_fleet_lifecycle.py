"""Fleets and the operator come and go without each other."""

from collections.abc import Callable, Iterator

import pytest

from e2e.fleets import SensorFleet, connected_sensors, exists
from e2e.release import Release, now, until
from local.scout import Scout


@pytest.fixture
def make_fleet(release: Release) -> Iterator[Callable[[str], SensorFleet]]:
    """Name fleets that go with the test."""
    fleets = []

    def make(name: str) -> SensorFleet:
        fleets.append(SensorFleet(release.kubectl, name))
        return fleets[-1]

    yield make
    for fleet in fleets:
        fleet.delete()


@pytest.fixture
def stop_operator(release: Release) -> Iterator[Callable[[], None]]:
    """Let nobody look after fleets from when this is called until the test ends."""
    operator = f"deployment/{release.object('operator')}"
    yield lambda: release.scale(operator, 0)
    release.scale(operator, 1)


def test_a_restart_of_the_operator_amid_a_rescale_loses_nothing(
    release: Release, scout: Scout, make_fleet: Callable[[str], SensorFleet]
) -> None:
    """The next operator finishes what the former began; sensors that stay are not touched."""
    fleet = make_fleet("restart")
    fleet.apply(10, interval="1s", sensorsPerPod=10)
    fleet.wait_ready(10)
    first = fleet.pod_uids()
    fleet.scale(25)
    release.delete_pod("operator")
    fleet.wait_ready(25)
    since = now()
    until(lambda: connected_sensors(scout, fleet, since) == fleet.sensors(range(25)), 60, "all its sensors publish")
    assert fleet.pod_uids().items() >= first.items()
    assert len(fleet.pods()) == 3


def test_a_deleted_fleet_leaves_nothing(release: Release, make_fleet: Callable[[str], SensorFleet]) -> None:
    """StatefulSet, ConfigMap and pods go, and a fleet of the same name can follow."""
    fleet = make_fleet("fleeting")
    for sensors in (3, 4):
        fleet.apply(sensors)
        fleet.wait_ready(sensors)
        assert {child.split("/")[0] for child in fleet.children()} == {"statefulset.apps", "configmap", "pod"}
        fleet.delete()
    assert not exists(release.kubectl, "fleet/fleeting")


def test_a_fleet_can_be_deleted_without_the_operator(
    release: Release, stop_operator: Callable[[], None], make_fleet: Callable[[str], SensorFleet]
) -> None:
    """Garbage collection needs no operator, and nothing holds the fleet back."""
    fleet = make_fleet("abandoned")
    fleet.apply(3)
    fleet.wait_ready(3)
    stop_operator()
    fleet.delete()
    assert not exists(release.kubectl, "fleet/abandoned")
