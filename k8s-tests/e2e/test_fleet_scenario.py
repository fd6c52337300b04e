"""A scenario runs by the clock of its pods, whatever happens to operator and pods."""

import json
import re
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import pytest

from e2e.fleets import SensorFleet
from e2e.release import Release, now, until
from local.golden import Json

PHASES: list[dict[str, Any]] = [
    {"name": "ramp", "duration": "5s", "replicas": 20, "transition": "Linear"},
    {"name": "storm", "duration": "5s", "storm": True},
    {"name": "fall", "duration": "5s", "replicas": 4},
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


def scenario_of(fleet: SensorFleet) -> Json:
    """Return `status.scenario`, empty before the operator has written it."""
    scenario: Json = (fleet.object().get("status") or {}).get("scenario") or {}
    return scenario


def wait_phase(fleet: SensorFleet, name: str) -> Json:
    """Wait for a phase, and return `status.scenario`."""
    until(lambda: scenario_of(fleet).get("phase") == name, f"phase {name}", 120)
    return scenario_of(fleet)


def wait_complete(fleet: SensorFleet) -> None:
    """Wait for the condition Complete, as a user does."""
    fleet.kubectl("wait", f"fleet/{fleet.name}", "--for=condition=Complete", "--timeout=180s")


def phases_in_events(fleet: SensorFleet) -> list[str]:
    """Return the phases that Events report, in order."""
    selector = f"involvedObject.name={fleet.name},reason=PhaseStarted"
    listed = fleet.kubectl("get", "events", f"--field-selector={selector}", "--output=json")
    events = sorted(json.loads(listed)["items"], key=lambda event: event["metadata"]["creationTimestamp"])
    return [event["message"].removeprefix("phase ").partition(",")[0] for event in events]


def test_phases_follow_each_other_while_the_operator_is_away(
    release: Release, make_fleet: Callable[[str], SensorFleet]
) -> None:
    """Without an operator the pods go on to the next phase, and the next operator finds where they are."""
    fleet = make_fleet("phases")
    fleet.apply(2, scenario={"phases": PHASES}, interval="1s")
    started = wait_phase(fleet, "ramp")["startedAt"]
    assert re.fullmatch(r"(ramp|storm|fall) \d+s", " ".join(fleet.line().split()[5:7]))
    pods = fleet.pod_uids()
    operator = f"deployment/{release.object('operator')}"
    release.scale(operator, 0)
    try:
        log = ["logs", f"{fleet.name}-0"]
        until(lambda: "phase fall begins" in fleet.kubectl(*log), "the pod begins the last phase", 60)
    finally:
        release.scale(operator, 1)
    wait_complete(fleet)
    status = fleet.wait_ready(4)
    assert (status["scenario"]["phase"], status["scenario"]["startedAt"]) == ("fall", started)
    assert phases_in_events(fleet)[0] == "ramp"
    assert fleet.pod_uids() == pods


def test_an_operator_that_is_killed_in_each_phase_changes_nothing(
    release: Release, make_fleet: Callable[[str], SensorFleet]
) -> None:
    """The scenario starts once and ends on time, and each phase is reported once."""
    fleet = make_fleet("killed")
    # Long enough for the next operator to start in.
    phases = [{**phase, "duration": "12s"} for phase in PHASES]
    fleet.apply(2, scenario={"phases": phases, "afterwards": "ScaleToZero"}, interval="1s")
    started = [wait_phase(fleet, "ramp")["startedAt"]]
    for name in ("ramp", "storm", "fall"):
        started.append(wait_phase(fleet, name)["startedAt"])
        release.delete_pod("operator")
    wait_complete(fleet)
    status = fleet.wait_ready(0)
    assert {*started, status["scenario"]["startedAt"]} == {started[0]}
    assert phases_in_events(fleet) == ["ramp", "storm", "fall"]
    until(lambda: not fleet.pods(), "no pod is left", 60)


def test_a_paused_scenario_waits(make_fleet: Callable[[str], SensorFleet]) -> None:
    """The phase of a paused fleet outlasts its end, and the sensors stay; the rest of it follows the pause."""
    fleet = make_fleet("paused")
    phases = [{"name": "first", "duration": "8s", "replicas": 3}, {"name": "second", "duration": "1h", "replicas": 5}]
    fleet.apply(2, scenario={"phases": phases})
    first = wait_phase(fleet, "first")
    fleet.patch(paused=True)
    until(lambda: "pausedAt" in scenario_of(fleet), "the pause", 30)
    end = datetime.fromisoformat(first["phaseEndsAt"])
    until(lambda: now() > end, "the time at which the phase would have ended", 60)
    status = fleet.object()["status"]
    assert (status["scenario"]["phase"], status["readyReplicas"]) == ("first", 3)
    fleet.patch(paused=False)
    second = wait_phase(fleet, "second")
    assert second["pausedSeconds"] > 0
    assert datetime.fromisoformat(second["phaseEndsAt"]) > end
    fleet.wait_ready(5)
