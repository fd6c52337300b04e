"""A scenario that has started, and how far it is. Pure."""

from dataclasses import dataclass
from datetime import datetime
from typing import Self

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
    def find(cls, scenario: Scenario, clock: Clock, now: datetime) -> Self | None:
        """Find out how far a scenario is; None if it has not started."""
        seconds = now.timestamp()
        elapsed = clock.elapsed(seconds)
        moment = scenario.at(elapsed, _ANY)
        if clock.started_at is None or elapsed is None or moment.phase is None:
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
