"""`status.results`, the conditions Passed and Failed, and when to write them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from mqtt_trace_operator.diagnosis import Reason
from mqtt_trace_operator.results.notation import write_duration
from mqtt_trace_operator.results.status import (
    belongs_to,
    build_conditions,
    build_results,
    find_verdict,
    only_figures_changed,
)
from mqtt_trace_operator.results.verdict import Verdict
from tests.pod_results import TRACE, phase, results

NOW = datetime(2026, 11, 30, 9, 1, tzinfo=UTC)
START = datetime(2026, 11, 30, 9, 0, tzinfo=UTC).timestamp()

RUNNING = Verdict(None, Reason("Running", "phase ramp: no threshold broke so far"))
PASSED = Verdict("Passed", Reason("ThresholdsHold", "100 readings published"))
FAILED = Verdict("Failed", Reason("Lost", "1 of 100 readings lost"))


def build(*phases: dict[str, Any], final: bool = False, **others: Any) -> dict[str, Any]:
    """The results of a scenario with the phases ramp and burst."""
    merged = results(*(phases or (phase(),)), **others)
    return build_results(
        merged, ["ramp", "burst"], started_at=START, observed_at=NOW, final=final, unreported=["demo-1"]
    )


def test_the_results_have_all_figures() -> None:
    """Names are those of `spec.expect`, durations are written as there, and a phase without readings has zeros."""
    first = phase(waiting=2, waiting_traces=[TRACE], refused={"0x97": 1}, missing_context={"absent": 3}, unnumbered=4)
    assert build(first) == {
        "startedAt": "2026-11-30T09:00:00Z",
        "observedAt": "2026-11-30T09:01:00Z",
        "final": False,
        "connectedWithin": "2.1s",
        "total": {
            "published": 100,
            "processed": 100,
            "waiting": 2,
            "lost": 0,
            "duplicates": 0,
            "deadLettered": 0,
            "unnumbered": 4,
            "unknown": 0,
            "dropped": 0,
            "refused": {"0x97": 1},
            "missingContext": {"absent": 3},
            "publishP50": "3.97ms",
            "publishP95": "3.97ms",
            "publishP99": "3.97ms",
            "ageP50": "50.3ms",
            "ageP95": "50.3ms",
            "ageP99": "200ms",
        },
        "phases": [
            {"name": "ramp", **build(first)["total"]},
            {
                "name": "burst",
                **dict.fromkeys(("published", "processed", "waiting", "lost", "duplicates", "deadLettered"), 0),
                **dict.fromkeys(("unnumbered", "unknown", "dropped"), 0),
                "refused": {},
                "missingContext": {},
            },
        ],
        "slowest": [TRACE],
        "lostTraces": [TRACE],
        "unreported": ["demo-1"],
        "clockSkew": {"consumer-0": "3ms"},
    }


def test_what_waits_is_lost_at_the_end() -> None:
    """Waiting readings become lost ones when the results are final."""
    total = build(phase(waiting=2), final=True)["total"]
    assert (total["waiting"], total["lost"]) == (0, 2)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0ms"),
        (1e-9, "0ms"),
        (0.00012, "0.12ms"),
        (0.01234, "12.3ms"),
        (0.4999, "500ms"),
        (-0.0031, "-3.1ms"),
        (1.234, "1.23s"),
        (130.2, "130s"),
        (86400, "86400s"),
    ],
)
def test_a_duration_has_three_digits(seconds: float, text: str) -> None:
    """Durations are written as Kubernetes writes them."""
    assert write_duration(seconds) == text


@pytest.mark.parametrize(
    ("verdict", "passed", "failed"),
    [(RUNNING, "False", "False"), (PASSED, "True", "False"), (FAILED, "False", "True")],
)
def test_one_condition_becomes_true(verdict: Verdict, passed: str, failed: str) -> None:
    """`kubectl wait` waits for either, and both say why."""
    found = build_conditions(verdict, {}, 7, NOW)
    assert [(one["type"], one["status"]) for one in found] == [("Passed", passed), ("Failed", failed)]
    assert {(one["reason"], one["message"], one["observedGeneration"]) for one in found} == {
        (verdict.reason.name, verdict.reason.message, 7)
    }


def test_a_verdict_is_news_once() -> None:
    """There is one Event for a verdict, not one for each reconcile."""
    running, failed = ({"conditions": build_conditions(one, {}, 7, NOW)} for one in (RUNNING, FAILED))
    assert find_verdict({}, running) is None
    assert find_verdict(running, failed) == Reason("Failed", "1 of 100 readings lost")
    assert find_verdict(failed, failed) is None


def test_figures_alone_wait_for_their_turn() -> None:
    """A scenario that runs costs a write of the status every ten seconds; a verdict costs one at once."""
    running = build_conditions(RUNNING, {}, 7, NOW)
    former = {"results": build(), "conditions": running}
    soon, later = NOW + timedelta(seconds=9), NOW + timedelta(seconds=10)
    assert only_figures_changed(former, build(phase(published=200)), running, soon)
    assert not only_figures_changed(former, build(), running, later)
    assert not only_figures_changed(former, build(), build_conditions(FAILED, former, 7, soon), soon)
    assert not only_figures_changed(former, build(final=True), running, soon)
    assert not only_figures_changed({}, build(), running, soon)


def test_results_belong_to_one_start() -> None:
    """A scenario that starts over has results of its own."""
    assert belongs_to({"results": build()}, START)
    assert not belongs_to({"results": build()}, START + 60)
    assert not belongs_to({}, START)
