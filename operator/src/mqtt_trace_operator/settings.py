"""The environment variables of the operator."""

import re
from typing import Annotated

from mqtt_trace_service import HealthSettings
from pydantic import BeforeValidator, Field, FilePath
from pydantic_settings import NoDecode

_NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", re.ASCII)


def _namespaces(text: str) -> tuple[str, ...]:
    names = [name.strip() for name in text.split(",")]
    # kopf would take anything else for a pattern, and search all namespaces for matches.
    if not all(map(_NAMESPACE.fullmatch, names)):
        raise ValueError("must be names of namespaces, separated by commas")
    return tuple(dict.fromkeys(names))


class OperatorSettings(HealthSettings):
    """Environment variables of mqtt-trace-operator."""

    watch_namespace: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_namespaces)] | None = Field(
        default=None,
        description="Namespaces of the fleets to reconcile, separated by commas; if unset, all namespaces.",
    )
    broker_namespace: str | None = Field(
        default=None, description="Namespace of the chart's Mosquitto, if sensors may have users of their own there."
    )
    broker_pod: str | None = Field(default=None, description="Name of Mosquitto's pod.")
    broker_sensors_secret: str | None = Field(
        default=None, description="Name of the Secret with the users of sensors, which Mosquitto's pod mounts."
    )
    pod_template_file: FilePath = Field(
        default=..., description="JSON file with the pod template of all fleets: image, broker, telemetry."
    )
