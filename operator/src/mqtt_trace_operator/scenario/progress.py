"""The scenario of a fleet, as pure functions of its spec and its status: when it starts, stops, and where it is."""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Self

from mqtt_trace_service.scenario import Clock, Moment, Scenario

from mqtt_trace_operator.diagnosis import Reason
from mqtt_trace_operator.fleet import Fleet

_LEAD_S = 3
"""Starts and pauses are announced this long before, so that all pods have read them by then and act together."""

_LATER_S = 30
"""A start that a pod has not read in time is put off by this, which is enough for a slow kubelet."""

_PARTS = 5
_MIN_PART_S = 5.0
"""The time left in the status is that at the last fifth of the phase, so that a phase costs few writes."""


@dataclass(frozen=True)
class Progress:
    """What a fleet's status remembers of its scenario.

    Attributes:
        clock: The clock.
        scenario_hash: The hash of the scenario that the clock belongs to; a changed scenario starts over.
    """

    clock: Clock = field(default_factory=Clock)
    scenario_hash: str = ""

    @classmethod
    def read(cls, status: Mapping[str, Any]) -> Self:
        """Read it from the fleet's status."""
        known: Mapping[str, Any] = status.get("scenario") or {}
        times = {name: _epoch(known[name]) for name in ("startedAt", "pausedAt") if name in known}
        clock = Clock.model_validate({**times, "pausedSeconds": known.get("pausedSeconds", 0)})
        return cls(clock, known.get("hash", ""))

    def follow(self, fleet: Fleet, now: datetime) -> Self:
        """Pause, resume or start over, as the spec wants it."""
        spec = fleet.spec
        if spec.paused:
            runs = self.clock.started_at is not None and self.clock.paused_at is None
            return self._with_clock(paused_at=_soon(now)) if runs else self
        if spec.scenario is None:
            return type(self)()
        scenario_hash = _hash(spec.scenario)
        if scenario_hash != self.scenario_hash:
            return type(self)(Clock(), scenario_hash)
        if self.clock.paused_at is not None:
            pause = max(0, math.floor(now.timestamp()) - self.clock.paused_at)
            return self._with_clock(paused_at=None, paused_seconds=self.clock.paused_seconds + pause)
        return self

    def start(self, now: datetime) -> Self:
        """Start the scenario in a few seconds."""
        return self._with_clock(started_at=_soon(now))

    def put_off(self, former: Mapping[str, Any], now: datetime) -> Self:
        """Start later, if the time has come and the scenario has not begun: a pod does not know of the start.

        Args:
            former: The fleet's current status.
            now: The current time.
        """
        late_s = now.timestamp() - (self.clock.started_at or math.inf)
        begun = "phase" in (former.get("scenario") or {})
        if begun or self.clock.paused_at is not None or not -1 <= late_s < _LATER_S:
            return self
        return self._with_clock(started_at=float(math.ceil(now.timestamp()) + _LATER_S))

    def _with_clock(self, **changes: float | None) -> Self:
        return type(self)(self.clock.model_copy(update=changes), self.scenario_hash)


def find_moment(fleet: Fleet, progress: Progress, now: datetime) -> Moment | None:
    """Find out where the scenario is; None without one, and where a paused fleet still runs another one."""
    scenario = fleet.spec.scenario
    if scenario is None or _hash(scenario) != progress.scenario_hash:
        return None
    return scenario.at(progress.clock.elapsed(now.timestamp()), fleet.settings)


def count_sensors_at_most(fleet: Fleet, progress: Progress, now: datetime) -> int:
    """The most sensors that the fleet has from now on."""
    moment = find_moment(fleet, progress, now)
    if fleet.spec.scenario is None or moment is None:
        return fleet.spec.replicas
    return moment.settings.replicas if moment.complete else fleet.spec.scenario.max_replicas(fleet.settings)


def build_scenario_status(
    fleet: Fleet, progress: Progress, former: Mapping[str, Any], now: datetime
) -> dict[str, Any] | None:
    """Build `status.scenario`; None without a scenario."""
    moment, clock = find_moment(fleet, progress, now), progress.clock
    known = former.get("scenario")
    if moment is None:
        if not fleet.spec.paused or known is None:
            return None
        return {**known, **_times(pausedAt=clock.paused_at)}
    status: dict[str, Any] = {
        "hash": progress.scenario_hash,
        "complete": moment.complete,
        "pausedSeconds": int(clock.paused_seconds),
        **_times(startedAt=clock.started_at, pausedAt=clock.paused_at),
    }
    if moment.phase is not None:
        status |= {"phase": moment.phase.name, "index": moment.index, "run": moment.run}
        if clock.paused_at is None:
            status |= _times(phaseEndsAt=(clock.started_at or 0) + clock.paused_seconds + moment.ends)
    if moment.place is not None:
        status["left"] = _format_duration(_left(moment, clock.elapsed(now.timestamp()) or 0.0))
    return status


def seconds_to_next_change(fleet: Fleet, progress: Progress, now: datetime) -> float | None:
    """Seconds until the scenario changes the status again; None if it does not."""
    moment = find_moment(fleet, progress, now)
    elapsed = progress.clock.elapsed(now.timestamp())
    if moment is None or moment.complete or elapsed is None:
        return None
    paused_at = progress.clock.paused_at
    if paused_at is not None:
        return paused_at - now.timestamp() if paused_at > now.timestamp() else None
    if moment.phase is None:
        return moment.ends - elapsed
    return moment.ends - elapsed - max(0.0, _left(moment, elapsed) - _part(moment))


def judge_completion(fleet: Fleet, progress: Progress, ready: Reason, now: datetime) -> tuple[bool, Reason] | None:
    """The condition `Complete`; None without a scenario."""
    scenario, moment = fleet.spec.scenario, find_moment(fleet, progress, now)
    if scenario is None:
        return None
    if moment is None or (moment.phase is None and fleet.spec.paused):
        return False, Reason("Paused", "paused: begins when the fleet is resumed")
    if moment.complete:
        return True, Reason("Completed", f"{describe_count(len(scenario.phases), 'phase')} completed")
    if progress.clock.started_at is None:
        return False, Reason("Waiting", f"begins when all pods run and all sensors are connected: {ready.message}")
    if moment.phase is None:
        return False, Reason("Starting", "begins in a few seconds")
    name = "Paused" if fleet.spec.paused else "Running"
    return False, Reason(name, f"{'paused: ' if fleet.spec.paused else ''}{describe_phase(scenario, moment)}")


def describe_phase(scenario: Scenario, moment: Moment) -> str:
    """Describe a phase, such as `phase ramp, 1 of 3`."""
    name = moment.phase.name if moment.phase else ""
    run = f", run {moment.run + 1} of {scenario.repeat}" if scenario.repeat > 1 else ""
    return f"phase {name}, {moment.index + 1} of {len(scenario.phases)}{run}"


def find_news(fleet: Fleet, progress: Progress, former: Mapping[str, Any], now: datetime) -> list[Reason]:
    """Find what an Event should report: another phase, a pause, its end, and the completion."""
    scenario, moment = fleet.spec.scenario, find_moment(fleet, progress, now)
    if scenario is None or moment is None or moment.phase is None:
        return []
    known: Mapping[str, Any] = former.get("scenario") or {}
    same = known.get("hash") == progress.scenario_hash
    news = []
    if same and ("pausedAt" in known) != (progress.clock.paused_at is not None):
        paused = progress.clock.paused_at is not None
        news.append(Reason("ScenarioPaused" if paused else "ScenarioResumed", describe_phase(scenario, moment)))
    if moment.complete:
        if not (same and known.get("complete")):
            news.append(Reason("ScenarioCompleted", f"{describe_count(len(scenario.phases), 'phase')} completed"))
    elif not same or (known.get("run"), known.get("index")) != moment.place:
        message = f"{describe_phase(scenario, moment)}, for {moment.phase.duration}"
        news.append(Reason("PhaseStarted", message))
    return news


def describe_count(number: int, noun: str) -> str:
    """A number and its noun."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _hash(scenario: Scenario) -> str:
    # Without defaults: a later version may have more of them, and its scenarios must not start over.
    content = scenario.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def _left(moment: Moment, elapsed: float) -> float:
    """Seconds that were left of the phase at the beginning of the present part of it."""
    part = _part(moment)
    return moment.ends - moment.began - math.floor((elapsed - moment.began) / part) * part


def _part(moment: Moment) -> float:
    return max(_MIN_PART_S, (moment.ends - moment.began) / _PARTS)


def _soon(now: datetime) -> float:
    return float(math.ceil(now.timestamp()) + _LEAD_S)


def _times(**epochs: float | None) -> dict[str, str]:
    return {
        name: datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        for name, epoch in epochs.items()
        if epoch is not None
    }


def _epoch(time: str) -> float:
    return datetime.fromisoformat(time).timestamp()


def _format_duration(seconds: float) -> str:
    """Format a duration as kubectl does ages: 90s, 15m, 3h."""
    whole = math.ceil(seconds)
    if whole < 120:  # noqa: PLR2004 - two minutes
        return f"{whole}s"
    minutes = math.ceil(whole / 60)
    return f"{minutes}m" if minutes < 120 else f"{math.ceil(minutes / 60)}h"  # noqa: PLR2004 - two hours
