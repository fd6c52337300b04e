"""Measures the scenarios of fleets: reads the pods' results, keeps their history, and judges them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from lightkube.resources.core_v1 import Pod

from mqtt_trace_operator.children import results_map
from mqtt_trace_operator.cluster import Cluster
from mqtt_trace_operator.drift import Child, classify, is_controlled_by
from mqtt_trace_operator.fleet import Fleet, Object
from mqtt_trace_operator.observed import pod_name, pod_uid
from mqtt_trace_operator.results.figures import Results
from mqtt_trace_operator.results.history import History, PodReport, Point
from mqtt_trace_operator.results.status import (
    belongs_to,
    build_conditions,
    build_results,
    find_conditions,
    only_figures_changed,
)
from mqtt_trace_operator.results.verdict import Evidence, Stage, Verdict, judge
from mqtt_trace_operator.scenario.progress import Progress, find_moment
from mqtt_trace_operator.scenario.started import StartedScenario
from mqtt_trace_operator.sensors import Sensors
from mqtt_trace_operator.status import Status, find_condition

_SILENT_FOR_S = 30.0
"""How long after the drain time a pod may leave the question for its results without an answer."""

_DRAIN_S = 30.0
"""The drain time of a scenario without `spec.expect`."""


@dataclass(frozen=True)
class Finished:
    """A scenario whose results have become final.

    Attributes:
        started: The scenario.
        history: Its history.
        verdict: The verdict; None without `spec.expect`.
        ended_at: When its last phase ended, in seconds since the epoch.
    """

    started: StartedScenario
    history: History
    verdict: Verdict | None
    ended_at: float


@dataclass(frozen=True)
class Measured:
    """A measurement of a scenario.

    Attributes:
        status: Members of the fleet's status.
        conditions: Conditions of the fleet.
        next_s: Seconds until the next measurement; None without a scenario, and once its results are final.
        finished: The scenario, if its results have become final in this measurement.
    """

    status: Status = field(default_factory=dict)
    conditions: Sequence[Mapping[str, Any]] = ()
    next_s: float | None = None
    finished: Finished | None = None

    def add_to(self, status: Status) -> Status:
        """Add it to the rest of the fleet's status."""
        return {**status, **self.status, "conditions": [*status["conditions"], *self.conditions]}


class Measuring:
    """Measures scenarios.

    Args:
        cluster: The API server, which keeps the histories.
        sensors: Reads the pods' results.
    """

    def __init__(self, cluster: Cluster, sensors: Sensors) -> None:
        self._cluster = cluster
        self._sensors = sensors
        self._histories: dict[tuple[str, str], History] = {}

    def forget(self, namespace: str, name: str) -> None:
        """Forget a fleet that is gone."""
        self._histories.pop((namespace, name), None)

    async def measure(
        self,
        fleet: Fleet,
        progress: Progress,
        pods: Sequence[Pod],
        connected: int,
        former: Mapping[str, Any],
        now: datetime,
    ) -> Measured:
        """Measure a fleet's scenario, if it has one that has started.

        Args:
            fleet: The fleet.
            progress: Where its scenario is.
            pods: Its pods.
            connected: The number of its connected sensors.
            former: Its current status.
            now: The current time.
        """
        started = _find_started(fleet, progress, now)
        if started is None:
            self.forget(fleet.namespace, fleet.name)
            return Measured()
        history = await self._get_history(fleet, started)
        if not belongs_to(former, started.started_at):
            former = {}
        if history.final:
            return _conclude(fleet, history, started, former, now)
        wait_s = history.wait_s(started, _ending(pods), now.timestamp())
        if wait_s > 0 and former:
            return Measured({"results": former["results"]}, find_conditions(former), wait_s)
        final = await self._observe(fleet, history, started, pods, connected, now)
        measured = _conclude(fleet, history, started, former, now)
        if not final:
            return replace(measured, next_s=history.wait_s(started, (), now.timestamp()))
        verdict = _judge(fleet, history, started, former)
        ended_at = now.timestamp() - (started.ended_for or 0)
        return replace(measured, finished=Finished(started, history, verdict, ended_at))

    async def _get_history(self, fleet: Fleet, started: StartedScenario) -> History:
        key = fleet.namespace, fleet.name
        history = self._histories.get(key)
        if history is None:
            history = _read_history(fleet, await self._cluster.get_child(results_map(fleet, {})))
        if history is None or history.started_at != started.started_at:
            history = History(started.started_at)
        self._histories[key] = history
        return history

    async def _observe(
        self,
        fleet: Fleet,
        history: History,
        started: StartedScenario,
        pods: Sequence[Pod],
        connected: int,
        now: datetime,
    ) -> bool:
        """Take the pods' results, keep them, and return whether they are final."""
        answers = await self._sensors.read_results(pods)
        ending = _ending(pods)
        reports = [
            PodReport(pod_uid(pod), pod_name(pod), pod_uid(pod) in ending, answers.get(pod_name(pod))) for pod in pods
        ]
        results = history.observe(reports, started, now.timestamp())
        if _is_final(started, fleet, results, silent=any(report.results is None for report in reports)):
            results = history.finish(reports, started.moment.index)
        history.record(_point(results, started, connected, now), started)
        manifest = results_map(fleet, history.to_data())
        if classify(await self._cluster.get_child(manifest), fleet) in {Child.MISSING, Child.OWNED}:
            await self._cluster.apply(manifest)
        return history.final


def _find_started(fleet: Fleet, progress: Progress, now: datetime) -> StartedScenario | None:
    if fleet.spec.scenario is None or find_moment(fleet, progress, now) is None:
        return None
    return StartedScenario.find(fleet.spec.scenario, progress.clock, now)


def count_sensors_to_report(fleet: Fleet, progress: Progress, former: Mapping[str, Any], now: datetime) -> int:
    """The number of sensors whose pods have to stay, because the results of a complete scenario are not final."""
    moment = find_moment(fleet, progress, now)
    if fleet.spec.scenario is None or moment is None or not moment.complete:
        return 0
    return 0 if (former.get("results") or {}).get("final") else fleet.spec.scenario.max_replicas(fleet.settings)


def _read_history(fleet: Fleet, config_map: Object | None) -> History | None:
    if config_map is None or not is_controlled_by(config_map, fleet):
        return None
    try:
        return History.from_data(config_map["data"])
    except (AttributeError, KeyError, TypeError, ValueError):
        return None


def _ending(pods: Sequence[Pod]) -> set[str]:
    """The uids of the pods that are being deleted."""
    return {pod_uid(pod) for pod in pods if pod.metadata and pod.metadata.deletionTimestamp}


def _is_final(started: StartedScenario, fleet: Fleet, results: Results, *, silent: bool) -> bool:
    """Whether no figure changes any more: nothing is on its way, or the drain time is over."""
    if started.ended_for is None:
        return False
    if results.drained and not silent:
        return True
    drain_s = fleet.spec.expect.drain_seconds if fleet.spec.expect else _DRAIN_S
    return started.ended_for >= drain_s + (_SILENT_FOR_S if silent else 0)


def _point(results: Results, started: StartedScenario, connected: int, now: datetime) -> Point:
    total = results.total
    phase = results.phases.get(started.moment.index)
    return Point(
        at=round(now.timestamp(), 1),
        phase=started.moment.index,
        connected=connected,
        published=total.published,
        processed=total.processed,
        waiting=total.waiting,
        duplicates=total.duplicates,
        age_p95=phase.age.percentile(95) if phase else None,
    )


def _judge(fleet: Fleet, history: History, started: StartedScenario, former: Mapping[str, Any]) -> Verdict | None:
    if fleet.spec.expect is None:
        return None
    stage = Stage.FINAL if history.final else Stage.RUNNING if started.ended_for is None else Stage.DRAINING
    evidence = Evidence(history.results, stage, started.names, started.name, history.unreported)
    failed = find_condition(former, "Failed")
    return judge(fleet.spec.expect, evidence, failed["reason"] if failed.get("status") == "True" else "")


def _conclude(
    fleet: Fleet, history: History, started: StartedScenario, former: Mapping[str, Any], now: datetime
) -> Measured:
    verdict = _judge(fleet, history, started, former)
    conditions = build_conditions(verdict, former, fleet.generation, now) if verdict else []
    results = build_results(
        history.results,
        started.names,
        started_at=started.started_at,
        observed_at=now,
        final=history.final,
        unreported=history.unreported,
    )
    known, phase = former.get("results") or {}, (former.get("scenario") or {}).get("phase")
    if history.final and known.get("final"):
        return Measured({"results": known}, conditions)
    if phase == started.name and only_figures_changed(former, results, conditions, now):
        return Measured({"results": former["results"]}, find_conditions(former))
    return Measured({"results": results}, conditions)
