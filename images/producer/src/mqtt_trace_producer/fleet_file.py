"""The fleet file: the configuration of a SensorFleet, the same for all its pods."""

from mqtt_trace_service import telemetry
from mqtt_trace_service.telemetry import FleetPriority
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic.alias_generators import to_camel
from pydantic_core import ErrorDetails

from mqtt_trace import ConfigurationError
from mqtt_trace_producer.device_spec import DEVICE_ID_PLACEHOLDER, DeviceSpec
from mqtt_trace_producer.faults import Faults
from mqtt_trace_producer.settings import Name

_NOT_IN_A_TOPIC = "+#\0"
_HUNDRED = 100


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

    def specs_for_pod(self, pod_index: int) -> dict[str, DeviceSpec]:
        """Return the configurations of a pod's devices, by id; empty when the fleet needs fewer pods."""
        first = pod_index * self.sensors_per_pod
        numbers = range(first, min(first + self.sensors_per_pod, self.replicas))
        ids = {number: f"{self.namespace}.{self.fleet}-{number:05d}" for number in numbers}
        return {device_id: self._make_spec(number, device_id) for number, device_id in ids.items()}

    def _make_spec(self, number: int, device_id: str) -> DeviceSpec:
        device = telemetry.Device(
            id=device_id, kind="sensor", firmware_version=self.firmware, battery_level=self.battery
        )
        fleet = telemetry.Fleet(id=self.fleet, tenant=self.tenant, priority=self.priority)
        site = telemetry.Site(id=self.site)
        return DeviceSpec(
            number=number,
            interval=self.interval_seconds,
            qos=self.qos,
            topic_template=self.topic_template,
            attributes=device.attributes() | fleet.attributes() | site.attributes(),
            faults=self.faults,
        )

    @field_validator("topic_template")
    @classmethod
    def _is_a_topic(cls, template: str) -> str:
        if any(character in template for character in _NOT_IN_A_TOPIC):
            raise ValueError("must be a topic, without wildcards")
        if any(brace in template.replace(DEVICE_ID_PLACEHOLDER, "") for brace in "{}"):
            raise ValueError(f"the only placeholder is {DEVICE_ID_PLACEHOLDER}")
        return template

    @model_validator(mode="after")
    def _faults_fit(self) -> "FleetFile":
        faults = self.faults
        if faults.missing_context + faults.malformed_context + faults.mqtt311 > _HUNDRED:
            raise ValueError("faults: are more than 100 percent together")
        return self


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
