"""The environment variables of the operator."""

import re
from typing import Annotated

from mqtt_trace_service import HealthSettings
from pydantic import BeforeValidator, DirectoryPath, Field, FilePath
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
    broker_host: str | None = Field(
        default=None, description="Host name of Mosquitto, if sensors may have certificates of their own."
    )
    broker_certificates_port: int | None = Field(
        default=None, ge=1, le=65535, description="TCP port on which Mosquitto accepts these certificates."
    )
    broker_ca_file: FilePath | None = Field(
        default=None, description="PEM file of the authority that signed Mosquitto's certificate."
    )
    sensors_ca_dir: DirectoryPath | None = Field(
        default=None, description="Folder with tls.crt and tls.key of the authority that signs certificates of sensors."
    )
    pod_template_file: FilePath = Field(
        default=..., description="JSON file with the pod template of all fleets: image, broker, telemetry."
    )
