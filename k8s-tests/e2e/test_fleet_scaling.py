"""A fleet scales and changes while its remaining sensors keep publishing."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from e2e.fleets import SensorFleet, connected_sensors, connected_traces
from e2e.release import Release, now, until
from local.scout import Scout

EXAMPLE = Path(__file__).parents[2] / "examples" / "fleet.yaml"


@pytest.fixture(scope="module")
def fleet(release: Release) -> Iterator[SensorFleet]:
    """The fleet of the example."""
    release.kubectl("apply", "--filename", str(EXAMPLE))
    example = SensorFleet(release.kubectl, "demo")
    yield example
    example.delete()


def require_sensors(scout: Scout, fleet: SensorFleet, count: int) -> None:
    """Wait until each sensor has a connected trace from now on, and require that no other has one."""
    since = now()
    wanted = fleet.sensors(range(count))
    until(lambda: wanted <= connected_sensors(scout, fleet, since), f"connected traces of {count} sensors", 120)
    assert connected_sensors(scout, fleet, since) == wanted


def test_the_example_publishes_connected_traces(fleet: SensorFleet, scout: Scout) -> None:
    """`kubectl get fleet` shows fifty sensors in one pod, and each of their readings reaches echo."""
    status = fleet.wait_ready(50)
    assert status["pods"] == 1
    name, sensors, ready, pods, interval, _, *message = fleet.line().split()
    assert (name, sensors, ready, pods, interval) == ("demo", "50", "50", "1", "2s")
    assert " ".join(message) == "50 sensors connected"
    require_sensors(scout, fleet, 50)


def test_kubectl_scale_adds_and_removes_sensors(fleet: SensorFleet, scout: Scout) -> None:
    """Scaled up to a second pod and down again, exactly the desired sensors publish, and the first pod stays."""
    before = fleet.pod_uids()
    fleet.scale(110)
    assert fleet.wait_ready(110)["pods"] == 2
    require_sensors(scout, fleet, 110)
    fleet.scale(20)
    fleet.wait_ready(20)
    require_sensors(scout, fleet, 20)
    assert fleet.pod_uids() == before


def test_whoever_writes_scale_is_obeyed(fleet: SensorFleet, scout: Scout) -> None:
    """A write of /scale has the same effect as `kubectl scale`, and its selector matches the pods."""
    scale = fleet.write_scale(30)
    assert scale["spec"]["replicas"] == 30
    fleet.wait_ready(30)
    require_sensors(scout, fleet, 30)
    selector = fleet.object()["status"]["selector"]
    pods = fleet.kubectl("get", "pods", "--selector", selector, "--output=name").split()
    assert pods == [f"pod/{name}" for name in fleet.pod_uids()]


def test_a_new_interval_reaches_running_sensors(fleet: SensorFleet, scout: Scout) -> None:
    """With a shorter interval, the same pods publish more often without a restart."""
    before = fleet.pod_uids()
    fleet.patch(interval="250ms")
    fleet.wait_ready(30)
    since = now()
    (sensor,) = fleet.sensors([7])

    def is_faster() -> bool:
        starts = sorted(
            trace["start"] for trace in connected_traces(scout, fleet, since) if f"/{sensor}/" in trace["root_name"]
        )
        return any(later - earlier < 1 for earlier, later in pairwise(starts))

    until(is_faster, "two readings of a sensor within a second", 60)
    assert fleet.pod_uids() == before
    assert fleet.line().split()[4] == "250ms"
