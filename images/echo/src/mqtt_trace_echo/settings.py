"""The environment variables of the service."""

from mqtt_trace_service import EVERYWHERE, ServiceSettings
from pydantic import Field


class EchoSettings(ServiceSettings):
    """Environment variables of mqtt-trace-echo."""

    echo_host: str = Field(
        default=EVERYWHERE, description="Address to listen on; :: means all IPv6 and IPv4 addresses."
    )
    echo_port: int = Field(default=8000, ge=0, le=65535, description="TCP port to listen on; 0 picks a free one.")
    echo_max_body_bytes: int = Field(default=1_048_576, ge=1, description="Maximum size of a body in bytes.")
