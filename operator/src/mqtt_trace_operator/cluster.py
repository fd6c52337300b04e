"""What the operator asks of the API server."""

import asyncio
from collections.abc import Mapping
from typing import Any

from lightkube import ApiError, AsyncClient
from lightkube.config.kubeconfig import KubeConfig
from lightkube.core.client import FieldSelector
from lightkube.generic_resource import create_namespaced_resource
from lightkube.resources.apps_v1 import StatefulSet
from lightkube.resources.core_v1 import ConfigMap, Event, Pod
from lightkube.types import PatchType

from mqtt_trace_operator.children import Manifest
from mqtt_trace_operator.fleet import GROUP, KIND, PLURAL, VERSION, Fleet, Object

FIELD_MANAGER = "mqtt-trace-operator"
GENERATION_ANNOTATION = f"{GROUP}/fleet-generation"
"""Annotation of a pod whose fleet file has changed: any change of a pod makes kubelet refresh its volumes."""

SensorFleet = create_namespaced_resource(GROUP, VERSION, KIND, PLURAL)

_KINDS: Mapping[str, type[ConfigMap] | type[StatefulSet]] = {"ConfigMap": ConfigMap, "StatefulSet": StatefulSet}
_NOT_FOUND = 404

_AT_ONCE = 4
"""Requests: each has a connection with TLS, which takes memory here and a turn there."""


class Cluster:
    """The API server of KUBECONFIG, or of the cluster that this process runs in.

    Attributes:
        reads: How many requests have only read so far.
        writes: How many were to change something.
    """

    def __init__(self, config: KubeConfig | None = None) -> None:
        self.reads = 0
        self.writes = 0
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._client = AsyncClient(config, field_manager=FIELD_MANAGER)

    async def close(self) -> None:
        """Close its connections."""
        await self._client.close()

    async def knows_fleets(self, namespace: str | None) -> bool:
        """Whether the CRD is there. False without it.

        Raises:
            lightkube.ApiError: The API server refuses to list fleets.
        """
        async with self._turns:
            self.reads += 1
            try:
                async for _ in self._client.list(SensorFleet, namespace=namespace or "*", chunk_size=1):
                    break
            except ApiError as error:
                if error.status.code == _NOT_FOUND:
                    return False
                raise
            return True

    async def fleet(self, namespace: str, name: str) -> Object | None:
        """A SensorFleet, or None when there is none of that name."""
        async with self._turns:
            self.reads += 1
            try:
                return dict(await self._client.get(SensorFleet, name, namespace=namespace))
            except ApiError as error:
                _pass_if_not_found(error)
                return None

    async def child(self, wanted: Object) -> Object | None:
        """The object of the same kind and name, or None."""
        async with self._turns:
            self.reads += 1
            metadata = wanted["metadata"]
            try:
                found = await self._client.get(
                    _KINDS[wanted["kind"]], metadata["name"], namespace=metadata["namespace"]
                )
            except ApiError as error:
                _pass_if_not_found(error)
                return None
            live: Object = found.to_dict()
            return live

    async def apply(self, wanted: Manifest) -> Object:
        """Apply it server-side: the fields in it are the operator's from then on. Returns the object as it is then."""
        async with self._turns:
            self.writes += 1
            metadata = wanted["metadata"]
            applied = await self._client.patch(
                _KINDS[wanted["kind"]],
                metadata["name"],
                wanted,
                namespace=metadata["namespace"],
                patch_type=PatchType.APPLY,
                force=True,
            )
            live: Object = applied.to_dict()
            return live

    async def pods(self, fleet: Fleet) -> list[Pod]:
        """The pods of a fleet."""
        async with self._turns:
            self.reads += 1
            found = self._client.list(Pod, namespace=fleet.namespace, labels={f"{GROUP}/fleet": fleet.name})
            return [pod async for pod in found]

    async def events(self, namespace: str, kind: str, uid: str) -> list[Event]:
        """The Events of an object."""
        async with self._turns:
            self.reads += 1
            about: FieldSelector = {"involvedObject.kind": kind, "involvedObject.uid": uid}
            return [event async for event in self._client.list(Event, namespace=namespace, fields=about)]

    async def annotate(self, namespace: str, pod: str, value: str) -> None:
        """Annotate a pod, so that kubelet looks at it now. A pod that is gone is none of our business."""
        async with self._turns:
            self.writes += 1
            patch = {"metadata": {"annotations": {GENERATION_ANNOTATION: value}}}
            try:
                await self._client.patch(Pod, pod, patch, namespace=namespace, patch_type=PatchType.MERGE)
            except ApiError as error:
                _pass_if_not_found(error)

    async def write_status(self, namespace: str, name: str, status: Mapping[str, Any]) -> None:
        """Replace the fleet's status. A fleet that is gone has none."""
        async with self._turns:
            self.writes += 1
            try:
                await self._client.patch(
                    SensorFleet.Status,
                    name,
                    {"status": status},
                    namespace=namespace,
                    patch_type=PatchType.MERGE,
                )
            except ApiError as error:
                _pass_if_not_found(error)


def _pass_if_not_found(error: ApiError) -> None:
    if error.status.code != _NOT_FOUND:
        raise error
