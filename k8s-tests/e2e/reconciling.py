"""Reconciles in this process against the cluster's API server, in a namespace without an operator."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lightkube.config.kubeconfig import KubeConfig
from mqtt_trace_operator.children import Manifest, PodTemplate
from mqtt_trace_operator.cluster import Cluster
from mqtt_trace_operator.identity.broker_users import BrokerObjects, BrokerUsers
from mqtt_trace_operator.identity.certificates import Authority
from mqtt_trace_operator.identity.identities import Identities
from mqtt_trace_operator.reconcile import Reconciler, Result
from mqtt_trace_operator.sensors import Sensors

from e2e.release import until
from local.commands import Kubectl

_PORT = 8080

# Never pulled, so a pod exists at once and does nothing.
_CONTAINER = {
    "name": "producer",
    "image": "mqtt-trace-nowhere:1",
    "imagePullPolicy": "Never",
    "ports": [{"name": "health", "containerPort": _PORT}],
    "resources": {"requests": {"cpu": "1m", "memory": "1024Ki"}, "limits": {"memory": "1024Mi"}},
    "env": [{"name": "LOG_LEVEL", "value": "INFO"}],
    "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
}
_SPEC: dict[str, Any] = {
    "automountServiceAccountToken": False,
    "terminationGracePeriodSeconds": 0,
    "securityContext": {"runAsNonRoot": True, "runAsUser": 10001, "seccompProfile": {"type": "RuntimeDefault"}},
    "containers": [_CONTAINER],
}
_TEMPLATE = {"metadata": {"labels": {"app.kubernetes.io/component": "fleet"}}, "spec": _SPEC}


def with_volume(volume: dict[str, Any]) -> PodTemplate:
    """Return the pods of fleets with a volume that their container mounts."""
    # Kubelet ignores volumes that no container mounts.
    container = {**_CONTAINER, "volumeMounts": [{"name": volume["name"], "mountPath": "/volume"}]}
    return PodTemplate({**_TEMPLATE, "spec": {**_SPEC, "containers": [container], "volumes": [volume]}}, _PORT)


@dataclass
class Done:
    """The last reconcile of an operator.

    Attributes:
        result: Its result.
        writes: Number of its requests other than reads.
    """

    result: Result
    writes: int


class Interruptible(Cluster):
    """The API server, with an action before each apply.

    Args:
        kubeconfig: The cluster's; None for kubectl's own choice.
        before_apply: Called with the number of the apply, from 0, before each.
    """

    def __init__(self, kubeconfig: Path | None, before_apply: Callable[[int], object]) -> None:
        super().__init__(KubeConfig.from_file(kubeconfig) if kubeconfig else KubeConfig.from_env())
        self._before_apply = before_apply
        self._applies = 0

    async def apply(self, manifest: Manifest) -> Any:
        """Call the action, then apply."""
        self._before_apply(self._applies)
        self._applies += 1
        return await super().apply(manifest)


@dataclass(frozen=True)
class Fleets:
    """SensorFleets of one namespace, and an operator that is asked for each reconcile.

    Attributes:
        kubectl: kubectl in the namespace.
        template: The pods of fleets.
        broker: The objects of the broker in which sensors may have users; None without one.
        authority: The authority of sensors' certificates; None without one.
    """

    kubectl: Kubectl
    template: PodTemplate = field(default_factory=lambda: PodTemplate(_TEMPLATE, _PORT))
    broker: BrokerObjects | None = None
    authority: Authority | None = None

    def apply(self, name: str = "demo", **spec: Any) -> None:
        """Apply a fleet with this spec, of three sensors in two pods unless it says otherwise."""
        self.kubectl("apply", "--filename", "-", stdin=json.dumps(manifest(name, **spec)))

    def reconcile(
        self,
        name: str = "demo",
        before_apply: Callable[[int], object] = lambda _: None,
        then: Callable[[], object] | None = None,
    ) -> Done:
        """Reconcile once as an operator that has just started and, with `then`, once more after calling it."""

        async def run() -> Done:
            cluster = Interruptible(self.kubectl.kubeconfig, before_apply)
            sensors = Sensors(_PORT)
            users = BrokerUsers(cluster, self.broker) if self.broker else None
            reconciler = Reconciler(cluster, sensors, self.template, Identities(cluster, users, self.authority))
            try:
                result = await reconciler.reconcile(self.kubectl.namespace, name)
                former_writes = 0
                if then is not None:
                    former_writes = cluster.writes
                    then()
                    result = await reconciler.reconcile(self.kubectl.namespace, name)
                return Done(result, cluster.writes - former_writes)
            finally:
                await sensors.close()
                await cluster.close()

        return asyncio.run(run())

    def get(self, kind: str, name: str = "demo") -> Any:
        """Return an object as the API server has it."""
        return self.kubectl.json("get", kind, name)

    def fleet_file(self, name: str = "demo") -> Any:
        """Return the fleet file that the fleet's pods mount."""
        return json.loads(self.get("configmap", f"{name}-fleet")["data"]["fleet.json"])

    def condition(self, kind: str, name: str = "demo") -> Any:
        """Return a condition of a fleet's status."""
        conditions = self.get("fleet", name)["status"]["conditions"]
        return next(condition for condition in conditions if condition["type"] == kind)

    def reconcile_until(self, kind: str, reason: str, name: str = "demo", message: str = "") -> Any:
        """Reconcile until a condition has this reason and a message that begins so, and return the condition."""

        def found() -> Any:
            self.reconcile(name)
            condition = self.condition(kind, name)
            there = condition["reason"] == reason and condition["message"].startswith(message)
            return condition if there else None

        return until(found, f"{kind} has the reason {reason}", 120)


def manifest(name: str, **spec: Any) -> dict[str, Any]:
    """Return a SensorFleet of three sensors in two pods, unless the spec says otherwise."""
    return {
        "apiVersion": "mqtt-trace.io/v1alpha1",
        "kind": "SensorFleet",
        "metadata": {"name": name},
        "spec": {"replicas": 3, "sensorsPerPod": 2, **spec},
    }
