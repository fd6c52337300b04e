"""How far a fleet's scenario is, from its spec and status. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from mqtt_trace_service.scenario import Clock, Moment, Scenario, Settings

_ANY = Settings(replicas=0, interval=1.0)
"""The phase in effect does not depend on the fleet's own settings."""


@dataclass(frozen=True)
class StartedScenario:
    """A scenario that has started.

    Attributes:
        scenario: The scenario.
        started_at: Its start, in seconds since the epoch.
        moment: The point that it has reached.
        in_phase_for: Seconds since the phase in effect began, without pauses.
        ended_for: Seconds since the end of its last phase; None before it.
    """

    scenario: Scenario
    started_at: float
    moment: Moment
    in_phase_for: float
    ended_for: float | None

    @classmethod
    def read(cls, scenario: Scenario | None, status: Mapping[str, Any], now: datetime) -> Self | None:
        """Read it from a fleet's status; None without a scenario that has started."""
        clock = _read_clock(status.get("scenario") or {})
        if scenario is None or clock.started_at is None:
            return None
        seconds = now.timestamp()
        elapsed = clock.elapsed(seconds)
        moment = scenario.at(elapsed, _ANY)
        if elapsed is None or moment.phase is None:
            return None
        ended_at = clock.started_at + clock.paused_seconds + scenario.length
        ended_for = seconds - ended_at if moment.complete else None
        return cls(scenario, clock.started_at, moment, elapsed - moment.began, ended_for)

    @property
    def names(self) -> list[str]:
        """The names of the phases."""
        return [phase.name for phase in self.scenario.phases]

    @property
    def name(self) -> str:
        """The name of the phase in effect."""
        return self.names[self.moment.index]


def _read_clock(scenario: Mapping[str, Any]) -> Clock:
    return Clock(
        started_at=_seconds(scenario.get("startedAt")),
        paused_at=_seconds(scenario.get("pausedAt")),
        paused_seconds=float(scenario.get("pausedSeconds") or 0),
    )


def _seconds(time: str | None) -> float | None:
    return datetime.fromisoformat(time).timestamp() if time else None
