"""The measurement of a scenario from its first reading to the verdict, with pods that answer over HTTP.

Only the API server is missing: a dictionary keeps the one ConfigMap. The cluster's tests have a real one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from aiohttp import web
from lightkube.resources.core_v1 import Pod
from mqtt_trace_operator.cluster import Cluster
from mqtt_trace_operator.fleet import Fleet
from mqtt_trace_operator.results.measuring import Measured, Measuring, count_sensors_to_report
from mqtt_trace_operator.scenario.progress import Progress
from mqtt_trace_operator.sensors import Sensors
from tests.pod_results import answer, phase

MakeFleet = Callable[..., Fleet]

START = datetime(2026, 11, 30, 9, 0, tzinfo=UTC)
SCENARIO = {"phases": [{"name": "ramp", "duration": "30s"}, {"name": "burst", "duration": "30s"}]}


class OneConfigMap:
    """The cluster's part that keeps the history."""

    def __init__(self) -> None:
        self.live: Mapping[str, Any] | None = None
        self.writes = 0

    async def get_child(self, _manifest: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """Return the ConfigMap."""
        return self.live

    async def apply(self, manifest: Mapping[str, Any]) -> Mapping[str, Any]:
        """Replace the ConfigMap."""
        self.live, self.writes = manifest, self.writes + 1
        return manifest


@dataclass
class Lab:
    """A fleet of one pod.

    Attributes:
        fleet: The fleet.
        kept: Its ConfigMap of results.
        answers: What its pod answers to GET /results; None for an error.
        status: Its status.
    """

    fleet: Fleet
    kept: OneConfigMap = field(default_factory=OneConfigMap)
    answers: dict[str, Any] | None = None
    status: dict[str, Any] = field(default_factory=dict)
    pods: Sequence[Pod] = ()
    measuring: Measuring | None = None
    sensors: Sensors | None = None

    def restart_operator(self) -> None:
        """Forget all that is not in the cluster."""
        assert self.sensors is not None
        self.measuring = Measuring(cast("Cluster", self.kept), self.sensors)

    async def measure(self, seconds: float) -> Measured:
        """Measure some seconds after the start, and write the status as the reconcile does."""
        assert self.measuring is not None
        now = START + timedelta(seconds=seconds)
        started = {"scenario": {"startedAt": START.isoformat()}}
        progress = Progress.read(started).follow(self.fleet, now)
        progress = Progress(Progress.read(started).clock, progress.scenario_hash)
        measured = await self.measuring.measure(self.fleet, progress, self.pods, 10, self.status, now)
        name = "ramp" if seconds < 30 else "burst"
        self.status = measured.add_to({"conditions": [], "scenario": {"phase": name}})
        return measured

    def verdict(self) -> tuple[str, str]:
        """The condition that is true, or Pending, and its reason."""
        for condition in self.status["conditions"]:
            if condition["status"] == "True":
                return condition["type"], condition["reason"]
        return "Pending", self.status["conditions"][0]["reason"]


def make_pod(name: str = "demo-0", address: str = "127.0.0.1", **metadata: Any) -> Pod:
    """A pod at this machine's address, unless it is another one, where nothing answers."""
    full = {"name": name, "uid": f"uid-of-{name}", **metadata}
    return cast("Pod", Pod.from_dict({"metadata": full, "status": {"podIP": address}}))


def run(fleet: Fleet, test: Callable[[Lab], Awaitable[None]]) -> None:
    """Run a test with a fleet whose pod answers over HTTP."""

    async def serve() -> None:
        lab = Lab(fleet, pods=[make_pod()])

        async def results(_request: web.Request) -> web.Response:
            return web.json_response(lab.answers) if lab.answers else web.Response(status=404)

        app = web.Application()
        app.router.add_get("/results", results)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        lab.sensors = Sensors(runner.addresses[0][1])
        lab.restart_operator()
        try:
            await test(lab)
        finally:
            await lab.sensors.close()
            await runner.cleanup()

    asyncio.run(serve())


@pytest.mark.parametrize("operator_restarts", [False, True])
def test_from_the_first_reading_to_passed(make_fleet: MakeFleet, operator_restarts: bool) -> None:
    """A scenario passes when its drain time is over, whether or not the operator restarts in each phase."""

    async def test(lab: Lab) -> None:
        for seconds, published, verdict in (
            (2, 10, ("Pending", "Running")),
            (31, 50, ("Pending", "Running")),
            (61, 90, ("Pending", "Draining")),
            (88, 90, ("Pending", "Draining")),
            (90, 90, ("Passed", "ThresholdsHold")),
        ):
            lab.answers = answer(phase(0, published=published, processed=published))
            if operator_restarts:
                lab.restart_operator()
            measured = await lab.measure(seconds)
            assert lab.verdict() == verdict
            assert lab.status["results"]["total"]["published"] == published
            assert (measured.finished is not None, measured.next_s is None) == (seconds == 90, seconds == 90)
        assert lab.status["results"]["final"]

    run(make_fleet(scenario=SCENARIO, expect={"lost": 0}), test)


def test_a_drained_scenario_passes_without_waiting(make_fleet: MakeFleet) -> None:
    """Nothing is on its way any more, so the drain time need not be over."""

    async def test(lab: Lab) -> None:
        lab.answers = answer(phase(), drained=True)
        await lab.measure(31)
        assert lab.verdict() == ("Pending", "Running")
        await lab.measure(60)
        assert lab.verdict() == ("Passed", "ThresholdsHold")

    run(make_fleet(scenario=SCENARIO, expect={"lost": 0}), test)


def test_final_results_cost_nothing(make_fleet: MakeFleet) -> None:
    """After the verdict no pod is asked, nothing is written, and other thresholds are judged by what is there."""

    async def test(lab: Lab) -> None:
        lab.answers = answer(phase(waiting=1, processed=99))
        for seconds in (59, 90):
            await lab.measure(seconds)
        assert lab.verdict() == ("Failed", "Lost")
        before, writes = lab.status, lab.kept.writes
        lab.answers = answer(phase(published=500))
        for seconds in (95, 500):
            lab.restart_operator()
            assert (await lab.measure(seconds)).finished is None
            assert lab.status == before
        lab.fleet = make_fleet(scenario=SCENARIO, expect={"lost": 1})
        await lab.measure(600)
        assert lab.verdict() == ("Passed", "ThresholdsHold")
        assert lab.status["results"] == before["results"]
        assert lab.kept.writes == writes

    run(make_fleet(scenario=SCENARIO, expect={"lost": 0}), test)


def test_the_first_reason_to_fail_stays(make_fleet: MakeFleet) -> None:
    """A duplicate fails the scenario at once, and what is lost later is not what failed it."""

    async def test(lab: Lab) -> None:
        lab.answers = answer(phase(duplicates=1))
        await lab.measure(2)
        assert lab.verdict() == ("Failed", "Duplicates")
        lab.answers = answer(phase(duplicates=2, waiting=5))
        await lab.measure(90)
        assert lab.verdict() == ("Failed", "Duplicates")
        assert lab.status["conditions"][0]["message"].startswith("2 duplicates")

    run(make_fleet(scenario=SCENARIO, expect={"lost": 0, "duplicates": 0}), test)


def test_a_silent_pod_is_waited_for_and_then_missed(make_fleet: MakeFleet) -> None:
    """A pod that does not answer at the end may do so for some time; then nobody knows what it published last."""

    async def test(lab: Lab) -> None:
        lab.answers = answer(phase(waiting=3))
        await lab.measure(59)
        lab.answers = None
        await lab.measure(95)
        assert lab.verdict() == ("Pending", "Draining")
        await lab.measure(120)
        assert lab.verdict() == ("Failed", "Unreported")
        assert lab.status["results"]["unreported"] == ["demo-0"]
        assert lab.status["results"]["total"]["unknown"] == 3

    run(make_fleet(scenario=SCENARIO, expect={"lost": 0}), test)


def test_a_pod_that_never_answers_is_missed(make_fleet: MakeFleet) -> None:
    """What the other pods report is not all, even if nothing of it is on its way."""

    async def test(lab: Lab) -> None:
        lab.pods = [make_pod(), make_pod("demo-1", "127.0.0.2")]
        lab.answers = answer(phase(), drained=True)
        await lab.measure(61)
        assert lab.verdict() == ("Pending", "Draining")
        await lab.measure(120)
        assert lab.verdict() == ("Failed", "Unreported")
        assert lab.status["results"]["unreported"] == ["demo-1"]

    run(make_fleet(scenario=SCENARIO, expect={"lost": 0}), test)


def test_events_do_not_make_pods_answer_more_often(make_fleet: MakeFleet) -> None:
    """Reconciles in between keep the status as it is and write nothing."""

    async def test(lab: Lab) -> None:
        lab.answers = answer(phase(published=1))
        await lab.measure(2)
        before, writes = lab.status, lab.kept.writes
        lab.answers = answer(phase(published=2))
        measured = await lab.measure(3)
        assert (lab.status, lab.kept.writes) == (before, writes)
        assert measured.next_s == pytest.approx(1)
        lab.pods = [make_pod(deletionTimestamp="2026-11-30T09:00:03Z")]
        await lab.measure(3.5)
        assert lab.kept.writes == writes + 1

    run(make_fleet(scenario=SCENARIO, expect={"lost": 0}), test)


def test_a_foreign_config_map_stays(make_fleet: MakeFleet) -> None:
    """A ConfigMap of that name that belongs to somebody else is neither read nor written."""

    async def test(lab: Lab) -> None:
        lab.kept.live = {"kind": "ConfigMap", "metadata": {"name": "demo-results"}, "data": {"results.json": "{}"}}
        lab.answers = answer(phase())
        await lab.measure(2)
        assert lab.kept.writes == 0
        assert lab.status["results"]["total"]["published"] == 100

    run(make_fleet(scenario=SCENARIO), test)


def test_without_expect_there_are_results_and_no_verdict(make_fleet: MakeFleet) -> None:
    """A scenario alone is measured, but not judged."""

    async def test(lab: Lab) -> None:
        lab.answers = answer(phase())
        await lab.measure(90)
        assert lab.status["results"]["final"]
        assert lab.status["conditions"] == []

    run(make_fleet(scenario=SCENARIO), test)


@pytest.mark.parametrize("spec", [{}, {"scenario": SCENARIO}])
def test_a_scenario_that_has_not_started_is_not_measured(make_fleet: MakeFleet, spec: dict[str, Any]) -> None:
    """A fleet without a scenario, or with one that waits, has no results."""

    async def test(lab: Lab) -> None:
        lab.answers = answer(phase())
        assert await lab.measure(-5) == Measured()

    run(make_fleet(**spec), test)


def test_pods_stay_until_they_have_reported(make_fleet: MakeFleet) -> None:
    """A complete scenario that scales to 0 keeps its pods while readings may be on their way."""
    fleet = make_fleet(replicas=10, scenario={**SCENARIO, "afterwards": "ScaleToZero"})
    started = Progress.read({"scenario": {"startedAt": START.isoformat()}})
    progress = Progress(started.clock, started.follow(fleet, START).scenario_hash)

    def count(seconds: float, **results: Any) -> int:
        return count_sensors_to_report(fleet, progress, {"results": results}, START + timedelta(seconds=seconds))

    assert (count(59), count(61), count(61, final=False), count(61, final=True)) == (0, 10, 10, 0)
