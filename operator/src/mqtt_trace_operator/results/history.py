"""What the operator keeps of a scenario beyond its status, in the fleet's ConfigMap of results. Pure.

The pods keep their own results. The operator keeps those of pods that have ended, the names of the living pods, so that
it notices which ended while it was away itself, and a time series for the report.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from mqtt_trace_operator.results.figures import Figures, Results, merge
from mqtt_trace_operator.scenario.started import StartedScenario

RESULTS_FILE = "results.json"
SERIES_FILE = "series.json"

MAX_POINTS = 300
"""Points of the series: with eight numbers each they take less than 30 kB."""

_MIN_STEP_S = 2.0
_MAX_STEP_S = 10.0
"""Between two observations, however long the scenario is: a threshold may break, and a status becomes old."""


@dataclass(frozen=True, slots=True)
class Point:
    """The state of a scenario at one time.

    Attributes:
        at: Seconds since the epoch.
        phase: Index of the phase in effect.
        connected: Connected sensors.
        published: Readings published so far.
        processed: Readings processed so far.
        waiting: Readings that are waiting for a receipt.
        duplicates: Duplicates so far.
        age_p95: 95th percentile of the age in this phase so far, in seconds; None without an age.
    """

    at: float
    phase: int
    connected: int
    published: int
    processed: int
    waiting: int
    duplicates: int
    age_p95: float | None


@dataclass(frozen=True)
class PodReport:
    """What a living pod reports.

    Attributes:
        uid: Its uid.
        name: Its name.
        ending: Whether it is being deleted.
        results: Its answer; None if it gave none.
    """

    uid: str
    name: str
    ending: bool
    results: Results | None


@dataclass
class History:
    """The history of one scenario.

    Attributes:
        started_at: Its start, in seconds since the epoch.
        ended: Results of pods that have ended; those of all pods once the results are final.
        pods: Name, epoch and number of published readings of each living pod, by its uid.
        counted: Uids of living pods that are in `ended` already, because they have reported for the last time.
        unreported: Names of pods that ended, or do not answer any more, before they reported their last readings.
        phase_starts: Start of each phase, in seconds since the epoch, by its index.
        final: Whether no figure changes any more.
        points: The time series.
    """

    started_at: float
    ended: Results = field(default_factory=Results)
    pods: dict[str, tuple[str, str, int]] = field(default_factory=dict)
    counted: list[str] = field(default_factory=list)
    unreported: list[str] = field(default_factory=list)
    phase_starts: dict[int, float] = field(default_factory=dict)
    final: bool = False
    points: list[Point] = field(default_factory=list)
    _last: dict[str, Results] = field(default_factory=dict)
    _merged: Results | None = None
    _observed: tuple[float, int, bool] | None = None

    @classmethod
    def from_data(cls, data: Mapping[str, str]) -> Self:
        """Read the data of the ConfigMap.

        Raises:
            AttributeError, KeyError, TypeError, ValueError: It is something else.
        """
        document = json.loads(data[RESULTS_FILE])
        return cls(
            started_at=float(document["startedAt"]),
            ended=Results.from_json(document["ended"]),
            pods={
                str(uid): (str(name), str(epoch), int(published))
                for uid, (name, epoch, published) in document["pods"].items()
            },
            counted=[str(uid) for uid in document["counted"]],
            unreported=[str(name) for name in document["unreported"]],
            phase_starts={int(index): float(start) for index, start in document["phaseStarts"].items()},
            final=bool(document["final"]),
            points=[Point(*point) for point in json.loads(data[SERIES_FILE])["points"]],
        )

    def to_data(self) -> dict[str, str]:
        """Return the data of the ConfigMap."""
        document: dict[str, Any] = {
            "startedAt": self.started_at,
            "final": self.final,
            "ended": self.ended.to_json(),
            "pods": self.pods,
            "counted": self.counted,
            "unreported": self.unreported,
            "phaseStarts": self.phase_starts,
        }
        columns = list(Point.__slots__)
        points = [[getattr(point, column) for column in columns] for point in self.points]
        return {RESULTS_FILE: json.dumps(document), SERIES_FILE: json.dumps({"columns": columns, "points": points})}

    @property
    def results(self) -> Results:
        """The results of all pods, as far as they are known."""
        if self._merged is None:
            self._merged = merge([self.ended, *self._last.values()])
        return self._merged

    def wait_s(self, started: StartedScenario, ending: Iterable[str], now: float) -> float:
        """Seconds until the next observation; 0 for a new phase, and while a pod waits for the end of its readings.

        Args:
            started: How far the scenario is.
            ending: Uids of the pods that are being deleted.
            now: The time, in seconds since the epoch.
        """
        if self._observed is None or set(ending) & self.pods.keys():
            return 0.0
        at, *place = self._observed
        if place != [started.moment.index, started.moment.complete]:
            return 0.0
        return max(0.0, at + min(_step(started), _MAX_STEP_S) - now)

    def observe(self, reports: Sequence[PodReport], started: StartedScenario, now: float) -> Results:
        """Take the reports of all living pods, and return the results of all pods so far."""
        moment = started.moment
        self._merged = None
        self._observed = now, moment.index, moment.complete
        self.phase_starts.setdefault(moment.index, round(now - started.in_phase_for, 3))
        living = {report.uid: report for report in reports}
        for uid in self.pods.keys() - living.keys():
            self._close(uid, moment.index)
        self.counted = [uid for uid in self.counted if uid in living]
        for uid, report in living.items():
            if uid not in self.counted:
                self._take(report, moment.index)
        return self.results

    def finish(self, reports: Iterable[PodReport], phase: int) -> Results:
        """Make the results final: a pod that has given no answer counts as one that has ended."""
        for report in reports:
            if report.results is None and report.uid in self.pods:
                self.unreported = sorted({*self.unreported, report.name})
                self._close(report.uid, phase)
                self._merged = None
        self.ended, self.final = self.results, True
        self.pods.clear()
        self.counted.clear()
        self._last.clear()
        return self.ended

    def record(self, point: Point, started: StartedScenario) -> None:
        """Add a point to the series, if it is time for one; a full series loses every second point first."""
        if self.points and point.at - self.points[-1].at < _step(started) and not self.final:
            return
        if len(self.points) >= MAX_POINTS:
            self.points = self.points[::2]
        self.points.append(point)

    def _is_current(self, results: Results) -> bool:
        """Whether a pod's results are of this scenario, and not of the one before, which it has not left yet."""
        return results.since >= self.started_at

    def _take(self, report: PodReport, phase: int) -> None:
        results, uid = report.results, report.uid
        if results is None or not self._is_current(results):
            self.pods.setdefault(uid, (report.name, "", 0))
            return
        _, epoch, _ = self.pods.get(uid, ("", "", 0))
        if epoch not in {"", results.epoch}:
            self._close(uid, phase)  # the container has restarted and lost what it had counted
        self.pods[uid], self._last[uid] = (report.name, results.epoch, results.total.published), results
        if report.ending and results.drained:
            self._close(uid, phase)
            self.counted.append(uid)

    def _close(self, uid: str, phase: int) -> None:
        """Count the last report of a pod that has ended."""
        name, _, published = self.pods.pop(uid)
        last = self._last.pop(uid, None)
        if last is None and not published:
            return  # it has never answered, so its sensors have not published anything either
        if last is None:
            last = Results(phases={phase: Figures(published=published, waiting=published)}, drained=False)
        if not last.drained:
            self.unreported = sorted({*self.unreported, name})
            for figures in last.phases.values():
                figures.give_up()
            last.drained = True
        self.ended.add(last)


def _step(started: StartedScenario) -> float:
    return max(_MIN_STEP_S, started.scenario.length / (MAX_POINTS - 1))
