"""Scenarios end in a verdict, and its figures are those of the traces."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from e2e.fleets import SensorFleet, connected_traces
from e2e.release import Release, until
from local.golden import Json
from local.scout import Scout

EXAMPLES = sorted((Path(__file__).parents[2] / "examples" / "fleets").glob("*.yaml"))

_VERDICT_WITHIN_S = 360
_PHASES = [
    {"name": "few", "duration": "30s"},
    {"name": "up", "duration": "30s", "transition": "Linear", "replicas": 100},
    {"name": "many", "duration": "30s"},
]


def shorten(spec: Json) -> Json:
    """The spec of an example with phases of five seconds, at most twenty sensors, and durations for a slow machine."""
    spec["replicas"], spec["interval"] = min(spec["replicas"], 20), "2s"
    for phase in spec["scenario"]["phases"]:
        phase["duration"] = "5s"
        if "replicas" in phase:
            phase["replicas"] = min(phase["replicas"], 20)
    slow = dict.fromkeys(("ageP95", "ageP99", "publishP99", "connectedWithin"), "2m")
    spec["expect"] |= {"drain": "2m"} | {name: slow[name] for name in slow.keys() & spec["expect"].keys()}
    return spec


def wait_for_verdict(fleet: SensorFleet, wanted: str) -> tuple[Json, str]:
    """Wait for a verdict, which must be the wanted one; return the results when they are final, and the sentence."""

    def judged() -> Json | None:
        status: Json = fleet.object().get("status") or {}
        return status if (status.get("results") or {}).get("final") else None

    try:
        status = until(judged, f"the results of fleet {fleet.name} are final", _VERDICT_WITHIN_S)
    except AssertionError as error:
        error.add_note(json.dumps(fleet.object(), indent=1))
        raise
    assert status is not None
    conditions = {one["type"]: one for one in status["conditions"]}
    verdict = [kind for kind in ("Passed", "Failed") if conditions[kind]["status"] == "True"]
    assert verdict == [wanted], json.dumps(status, indent=1)
    return status["results"], conditions[wanted]["message"]


@dataclass(frozen=True)
class Finished:
    """A fleet whose scenario is over."""

    fleet: SensorFleet
    results: Json
    sentence: str


@pytest.fixture(scope="module")
def judged(release: Release) -> Iterator[SensorFleet]:
    """A fleet of up to a hundred sensors in three phases."""
    fleet = SensorFleet(release.kubectl, "judged")
    expect = {"lost": 0, "duplicates": 0, "ageP95": "2m", "drain": "2m"}
    scenario = {"phases": _PHASES, "afterwards": "ScaleToZero"}
    fleet.apply(10, interval="2s", sensorsPerPod=50, scenario=scenario, expect=expect)
    yield fleet
    fleet.delete()


@pytest.fixture(scope="module")
def examples(release: Release, judged: SensorFleet) -> Iterator[dict[str, SensorFleet]]:
    """All examples in a short form, at the same time as the judged fleet."""
    assert judged
    fleets = {path.stem: SensorFleet(release.kubectl, path.stem) for path in EXAMPLES}
    for path in EXAMPLES:
        spec = shorten(yaml.safe_load(path.read_text(encoding="utf-8"))["spec"])
        fleets[path.stem].apply(**spec)
    yield fleets
    for fleet in fleets.values():
        fleet.delete()


@pytest.fixture(scope="module")
def finished(judged: SensorFleet) -> Finished:
    """The judged fleet with its results."""
    return Finished(judged, *wait_for_verdict(judged, "Passed"))


@pytest.mark.parametrize("name", [path.stem for path in EXAMPLES])
def test_an_example_passes(examples: dict[str, SensorFleet], name: str) -> None:
    """Each example passes in a short form, although all run at once."""
    results, _ = wait_for_verdict(examples[name], "Passed")
    assert results["total"]["published"] > 0
    assert results["total"]["lost"] == 0


def test_the_results_are_those_of_the_traces(finished: Finished, scout: Scout) -> None:
    """Every reading that the results count has its trace, and no other one has."""
    total, since = finished.results["total"], datetime.fromisoformat(finished.results["startedAt"])
    assert total["published"] == total["processed"]
    until(
        lambda: len(connected_traces(scout, finished.fleet, since)) >= total["published"],
        f"{total['published']} connected traces",
        60,
    )
    traces = connected_traces(scout, finished.fleet, since)
    assert len(traces) == total["published"]
    assert set(finished.results["slowest"]) <= {trace["trace_id"] for trace in traces}
    assert sum(phase["published"] for phase in finished.results["phases"]) == total["published"]


def test_the_scenario_is_a_trace(finished: Finished, scout: Scout) -> None:
    """The operator's trace has a span for each phase, with links to the slowest readings' traces."""
    found = until(
        lambda: scout.get("/api/traces", attribute="fleet.id=judged", service="mqtt-trace-operator")["traces"],
        "the operator's traces of the fleet",
        60,
    )
    names = {trace["root_name"]: trace["trace_id"] for trace in found or []}
    spans = scout.get(f"/api/traces/{names['scenario judged']}")["spans"]
    assert {span["name"] for span in spans} == {"scenario judged", "phase few", "phase up", "phase many"}
    linked = {link["trace_id"] for span in spans for link in span["links"]}
    assert set(finished.results["slowest"]) <= linked


def test_the_report_shows_the_results(release: Release, finished: Finished) -> None:
    """`mqtt-trace-fleet report` in the operator's pod prints the verdict, the figures and a page."""
    command = ("exec", f"deployment/{release.object('operator')}", "--", "mqtt-trace-fleet", "report", "judged")
    said = release.kubectl(*command)
    assert said.startswith(f"Passed: {finished.sentence}\n")
    assert re.search(rf"^all +{finished.results['total']['published']} ", said, re.MULTILINE)
    page = release.kubectl(*command, "--html", "-")
    assert page.startswith("<!doctype html>")
    assert "Plotly.newPlot" in page


def test_a_verdict_is_an_event(finished: Finished) -> None:
    """`kubectl describe` shows it once."""
    about = ("--field-selector", "involvedObject.kind=SensorFleet,involvedObject.name=judged,reason=Passed")
    events: list[Any] = finished.fleet.kubectl.json("get", "events", *about)["items"]
    assert [event["message"] for event in events] == [finished.sentence]


def test_an_outage_longer_than_the_drain_fails(release: Release) -> None:
    """While echo is away the consumer pauses, and what waits beyond the drain time is lost."""
    fleet, echo = SensorFleet(release.kubectl, "outage"), f"deployment/{release.object('echo')}"
    release.scale(echo, 0)
    try:
        fleet.apply(
            5,
            interval="500ms",
            scenario={"phases": [{"name": "all", "duration": "5s"}]},
            expect={"lost": 0, "drain": "2s"},
        )
        results, sentence = wait_for_verdict(fleet, "Failed")
    finally:
        release.scale(echo, 1)
        fleet.delete()
    lost, published = results["total"]["lost"], results["total"]["published"]
    assert lost > 0
    assert sentence == f"{lost} of {published} readings lost, expected at most 0"


def test_nothing_is_lost_when_everything_restarts(release: Release) -> None:
    """The consumer is killed, the broker restarts, the operator is killed: the scenario passes with every reading."""
    fleet = SensorFleet(release.kubectl, "restarts")
    phases = [{"name": name, "duration": "20s"} for name in ("consumer", "mosquitto", "operator")]
    fleet.apply(5, interval="500ms", scenario={"phases": phases}, expect={"lost": 0, "drain": "90s"})
    try:
        for phase in phases:
            _wait_for_phase(fleet, phase["name"])
            if phase["name"] == "mosquitto":
                release.delete_pod("mosquitto")  # a killed one loses what it had not saved
            else:
                kill = ("--grace-period=0", "--force")
                release.kubectl("delete", "pod", "--selector", release.selector(phase["name"]), *kill)
        results, _ = wait_for_verdict(fleet, "Passed")
    finally:
        fleet.delete()
    total = results["total"]
    assert (total["lost"], total["unknown"]) == (0, 0)
    assert total["processed"] == total["published"] > 100


def _wait_for_phase(fleet: SensorFleet, phase: str) -> None:
    path = "{.status.scenario.phase}"
    fleet.kubectl("wait", f"fleet/{fleet.name}", f"--for=jsonpath={path}={phase}", "--timeout=120s", timeout_s=150)
