"""Telemetry set-up for a service: traces, metrics and logs to an OTLP backend, and the IoT resource attributes."""

from mqtt_trace_service.telemetry._attributes import Device, DeviceKind, Fleet, FleetPriority, PowerSource, Site
from mqtt_trace_service.telemetry._setup import Telemetry, setup

__all__ = [
    "Device",
    "DeviceKind",
    "Fleet",
    "FleetPriority",
    "PowerSource",
    "Site",
    "Telemetry",
    "setup",
]
