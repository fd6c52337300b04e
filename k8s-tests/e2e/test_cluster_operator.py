"""The operator as the chart runs it: spans, Events, requests, and changes in its absence."""

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest

from e2e.fleets import SensorFleet
from e2e.release import Release, now, spans_of, until
from local.golden import Json
from local.scout import Scout


@pytest.fixture(scope="module")
def fleet(release: Release) -> Iterator[SensorFleet]:
    """A fleet of two connected sensors."""
    recorded = SensorFleet(release.kubectl, "recorded")
    recorded.apply(2)
    recorded.wait_ready(2)
    yield recorded
    recorded.delete()


def reconciles(scout: Scout, since: datetime) -> list[Json]:
    """Return the spans of reconciles that began since then."""
    found = scout.get("/api/traces", service="mqtt-trace-operator", since=str(since.timestamp()), limit=100)["traces"]
    return [span for trace in found for span in spans_of(scout, trace["trace_id"]) if span["name"] == "reconcile"]


def figures(release: Release) -> Any:
    """Return the figures of the operator's readiness probe."""
    script = "import urllib.request; print(urllib.request.urlopen('http://127.0.0.1:8080/ready').read().decode())"
    return json.loads(release.kubectl("exec", f"deployment/{release.object('operator')}", "--", "python", "-c", script))


def test_a_reconcile_that_changes_something_is_a_span(release: Release, scout: Scout, fleet: SensorFleet) -> None:
    """The span has the fleet's name and namespace, and the changes."""
    since = now()
    fleet.scale(3)
    fleet.wait_ready(3)
    spans = until(lambda: reconciles(scout, since), "a reconcile has come", 60)
    attributes = spans[0]["attributes"]
    assert (attributes["fleet.id"], attributes["k8s.namespace.name"]) == (fleet.name, release.kubectl.namespace)
    changes = [change for span in spans for change in span["attributes"]["mqtt_trace.reconcile.changes"]]
    assert f"ConfigMap {fleet.name}-fleet changed" in changes


def test_events_of_the_fleet_name_the_changes(release: Release, fleet: SensorFleet) -> None:
    """`kubectl describe` shows what the operator applied, and that the sensors are connected."""

    def reasons() -> set[str]:
        about = f"--field-selector=involvedObject.kind=SensorFleet,involvedObject.name={fleet.name}"
        return {event["reason"] for event in release.kubectl.json("get", "events", about)["items"]}

    until(lambda: reasons() >= {"Applied", "Connected"}, "events of what was applied and connected", 60)


def test_a_settled_fleet_costs_no_write(release: Release, fleet: SensorFleet) -> None:
    """An event without a change causes only reads."""
    fleet.wait_ready(fleet.object()["spec"]["replicas"])
    before = figures(release)
    release.kubectl("annotate", "fleet", fleet.name, f"example.com/note={before['reads']}")
    until(lambda: figures(release)["reads"] > before["reads"], "the event is reconciled", 60)
    assert figures(release)["writes"] == before["writes"]


def test_changes_while_the_operator_was_away_are_reconciled(release: Release, fleet: SensorFleet) -> None:
    """An operator that starts reconciles a changed fleet, a deleted child and a new fleet."""
    operator = f"deployment/{release.object('operator')}"
    release.kubectl("scale", operator, "--replicas=0")
    until(lambda: not release.pods("operator"), "the operator is gone", 120)
    late = SensorFleet(release.kubectl, "late")
    try:
        fleet.scale(4)
        release.kubectl("delete", "statefulset", fleet.name, "--wait")
        late.apply(1)
        release.kubectl("scale", operator, "--replicas=1")
        release.roll_out(operator)
        fleet.wait_ready(4)
        late.wait_ready(1)
    finally:
        release.kubectl("scale", operator, "--replicas=1")
        late.delete()
