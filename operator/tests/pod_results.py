"""Answers of pods to `GET /results`."""

from __future__ import annotations

from typing import Any

from mqtt_trace_operator.results.figures import Results
from mqtt_trace_service.histogram import Histogram

SINCE = 1796029200.0
"""2026-11-30T09:00:00Z."""

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def histogram(*seconds: float) -> dict[str, Any]:
    """The JSON form of a histogram of these durations."""
    made = Histogram()
    for duration in seconds:
        made.add(duration)
    return made.to_json()


def phase(index: int = 0, **figures: Any) -> dict[str, Any]:
    """A phase with a hundred readings, all of them processed, unless the figures say something else."""
    return {
        "index": index,
        "published": 100,
        "processed": 100,
        "waiting": 0,
        "duplicates": 0,
        "dead_lettered": 0,
        "unnumbered": 0,
        "refused": {},
        "dropped": 0,
        "missing_context": {},
        "age": histogram(*[0.05] * 95, *[0.2] * 5),
        "puback": histogram(*[0.004] * 100),
        "slowest": [[0.2, TRACE]],
        "waiting_traces": [],
        **figures,
    }


def answer(*phases: dict[str, Any], **others: Any) -> dict[str, Any]:
    """A pod's answer with these phases."""
    return {
        "epoch": "5f2c",
        "since": SINCE,
        "phases": list(phases),
        "clock_skew": {"consumer-0": 0.003},
        "connected_within": 2.1,
        "drained": False,
        **others,
    }


def results(*phases: dict[str, Any], **others: Any) -> Results:
    """Such an answer, read."""
    return Results.from_json(answer(*phases, **others))
