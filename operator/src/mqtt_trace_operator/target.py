"""`spec.target`: the broker of a fleet's sensors, if it is not the chart's."""

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


def connect(pod: dict[str, Any], target: Target) -> None:
    """Connect the first container of a pod to the target, and to nothing else.

    Volumes with files for the chart's broker go, too: the fleet's namespace may lack their Secrets.
    """
    container, *_sidecars = pod["spec"]["containers"]
    given = container.get("env", [])
    _unmount(pod, [str(variable.get("value")) for variable in given if variable["name"] in CONNECTION])
    container["env"] = [variable for variable in given if variable["name"] not in CONNECTION] + _variables(target)
    if target.ca_secret is not None:
        items = [{"key": "ca.crt", "path": "ca.crt"}]
        volume = {"name": _VOLUME, "secret": {"secretName": target.ca_secret, "items": items}}
        pod["spec"].setdefault("volumes", []).append(volume)
        container.setdefault("volumeMounts", []).append({"name": _VOLUME, "mountPath": _FOLDER, "readOnly": True})


def _variables(target: Target) -> list[dict[str, Any]]:
    port = target.port or (8883 if target.tls else 1883)
    values = {
        "MQTT_BROKER_HOST": target.host,
        "MQTT_BROKER_PORT": str(port),
        "MQTT_TLS": "true" if target.tls else None,
        "MQTT_TLS_CA_FILE": f"{_FOLDER}/ca.crt" if target.ca_secret is not None else None,
    }
    secrets = {"MQTT_USERNAME": target.username_secret_ref, "MQTT_PASSWORD": target.password_secret_ref}
    return [{"name": name, "value": value} for name, value in values.items() if value is not None] + [
        {"name": name, "valueFrom": {"secretKeyRef": {"name": secret.name, "key": secret.key}}}
        for name, secret in secrets.items()
        if secret is not None
    ]


def _unmount(pod: dict[str, Any], files: list[str]) -> None:
    """Remove the volumes in which these files are."""
    container, *_sidecars = pod["spec"]["containers"]
    mounts = container.get("volumeMounts", [])
    gone = {mount["name"] for mount in mounts if any(file.startswith(f"{mount['mountPath']}/") for file in files)}
    for place, key in ((container, "volumeMounts"), (pod["spec"], "volumes")):
        if key in place:
            place[key] = [one for one in place[key] if one["name"] not in gone]
