"""The scenario of a SensorFleet: phases that change its sensors over time.

Pure: the operator and every pod of the fleet find the phase in effect from the same scenario, each by its own clock.
"""

import re
from dataclasses import dataclass, field, replace
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic.alias_generators import to_camel

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_HUNDRED = 100
_MOST_SENSORS = 10_000


def to_seconds(duration: str) -> float:
    """Convert a duration, a whole number with its unit such as `500ms` or `2m`, to seconds.

    Raises:
        ValueError: It is not a duration.
    """
    match = re.fullmatch(r"([0-9]+)(ms|s|m|h)", duration)
    if match is None:
        raise ValueError(f"{duration!r} is not a duration such as 2s or 500ms")
    return int(match[1]) * _SECONDS[match[2]]


def _positive(duration: str) -> str:
    if to_seconds(duration) <= 0:
        raise ValueError(f"{duration} is not a positive duration")
    return duration


Duration = Annotated[str, AfterValidator(_positive)]
Percent = Annotated[int, Field(ge=0, le=_HUNDRED)]


class _Part(BaseModel):
    """A part of a spec or a fleet file; unknown members come from a newer version and are ignored."""

    model_config = ConfigDict(alias_generator=to_camel, validate_by_name=True, frozen=True)


class Faults(_Part):
    """Shares of faulty publishers in percent, at most a hundred in sum.

    Attributes:
        missing_context: Share of readings that are published with MQTT 5 and without context.
        malformed_context: Share of readings with a truncated context.
        mqtt311: Share of sensors that connect with MQTT 3.1.1, which has no user properties.
    """

    missing_context: Percent = 0
    malformed_context: Percent = 0
    mqtt311: Percent = 0

    @model_validator(mode="after")
    def _fit_into_a_hundred(self) -> Self:
        if self.missing_context + self.malformed_context + self.mqtt311 > _HUNDRED:
            raise ValueError("are more than 100 percent together")
        return self


class Payload(_Part):
    """The payloads of readings. Each distribution uses its own parameters, which are in degrees Celsius.

    Attributes:
        padding: Bytes of the additional member `padding`.
        distribution: How the temperature varies.
        value: The temperature of `constant`.
        min: The lowest temperature of `uniform` and `walk`.
        max: The highest temperature of `uniform` and `walk`.
        step: Standard deviation of the steps of `walk`.
        mean: The mean of `normal` and `sine`.
        standard_deviation: The standard deviation of `normal`.
        amplitude: Half the difference between the extremes of `sine`.
        period: The period of `sine`; the phase is that of the clock, the same for all sensors.
    """

    padding: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    distribution: Literal["constant", "uniform", "normal", "walk", "sine"] = "walk"
    value: float = 22.0
    min: float = 18.0
    max: float = 26.0
    step: Annotated[float, Field(ge=0)] = 0.15
    mean: float = 22.0
    standard_deviation: Annotated[float, Field(ge=0)] = 1.0
    amplitude: float = 4.0
    period: Duration = "1m"

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        if self.min > self.max:
            raise ValueError("min must not exceed max")
        return self


@dataclass(frozen=True, slots=True)
class Settings:
    """What a phase can change.

    Attributes:
        replicas: Number of sensors.
        interval: Seconds between two readings of a sensor.
        faults: Shares of faulty publishers.
        churn: Percent of the sensors that reconnect per minute.
        payload: The payloads of readings.
    """

    replicas: int
    interval: float
    faults: Faults = field(default_factory=Faults)
    churn: int = 0
    payload: Payload = field(default_factory=Payload)


class Phase(_Part):
    """One phase. What it leaves out stays as in the phase before it, except `storm`.

    Attributes:
        name: Its name, unique in the scenario.
        duration: How long it takes.
        transition: Whether number of sensors and rate of readings change evenly over the phase or at its start.
        replicas: Number of sensors.
        interval: Time between two readings of a sensor.
        faults: Shares of faulty publishers.
        churn: Percent of the sensors that reconnect per minute.
        storm: Whether all sensors disconnect and reconnect at once when it starts.
        payload: The payloads of readings.
    """

    name: str
    duration: Duration
    transition: Literal["Linear", "Step"] = "Step"
    replicas: Annotated[int, Field(ge=0, le=_MOST_SENSORS)] | None = None
    interval: Duration | None = None
    faults: Faults | None = None
    churn: Percent | None = None
    storm: bool = False
    payload: Payload | None = None

    def change(self, former: Settings) -> Settings:
        """Return the settings that it leads to."""
        return Settings(
            replicas=former.replicas if self.replicas is None else self.replicas,
            interval=former.interval if self.interval is None else to_seconds(self.interval),
            faults=self.faults or former.faults,
            churn=former.churn if self.churn is None else self.churn,
            payload=self.payload or former.payload,
        )

    def blend(self, former: Settings, elapsed: float) -> Settings:
        """Return the settings in effect some seconds after its start."""
        target = self.change(former)
        share = min(1.0, elapsed / to_seconds(self.duration))
        if self.transition == "Step" or share == 1.0:
            return target
        rate = _blend(1 / former.interval, 1 / target.interval, share)
        return replace(target, replicas=round(_blend(former.replicas, target.replicas, share)), interval=1 / rate)


@dataclass(frozen=True, slots=True)
class Moment:
    """A point in a scenario. Its times are seconds of the scenario's clock.

    Attributes:
        settings: What is in effect.
        phase: The phase; None before the start.
        index: Its index in the list, from 0.
        run: Which run of the list this is, from 0.
        began: When the phase began.
        ends: When it ends.
        complete: Whether the last phase of the last run is over.
    """

    settings: Settings
    phase: Phase | None = None
    index: int = 0
    run: int = 0
    began: float = 0.0
    ends: float = 0.0
    complete: bool = False

    @property
    def place(self) -> tuple[int, int] | None:
        """Run and index of the phase while it lasts; None before the first and after the last."""
        return None if self.phase is None or self.complete else (self.run, self.index)


class Scenario(_Part):
    """`spec.scenario`.

    Attributes:
        phases: Its phases, in order.
        repeat: How often the list is run; each run begins with the settings that the fleet itself has.
        afterwards: Whether the fleet keeps the settings of the last phase or loses all its sensors.
    """

    phases: tuple[Phase, ...]
    repeat: Annotated[int, Field(ge=1)] = 1
    afterwards: Literal["Hold", "ScaleToZero"] = "Hold"

    @field_validator("phases")
    @classmethod
    def _has_a_phase(cls, phases: tuple[Phase, ...]) -> tuple[Phase, ...]:
        if not phases:
            raise ValueError("must have a phase")
        return phases

    @property
    def run_length(self) -> float:
        """Seconds of one run."""
        return sum(to_seconds(phase.duration) for phase in self.phases)

    @property
    def length(self) -> float:
        """Seconds of all runs."""
        return self.run_length * self.repeat

    def max_replicas(self, initial: Settings) -> int:
        """The most sensors that the fleet has at any time."""
        return max(settings.replicas for settings in self._levels(initial))

    def at(self, elapsed: float | None, initial: Settings) -> Moment:
        """Find what is in effect.

        Args:
            elapsed: Seconds since the start; None or negative before it.
            initial: The settings of the fleet itself.
        """
        if elapsed is None or elapsed < 0:
            return Moment(initial)
        if elapsed >= self.length:
            return self._end(initial)
        run, offset = divmod(elapsed, self.run_length)
        began = elapsed - offset
        *others, last = zip(self.phases, self._levels(initial), strict=False)
        for index, (phase, former) in enumerate(others):
            duration = to_seconds(phase.duration)
            if offset < duration:
                return Moment(phase.blend(former, offset), phase, index, int(run), began, began + duration)
            offset -= duration
            began += duration
        phase, former = last
        ends = self.run_length * (run + 1)
        return Moment(phase.blend(former, offset), phase, len(others), int(run), began, ends)

    def _end(self, initial: Settings) -> Moment:
        *_, settings = self._levels(initial)
        if self.afterwards == "ScaleToZero":
            settings = replace(settings, replicas=0)
        last = self.phases[-1]
        began = self.length - to_seconds(last.duration)
        return Moment(settings, last, len(self.phases) - 1, self.repeat - 1, began, self.length, complete=True)

    def _levels(self, initial: Settings) -> list[Settings]:
        """The settings before the first phase, and those that each phase leads to."""
        levels = [initial]
        for phase in self.phases:
            levels.append(phase.change(levels[-1]))
        return levels


class Clock(_Part):
    """The clock of a scenario; times are seconds since the epoch.

    Attributes:
        started_at: When the scenario starts; None while it waits for its pods.
        paused_at: When it is paused, if it is.
        paused_seconds: How long it was paused before that.
    """

    started_at: float | None = None
    paused_at: float | None = None
    paused_seconds: float = 0.0

    def elapsed(self, now: float) -> float | None:
        """Seconds since the start without pauses, negative before it; None if it is not known yet."""
        if self.started_at is None:
            return None
        until = now if self.paused_at is None else min(now, self.paused_at)
        return until - self.started_at - self.paused_seconds


class ScheduledScenario(Scenario, Clock):
    """`scenario` of a fleet file: the scenario with its clock."""

    def now(self, now: float, initial: Settings) -> Moment:
        """Find what is in effect at a time, in seconds since the epoch."""
        return self.at(self.elapsed(now), initial)


def _blend(former: float, target: float, share: float) -> float:
    return former + (target - former) * share
