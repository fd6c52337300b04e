"""Faulty publishers: readings whose context nobody can use, and devices that have none to give."""

from enum import Enum, auto
from typing import Any

from opentelemetry import propagate
from paho.mqtt.client import Client, MQTTMessageInfo
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

_HUNDRED = 100
_STRIDE = 37
"""How far the readings of neighbouring devices are apart in the order of faults; shares no factor with a hundred."""


class Fault(Enum):
    """What is wrong with the context of a reading on the wire."""

    NONE = auto()
    MISSING_CONTEXT = auto()
    MALFORMED_CONTEXT = auto()


class Faults(BaseModel):
    """Shares in percent, together a hundred at most.

    Attributes:
        missing_context: Of readings that are published with MQTT 5 and without context.
        malformed_context: Of readings whose context is cut short.
        mqtt311: Of devices that connect with MQTT 3.1.1, which has no place for a context.
    """

    model_config = ConfigDict(frozen=True, alias_generator=to_camel, validate_by_name=True)

    missing_context: int = Field(default=0, ge=0, le=_HUNDRED)
    malformed_context: int = Field(default=0, ge=0, le=_HUNDRED)
    mqtt311: int = Field(default=0, ge=0, le=_HUNDRED)

    def speaks_mqtt311(self, device: int) -> bool:
        """Whether a device of the fleet, counted from 0, is one of those; how many others there are changes nothing."""
        return _spread(device) < self.mqtt311

    def choose_fault(self, device: int, reading: int) -> Fault:
        """What is wrong with a reading of an MQTT 5 device, both counted from 0.

        The shares are those of all readings, also of those that have no context because their device speaks MQTT 3.1.1.
        """
        place = _spread(reading + _STRIDE * device) * (_HUNDRED - self.mqtt311)
        if place < self.missing_context * _HUNDRED:
            return Fault.MISSING_CONTEXT
        if place < (self.missing_context + self.malformed_context) * _HUNDRED:
            return Fault.MALFORMED_CONTEXT
        return Fault.NONE


def _spread(number: int) -> int:
    """A place from 0 to 99 with its two digits swapped, so that every ten numbers in a row are spread evenly.

    A hundred in a row have each place once: shares are exact in a hundred, and nearly so in ten.
    """
    tens, ones = divmod(number % _HUNDRED, 10)
    return ones * 10 + tens


class FaultyClient(Client):
    """A client that spoils the context on its way out, below whatever traces it.

    Attributes:
        fault: What is wrong with the next messages.
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
        """As paho's."""
        return super().publish(topic, payload, qos, retain, corrupt_context(properties, self.fault))


def corrupt_context(properties: Properties | None, fault: Fault) -> Properties | None:
    """The PUBLISH properties of a message with that fault; `properties` itself is not changed."""
    if properties is None or fault is Fault.NONE:
        return properties
    fields = {name.lower() for name in propagate.get_global_textmap().fields}
    pairs: list[tuple[str, str]] = getattr(properties, "UserProperty", [])
    kept = [pair for pair in pairs if pair[0] not in fields]
    if fault is Fault.MALFORMED_CONTEXT:  # as by a buffer that is too small
        kept += [(name, value[: len(value) // 2]) for name, value in pairs if name in fields]
    result = Properties(PacketTypes.PUBLISH)
    result.UserProperty = kept
    return result
