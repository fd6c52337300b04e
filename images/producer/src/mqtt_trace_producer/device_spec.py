"""The configuration of a device."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from mqtt_trace_service import telemetry
from mqtt_trace_service.scenario import Faults, Payload
from opentelemetry.util.types import AttributeValue
from paho.mqtt.enums import MQTTProtocolVersion

from mqtt_trace_producer.device_ids import make_device_ids
from mqtt_trace_producer.faults import Fault, choose_fault, speaks_mqtt311
from mqtt_trace_producer.settings import ProducerSettings

TOPIC_TEMPLATE = "sensors/{device_id}/reading"
DEVICE_ID_PLACEHOLDER = "{device_id}"
"""The only placeholder of a topic template."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceSpec:
    """The configuration of one device. Everything except the protocol can change while the device runs.

    Attributes:
        number: Index of the device in the fleet, from 0.
        interval: Seconds between two readings.
        qos: QoS of each PUBLISH.
        topic_template: Topic of its readings, with `{device_id}` for the id.
        attributes: Resource attributes of the device, in addition to those of the process.
        faults: Shares of faulty devices and readings in the fleet.
        payload: The payloads of its readings.
    """

    number: int
    interval: float
    qos: int
    topic_template: str = TOPIC_TEMPLATE
    attributes: Mapping[str, AttributeValue]
    faults: Faults = field(default_factory=Faults)
    payload: Payload = field(default_factory=Payload)

    @property
    def protocol(self) -> MQTTProtocolVersion:
        """The protocol version that the device connects with."""
        return MQTTProtocolVersion.MQTTv311 if speaks_mqtt311(self.faults, self.number) else MQTTProtocolVersion.MQTTv5

    def topic(self, device_id: str) -> str:
        """Return the topic of the device with this id."""
        return self.topic_template.replace(DEVICE_ID_PLACEHOLDER, device_id)

    def choose_fault(self, reading: int) -> Fault:
        """Return the fault of the device's reading with this number, from 0."""
        return choose_fault(self.faults, self.number, reading)


def make_specs(settings: ProducerSettings) -> dict[str, DeviceSpec]:
    """Return the configurations of all devices of the settings, by id."""
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
