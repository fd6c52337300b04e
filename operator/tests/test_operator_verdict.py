"""The verdict on a scenario."""

from __future__ import annotations

from typing import Any

import pytest
from mqtt_trace_operator.results.expect import Expect
from mqtt_trace_operator.results.verdict import Evidence, Stage, judge
from tests.pod_results import phase, results

ALL = {
    "lost": 0,
    "duplicates": 0,
    "deadLettered": 0,
    "missingContext": [{"reason": "absent", "max": 0}],
    "ageP50": "100ms",
    "ageP95": "100ms",
    "ageP99": "500ms",
    "publishP99": "10ms",
    "connectedWithin": "30s",
}


def expect(**spec: Any) -> Expect:
    """Thresholds as in `spec.expect`."""
    return Expect.model_validate(spec)


def evidence(*phases: dict[str, Any], stage: Stage = Stage.FINAL, **others: Any) -> Evidence:
    """The results of a scenario with the phases ramp and burst."""
    unreported = others.pop("unreported", ())
    return Evidence(results(*(phases or (phase(),)), **others), stage, ["ramp", "burst"], "burst", unreported)


def test_a_scenario_that_keeps_all_thresholds_passes() -> None:
    """The sentence has the figures that matter."""
    verdict = judge(expect(**ALL), evidence())
    assert (verdict.passed, verdict.failed, verdict.reason.name) == (True, False, "ThresholdsHold")
    assert verdict.reason.message == "100 readings published, 100 processed, 0 lost, 0 duplicates, age p95 50.3ms"


@pytest.mark.parametrize(
    ("stage", "reason", "message"),
    [
        (Stage.RUNNING, "Running", "phase burst: no threshold broke so far"),
        (Stage.DRAINING, "Draining", "1 reading waiting for a receipt"),
    ],
)
def test_nothing_passes_before_the_end(stage: Stage, reason: str, message: str) -> None:
    """Before the results are final, a scenario has neither passed nor failed, even if a reading is waiting."""
    verdict = judge(expect(**ALL), evidence(phase(waiting=1, processed=99), stage=stage))
    assert (verdict.passed, verdict.failed) == (False, False)
    assert (verdict.reason.name, verdict.reason.message) == (reason, message)


@pytest.mark.parametrize(
    ("figures", "reason", "message"),
    [
        (
            {"duplicates": 3},
            "Duplicates",
            "3 duplicates (3 in phase burst), expected at most 0",
        ),
        (
            {"dead_lettered": 1},
            "DeadLettered",
            "1 reading dead-lettered (1 in phase burst), expected at most 0",
        ),
        (
            {"missing_context": {"absent": 2, "malformed": 5}},
            "MissingContext",
            "2 readings without a trace context for the reason absent, expected at most 0",
        ),
    ],
)
def test_a_count_that_cannot_recover_fails_at_once(figures: dict[str, Any], reason: str, message: str) -> None:
    """A count above its threshold fails the scenario while it still runs."""
    verdict = judge(expect(**ALL), evidence(phase(), phase(1, **figures), stage=Stage.RUNNING))
    assert (verdict.passed, verdict.failed) == (False, True)
    assert (verdict.reason.name, verdict.reason.message) == (reason, message)


def test_waiting_readings_are_lost_only_at_the_end() -> None:
    """The same readings that wait while the scenario drains are lost afterwards."""
    waiting = phase(0, waiting=2, processed=98), phase(1, waiting=1, processed=99)
    assert not judge(expect(lost=0), evidence(*waiting, stage=Stage.DRAINING)).failed
    verdict = judge(expect(lost=0), evidence(*waiting))
    assert verdict.failed
    assert verdict.reason.message == "3 of 200 readings lost (2 in phase ramp), expected at most 0"
    assert judge(expect(lost=3), evidence(*waiting)).passed


@pytest.mark.parametrize(
    ("threshold", "message"),
    [
        ({"ageP50": "40ms"}, "age p50 is 50.3ms, expected at most 40ms"),
        ({"ageP95": "49ms"}, "age p95 is 50.3ms, expected at most 49ms"),
        ({"ageP99": "150ms"}, "age p99 is 200ms, expected at most 150ms"),
        ({"publishP99": "1ms"}, "publish p99 is 3.97ms, expected at most 1ms"),
    ],
)
def test_a_percentile_is_judged_at_the_end(threshold: dict[str, str], message: str) -> None:
    """A percentile may still recover while the scenario runs."""
    assert not judge(expect(**threshold), evidence(stage=Stage.RUNNING)).failed
    verdict = judge(expect(**threshold), evidence())
    assert verdict.failed
    assert verdict.reason.message == message


def test_a_percentile_of_nothing_is_no_success() -> None:
    """Consumers that send no age leave nothing to compare."""
    verdict = judge(expect(ageP95="1s"), evidence(phase(age={"largest": 0.0, "buckets": []})))
    assert (verdict.failed, verdict.reason.message) == (True, "no reading has an age to compare with 1s")


@pytest.mark.parametrize("stage", [Stage.RUNNING, Stage.FINAL])
def test_sensors_that_connect_slowly_fail(stage: Stage) -> None:
    """The time to connect cannot recover."""
    verdict = judge(expect(connectedWithin="2s"), evidence(stage=stage))
    assert verdict.failed
    assert verdict.reason.message == "the sensors of a pod needed 2.1s to connect, expected within 2s"


def test_sensors_that_have_not_connected_fail_at_the_end() -> None:
    """While the scenario runs they still may, for later phases have more sensors."""
    limit = expect(connectedWithin="2s")
    assert not judge(limit, evidence(stage=Stage.RUNNING, connected_within=None)).failed
    assert judge(limit, evidence(connected_within=None)).reason.message == (
        "no pod connected all its sensors, expected within 2s"
    )


def test_nothing_published_is_no_success() -> None:
    """A broker that refuses everything loses nothing, and yet the scenario has failed."""
    refused = phase(published=0, processed=0, refused={"0x87": 70, "0x97": 2})
    verdict = judge(expect(lost=0), evidence(refused))
    assert (verdict.failed, verdict.reason.name) == (True, "NothingPublished")
    assert verdict.reason.message == "the broker acknowledged no reading and refused 72: 70 with 0x87, 2 with 0x97"
    silent = judge(expect(lost=0), evidence(phase(published=0, processed=0)))
    assert silent.reason.message == "the broker acknowledged no reading"
    assert judge(expect(lost=0), evidence(phase(published=0, processed=0, unnumbered=5))).passed


def test_a_pod_that_ended_early_fails() -> None:
    """Of readings that nobody can report nothing is proved."""
    results_with_gap = evidence(phase(unknown=4), unreported=["demo-3"], stage=Stage.RUNNING)
    verdict = judge(expect(ageP99="1h"), results_with_gap)
    assert (verdict.failed, verdict.reason.name) == (True, "Unreported")
    assert verdict.reason.message == (
        "demo-3 ended without a last report: 4 readings of which nobody knows whether they were processed"
    )
    several = judge(expect(lost=0), evidence(phase(unknown=4), unreported=["demo-3", "demo-4", "demo-5"]))
    assert several.reason.message.startswith("demo-3 and 2 other pods ended")


def test_the_first_threshold_that_broke_stays_the_reason() -> None:
    """A threshold that breaks later does not replace it, and its sentence has the newest figures."""
    broken = evidence(phase(duplicates=4, missing_context={"absent": 9}))
    assert judge(expect(**ALL), broken).reason.name == "Duplicates"
    verdict = judge(expect(**ALL), broken, first="MissingContext")
    assert verdict.reason.message.startswith("9 readings without a trace context")
    assert judge(expect(duplicates=0), broken, first="MissingContext").reason.name == "Duplicates"


def test_a_threshold_that_is_not_set_always_holds() -> None:
    """Only what is expected is judged."""
    worst = phase(duplicates=9, dead_lettered=9, waiting=9, missing_context={"absent": 9}, dropped=9)
    assert judge(expect(ageP99="1h"), evidence(worst, connected_within=99)).passed


def test_the_only_phase_is_not_named() -> None:
    """With one phase there is nothing to tell apart."""
    only = Evidence(results(phase(waiting=1)), Stage.FINAL, ["smoke"])
    assert judge(expect(lost=0), only).reason.message == "1 of 100 readings lost, expected at most 0"
