"""The environment variables of the operator."""

from pydantic import Field, FilePath

from mqtt_trace.service import HealthSettings


class OperatorSettings(HealthSettings):
    """Environment variables of mqtt-trace-operator."""

    watch_namespace: str | None = Field(
        default=None, description="Namespace of the fleets to reconcile; if unset, all namespaces."
    )
    pod_template_file: FilePath = Field(
        default=..., description="JSON file with the pod template of all fleets: image, broker, telemetry."
    )
