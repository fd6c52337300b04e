"""`spec.target`: the broker of a fleet's sensors, if it is not the chart's."""

from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

CONNECTION = frozenset(
    {
        "MQTT_BROKER_HOST",
        "MQTT_BROKER_PORT",
        "MQTT_USERNAME",
        "MQTT_PASSWORD",
        "MQTT_TLS",
        "MQTT_TLS_CA_FILE",
        "MQTT_TLS_CERT_FILE",
        "MQTT_TLS_KEY_FILE",
    }
)
"""Variables of the chart's pod template that a target replaces: with another broker, a part of them would be wrong."""

_FOLDER = "/etc/mqtt-trace/target"
_VOLUME = "target"


class _Part(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, frozen=True, extra="ignore")


class SecretKey(_Part):
    """A key of a Secret in the fleet's namespace."""

    name: str
    key: str


class Target(_Part):
    """A broker that the chart does not know."""

    host: str
    port: int | None = None
    tls: bool = False
    ca_secret: str | None = None
    username_secret_ref: SecretKey | None = None
    password_secret_ref: SecretKey | None = None


def replace_connection(given: Iterable[dict[str, Any]], target: Target) -> list[dict[str, Any]]:
    """Replace the variables of a container that connect to a broker by those of the target."""
    kept = [variable for variable in given if variable["name"] not in CONNECTION]
    port = target.port or (8883 if target.tls else 1883)
    kept += [{"name": "MQTT_BROKER_HOST", "value": target.host}, {"name": "MQTT_BROKER_PORT", "value": str(port)}]
    if target.tls:
        kept.append({"name": "MQTT_TLS", "value": "true"})
    if target.ca_secret is not None:
        kept.append({"name": "MQTT_TLS_CA_FILE", "value": f"{_FOLDER}/ca.crt"})
    secrets = {"MQTT_USERNAME": target.username_secret_ref, "MQTT_PASSWORD": target.password_secret_ref}
    kept += [
        {"name": name, "valueFrom": {"secretKeyRef": {"name": secret.name, "key": secret.key}}}
        for name, secret in secrets.items()
        if secret is not None
    ]
    return kept


def mount_authority(pod: dict[str, Any], target: Target) -> None:
    """Mount the authority of the target's certificate into the first container, if the target names one."""
    if target.ca_secret is None:
        return
    items = [{"key": "ca.crt", "path": "ca.crt"}]
    pod["spec"].setdefault("volumes", []).append(
        {"name": _VOLUME, "secret": {"secretName": target.ca_secret, "items": items}}
    )
    container, *_sidecars = pod["spec"]["containers"]
    container.setdefault("volumeMounts", []).append({"name": _VOLUME, "mountPath": _FOLDER, "readOnly": True})
