"""The resource SensorFleet."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

from mqtt_trace_service.scenario import Faults, Scenario, Settings, to_seconds
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.alias_generators import to_camel

from mqtt_trace import MqttTraceError
from mqtt_trace_operator.results.expect import Expect
from mqtt_trace_operator.target import Target

GROUP = "mqtt-trace.io"
VERSION = "v1alpha1"
KIND = "SensorFleet"
PLURAL = "sensorfleets"

Object = Mapping[str, Any]
"""An object of the API server, as decoded from JSON."""


class InvalidFleetError(MqttTraceError):
    """A spec that this version's schema refuses; the message is one line for the fleet's owner."""


class _Part(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, frozen=True, extra="ignore")


class Identity(_Part):
    """How sensors authenticate to the broker."""

    type: Literal["Shared", "Password", "Certificate"] = "Shared"
    secret_name: str | None = None
    revoked: frozenset[int] = frozenset()

    @property
    def is_generated(self) -> bool:
        """Whether the operator makes credentials for each sensor."""
        return self.type != "Shared" and self.secret_name is None


class EnvVar(_Part):
    """An environment variable of the fleet's pods."""

    name: str
    value: str


class Spec(_Part):
    """`spec`, into which the API server has filled the schema's defaults."""

    replicas: int
    sensors_per_pod: int
    interval: str
    qos: int
    topic_template: str
    tenant: str
    site: str
    priority: str
    firmware: str
    battery: int
    faults: Faults
    identity: Identity = Identity()
    paused: bool
    scenario: Scenario | None = None
    image: str | None = None
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] | None = None
    env: tuple[EnvVar, ...] = ()
    resources: dict[str, Any] | None = None
    target: Target | None = None
    expect: Expect | None = None

    @property
    def interval_seconds(self) -> float:
        """`interval`, a number with its unit, in seconds.

        Raises:
            InvalidFleetError: It is not a duration.
        """
        try:
            return to_seconds(self.interval)
        except ValueError as error:
            raise InvalidFleetError(f"spec.interval: {error}") from None


@dataclass(frozen=True)
class Fleet:
    """A SensorFleet.

    Attributes:
        name: `metadata.name`, and the `fleet.id` of its sensors.
        namespace: `metadata.namespace`.
        uid: `metadata.uid`.
        generation: `metadata.generation`, which counts changes of the spec.
        spec: Its spec.
    """

    name: str
    namespace: str
    uid: str
    generation: int
    spec: Spec

    @classmethod
    def from_object(cls, resource: Object) -> Self:
        """Read the API server's object.

        Raises:
            InvalidFleetError: This version of the operator does not understand its spec.
        """
        metadata = resource["metadata"]
        try:
            spec = Spec.model_validate(resource.get("spec", {}))
        except ValidationError as error:
            (first, *_) = error.errors()
            place = ".".join(str(part) for part in ("spec", *first["loc"]))
            raise InvalidFleetError(f"{place}: {first['msg'].lower()}: does the CRD fit the operator?") from error
        return cls(metadata["name"], metadata["namespace"], metadata["uid"], metadata["generation"], spec)

    def client_ids(self, numbers: Iterable[int]) -> list[str]:
        """The client ids of the sensors with these numbers, which are also their user names."""
        return [f"{self.namespace}.{self.name}-{number:05d}" for number in numbers]

    @property
    def revoked(self) -> frozenset[int]:
        """The numbers of its revoked sensors."""
        return frozenset(number for number in self.spec.identity.revoked if number < self.most_sensors)

    @property
    def most_sensors(self) -> int:
        """The most sensors that it has at any time of its scenario, or without one."""
        scenario = self.spec.scenario
        return self.spec.replicas if scenario is None else scenario.max_replicas(self.settings)

    @property
    def settings(self) -> Settings:
        """What its sensors do before a scenario.

        Raises:
            InvalidFleetError: `spec.interval` is not a duration.
        """
        return Settings(self.spec.replicas, self.spec.interval_seconds, self.spec.faults)

    @property
    def selector(self) -> str:
        """The label selector of its pods."""
        return f"{GROUP}/fleet={self.name}"


def count_pods(sensors: int, per_pod: int) -> int:
    """The number of pods for this number of sensors."""
    return -(-sensors // per_pod)
