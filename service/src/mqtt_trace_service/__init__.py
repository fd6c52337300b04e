"""Shared by our services: settings, a runner with graceful shutdown, and a health server."""

from mqtt_trace_service._address import host_and_port
from mqtt_trace_service._causes import cause_in_words
from mqtt_trace_service._health import HealthServer, Status
from mqtt_trace_service._listen import EVERYWHERE, listen
from mqtt_trace_service._load import load
from mqtt_trace_service._opentelemetry import check_opentelemetry
from mqtt_trace_service._run import run
from mqtt_trace_service._settings import BrokerSettings, HealthSettings, ServiceSettings

__all__ = [
    "EVERYWHERE",
    "BrokerSettings",
    "HealthServer",
    "HealthSettings",
    "ServiceSettings",
    "Status",
    "cause_in_words",
    "check_opentelemetry",
    "host_and_port",
    "listen",
    "load",
    "run",
]
