"""What a device is to do."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from opentelemetry.util.types import AttributeValue
from paho.mqtt.enums import MQTTProtocolVersion

from mqtt_trace import telemetry
from mqtt_trace_producer.device_ids import make_device_ids
from mqtt_trace_producer.faults import Fault, Faults
from mqtt_trace_producer.settings import ProducerSettings

TOPIC_TEMPLATE = "sensors/{device_id}/reading"
DEVICE_ID_PLACEHOLDER = "{device_id}"
"""The only placeholder of a topic template."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceSpec:
    """What one device is to do. All of it can change while the device runs, but for its protocol.

    Attributes:
        number: Its place in the fleet, from 0.
        interval: Seconds between two readings.
        qos: Of each PUBLISH.
        topic_template: Where readings go.
        attributes: Those of its resource that are not the process's.
        faults: Shares in the whole fleet.
    """

    number: int
    interval: float
    qos: int
    topic_template: str = TOPIC_TEMPLATE
    attributes: Mapping[str, AttributeValue]
    faults: Faults = field(default_factory=Faults)

    @property
    def protocol(self) -> MQTTProtocolVersion:
        """What the device connects with."""
        return MQTTProtocolVersion.MQTTv311 if self.faults.speaks_mqtt311(self.number) else MQTTProtocolVersion.MQTTv5

    def topic(self, device_id: str) -> str:
        """The topic of a device with that id."""
        return self.topic_template.replace(DEVICE_ID_PLACEHOLDER, device_id)

    def choose_fault(self, reading: int) -> Fault:
        """What is wrong with the context of the device's so-manieth reading, from 0."""
        return self.faults.choose_fault(self.number, reading)


def make_specs(settings: ProducerSettings) -> dict[str, DeviceSpec]:
    """The devices that the environment asks for, by id."""
    return {
        device_id: DeviceSpec(
            number=number,
            interval=settings.publish_interval_s,
            qos=settings.publish_qos,
            attributes=telemetry.Device(
                id=device_id,
                kind="sensor",
                firmware_version=settings.device_firmware_version,
                firmware_channel=settings.device_firmware_channel,
                battery_level=settings.device_battery_level,
            ).attributes(),
        )
        for number, device_id in enumerate(make_device_ids(settings.device_id, settings.device_count))
    }
