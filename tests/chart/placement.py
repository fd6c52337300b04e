"""Where a value belongs in the manifests."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import yaml

from tests.chart.value_sets import DEFAULTS

Manifest = dict[str, Any]
Path = tuple[Any, ...]

COMPONENTS = {
    "broker": "mosquitto",
    "collector": "otel-collector",
    "brokerMetrics": "broker-metrics",
    "scoutSim": "scout-sim",
    **{name: name for name in ("producer", "consumer", "echo", "operator")},
}
_CONTAINER = ("spec", "containers", 0)
IN_PODS: dict[str, Path] = {
    "podAnnotations": ("metadata", "annotations"),
    "podLabels": ("metadata", "labels"),
    "podSecurityContext": ("spec", "securityContext"),
    "securityContext": (*_CONTAINER, "securityContext"),
    "extraVolumes": ("spec", "volumes"),
    "extraVolumeMounts": (*_CONTAINER, "volumeMounts"),
    "initContainers": ("spec", "initContainers"),
    "sidecars": ("spec", "containers"),
    **{
        name: (*_CONTAINER, name)
        for name in ("envFrom", "resources", "startupProbe", "readinessProbe", "livenessProbe")
    },
    **{
        name: ("spec", name)
        for name in (
            *("nodeSelector", "tolerations", "affinity", "topologySpreadConstraints", "priorityClassName"),
            *("runtimeClassName", "hostAliases", "dnsConfig", "terminationGracePeriodSeconds"),
        )
    },
}
VARIABLES = {
    "scout.environment": "SCOUT_ENVIRONMENT",
    "producer.deviceId": "DEVICE_ID",
    "producer.devices": "DEVICE_COUNT",
    "producer.intervalSeconds": "PUBLISH_INTERVAL_S",
    "producer.qos": "PUBLISH_QOS",
    "consumer.shareGroup": "MQTT_SHARE_GROUP",
    "consumer.echoUrl": "ECHO_URL",
    "collector.external.endpoint": "OTEL_EXPORTER_OTLP_ENDPOINT",
    "broker.external.host": "MQTT_BROKER_HOST",
    "broker.external.port": "MQTT_BROKER_PORT",
}


def misplaced(values: Any, manifests: list[Manifest], notes: str) -> Iterator[str]:
    """Each value that is not where it belongs, as a line; of a component that is off, none is expected."""
    pods = {_component(manifest): pod for manifest in manifests if (pod := _pod(manifest))}
    for name, value in values.items():
        if name in IN_PODS:
            for component, pod in pods.items():
                owner = next((key for key, other in COMPONENTS.items() if other == component), "")
                own = (DEFAULTS.get(owner) or {}) | (values.get(owner) or {})
                if name not in own and not _within(value, _at(pod, IN_PODS[name])):
                    yield f"{name} of {component}: {value!r}"
        elif name in COMPONENTS and isinstance(value, dict) and (pod := pods.get(COMPONENTS[name])):
            yield from (f"{name}.{fault}" for fault in _misplaced_of_component(COMPONENTS[name], value, pod, manifests))
    for path, variable in VARIABLES.items():
        value = _at(values, tuple(path.split(".")))
        found = {text for pod in pods.values() if (text := _variables(pod).get(variable)) is not None}
        if value not in (None, "") and found and _as_text(value) not in found:
            yield f"{path}: {value!r} is not in {found}"
    texts = "\n".join((*_texts(manifests), notes))
    for steps, text in _strings(values):
        if text.strip() not in texts and not _is_off(steps, values, pods):
            yield f"{'.'.join(steps)}: {text!r} is nowhere"


def _is_off(path: tuple[str, ...], values: Any, pods: dict[str, Any]) -> bool:
    """Whether other values leave out the part that a value is for."""
    part = {"auth": "mosquitto", "scout": "otel-collector"}.get(path[0], COMPONENTS.get(path[0]))
    if path == ("auth", "passwords", "brokerMetrics"):
        part = "broker-metrics"
    return bool(part and part not in pods) or _is_replaced(path, values) or _is_switched_off(path, values)


def _is_replaced(path: tuple[str, ...], values: Any) -> bool:
    """Whether another value stands in for it."""
    persistence = _at(values, (path[0], "persistence")) or {}
    return (
        (path[-2:] == ("image", "registry") and bool(_at(values, ("global", "imageRegistry"))))
        or ("serviceAccount" in path and _at(values, (path[0], "serviceAccount", "create")) is False)
        or ("persistence" in path and "existingClaim" in persistence)
    )


def _is_switched_off(path: tuple[str, ...], values: Any) -> bool:
    """Whether `enabled` of its own group, or of what it is for, is false."""
    if path[:2] == ("networkPolicy", "prometheus"):
        path = ("monitoring", "podMonitor", "labels")
    if path[:2] == ("networkPolicy", "ingressControllers"):
        return not any(_at(values, ("scoutSim", way, "enabled")) for way in ("ingress", "httpRoute"))
    groups = (path[:length] for length in range(1, len(path)))
    switches = ((_at(DEFAULTS, group), _at(values, group)) for group in groups)
    return any(
        isinstance(default, dict) and "enabled" in default and not (default | (given or {}))["enabled"]
        for default, given in switches
    )


def _misplaced_of_component(component: str, values: Any, pod: Any, manifests: list[Manifest]) -> Iterator[str]:
    for field, value in values.items():
        if field in IN_PODS and not _within(value, _at(pod, IN_PODS[field])):
            yield f"{field}: {value!r} is not in {_at(pod, IN_PODS[field])!r:.300}"
    variables = _variables(pod)
    for variable, value in (values.get("env") or {}).items():
        given = value if isinstance(value, dict) or value is None else _as_text(value)
        if variable != "OTEL_RESOURCE_ATTRIBUTES" and not _within(given, variables.get(variable)):
            yield f"env.{variable}: {value!r} is not {variables.get(variable)!r}"
    image = _at(pod, (*_CONTAINER, "image"))
    for part, text in (values.get("image") or {}).items():
        if text and text not in image:
            yield f"image.{part}: {text!r} is not in {image!r}"
    (service,) = [
        m for m in manifests if m["kind"] == "Service" and m["metadata"]["name"].endswith(f"-{component}")
    ] or [{}]
    settings = dict(values.get("service") or {})
    annotations, port = settings.pop("annotations", {}), settings.pop("nodePort", None)
    if not _within(annotations, _at(service, ("metadata", "annotations"))) or not _within(
        settings, service.get("spec")
    ):
        yield f"service: {values['service']!r}"
    if port is not None and _at(service, ("spec", "ports", 0, "nodePort")) != port:
        yield f"service.nodePort: {port!r}"


def _within(value: Any, found: Any) -> bool:
    """Whether all of a value is in what was found; empty values may be absent."""
    if value is None or value in ("", [], {}):
        return True
    if isinstance(value, dict):
        return all(_within(part, found.get(name) if isinstance(found, dict) else None) for name, part in value.items())
    if isinstance(value, list):
        return isinstance(found, list) and all(any(_within(part, item) for item in found) for part in value)
    return bool(value == found) and isinstance(value, bool) == isinstance(found, bool)


def _at(part: Any, path: Path) -> Any:
    for step in path:
        try:
            part = part[step]
        except (KeyError, IndexError, TypeError):
            return None
    return part


def _pod(manifest: Manifest) -> Any:
    return manifest if manifest["kind"] == "Pod" else _at(manifest, ("spec", "template"))


def _component(manifest: Manifest) -> str:
    return str(_at(manifest, ("metadata", "labels", "app.kubernetes.io/component")))


def _variables(pod: Any) -> dict[str, Any]:
    found = _at(pod, (*_CONTAINER, "env")) or []
    return {variable["name"]: variable.get("value", variable.get("valueFrom")) for variable in found}


def _as_text(value: Any) -> str:
    return (
        value
        if isinstance(value, str)
        else json.dumps(int(value) if value == int(value) and not isinstance(value, bool) else value)
    )


def _texts(part: Any) -> Iterator[str]:
    """Every string of the manifests, and what those of Secrets stand for."""
    if isinstance(part, list):
        for item in part:
            yield from _texts(item)
    elif isinstance(part, dict):
        for name, value in part.items():
            yield name
            if part.get("kind") == "Secret" and name == "data":
                yield from (base64.b64decode(text).decode() for text in value.values())
            if name == "config.yaml":
                yield from (text.replace("$$", "$") for text in _texts(yaml.safe_load(value)))
            yield from _texts(value)
    else:
        yield str(part)


def _strings(values: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    if isinstance(values, dict):
        for name, value in values.items():
            yield from _strings(value, (*path, name))
    elif isinstance(values, list):
        for index, value in enumerate(values):
            yield from _strings(value, (*path, str(index)))
    elif isinstance(values, str):
        yield path, values
