"""The IoT resource attributes."""

from __future__ import annotations

from typing import Any

import pytest
from mqtt_trace_service.telemetry import Device, Fleet, Site


def test_every_value_gets_the_name_of_the_convention() -> None:
    """All attributes of device, fleet and site have the names of the IoT conventions."""
    device = Device(
        id="sensor-001",
        kind="sensor",
        manufacturer="ACME",
        model_identifier="T-1000",
        serial="4711",
        firmware_version="1.4.2",
        firmware_channel="stable",
        power_source="battery",
        battery_level=97.5,
        provisioning_method="factory",
    )
    fleet = Fleet(id="fleet-demo", tenant="acme", priority="normal")
    assert device.attributes() | fleet.attributes() | Site(id="site-hq", name="Headquarters").attributes() == {
        "device.id": "sensor-001",
        "device.kind": "sensor",
        "device.manufacturer": "ACME",
        "device.model.identifier": "T-1000",
        "device.serial": "4711",
        "device.firmware.version": "1.4.2",
        "device.firmware.channel": "stable",
        "device.power.source": "battery",
        "device.battery.level": 97.5,
        "device.provisioning.method": "factory",
        "fleet.id": "fleet-demo",
        "fleet.tenant": "acme",
        "fleet.priority": "normal",
        "site.id": "site-hq",
        "site.name": "Headquarters",
    }


def test_what_is_not_known_is_left_out() -> None:
    """An unknown value is omitted."""
    assert Device(id="gateway-1").attributes() == {"device.id": "gateway-1"}
    assert Fleet(id="f").attributes() == {"fleet.id": "f"}
    assert Site(id="s").attributes() == {"site.id": "s"}


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        (lambda: Device(id="d", kind=_any("toaster")), "device.kind: must be one of sensor, gateway, mcu, network"),
        (lambda: Device(id="d", power_source=_any("sun")), "device.power.source: must be one of mains, battery"),
        (lambda: Device(id="d", battery_level=101), "device.battery.level: must be between 0 and 100"),
        (lambda: Fleet(id="f", priority=_any("urgent")), "fleet.priority: must be one of critical, high, normal, low"),
    ],
)
def test_a_value_outside_its_enumeration_is_refused(wrong: Any, problem: str) -> None:
    """A value outside its enumeration is refused with the attribute and the allowed values."""
    with pytest.raises(ValueError, match=problem):
        wrong()


def _any(value: Any) -> Any:
    return value
