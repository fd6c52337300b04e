"""The environment variables of the operator."""

from mqtt_trace_service import HealthSettings
from pydantic import Field, FilePath


class OperatorSettings(HealthSettings):
    """Environment variables of mqtt-trace-operator."""

    watch_namespace: str | None = Field(
        default=None, description="Namespace of the fleets to reconcile; if unset, all namespaces."
    )
    pod_template_file: FilePath = Field(
        default=..., description="JSON file with the pod template of all fleets: image, broker, telemetry."
    )
