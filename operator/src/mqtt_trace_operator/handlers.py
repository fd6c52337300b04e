"""The handlers that kopf calls: each event enqueues its fleet, and nothing more.

All are raw event handlers: kopf's other kinds put a finalizer or annotations on the resource.
"""

import asyncio
import os
import socket
from collections.abc import Mapping
from typing import Any

import kopf

from mqtt_trace_operator.children import FLEET_LABEL
from mqtt_trace_operator.fleet import GROUP, PLURAL, VERSION
from mqtt_trace_operator.workers import Key, Workers

_CHILDREN = (("apps", "v1", "statefulsets"), ("", "v1", "configmaps"), ("", "v1", "pods"))


def build_registry(workers: Workers, stop: asyncio.Event) -> kopf.OperatorRegistry:
    """Build the handlers that enqueue fleets and, when a signal ends kopf, close the workers and set `stop`."""
    registry = kopf.OperatorRegistry()

    async def log_in(**arguments: Any) -> kopf.ConnectionInfo | None:
        return kopf.login_with_service_account(**arguments) or kopf.login_with_kubeconfig(**arguments)

    async def on_fleet(namespace: str | None, name: str, **_: Any) -> None:
        workers.enqueue(Key(str(namespace), name))

    async def on_child(namespace: str | None, labels: kopf.Labels, **_: Any) -> None:
        if key := find_fleet_key(namespace, labels):
            workers.enqueue(key)

    async def on_end(**_: Any) -> None:
        # Without this, kopf would wait five seconds for tasks that wait for events, and Kubernetes for kopf.
        workers.close()
        stop.set()

    kopf.on.login(registry=registry)(log_in)
    kopf.on.cleanup(registry=registry)(on_end)
    kopf.on.event(GROUP, VERSION, PLURAL, registry=registry)(on_fleet)
    for child in _CHILDREN:
        kopf.on.event(*child, registry=registry, labels={FLEET_LABEL: kopf.PRESENT})(on_child)
    return registry


def find_fleet_key(namespace: str | None, labels: Mapping[str, str]) -> Key | None:
    """The fleet that a child's label names; None for an empty label, which any user may write."""
    return Key(str(namespace), labels[FLEET_LABEL]) if labels[FLEET_LABEL] else None


def operator_settings() -> kopf.OperatorSettings:
    """Settings with which kopf watches fleets and their children, and nothing else in the cluster."""
    settings = kopf.OperatorSettings()
    settings.scanning.disabled = True
    settings.peering.standalone = True
    for child in _CHILDREN:
        settings.watching.label_selectors[child] = FLEET_LABEL
    settings.posting.reporting_component = "mqtt-trace-operator"
    # Without POD_ID kopf looks up the name of its user, and the image has none.
    settings.posting.reporting_instance = os.environ.setdefault("POD_ID", socket.gethostname())
    return settings
