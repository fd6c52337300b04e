"""The operator's requests to the API server."""

import asyncio
from collections.abc import Mapping
from typing import Any

from lightkube import ApiError, AsyncClient
from lightkube.config.kubeconfig import KubeConfig
from lightkube.core.client import FieldSelector
from lightkube.generic_resource import create_namespaced_resource
from lightkube.resources.apps_v1 import StatefulSet
from lightkube.resources.core_v1 import ConfigMap, Event, Pod, Secret
from lightkube.types import PatchType

from mqtt_trace_operator.children import Manifest
from mqtt_trace_operator.fleet import GROUP, KIND, PLURAL, VERSION, Fleet, Object

FIELD_MANAGER = "mqtt-trace-operator"
GENERATION_ANNOTATION = f"{GROUP}/fleet-generation"
"""Annotation of a pod with an outdated fleet file: any change of a pod makes kubelet refresh its volumes."""
SENSORS_ANNOTATION = f"{GROUP}/sensors"
"""Annotation of the broker's pod after a change of the sensors that it accepts, for the same reason."""

SensorFleet = create_namespaced_resource(GROUP, VERSION, KIND, PLURAL)

_KINDS: Mapping[str, type[ConfigMap] | type[StatefulSet] | type[Secret]] = {
    "ConfigMap": ConfigMap,
    "Secret": Secret,
    "StatefulSet": StatefulSet,
}
_NOT_FOUND = 404

_MAX_CONCURRENT = 4
"""Requests: each takes a TLS connection of its own, and thus memory here and time of the API server."""


class Cluster:
    """The API server of KUBECONFIG, or of the cluster that this process runs in.

    Attributes:
        reads: Number of read requests so far.
        writes: Number of other requests so far.
    """

    def __init__(self, config: KubeConfig | None = None) -> None:
        self.reads = 0
        self.writes = 0
        self._slots = asyncio.Semaphore(_MAX_CONCURRENT)
        self._client = AsyncClient(config, field_manager=FIELD_MANAGER)

    async def close(self) -> None:
        """Close its connections."""
        await self._client.close()

    async def has_crd(self, namespace: str | None) -> bool:
        """Whether the cluster has the CRD, asked by a list of the fleets of a namespace or, if None, of all.

        Raises:
            lightkube.ApiError: The API server refuses to list fleets.
        """
        async with self._slots:
            self.reads += 1
            try:
                async for _ in self._client.list(SensorFleet, namespace=namespace or "*", chunk_size=1):
                    break
            except ApiError as error:
                if error.status.code == _NOT_FOUND:
                    return False
                raise
            return True

    async def get_fleet(self, namespace: str, name: str) -> Object | None:
        """Get a SensorFleet; None if it does not exist."""
        async with self._slots:
            self.reads += 1
            try:
                return dict(await self._client.get(SensorFleet, name, namespace=namespace))
            except ApiError as error:
                _raise_unless_not_found(error)
                return None

    async def get_child(self, manifest: Object) -> Object | None:
        """Get the live object of a manifest's kind and name; None if it does not exist."""
        async with self._slots:
            self.reads += 1
            metadata = manifest["metadata"]
            try:
                found = await self._client.get(
                    _KINDS[manifest["kind"]], metadata["name"], namespace=metadata["namespace"]
                )
            except ApiError as error:
                _raise_unless_not_found(error)
                return None
            live: Object = found.to_dict()
            return live

    async def apply(self, manifest: Manifest) -> Object:
        """Apply a manifest server-side, which makes the operator the owner of its fields; returns the live object."""
        async with self._slots:
            self.writes += 1
            metadata = manifest["metadata"]
            applied = await self._client.patch(
                _KINDS[manifest["kind"]],
                metadata["name"],
                manifest,
                namespace=metadata["namespace"],
                patch_type=PatchType.APPLY,
                force=True,
            )
            live: Object = applied.to_dict()
            return live

    async def write_secret(self, namespace: str, name: str, data: Mapping[str, str | None]) -> None:
        """Write keys of an existing Secret, in base64, or remove those that are None.

        Raises:
            lightkube.ApiError: The Secret does not exist, or the API server refuses the change.
        """
        async with self._slots:
            self.writes += 1
            await self._client.patch(Secret, name, {"data": data}, namespace=namespace, patch_type=PatchType.MERGE)

    async def list_pods(self, fleet: Fleet) -> list[Pod]:
        """List the pods of a fleet."""
        async with self._slots:
            self.reads += 1
            found = self._client.list(Pod, namespace=fleet.namespace, labels={f"{GROUP}/fleet": fleet.name})
            return [pod async for pod in found]

    async def list_events(self, namespace: str, kind: str, uid: str) -> list[Event]:
        """List the Events of an object."""
        async with self._slots:
            self.reads += 1
            about: FieldSelector = {"involvedObject.kind": kind, "involvedObject.uid": uid}
            return [event async for event in self._client.list(Event, namespace=namespace, fields=about)]

    async def annotate(self, namespace: str, pod: str, value: str, key: str = GENERATION_ANNOTATION) -> None:
        """Annotate a pod, so that kubelet refreshes its volumes now. Does nothing if the pod is gone."""
        async with self._slots:
            self.writes += 1
            patch = {"metadata": {"annotations": {key: value}}}
            try:
                await self._client.patch(Pod, pod, patch, namespace=namespace, patch_type=PatchType.MERGE)
            except ApiError as error:
                _raise_unless_not_found(error)

    async def write_status(self, namespace: str, name: str, status: Mapping[str, Any]) -> None:
        """Replace the fleet's status. Does nothing if the fleet is gone."""
        async with self._slots:
            self.writes += 1
            try:
                # A merge patch would keep the members that are no longer there.
                whole = [{"op": "add", "path": "/status", "value": status}]
                await self._client.patch(
                    SensorFleet.Status, name, whole, namespace=namespace, patch_type=PatchType.JSON
                )
            except ApiError as error:
                _raise_unless_not_found(error)


def _raise_unless_not_found(error: ApiError) -> None:
    if error.status.code != _NOT_FOUND:
        raise error
