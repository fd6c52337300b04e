"""The operator judges what a real producer reports of readings that a real consumer has confirmed, or not."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import pytest
from mqtt_trace_operator.results.expect import Expect
from mqtt_trace_operator.results.figures import Results
from mqtt_trace_operator.results.history import History, PodReport
from mqtt_trace_operator.results.verdict import Evidence, Stage, judge
from mqtt_trace_operator.scenario.started import StartedScenario
from mqtt_trace_service.scenario import Clock, Scenario

from images.producer.tests.test_producer_results import scenario
from local.mosquitto import Mosquitto
from local.waiting import until
from tests.integration.test_results import Bench

MakeBroker = Callable[..., Mosquitto]

PHASES = ("3s", "3s")


@pytest.fixture
def bench(make_broker: MakeBroker, tmp_path: Path) -> Iterator[Bench]:
    """A broker, an echo, and a fleet that publishes without a scenario."""
    with ExitStack() as parts:
        made = Bench(make_broker(), tmp_path, parts)
        made.fleet.write(scenario=None)
        made.producer.start()
        yield made


def begin(bench: Bench) -> float:
    """Start the scenario in two seconds; returns its start, in seconds since the epoch."""
    started_at = float(int(time.time()) + 2)
    bench.fleet.write(scenario=scenario(started_at, *PHASES))
    return started_at


def report(bench: Bench) -> Results:
    """The producer's report, as the operator reads it; empty before the scenario has started."""
    answer = bench.producer.results()
    return Results() if answer is None else Results.from_json(answer)


def evidence(bench: Bench, started_at: float) -> Evidence:
    """What the operator has to judge when the drain time is over."""
    read = Scenario.model_validate({"phases": [{"name": f"p{n}", "duration": one} for n, one in enumerate(PHASES)]})
    now = datetime.fromtimestamp(started_at + read.length, UTC)
    started = StartedScenario.find(read, Clock(started_at=started_at), now)
    assert started is not None
    history = History(started_at)
    reports = [PodReport("uid", "demo-0", ending=False, results=report(bench))]
    history.observe(reports, started, now.timestamp())
    results = history.finish(reports, started.moment.index)
    return Evidence(results, Stage.FINAL, started.names, started.name, history.unreported)


def test_what_is_confirmed_passes(bench: Bench) -> None:
    """Every reading of the scenario is confirmed, so that the pod is drained and all thresholds hold."""
    bench.consumer()
    started_at = begin(bench)
    until(lambda: report(bench).phases.keys() == {0, 1} and report(bench).drained, "a drained scenario of two phases")
    judged = evidence(bench, started_at)
    total = judged.results.total
    assert total.processed == total.published > 30
    assert total.age.count == total.published
    assert len(total.slowest) == 5
    thresholds = {"lost": 0, "deadLettered": 0, "ageP99": "1m", "publishP99": "1m", "connectedWithin": "1m"}
    verdict = judge(Expect.model_validate({**thresholds, "missingContext": [{"reason": "absent"}]}), judged)
    assert verdict.passed, verdict.reason


def test_what_is_not_confirmed_is_lost(bench: Bench) -> None:
    """Without a consumer in the second phase, exactly the readings without a receipt are lost."""
    consumer = bench.consumer()
    started_at = begin(bench)
    until(lambda: 1 in report(bench).phases, "the second phase")
    consumer.kill()
    until(lambda: time.time() > started_at + 7, "the end of the scenario")
    judged = evidence(bench, started_at)
    total = judged.results.total
    assert not report(bench).drained
    assert total.waiting == total.published - total.processed > 0
    assert judged.results.phases[1].waiting > 0
    assert len(total.waiting_traces) == min(5, total.waiting)
    verdict = judge(Expect.model_validate({"lost": 0}), judged)
    assert verdict.reason.message.startswith(f"{total.waiting} of {total.published} readings lost (")
