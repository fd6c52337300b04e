"""Scenarios of fleets: the clock in the status, and what the status says of them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from lightkube.resources.core_v1 import Pod
from mqtt_trace_operator.children import PodTemplate, config_map, paused_config_map, read_fleet_file, stateful_set
from mqtt_trace_operator.fleet import Fleet
from mqtt_trace_operator.observed import Applied, Observed
from mqtt_trace_operator.scenario.progress import (
    Progress,
    build_scenario_status,
    count_sensors_at_most,
    find_news,
    seconds_to_next_change,
)
from mqtt_trace_operator.sensors import Report
from mqtt_trace_operator.status import Status, build_status, is_worth_writing

MakeFleet = Callable[..., Fleet]
MakePod = Callable[..., Pod]

NOW = datetime(2026, 11, 25, 9, 0, tzinfo=UTC)
STARTED = NOW + timedelta(seconds=3)
SCENARIO: dict[str, Any] = {
    "phases": [
        {"name": "ramp", "duration": "30s", "replicas": 100, "transition": "Linear"},
        {"name": "storm", "duration": "1m", "storm": True},
        {"name": "fall", "duration": "10s", "replicas": 20},
    ]
}


def at(seconds: float) -> datetime:
    """The time that many seconds after the start of the scenario."""
    return STARTED + timedelta(seconds=seconds)


class Story:
    """A fleet whose status alone carries its scenario from one reconcile to the next.

    Attributes:
        status: Its status.
    """

    def __init__(self, make_fleet: MakeFleet) -> None:
        self._make_fleet = make_fleet
        self.status: Status = {}

    def reconcile(self, now: datetime, *, starts: bool = False, misses: bool = False, **spec: Any) -> Progress:
        """Take the status through one reconcile with this spec, by an operator that has just started.

        Args:
            now: The time.
            starts: Whether all pods have read the scenario.
            misses: Whether a pod has not read the start.
            spec: Members of the spec.
        """
        fleet = self._make_fleet(**{"replicas": 0, "scenario": SCENARIO, **spec})
        progress = Progress.read(self.status).follow(fleet, now)
        if starts:
            progress = progress.start(now)
        if misses:
            progress = progress.put_off(self.status, now)
        self.news = [news.name for news in find_news(fleet, progress, self.status, now)]
        self.wait = seconds_to_next_change(fleet, progress, now)
        applied = Applied.from_config_map(config_map(fleet, progress.clock), now)
        self.former, self.status = self.status, build_status(fleet, Observed(applied), self.status, now, progress)
        return progress

    @property
    def scenario(self) -> dict[str, Any]:
        """`status.scenario`, without the hash."""
        return {key: value for key, value in self.status.get("scenario", {}).items() if key != "hash"}

    @property
    def complete(self) -> tuple[str, str]:
        """Status and reason of the condition `Complete`."""
        (found,) = (one for one in self.status["conditions"] if one["type"] == "Complete")
        return found["status"], found["reason"]


@pytest.fixture
def story(make_fleet: MakeFleet) -> Story:
    """A fleet whose scenario has been announced."""
    told = Story(make_fleet)
    told.reconcile(NOW - timedelta(seconds=5))
    assert told.complete == ("False", "Waiting")
    assert told.scenario == {"complete": False, "pausedSeconds": 0}
    told.reconcile(NOW, starts=True)
    return told


def test_a_scenario_starts_a_few_seconds_after_its_pods_are_there(story: Story) -> None:
    """The start is announced, and the operator wakes up for it."""
    assert story.scenario == {"complete": False, "pausedSeconds": 0, "startedAt": "2026-11-25T09:00:03Z"}
    assert (story.complete, story.news, story.wait) == (("False", "Starting"), [], 3.0)


def test_a_start_that_a_pod_has_not_read_is_put_off(story: Story) -> None:
    """The scenario starts later, again if need be, and never once a phase has begun."""
    story.reconcile(at(-2), misses=True)
    assert story.scenario["startedAt"] == "2026-11-25T09:00:03Z"
    story.reconcile(at(-1), misses=True)
    assert story.scenario["startedAt"] == "2026-11-25T09:00:32Z"
    story.reconcile(at(0))
    assert (story.complete, story.news) == (("False", "Starting"), [])
    story.reconcile(at(29.5), misses=True)
    assert story.scenario["startedAt"] == "2026-11-25T09:01:03Z"
    story.reconcile(at(60))
    assert story.news == ["PhaseStarted"]
    story.reconcile(at(61), misses=True)
    assert story.scenario["startedAt"] == "2026-11-25T09:01:03Z"


def test_the_status_says_where_the_scenario_is(story: Story) -> None:
    """Each phase is news once, and has its end and its time left."""
    story.reconcile(at(0))
    assert story.scenario == {
        "complete": False,
        "pausedSeconds": 0,
        "startedAt": "2026-11-25T09:00:03Z",
        "phase": "ramp",
        "index": 0,
        "run": 0,
        "phaseEndsAt": "2026-11-25T09:00:33Z",
        "left": "30s",
    }
    assert (story.complete, story.news) == (("False", "Running"), ["PhaseStarted"])
    story.reconcile(at(1))
    assert story.news == []
    story.reconcile(at(30))
    assert story.news == ["PhaseStarted"]
    assert (story.scenario["phase"], story.scenario["index"], story.scenario["left"]) == ("storm", 1, "60s")
    assert story.scenario["phaseEndsAt"] == "2026-11-25T09:01:33Z"


@pytest.mark.parametrize(
    ("elapsed", "left", "wait"),
    [(0, "30s", 6.0), (5.5, "30s", 0.5), (6, "24s", 6.0), (29, "6s", 1.0), (90, "10s", 5.0)],
)
def test_the_time_left_is_refreshed_in_fifths_of_the_phase(
    story: Story, elapsed: float, left: str, wait: float
) -> None:
    """The time left is never too short, and a phase of a few seconds is not cut into more than it has time for."""
    story.reconcile(at(elapsed))
    assert story.scenario["left"] == left
    assert story.wait == pytest.approx(wait)


def test_the_end_is_a_condition(story: Story) -> None:
    """After the last phase the condition Complete is true, the last phase stays, and nothing is left to wait for."""
    story.reconcile(at(100))
    assert (story.complete, story.news, story.wait) == (("True", "Completed"), ["ScenarioCompleted"], None)
    assert story.scenario == {
        "complete": True,
        "pausedSeconds": 0,
        "startedAt": "2026-11-25T09:00:03Z",
        "phase": "fall",
        "index": 2,
        "run": 0,
        "phaseEndsAt": "2026-11-25T09:01:43Z",
    }
    story.reconcile(at(200))
    assert story.news == []


def test_a_pause_stops_the_clock_and_the_end_moves(story: Story) -> None:
    """The pause is announced, nothing happens during it, and the phase ends so much later."""
    story.reconcile(at(10))
    progress = story.reconcile(at(20.5), paused=True)
    assert (story.news, story.scenario["pausedAt"]) == (["ScenarioPaused"], "2026-11-25T09:00:27Z")
    assert "phaseEndsAt" not in story.scenario
    assert progress.clock.paused_at == at(24).timestamp()
    story.reconcile(at(500), paused=True)
    assert (story.news, story.complete, story.wait) == ([], ("False", "Paused"), None)
    assert story.scenario["phase"] == "ramp"
    story.reconcile(at(524.5))
    assert (story.news, story.scenario["pausedSeconds"]) == (["ScenarioResumed"], 500)
    assert story.scenario["phaseEndsAt"] == "2026-11-25T09:08:53Z"
    story.reconcile(at(529))
    assert (story.scenario["phase"], story.complete) == ("ramp", ("False", "Running"))
    story.reconcile(at(530))
    assert story.scenario["phase"] == "storm"


def test_a_fleet_that_is_paused_before_the_start_waits(make_fleet: MakeFleet) -> None:
    """A scenario does not begin in a paused fleet."""
    told = Story(make_fleet)
    told.reconcile(NOW, paused=True)
    assert told.complete == ("False", "Paused")
    assert "startedAt" not in told.scenario


def test_another_scenario_starts_over_and_other_changes_do_not(story: Story) -> None:
    """A new interval of the fleet leaves the clock alone; a changed phase waits for a start of its own."""
    story.reconcile(at(40), interval="5s")
    assert story.scenario["phase"] == "storm"
    changed = {**SCENARIO, "phases": [*SCENARIO["phases"][:2], {"name": "last", "duration": "1s"}]}
    story.reconcile(at(41), scenario=changed)
    assert (story.complete, story.scenario) == (("False", "Waiting"), {"complete": False, "pausedSeconds": 0})


def test_a_scenario_that_is_written_out_with_its_defaults_is_the_same(story: Story) -> None:
    """Defaults do not count, whether they are stored or not, so that an upgrade starts no scenario over."""
    story.reconcile(at(40), scenario={**SCENARIO, "repeat": 1, "afterwards": "Hold"})
    assert story.scenario["phase"] == "storm"
    assert story.status["scenario"]["hash"] == "8d2ce4f5aad12f99"


def test_a_fleet_without_its_scenario_is_a_plain_one_again(story: Story) -> None:
    """Nothing in the status is left of a scenario that was removed."""
    story.reconcile(at(40), scenario=None)
    assert "scenario" not in story.status
    assert {one["type"] for one in story.status["conditions"]} == {"Ready", "Reconciling", "Stalled"}


def test_a_scenario_that_changes_in_a_paused_fleet_waits_for_its_end(story: Story) -> None:
    """While a fleet is paused its pods run the former scenario, and the status keeps to that."""
    story.reconcile(at(40))
    changed = {"phases": [{"name": "other", "duration": "1s"}]}
    story.reconcile(at(41), scenario=changed, paused=True)
    assert (story.scenario["phase"], story.scenario["pausedAt"]) == ("storm", "2026-11-25T09:00:47Z")
    story.reconcile(at(60), scenario=changed)
    assert story.complete == ("False", "Waiting")


def test_counts_alone_are_not_written_during_a_scenario(story: Story) -> None:
    """A phase costs a write at its start, and one for each fifth of it, however often the operator looks."""
    written = 0
    for tenth in range(301):
        story.reconcile(at(tenth / 10))
        if is_worth_writing(story.status, story.former):
            written += 1
    assert written == 6 + 1  # five fifths, Ready that becomes false, and the next phase


@pytest.mark.parametrize(
    ("elapsed", "scenario", "pods"),
    [
        (None, SCENARIO, 10),
        (0, SCENARIO, 10),
        (99, SCENARIO, 10),
        (100, SCENARIO, 2),
        (100, {**SCENARIO, "afterwards": "ScaleToZero"}, 0),
        (100, None, 3),
    ],
)
def test_pods_are_enough_for_the_maximum_until_the_end(
    make_fleet: MakeFleet, template: PodTemplate, elapsed: float | None, scenario: Any, pods: int
) -> None:
    """A phase never waits for a pod, and no idle pod stays after the scenario."""
    fleet = make_fleet(replicas=25, sensorsPerPod=10, scenario=scenario)
    progress = Progress().follow(fleet, NOW)
    now = NOW
    if elapsed is not None:
        progress, now = progress.start(NOW), at(elapsed)
    sensors = count_sensors_at_most(fleet, progress, now)
    assert stateful_set(fleet, template, sensors)["spec"]["replicas"] == pods
    assert Applied.from_config_map(config_map(fleet, progress.clock), now).pods == pods


def test_the_fleet_file_has_the_scenario_as_it_was_written_and_its_clock(make_fleet: MakeFleet) -> None:
    """Pods find phase and settings by their own clock."""
    fleet = make_fleet(scenario=SCENARIO)
    progress = Progress().follow(fleet, NOW)
    waiting = read_fleet_file(config_map(fleet, progress.clock))["scenario"]
    assert waiting == {**SCENARIO, "pausedSeconds": 0.0}
    started = read_fleet_file(config_map(fleet, progress.start(NOW).clock))["scenario"]
    assert started == {**waiting, "startedAt": STARTED.timestamp()}


def test_a_pause_changes_the_clock_in_the_fleet_file_and_nothing_else(make_fleet: MakeFleet) -> None:
    """Whatever else changes with the pause stays out of the fleet file."""
    fleet = make_fleet(scenario=SCENARIO)
    running = Progress().follow(fleet, NOW).start(NOW)
    live = config_map(fleet, running.clock)
    changed = make_fleet(scenario=SCENARIO, replicas=9, interval="9s", paused=True)
    paused = running.follow(changed, at(5))
    manifest = paused_config_map(changed, live, paused.clock)
    before, after = read_fleet_file(live), read_fleet_file(manifest)
    assert after == {**before, "scenario": {**before["scenario"], "pausedAt": at(8).timestamp()}}
    assert paused_config_map(changed, manifest, paused.clock) is None
    assert paused_config_map(changed, config_map(make_fleet()), paused.clock) is None


@pytest.mark.parametrize(
    ("elapsed", "connected", "complete"),
    [(15.0, 50, True), (15.0, 40, True), (15.0, 30, False), (60.0, 100, True), (60.0, 99, False), (95.0, 20, True)],
)
def test_a_fleet_is_ready_if_its_sensors_keep_up_with_a_ramp(
    make_fleet: MakeFleet, make_pod: MakePod, elapsed: float, connected: int, complete: bool
) -> None:
    """During a ramp, sensors of the last five seconds may still be connecting; otherwise none may be missing."""
    fleet = make_fleet(replicas=0, scenario=SCENARIO)
    progress = Progress().follow(fleet, NOW).start(NOW)
    applied = Applied.from_config_map(config_map(fleet, progress.clock), at(elapsed))
    report = Report(connected, 7, progress.clock.started_at)
    observed = Observed(applied, [make_pod()], {"demo-0": report}, rolled_out=True)
    assert (observed.complete, observed.settled, observed.connected) == (complete, complete, connected)


@pytest.mark.parametrize(
    ("elapsed", "connected", "ready", "settled", "accepts_revoked"),
    [(60.0, 99, False, True, False), (60.0, 100, True, False, True), (95.0, 20, True, True, False)],
)
def test_a_revoked_sensor_is_missed_only_in_phases_that_have_it(
    make_fleet: MakeFleet,
    make_pod: MakePod,
    elapsed: float,
    connected: int,
    ready: bool,
    settled: bool,
    accepts_revoked: bool,
) -> None:
    """The last of a hundred sensors is revoked; a phase with twenty does not have it."""
    fleet = make_fleet(replicas=0, scenario=SCENARIO, identity={"type": "Password", "revoked": [99]})
    progress = Progress().follow(fleet, NOW).start(NOW)
    applied = Applied.from_config_map(config_map(fleet, progress.clock), at(elapsed))
    report = Report(connected, 7, progress.clock.started_at)
    observed = Observed(applied, [make_pod()], {"demo-0": report}, rolled_out=True, revoked=fleet.revoked)
    assert applied.most_sensors == 100
    assert (observed.complete, observed.settled, observed.accepts_revoked) == (ready, settled, accepts_revoked)


def test_a_pod_that_has_not_read_the_start_is_outdated(make_fleet: MakeFleet, make_pod: MakePod) -> None:
    """The start of a scenario changes no generation, and is a version of the fleet file nevertheless."""
    fleet = make_fleet(replicas=0, scenario=SCENARIO)
    waiting = Progress().follow(fleet, NOW)
    started = waiting.start(NOW)
    before, after = (Applied.from_config_map(config_map(fleet, one.clock), NOW) for one in (waiting, started))
    assert before.version != after.version
    observed = Observed(after, [make_pod()], {"demo-0": Report(0, 7)}, rolled_out=True)
    assert len(observed.outdated) == 1
    assert not Observed(before, [make_pod()], {"demo-0": Report(0, 7)}).outdated


def test_a_repeated_phase_is_news_in_each_run(make_fleet: MakeFleet) -> None:
    """Runs count from 0 in the status."""
    told = Story(make_fleet)
    scenario = {"phases": [{"name": "only", "duration": "10s"}], "repeat": 2}
    told.reconcile(NOW, scenario=scenario)
    told.reconcile(NOW, scenario=scenario, starts=True)
    runs = []
    for elapsed in (0, 5, 10, 20):
        told.reconcile(at(elapsed), scenario=scenario)
        runs.append((told.scenario["run"], told.news))
    assert runs == [(0, ["PhaseStarted"]), (0, []), (1, ["PhaseStarted"]), (1, ["ScenarioCompleted"])]


@pytest.mark.parametrize(
    ("duration", "left"), [("119s", "119s"), ("2m", "2m"), ("119m", "119m"), ("2h", "2h"), ("24h", "24h")]
)
def test_a_time_left_is_short(make_fleet: MakeFleet, duration: str, left: str) -> None:
    """The time left has one unit."""
    fleet = make_fleet(scenario={"phases": [{"name": "only", "duration": duration}]})
    progress = Progress().follow(fleet, NOW).start(NOW)
    status = build_scenario_status(fleet, progress, {}, at(0))
    assert status is not None
    assert status["left"] == left
