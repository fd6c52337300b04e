"""Of two fleets, one has faulty readings at the configured rate, and the other has none."""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime

import pytest

from e2e.fleets import SensorFleet, connected_sensors, connected_traces, orphans, sensors_in
from e2e.release import Release, now, until
from local.scout import Scout

SENSORS = 20


@pytest.fixture(scope="module")
def fleets(release: Release) -> Iterator[tuple[SensorFleet, SensorFleet]]:
    """One with faults and one without."""
    faulty, whole = SensorFleet(release.kubectl, "faulty"), SensorFleet(release.kubectl, "whole")
    faults = {"missingContext": 20, "malformedContext": 30, "mqtt311": 10}
    faulty.apply(SENSORS, interval="500ms", faults=faults)
    whole.apply(SENSORS, interval="500ms", tenant="its-own")
    for fleet in (faulty, whole):
        fleet.wait_ready(SENSORS)
    yield faulty, whole
    for fleet in (faulty, whole):
        fleet.delete()


@pytest.fixture(scope="module")
def since(fleets: tuple[SensorFleet, SensorFleet]) -> datetime:
    """The moment when both were ready."""
    assert len(fleets) == 2
    return now()


def test_missing_contexts_are_found_in_the_shares_that_were_asked_for(
    fleets: tuple[SensorFleet, SensorFleet], scout: Scout, since: datetime
) -> None:
    """The counts by reason match: absent for missing contexts and MQTT 3.1.1 sensors, malformed for the others."""
    faulty, _ = fleets

    def counts() -> Counter[str]:
        found = {reason: len(orphans(scout, faulty, since, reason)) for reason in ("absent", "malformed", "duplicate")}
        return Counter({**found, "whole": len(connected_traces(scout, faulty, since))})

    found = until(lambda: counts_now if (counts_now := counts()).total() >= 400 else None, "four hundred readings", 120)
    assert found is not None
    share = {reason: count / found.total() for reason, count in found.items()}
    assert share["absent"] == pytest.approx(0.3, abs=0.1)
    assert share["malformed"] == pytest.approx(0.3, abs=0.1)
    assert found["duplicate"] == 0


def test_mqtt_3_1_1_sensors_have_no_context_at_all(
    fleets: tuple[SensorFleet, SensorFleet], scout: Scout, since: datetime
) -> None:
    """Two of twenty sensors use MQTT 3.1.1, and none of their readings joins a trace of theirs."""
    faulty, _ = fleets
    everyone = faulty.sensors(range(SENSORS))
    until(lambda: len(connected_sensors(scout, faulty, since)) == SENSORS - 2, "eighteen sensors are traced", 60)
    old = everyone - connected_sensors(scout, faulty, since)
    until(lambda: old <= set(orphans(scout, faulty, since, "absent")), "the other two publish, too", 60)
    assert not old & set(orphans(scout, faulty, since, "malformed"))


def test_the_fleet_beside_it_is_whole(fleets: tuple[SensorFleet, SensorFleet], scout: Scout, since: datetime) -> None:
    """The other fleet's spans have its own fleet and tenant, and none of its readings lacks a context."""
    _, whole = fleets
    everyone = whole.sensors(range(SENSORS))
    until(lambda: connected_sensors(scout, whole, since) == everyone, "all its sensors are traced", 60)
    for reason in ("absent", "malformed", "duplicate"):
        assert orphans(scout, whole, since, reason) == []
    assert sensors_in(scout.get("/api/traces", attribute="fleet.tenant=its-own", limit=100_000)["traces"]) == everyone
