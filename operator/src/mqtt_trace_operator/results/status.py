"""`status.results` and the conditions of the verdict, as pure functions."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from mqtt_trace_service.histogram import Histogram

from mqtt_trace_operator.diagnosis import Reason
from mqtt_trace_operator.results.figures import Figures, Results
from mqtt_trace_operator.results.notation import write_duration, write_timestamp
from mqtt_trace_operator.results.verdict import Verdict
from mqtt_trace_operator.status import find_condition, format_condition

_PERCENTILES = (50, 95, 99)
_VERDICT = ("Passed", "Failed")

_FIGURES_EVERY_S = 10.0
"""How often figures alone change the status; a new phase and a verdict do so at once."""


def build_results(
    results: Results,
    phases: Sequence[str],
    *,
    started_at: float,
    observed_at: datetime,
    final: bool,
    unreported: Sequence[str] = (),
) -> dict[str, Any]:
    """Build `status.results`.

    Args:
        results: The results of all pods.
        phases: The names of the scenario's phases.
        started_at: Its start, in seconds since the epoch.
        observed_at: When the pods reported.
        final: Whether the drain time is over, so that what is waiting is lost.
        unreported: Pods that ended before they reported their last readings.
    """
    total = results.total
    return {
        "startedAt": write_timestamp(started_at),
        "observedAt": write_timestamp(observed_at.timestamp()),
        "final": final,
        **({} if results.connected_within is None else {"connectedWithin": write_duration(results.connected_within)}),
        "total": _format(total, final),
        "phases": [
            {"name": name, **_format(results.phases.get(index, Figures()), final)} for index, name in enumerate(phases)
        ],
        "slowest": [trace for _, trace in total.slowest],
        "lostTraces": total.waiting_traces,
        "unreported": list(unreported),
        "clockSkew": {consumer: write_duration(skew) for consumer, skew in results.clock_skew.items()},
    }


def build_conditions(
    verdict: Verdict, former: Mapping[str, Any], generation: int, now: datetime
) -> list[dict[str, Any]]:
    """Build the conditions `Passed` and `Failed`."""
    truths = zip(_VERDICT, (verdict.passed, verdict.failed), strict=True)
    return [
        format_condition(kind, truth, verdict.reason, find_condition(former, kind), now)
        | {"observedGeneration": generation}
        for kind, truth in truths
    ]


def find_conditions(status: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Find the conditions of the verdict in a status."""
    return [condition for kind in _VERDICT if (condition := find_condition(status, kind))]


def only_figures_changed(
    former: Mapping[str, Any], results: Mapping[str, Any], conditions: Sequence[Mapping[str, Any]], now: datetime
) -> bool:
    """Whether new results can wait for the next write of the status: they differ in figures alone, and not for long."""
    known = former.get("results")
    if not known or known["final"] != results["final"] or _reasons(conditions) != _reasons(find_conditions(former)):
        return False
    age = now - datetime.fromisoformat(known["observedAt"])
    return age.total_seconds() < _FIGURES_EVERY_S


def find_verdict(former: Mapping[str, Any], status: Mapping[str, Any]) -> Reason | None:
    """Find the verdict that a status has and the former one had not."""
    for kind in _VERDICT:
        condition = find_condition(status, kind)
        if condition.get("status") == "True" and find_condition(former, kind).get("status") != "True":
            return Reason(kind, condition["message"])
    return None


def _reasons(conditions: Sequence[Mapping[str, Any]]) -> list[tuple[str, str, str]]:
    return [(condition["type"], condition["status"], condition["reason"]) for condition in conditions]


def belongs_to(status: Mapping[str, Any], started_at: float) -> bool:
    """Whether the results of a status are those of the scenario that started at this time."""
    found = (status.get("results") or {}).get("startedAt")
    return bool(found == write_timestamp(started_at))


def _format(figures: Figures, final: bool) -> dict[str, Any]:
    return {
        "published": figures.published,
        "processed": figures.processed,
        "waiting": 0 if final else figures.waiting,
        "lost": figures.waiting if final else 0,
        "duplicates": figures.duplicates,
        "deadLettered": figures.dead_lettered,
        "unnumbered": figures.unnumbered,
        "unknown": figures.unknown,
        "dropped": figures.dropped,
        "refused": dict(figures.refused),
        "missingContext": dict(figures.missing_context),
        **_percentiles("publish", figures.puback),
        **_percentiles("age", figures.age),
    }


def _percentiles(name: str, histogram: Histogram) -> dict[str, str]:
    found = {f"{name}P{percent}": histogram.percentile(percent) for percent in _PERCENTILES}
    return {key: write_duration(seconds) for key, seconds in found.items() if seconds is not None}
