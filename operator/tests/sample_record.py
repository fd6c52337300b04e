"""The record of examples/fleets/ramp.yaml, as a calm broker and consumer would have it: docs/ shows its report."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml
from mqtt_trace_operator.report.record import Record
from mqtt_trace_operator.results.expect import Expect
from mqtt_trace_operator.results.figures import Figures, Results
from mqtt_trace_operator.results.history import History, PodReport, Point
from mqtt_trace_operator.results.status import build_conditions, build_results
from mqtt_trace_operator.results.verdict import Evidence, Stage, judge
from mqtt_trace_operator.scenario.started import StartedScenario
from mqtt_trace_service.scenario import Clock, Scenario, Settings

EXAMPLE = Path(__file__).parents[2] / "examples" / "fleets" / "ramp.yaml"
START = datetime(2026, 11, 30, 9, 0, tzinfo=UTC).timestamp()


def sample_record() -> Record:
    """Run the example second by second, with random but always the same durations."""
    example = yaml.safe_load(EXAMPLE.read_text(encoding="utf-8"))
    spec = example["spec"]
    scenario, chance = Scenario.model_validate(spec["scenario"]), random.Random(7)  # noqa: S311 - a sample
    initial = Settings(replicas=spec["replicas"], interval=1.0)
    history, results = (
        History(START),
        Results(connected_within=0.412, clock_skew={"demo-mqtt-trace-consumer-0": 0.0004}),
    )
    for second in range(int(scenario.length) + 1):
        moment = scenario.at(second, initial)
        figures = results.phases.setdefault(moment.index, Figures())
        if not moment.complete:
            _publish(figures, moment.settings.replicas, chance)
        _observe(history, scenario, results, second, moment.settings.replicas)
    names = [phase.name for phase in scenario.phases]
    evidence = Evidence(results, Stage.FINAL, names)
    now = datetime.fromtimestamp(START + scenario.length + 2, UTC)
    document = build_results(results, names, started_at=START, observed_at=now, final=True)
    verdict = judge(Expect.model_validate(spec["expect"]), evidence)
    status = {"results": document, "conditions": build_conditions(verdict, {}, 1, now)}
    fleet: dict[str, Any] = {"metadata": {"name": "ramp", "namespace": "iot"}, "spec": spec, "status": status}
    return Record.read(fleet, {"data": history.to_data()})


def _publish(figures: Figures, sensors: int, chance: random.Random) -> None:
    """One reading of each sensor; the more there are, the longer they take."""
    for _ in range(sensors):
        age = 0.008 + chance.expovariate(1 / (0.004 + 0.0002 * sensors))
        figures.age.add(age)
        figures.puback.add(0.0008 + chance.expovariate(1 / (0.0004 + 0.00001 * sensors)))
        found = [*figures.slowest, (age, f"{chance.getrandbits(128):032x}")]
        figures.slowest = sorted(found, reverse=True)[:5]
    figures.published += sensors
    figures.processed += sensors


def _observe(history: History, scenario: Scenario, results: Results, second: int, sensors: int) -> None:
    time = datetime.fromtimestamp(START + second, UTC)
    started = StartedScenario.find(scenario, Clock(started_at=START), time)
    assert started is not None
    history.observe([PodReport("uid", "ramp-0", ending=False, results=results)], started, time.timestamp())
    total = results.total
    age = results.phases[started.moment.index].age.percentile(95)
    waiting = sensors // 40
    point = Point(
        time.timestamp(), started.moment.index, sensors, total.published, total.processed - waiting, waiting, 0, age
    )
    history.record(point, started)
