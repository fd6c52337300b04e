"""What a fleet and its history say of a scenario."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from mqtt_trace import MqttTraceError
from mqtt_trace_operator.fleet import Object
from mqtt_trace_operator.results.history import RESULTS_FILE, SERIES_FILE, Point
from mqtt_trace_operator.results.notation import write_timestamp
from mqtt_trace_operator.status import find_condition


class NoResultsError(MqttTraceError):
    """The fleet has no results; the message says why."""


@dataclass(frozen=True)
class Record:
    """The record of a scenario.

    Attributes:
        namespace: The fleet's namespace.
        name: The fleet's name.
        phases: The names of the phases.
        verdict: `Passed`, `Failed`, or `Running` and `Complete` without a verdict.
        sentence: Why.
        results: `status.results`.
        points: The time series.
        phase_starts: Start of each phase, in seconds since the epoch, by its index.
    """

    namespace: str
    name: str
    phases: list[str]
    verdict: str
    sentence: str
    results: Mapping[str, Any]
    points: list[Point]
    phase_starts: dict[int, float]

    @classmethod
    def read(cls, fleet: Object, config_map: Object | None) -> Self:
        """Read a fleet and its ConfigMap of results; without the latter there is no time series.

        Raises:
            NoResultsError: The fleet has no results.
        """
        metadata, spec, status = fleet["metadata"], fleet["spec"], fleet.get("status") or {}
        name = metadata["name"]
        if "scenario" not in spec:
            raise NoResultsError(f"fleet {name} has no scenario, and only a scenario has results")
        results = status.get("results")
        if results is None:
            raise NoResultsError(f"the scenario of fleet {name} has not started")
        verdict, sentence = _find_verdict(status, final=results["final"])
        points, phase_starts = _read_history(config_map, results)
        phases = [phase["name"] for phase in results["phases"]]
        return cls(metadata["namespace"], name, phases, verdict, sentence, results, points, phase_starts)


def _find_verdict(status: Mapping[str, Any], *, final: bool) -> tuple[str, str]:
    for kind in ("Failed", "Passed"):
        condition = find_condition(status, kind)
        if condition.get("status") == "True":
            return kind, condition["message"]
    pending = find_condition(status, "Passed").get("message", "without spec.expect, nothing is judged")
    return "Complete" if final else "Running", pending


def _read_history(config_map: Object | None, results: Mapping[str, Any]) -> tuple[list[Point], dict[int, float]]:
    data = (config_map or {}).get("data") or {}
    if RESULTS_FILE not in data or SERIES_FILE not in data:
        return [], {}
    document = json.loads(data[RESULTS_FILE])
    if write_timestamp(document["startedAt"]) != results["startedAt"]:
        return [], {}
    points = [Point(*point) for point in json.loads(data[SERIES_FILE])["points"]]
    return points, {int(index): start for index, start in document["phaseStarts"].items()}
