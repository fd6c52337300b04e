"""The Prometheus Operator, and a Prometheus that takes every PodMonitor and PrometheusRule of the cluster."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from local.commands import Kubectl
from local.forward import PortForward
from local.prometheus import PrometheusApi

OPERATOR_VERSION = "v0.85.0"
VERSION = "v3.16.0"
IMAGES = {
    "operator": f"quay.io/prometheus-operator/prometheus-operator:{OPERATOR_VERSION}",
    "reloader": f"quay.io/prometheus-operator/prometheus-config-reloader:{OPERATOR_VERSION}",
    "prometheus": f"quay.io/prometheus/prometheus:{VERSION}",
}

_NAME = "mqtt-trace-prometheus"
_CRD = "crd/prometheuses.monitoring.coreos.com"
_EVERYTHING = ["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"]
_RULES = [
    {"apiGroups": ["monitoring.coreos.com"], "resources": ["*"], "verbs": ["*"]},
    {"apiGroups": ["apps"], "resources": ["statefulsets"], "verbs": _EVERYTHING},
    {
        "apiGroups": [""],
        "resources": ["configmaps", "secrets", "services", "services/finalizers", "pods", "endpoints", "events"],
        "verbs": _EVERYTHING,
    },
    {"apiGroups": ["", "events.k8s.io"], "resources": ["nodes", "namespaces", "events"], "verbs": _EVERYTHING},
    {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": _EVERYTHING},
    {"apiGroups": ["storage.k8s.io"], "resources": ["storageclasses"], "verbs": ["get"]},
]
_RESTRICTED = {
    "runAsNonRoot": True,
    "runAsUser": 10001,
    "runAsGroup": 10001,
    "fsGroup": 10001,
    "seccompProfile": {"type": "RuntimeDefault"},
}


def install_crds(kubectl: Kubectl, folder: Path) -> None:
    """Install the Prometheus Operator's CRDs from files, unless the cluster has them."""
    if not kubectl("get", _CRD, "--ignore-not-found", "--output=name"):
        kubectl("apply", "--server-side", "--filename", str(folder))
    kubectl("wait", "--for=condition=Established", _CRD, "--timeout=60s")


@contextmanager
def installed(kubectl: Kubectl, log: Path) -> Iterator[PrometheusApi]:
    """Install both in a namespace, which is the caller's to delete; the cluster-wide objects end with the block."""
    objects = {"apiVersion": "v1", "kind": "List", "items": list(_objects(kubectl.namespace))}
    # The API server validates as well; kubectl would first read the schemas of all CRDs, for up to a minute.
    kubectl("apply", "--server-side", "--validate=false", "--filename", "-", stdin=json.dumps(objects))
    try:
        kubectl("rollout", "status", f"deployment/{_NAME}", "--timeout=180s")
        kubectl("wait", "--for=condition=Available", f"prometheus/{_NAME}", "--timeout=180s")
        forward = PortForward(kubectl, "prometheus-operated", 9090, log)
        prometheus = PrometheusApi(httpx.Client(base_url=forward.url, transport=forward, timeout=30))
        try:
            yield prometheus
        finally:
            prometheus.close()
    finally:
        kubectl("delete", f"prometheus/{_NAME}", f"clusterrolebinding/{_NAME}", f"clusterrole/{_NAME}", "--wait")


def _objects(namespace: str) -> Iterator[Mapping[str, Any]]:
    rbac = "rbac.authorization.k8s.io"
    metadata = {"name": _NAME, "namespace": namespace}
    yield {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata}
    yield {"apiVersion": f"{rbac}/v1", "kind": "ClusterRole", "metadata": {"name": _NAME}, "rules": _RULES}
    yield {
        "apiVersion": f"{rbac}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": _NAME},
        "roleRef": {"apiGroup": rbac, "kind": "ClusterRole", "name": _NAME},
        "subjects": [{"kind": "ServiceAccount", "name": _NAME, "namespace": namespace}],
    }
    yield {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": _operator()}
    yield {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "Prometheus",
        "metadata": metadata,
        "spec": {
            "image": IMAGES["prometheus"],
            "version": VERSION,
            "serviceAccountName": _NAME,
            "securityContext": _RESTRICTED,
            "scrapeInterval": "2s",
            "evaluationInterval": "2s",
            "podMonitorSelector": {},
            "podMonitorNamespaceSelector": {},
            "ruleSelector": {},
            "ruleNamespaceSelector": {},
            "resources": {"requests": {"cpu": "20m", "memory": "64Mi"}},
        },
    }


def _operator() -> Mapping[str, Any]:
    labels = {"app.kubernetes.io/name": "prometheus-operator"}
    container = {
        "name": "operator",
        "image": IMAGES["operator"],
        "args": [f"--prometheus-config-reloader={IMAGES['reloader']}", "--config-reloader-cpu-request=10m"],
        "resources": {"requests": {"cpu": "20m", "memory": "64Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    spec = {"serviceAccountName": _NAME, "securityContext": _RESTRICTED, "containers": [container]}
    return {
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": spec},
    }
