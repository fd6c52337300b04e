"""The environment variables of the service."""

import socket

from mqtt_trace_service import BrokerSettings
from pydantic import Field


class Settings(BrokerSettings):
    """Environment variables of mqtt-trace-broker-metrics."""

    mqtt_client_id: str = Field(
        default_factory=lambda: f"mqtt-trace-broker-metrics-{socket.gethostname()}",
        min_length=1,
        max_length=1024,
        description="Client id; the broker counts this client as well.",
    )
