"""What our services share: settings, a runner that stops gracefully, and a health server."""

from mqtt_trace.service._address import host_and_port
from mqtt_trace.service._causes import cause_in_words
from mqtt_trace.service._health import HealthServer, Status
from mqtt_trace.service._listen import EVERYWHERE, listen
from mqtt_trace.service._load import load
from mqtt_trace.service._opentelemetry import check_opentelemetry
from mqtt_trace.service._run import run
from mqtt_trace.service._settings import BrokerSettings, HealthSettings, ServiceSettings

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
