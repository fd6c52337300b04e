"""Scenarios: the phase and the settings in effect at any time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mqtt_trace_service.scenario import Clock, Faults, Payload, Scenario, ScheduledScenario, Settings, to_seconds
from pydantic import ValidationError

INITIAL = Settings(replicas=10, interval=2.0)


def make_scenario(*phases: dict[str, Any], **others: Any) -> Scenario:
    """Read a scenario; phases take ten seconds and are named by their position unless they say otherwise."""
    given = [{"name": f"phase-{number}", "duration": "10s", **phase} for number, phase in enumerate(phases)]
    return Scenario.model_validate({"phases": given, **others})


@pytest.mark.parametrize("elapsed", [None, -0.1])
def test_before_the_start_the_fleet_is_as_its_spec_says(elapsed: float | None) -> None:
    """A scenario that has not started changes nothing and has no phase."""
    moment = make_scenario({"replicas": 99}).at(elapsed, INITIAL)
    assert (moment.settings, moment.phase, moment.place) == (INITIAL, None, None)


@pytest.mark.parametrize(
    ("elapsed", "name", "began", "ends"),
    [
        (0.0, "phase-0", 0.0, 10.0),
        (9.999, "phase-0", 0.0, 10.0),
        (10.0, "phase-1", 10.0, 10.5),
        (10.5, "phase-2", 10.5, 70.5),
        (70.499, "phase-2", 10.5, 70.5),
    ],
)
def test_phases_follow_each_other(elapsed: float, name: str, began: float, ends: float) -> None:
    """A phase begins exactly where the phase before it ends."""
    scenario = make_scenario({}, {"duration": "500ms"}, {"duration": "1m"})
    moment = scenario.at(elapsed, INITIAL)
    assert moment.phase is not None
    assert (moment.phase.name, moment.began, moment.ends, moment.complete) == (name, began, ends, False)
    assert moment.place == (0, int(name[-1]))


def test_a_step_changes_everything_at_its_start() -> None:
    """All settings of a phase without a transition are in effect from its first moment."""
    faults, payload = {"missingContext": 5}, {"padding": 100, "distribution": "constant", "value": 1}
    phase = {"replicas": 100, "interval": "500ms", "faults": faults, "churn": 20, "payload": payload}
    settings = make_scenario(phase).at(0.0, INITIAL).settings
    assert settings == Settings(
        replicas=100,
        interval=0.5,
        faults=Faults(missing_context=5),
        churn=20,
        payload=Payload(padding=100, distribution="constant", value=1.0),
    )


def test_a_phase_keeps_what_it_leaves_out() -> None:
    """Absent members have the value of the phase before, and in the first phase that of the fleet."""
    scenario = make_scenario({"churn": 30}, {"replicas": 50}, {"interval": "1s", "faults": {"mqtt311": 10}}, {})
    expected = Settings(50, 1.0, Faults(mqtt311=10), churn=30)
    assert scenario.at(35.0, INITIAL).settings == expected
    assert scenario.at(0.0, INITIAL).settings == replace(INITIAL, churn=30)


def test_absent_members_are_those_of_the_fleet_at_that_time() -> None:
    """A fleet that is changed meanwhile changes the phases that leave the member out."""
    scenario = make_scenario({"interval": "1s"}, {"replicas": 50})
    assert scenario.at(5.0, replace(INITIAL, replicas=20)).settings.replicas == 20
    assert scenario.at(15.0, replace(INITIAL, replicas=20)).settings.replicas == 50


@pytest.mark.parametrize(("elapsed", "replicas"), [(0.0, 10), (2.5, 32), (5.0, 55), (9.99, 100), (10.0, 100)])
def test_a_linear_transition_adds_sensors_evenly(elapsed: float, replicas: int) -> None:
    """The number of sensors rises from the former to the new value over the whole phase."""
    scenario = make_scenario({"replicas": 100, "transition": "Linear"}, {})
    assert scenario.at(elapsed, INITIAL).settings.replicas == replicas


def test_a_linear_transition_removes_sensors_evenly() -> None:
    """The number of sensors falls from that of the phase before."""
    scenario = make_scenario({"replicas": 100}, {"replicas": 0, "transition": "Linear"})
    assert [scenario.at(10.0 + second, INITIAL).settings.replicas for second in (0, 5, 9)] == [100, 50, 10]


def test_a_linear_transition_changes_the_rate_of_readings_evenly() -> None:
    """Half-way from 1 to 9 readings per second there are 5, and all else is in effect at once."""
    scenario = make_scenario({"interval": "1s"}, {"interval": "100ms", "transition": "Linear", "churn": 7})
    middle = scenario.at(15.0, INITIAL).settings
    assert middle.interval == pytest.approx(1 / 5.5)
    assert middle.churn == 7


def test_each_run_is_the_same() -> None:
    """A repeated list begins each time with the settings of the fleet itself."""
    scenario = make_scenario({"replicas": 20, "transition": "Linear"}, {"duration": "5s", "churn": 9}, repeat=3)
    for run in range(3):
        first = scenario.at(run * 15.0 + 5.0, INITIAL)
        assert (first.place, first.settings) == ((run, 0), replace(INITIAL, replicas=15))
        second = scenario.at(run * 15.0 + 10.0, INITIAL)
        assert (second.place, second.began, second.ends) == ((run, 1), run * 15.0 + 10, run * 15.0 + 15)
    assert scenario.length == 45.0
    assert scenario.at(45.0, INITIAL).complete


@pytest.mark.parametrize(("afterwards", "replicas"), [("Hold", 50), ("ScaleToZero", 0)])
def test_the_end_holds_the_last_phase_or_removes_all_sensors(afterwards: str, replicas: int) -> None:
    """After the last phase the fleet keeps its settings, but for the sensors where it scales to zero."""
    scenario = make_scenario({}, {"replicas": 50, "transition": "Linear", "churn": 5}, afterwards=afterwards)
    for elapsed in (20.0, 1e9):
        moment = scenario.at(elapsed, INITIAL)
        assert (moment.complete, moment.place, moment.index, moment.ends) == (True, None, 1, 20.0)
        assert moment.settings == replace(INITIAL, replicas=replicas, churn=5)


def test_the_maximum_of_sensors_counts_the_fleet_itself() -> None:
    """The first phase may begin with more sensors than any phase asks for."""
    scenario = make_scenario({"replicas": 5, "transition": "Linear"}, {"replicas": 8})
    assert scenario.max_replicas(INITIAL) == 10
    assert scenario.max_replicas(replace(INITIAL, replicas=0)) == 8


def test_the_clock_stands_still_while_it_is_paused() -> None:
    """Pauses do not count, the one that lasts included; a pause may begin in the future."""
    assert Clock().elapsed(1000.0) is None
    assert Clock(started_at=100.0).elapsed(98.0) == -2.0
    assert Clock(started_at=100.0, paused_seconds=30.0).elapsed(150.0) == 20.0
    paused = Clock(started_at=100.0, paused_at=140.0, paused_seconds=30.0)
    assert [paused.elapsed(now) for now in (139.0, 140.0, 500.0)] == [9.0, 10.0, 10.0]


def test_a_fleet_file_has_scenario_and_clock_in_one_object() -> None:
    """The scenario of a fleet file finds what is in effect at a time of the epoch."""
    scenario = ScheduledScenario.model_validate(
        {"phases": [{"name": "one", "duration": "10s", "replicas": 3}], "startedAt": 1000, "pausedSeconds": 5}
    )
    assert scenario.now(1004.0, INITIAL).phase is None
    assert scenario.now(1006.0, INITIAL).settings.replicas == 3
    assert scenario.now(1015.0, INITIAL).complete


@pytest.mark.parametrize(("text", "seconds"), [("1ms", 0.001), ("90s", 90.0), ("2m", 120.0), ("24h", 86400.0)])
def test_a_duration_has_a_unit(text: str, seconds: float) -> None:
    """A duration is a whole number with a unit."""
    assert to_seconds(text) == seconds


@pytest.mark.parametrize(
    ("phase", "place"),
    [
        ({"duration": "0s"}, "duration"),
        ({"duration": "soon"}, "duration"),
        ({"replicas": 10_001}, "replicas"),
        ({"replicas": -1}, "replicas"),
        ({"churn": 101}, "churn"),
        ({"interval": "0ms"}, "interval"),
        ({"transition": "Sudden"}, "transition"),
        ({"faults": {"mqtt311": 60, "missingContext": 41}}, "faults"),
        ({"payload": {"padding": -1}}, "payload"),
        ({"payload": {"distribution": "zipf"}}, "payload"),
        ({"payload": {"min": 30}}, "payload"),
    ],
)
def test_a_wrong_member_is_named(phase: dict[str, Any], place: str) -> None:
    """What the CRD refuses is refused here, too, with its place."""
    with pytest.raises(ValidationError) as refused:
        make_scenario(phase)
    (error,) = refused.value.errors()
    assert error["loc"][:3] == ("phases", 0, place)


def test_a_scenario_has_a_phase() -> None:
    """An empty list is refused."""
    with pytest.raises(ValidationError, match="must have a phase"):
        make_scenario()


@given(
    phases=st.lists(
        st.fixed_dictionaries(
            {
                "duration": st.sampled_from(["1s", "1500ms", "7s", "3m"]),
                "transition": st.sampled_from(["Linear", "Step"]),
            },
            optional={"replicas": st.integers(0, 10_000), "interval": st.sampled_from(["10ms", "1s", "24h"])},
        ),
        min_size=1,
        max_size=5,
    ),
    repeat=st.integers(1, 4),
    share=st.floats(0, 1, exclude_max=True),
)
def test_every_moment_belongs_to_a_phase(phases: list[dict[str, Any]], repeat: int, share: float) -> None:
    """At any time of any scenario there is exactly one phase, and its settings are within bounds."""
    scenario = make_scenario(*phases, repeat=repeat)
    elapsed = scenario.length * share
    moment = scenario.at(elapsed, INITIAL)
    assert moment.place is not None
    assert moment.began - 1e-6 <= elapsed <= moment.ends + 1e-6
    assert moment.phase == scenario.phases[moment.index]
    assert 0 <= moment.settings.replicas <= scenario.max_replicas(INITIAL)
    assert 0.009 < moment.settings.interval <= 86_400.001
