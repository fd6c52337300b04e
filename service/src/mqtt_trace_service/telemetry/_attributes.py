"""Resource attributes of the IoT conventions: `device.*`, `fleet.*` and `site.*`."""

from dataclasses import dataclass
from typing import Literal, get_args

from opentelemetry.util.types import AttributeValue

DeviceKind = Literal["sensor", "gateway", "mcu", "network"]
PowerSource = Literal["mains", "battery"]
FleetPriority = Literal["critical", "high", "normal", "low"]

_FULL_CHARGE = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class Device:
    """The device that sends: `device.*`.

    Attributes:
        id: `device.id`, unique within the fleet.
        battery_level: `device.battery.level` in percent, 0 to 100.

    Raises:
        ValueError: A value outside its enumeration or range; the message names the attribute.
    """

    id: str
    kind: DeviceKind | None = None
    manufacturer: str | None = None
    model_identifier: str | None = None
    serial: str | None = None
    firmware_version: str | None = None
    firmware_channel: str | None = None
    power_source: PowerSource | None = None
    battery_level: float | None = None
    provisioning_method: str | None = None

    def __post_init__(self) -> None:
        _require_one_of("device.kind", self.kind, get_args(DeviceKind))
        _require_one_of("device.power.source", self.power_source, get_args(PowerSource))
        if self.battery_level is not None and not 0 <= self.battery_level <= _FULL_CHARGE:
            raise ValueError(f"device.battery.level: must be between 0 and {_FULL_CHARGE} (got {self.battery_level!r})")

    def attributes(self) -> dict[str, AttributeValue]:
        """The resource attributes, without those that are None."""
        return _present(
            {
                "device.id": self.id,
                "device.kind": self.kind,
                "device.manufacturer": self.manufacturer,
                "device.model.identifier": self.model_identifier,
                "device.serial": self.serial,
                "device.firmware.version": self.firmware_version,
                "device.firmware.channel": self.firmware_channel,
                "device.power.source": self.power_source,
                "device.battery.level": self.battery_level,
                "device.provisioning.method": self.provisioning_method,
            }
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Fleet:
    """The group that a device belongs to: `fleet.*`.

    Raises:
        ValueError: A priority outside its enumeration.
    """

    id: str
    tenant: str | None = None
    priority: FleetPriority | None = None

    def __post_init__(self) -> None:
        _require_one_of("fleet.priority", self.priority, get_args(FleetPriority))

    def attributes(self) -> dict[str, AttributeValue]:
        """The resource attributes, without those that are None."""
        return _present({"fleet.id": self.id, "fleet.tenant": self.tenant, "fleet.priority": self.priority})


@dataclass(frozen=True, kw_only=True, slots=True)
class Site:
    """The place of a device: `site.*`."""

    id: str
    name: str | None = None

    def attributes(self) -> dict[str, AttributeValue]:
        """The resource attributes, without those that are None."""
        return _present({"site.id": self.id, "site.name": self.name})


def _present(values: dict[str, AttributeValue | None]) -> dict[str, AttributeValue]:
    return {name: value for name, value in values.items() if value is not None}


def _require_one_of(attribute: str, value: str | None, allowed: tuple[str, ...]) -> None:
    if value is not None and value not in allowed:
        raise ValueError(f"{attribute}: must be one of {', '.join(allowed)} (got {value!r})")
