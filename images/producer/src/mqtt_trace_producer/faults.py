"""Faulty publishers: readings with an unusable context, and devices whose protocol has no place for one."""

from enum import Enum, auto
from typing import Any

from mqtt_trace_service.scenario import Faults
from opentelemetry import propagate
from paho.mqtt.client import Client, MQTTMessageInfo
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

_HUNDRED = 100
_STRIDE = 37
"""Distance between the readings of neighbouring devices in the order of faults; coprime to a hundred."""


class Fault(Enum):
    """A fault in the context of a published reading."""

    NONE = auto()
    MISSING_CONTEXT = auto()
    MALFORMED_CONTEXT = auto()


def speaks_mqtt311(faults: Faults, device: int) -> bool:
    """Whether the device with this number, from 0, uses MQTT 3.1.1; the size of the fleet does not matter."""
    return _spread(device) < faults.mqtt311


def choose_fault(faults: Faults, device: int, reading: int) -> Fault:
    """Return the fault of a reading of an MQTT 5 device, both numbered from 0.

    The shares are those of all readings, including the readings of MQTT 3.1.1 devices.
    """
    place = _spread(reading + _STRIDE * device) * (_HUNDRED - faults.mqtt311)
    if place < faults.missing_context * _HUNDRED:
        return Fault.MISSING_CONTEXT
    if place < (faults.missing_context + faults.malformed_context) * _HUNDRED:
        return Fault.MALFORMED_CONTEXT
    return Fault.NONE


def _spread(number: int) -> int:
    """Swap the last two digits of a number, so that ten consecutive numbers are spread evenly from 0 to 99.

    A hundred consecutive numbers yield each place once: shares are exact in a hundred and nearly exact in ten.
    """
    tens, ones = divmod(number % _HUNDRED, 10)
    return ones * 10 + tens


class FaultyClient(Client):
    """A client that corrupts the context of outgoing messages, below the traced publisher.

    Attributes:
        fault: Fault of the next messages.
    """

    fault = Fault.NONE

    def publish(
        self,
        topic: str,
        payload: Any = None,
        qos: int = 0,
        retain: bool = False,
        properties: Properties | None = None,
    ) -> MQTTMessageInfo:
        """Publish like paho's client, with the fault."""
        return super().publish(topic, payload, qos, retain, corrupt_context(properties, self.fault))


def corrupt_context(properties: Properties | None, fault: Fault) -> Properties | None:
    """Return the PUBLISH properties with the fault applied; `properties` stays unchanged."""
    if properties is None or fault is Fault.NONE:
        return properties
    fields = {name.lower() for name in propagate.get_global_textmap().fields}
    pairs: list[tuple[str, str]] = getattr(properties, "UserProperty", [])
    kept = [pair for pair in pairs if pair[0] not in fields]
    if fault is Fault.MALFORMED_CONTEXT:  # as if cut off by a buffer that is too small
        kept += [(name, value[: len(value) // 2]) for name, value in pairs if name in fields]
    result = Properties(PacketTypes.PUBLISH)
    result.UserProperty = kept
    if hasattr(properties, "ResponseTopic"):
        result.ResponseTopic = properties.ResponseTopic
    return result
