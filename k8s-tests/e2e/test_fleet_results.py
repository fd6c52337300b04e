"""The pods of a fleet with a scenario count their readings by number."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from e2e.fleets import SensorFleet
from e2e.release import Release, until
from local.commands import CommandError
from local.golden import Json

_READ = "import urllib.request as u; print(u.urlopen('http://localhost:8080/results', timeout=5).read().decode())"
_WITHIN_S = 90
_SCENARIO = {"phases": [{"name": "all", "duration": "15m"}]}


@pytest.fixture(scope="module")
def fleets(release: Release) -> Iterator[tuple[SensorFleet, SensorFleet]]:
    """Two fleets at once, the first with a tenth of MQTT 3.1.1 sensors."""
    both = SensorFleet(release.kubectl, "counted"), SensorFleet(release.kubectl, "counted-too")
    faults = {"missingContext": 0, "malformedContext": 0, "mqtt311": 10}
    both[0].apply(10, interval="500ms", faults=faults, scenario=_SCENARIO)
    both[1].apply(10, interval="500ms", scenario=_SCENARIO)
    yield both
    for fleet in both:
        fleet.delete()


def results(fleet: SensorFleet) -> Json | None:
    """The answer of the fleet's only pod; None while it does not answer."""
    try:
        return json.loads(fleet.kubectl("exec", f"{fleet.name}-0", "--", "python", "-c", _READ))  # type: ignore[no-any-return]
    except CommandError:
        return None


def figures(fleet: SensorFleet) -> dict[str, Any]:
    """The figures of its only phase; all are missing until it begins."""
    answer = results(fleet)
    phase: dict[str, Any] = answer["phases"][0] if answer and answer["phases"] else {}
    return phase


def wait_processed(fleet: SensorFleet, readings: int) -> dict[str, Any]:
    """Wait until this number of readings is processed, and return the figures."""
    until(lambda: figures(fleet).get("processed", 0) >= readings, f"{readings} readings of {fleet.name}", _WITHIN_S)
    return figures(fleet)


def test_fleets_count_their_own_readings(fleets: tuple[SensorFleet, SensorFleet]) -> None:
    """Both have receipts for what they published; only the first has readings without a number."""
    for fleet, unnumbered in zip(fleets, (True, False), strict=True):
        found = wait_processed(fleet, 100)
        assert found["published"] == found["processed"] + found["waiting"] + found["dead_lettered"]
        assert (found["duplicates"], found["refused"]) == (0, {})
        assert bool(found["unnumbered"]) == unnumbered


def test_the_results_outlive_a_restart_of_the_container(fleets: tuple[SensorFleet, SensorFleet]) -> None:
    """A container that ends and starts again goes on counting where it was."""
    _, fleet = fleets
    before = until(lambda: results(fleet), "the results", _WITHIN_S)
    assert before is not None
    pods = fleet.pod_uids()
    fleet.kubectl("exec", f"{fleet.name}-0", "--", "python", "-c", "import os, signal; os.kill(1, signal.SIGTERM)")
    until(lambda: fleet.pod_uids() != pods, "the container restarts", _WITHIN_S)
    published = before["phases"][0]["published"]
    wait_processed(fleet, published + 1)
    after = results(fleet)
    assert after is not None
    assert after["epoch"] == before["epoch"]
