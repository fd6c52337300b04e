"""A value for each setting that components may have, and where pods have it."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from tests.chart.conftest import Manifest

Pods = dict[str, Manifest]
Values = dict[str, Any]

PODS = {
    "broker": ["mosquitto"],
    "brokerMetrics": ["broker-metrics"],
    "collector": ["otel-collector"],
    "scoutSim": ["scout-sim"],
    "producer": ["producer", "fleet"],
    "consumer": ["consumer"],
    "echo": ["echo"],
    "operator": ["operator"],
}
"""The pods of each component, by their label."""
ALL_PODS = {pod for pods in PODS.values() for pod in pods} | {"test"}


def settings(mark: str) -> Values:
    """Values of one component, each of which has the mark in it."""
    number = int(hashlib.sha256(mark.encode()).hexdigest()[:6], 16) + 1000
    return {
        "podAnnotations": {"example.com/mark": mark},
        "podLabels": {"example.com/mark": mark},
        "podSecurityContext": {"supplementalGroups": [number]},
        "securityContext": {"runAsUser": number},
        "nodeSelector": {"example.com/mark": mark},
        "tolerations": [{"key": mark, "operator": "Exists", "tolerationSeconds": number, "effect": "NoExecute"}],
        "affinity": {
            "nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {
                    "nodeSelectorTerms": [{"matchExpressions": [{"key": mark, "operator": "Exists"}]}]
                }
            }
        },
        "topologySpreadConstraints": [{"maxSkew": 2, "topologyKey": mark, "whenUnsatisfiable": "DoNotSchedule"}],
        "priorityClassName": mark.lower(),
        "runtimeClassName": mark.lower(),
        "hostAliases": [{"ip": "192.0.2.1", "hostnames": [f"{mark.lower()}.example.com"]}],
        "dnsConfig": {"searches": [f"{mark.lower()}.example.com"]},
    }


def component_settings(mark: str) -> Values:
    """Values of one component that all pods together cannot have, each of which has the mark in it."""
    number = int(hashlib.sha256(mark.encode()).hexdigest()[:4], 16) + 1000
    container = {"image": "busybox:1", "command": ["sh", "-c", f"echo {mark}"]}
    return {
        "image": {"digest": f"sha256:{hashlib.sha256(mark.encode()).hexdigest()}"},
        "env": {"MARK": mark},
        "envFrom": [{"secretRef": {"name": mark.lower()}}],
        "resources": {"requests": {"cpu": f"{number}m"}, "limits": {"hugepages-2Mi": f"{2 * number}Mi"}},
        "extraVolumes": [{"name": "mark", "secret": {"secretName": mark.lower()}}],
        "extraVolumeMounts": [{"name": "mark", "mountPath": f"/{mark}"}],
        "initContainers": [{"name": "before", **container}],
        "sidecars": [{"name": "next-to-it", **container}],
        "startupProbe": {"failureThreshold": number},
        "readinessProbe": {"periodSeconds": number},
        "livenessProbe": {"tcpSocket": {"port": number}, "initialDelaySeconds": number},
        "terminationGracePeriodSeconds": number,
        "serviceAccount": {"name": mark.lower()},
    }


def parts(pod: Manifest) -> Values:
    """What a pod has of each value, by the value's name."""
    metadata, spec = pod["metadata"], pod["spec"]
    container = spec["containers"][0]
    named = (*settings(""), *component_settings(""))
    return {name: spec.get(name, container.get(name)) for name in named} | {
        "podAnnotations": metadata.get("annotations"),
        "podLabels": metadata["labels"],
        "podSecurityContext": spec.get("securityContext"),
        "securityContext": container.get("securityContext"),
        "image": {"digest": container["image"].partition("@")[2]},
        "env": {variable["name"]: variable.get("value") for variable in container.get("env", [])},
        "extraVolumes": spec.get("volumes"),
        "extraVolumeMounts": container.get("volumeMounts"),
        "sidecars": spec["containers"][1:],
        "serviceAccount": {"name": spec.get("serviceAccountName")},
    }


def contains(found: Any, given: Any) -> bool:
    """Whether what was found is what was given, or more."""
    if isinstance(given, dict):
        return isinstance(found, dict) and all(contains(found.get(name), value) for name, value in given.items())
    if isinstance(given, list):
        return isinstance(found, list) and all(any(contains(item, value) for item in found) for value in given)
    return bool(found == given)


def pods_of(manifests: list[Manifest]) -> Pods:
    """Every pod that comes of the manifests, those of fleets included, by the component in its label."""
    found = []
    for manifest in manifests:
        if manifest["kind"] == "Pod":
            found.append(manifest)
        elif manifest["kind"] in ("Deployment", "StatefulSet"):
            found.append(manifest["spec"]["template"])
        elif fleet := manifest.get("data", {}).get("pod-template.json"):
            found.append(json.loads(fleet))
    return {pod["metadata"]["labels"]["app.kubernetes.io/component"]: pod for pod in found}
