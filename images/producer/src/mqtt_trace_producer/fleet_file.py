"""The fleet file: the configuration of a SensorFleet, the same for all its pods."""

import math
from collections.abc import Mapping

from mqtt_trace_service import telemetry
from mqtt_trace_service.scenario import Faults, Moment, ScheduledScenario, Settings
from mqtt_trace_service.telemetry import FleetPriority
from opentelemetry.util.types import AttributeValue
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError, field_validator
from pydantic.alias_generators import to_camel
from pydantic_core import ErrorDetails

from mqtt_trace import ConfigurationError
from mqtt_trace_producer.device_spec import DEVICE_ID_PLACEHOLDER, DeviceSpec
from mqtt_trace_producer.settings import Name

_NOT_IN_A_TOPIC = "+#\0"


class FleetFile(BaseModel):
    """The JSON object of a fleet file. Unknown members come from a newer operator and are ignored."""

    model_config = ConfigDict(frozen=True, strict=True, alias_generator=to_camel)

    generation: int
    fleet: Name
    namespace: Name
    replicas: int = Field(ge=0, le=1_000_000)
    sensors_per_pod: int = Field(ge=1)
    interval_seconds: float = Field(ge=0.01, le=86_400, allow_inf_nan=False)
    qos: int = Field(ge=0, le=2)
    topic_template: str = Field(min_length=1, max_length=1024)
    tenant: Name
    site: Name
    priority: FleetPriority
    firmware: Name
    battery: float = Field(ge=0, le=100)
    faults: Faults
    scenario: ScheduledScenario | None = None
    _attributes: dict[str, Mapping[str, AttributeValue]] = PrivateAttr(default_factory=dict)

    @property
    def settings(self) -> Settings:
        """The settings outside of a scenario."""
        return Settings(self.replicas, self.interval_seconds, self.faults)

    def at(self, now: float) -> Moment:
        """Find what is in effect at a time, in seconds since the epoch."""
        return Moment(self.settings) if self.scenario is None else self.scenario.now(now, self.settings)

    def seconds_left(self, now: float) -> float:
        """Seconds until the next phase begins, unless it is paused before; infinite without one."""
        elapsed = None if self.scenario is None else self.scenario.elapsed(now)
        moment = self.at(now)
        return math.inf if elapsed is None or moment.complete else moment.ends - elapsed

    def max_sensors(self, pod_index: int) -> int:
        """The most sensors that a pod has at any time."""
        replicas = self.replicas if self.scenario is None else self.scenario.max_replicas(self.settings)
        return self.count_sensors(pod_index, replicas)

    def count_sensors(self, pod_index: int, replicas: int) -> int:
        """The number of a pod's sensors; 0 when the fleet needs fewer pods."""
        return min(max(replicas - pod_index * self.sensors_per_pod, 0), self.sensors_per_pod)

    def specs_for_pod(self, pod_index: int, settings: Settings | None = None) -> dict[str, DeviceSpec]:
        """Return the configurations of a pod's devices by id, with the settings in effect or those of the file."""
        settings = settings or self.settings
        first = pod_index * self.sensors_per_pod
        numbers = range(first, first + self.count_sensors(pod_index, settings.replicas))
        ids = {number: f"{self.namespace}.{self.fleet}-{number:05d}" for number in numbers}
        return {device_id: self._make_spec(number, device_id, settings) for number, device_id in ids.items()}

    def _make_spec(self, number: int, device_id: str, settings: Settings) -> DeviceSpec:
        return DeviceSpec(
            number=number,
            interval=settings.interval,
            qos=self.qos,
            topic_template=self.topic_template,
            attributes=self._attributes.get(device_id) or self._make_attributes(device_id),
            faults=settings.faults,
            payload=settings.payload,
        )

    def _make_attributes(self, device_id: str) -> Mapping[str, AttributeValue]:
        device = telemetry.Device(
            id=device_id, kind="sensor", firmware_version=self.firmware, battery_level=self.battery
        )
        fleet = telemetry.Fleet(id=self.fleet, tenant=self.tenant, priority=self.priority)
        attributes = device.attributes() | fleet.attributes() | telemetry.Site(id=self.site).attributes()
        # Kept, because a ramp makes the specs of all devices twice a second.
        self._attributes[device_id] = attributes
        return attributes

    @field_validator("topic_template")
    @classmethod
    def _is_a_topic(cls, template: str) -> str:
        if any(character in template for character in _NOT_IN_A_TOPIC):
            raise ValueError("must be a topic, without wildcards")
        if any(brace in template.replace(DEVICE_ID_PLACEHOLDER, "") for brace in "{}"):
            raise ValueError(f"the only placeholder is {DEVICE_ID_PLACEHOLDER}")
        return template


def parse_fleet_file(text: str | bytes) -> FleetFile:
    """Parse and validate a fleet file.

    Raises:
        ConfigurationError: A member is wrong; the problem names each of them.
    """
    try:
        return FleetFile.model_validate_json(text)
    except ValidationError as error:
        problem = "; ".join(_describe_problem(details) for details in error.errors())
        raise ConfigurationError(variable="FLEET_FILE", problem=problem) from None


def _describe_problem(details: ErrorDetails) -> str:
    where = ".".join(str(part) for part in details["loc"])
    cause = details.get("ctx", {}).get("error")
    what = str(cause) if isinstance(cause, ValueError) else details["msg"][:1].lower() + details["msg"][1:]
    if not where:
        return what
    given = "" if details["type"] == "missing" else f" (got {details['input']!r})"
    return f"{where}: {what}{given}"
