"""The sensors that the chart's Mosquitto accepts: a Secret that its pod mounts.

It has a password file per fleet, the authority of sensors' certificates, and the list of those that are revoked.
"""

import asyncio
import base64
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from mqtt_trace import MqttTraceError
from mqtt_trace_operator.cluster import SENSORS_ANNOTATION, Cluster
from mqtt_trace_operator.fleet import Fleet
from mqtt_trace_operator.identity.certificates import Authority
from mqtt_trace_operator.identity.passwords import make_lines

_SUFFIX = ".passwords"
_AUTHORITY = "ca.crt"
_REVOKED = "crl.pem"
_RETRY_AFTER_S = 5.0
"""Kubelet may refresh before it has seen the new Secret, and then not for another minute."""


@dataclass(frozen=True)
class BrokerObjects:
    """The objects of the chart's Mosquitto.

    Attributes:
        namespace: Their namespace.
        secret: Name of the Secret with the users of sensors.
        pod: Name of its pod.
    """

    namespace: str
    secret: str
    pod: str


class MissingSecretError(MqttTraceError):
    """The Secret that the broker's pod mounts does not exist."""


class BrokerUsers:
    """Writes the users of sensors.

    Args:
        cluster: The API server.
        objects: The objects of the chart's Mosquitto.
    """

    def __init__(self, cluster: Cluster, objects: BrokerObjects) -> None:
        self._cluster = cluster
        self._objects = objects
        self._written: dict[str, tuple[Mapping[str, bytes], str]] = {}
        self._refreshed_at = float("-inf")
        self._lock = asyncio.Lock()

    async def find_fleets(self) -> list[tuple[str, str]]:
        """Namespaces and names of the fleets with users, whether or not they still exist."""
        files = await self._read() or {}
        return [
            (namespace, name)
            for key in files
            if key.endswith(_SUFFIX)
            for namespace, _, name in [key.removesuffix(_SUFFIX).partition(".")]
        ]

    async def replace(self, fleet: Fleet, passwords: Mapping[str, bytes]) -> bool:
        """Replace the users of a fleet; returns whether that changed anything.

        Raises:
            MissingSecretError: The broker's Secret does not exist.
            lightkube.ApiError: The API server refuses the change, for example because the Secret would be too large.
        """
        key = _key(fleet.namespace, fleet.name)
        current = (await self._read_existing()).get(key, "")
        if self._written.get(key) == (passwords, current):
            return False
        # Thousands of hashes would block the event loop for a second.
        lines = await asyncio.to_thread(make_lines, passwords, current.splitlines())
        text = "".join(f"{line}\n" for line in lines)
        self._written[key] = passwords, text
        if text == current:
            return False
        await self._write({key: base64.b64encode(text.encode()).decode()})
        return True

    async def revoke(self, authority: Authority, revoked: Sequence[bytes], accepted: Sequence[bytes]) -> bool:
        """Replace the revoked certificates of a fleet; returns whether that changed anything.

        Raises:
            MissingSecretError: The broker's Secret does not exist.
            lightkube.ApiError: The API server refuses the change.
        """
        async with self._lock:  # all fleets share the list
            files = await self._read_existing()
            former = files.get(_REVOKED, "").encode()
            listed = await asyncio.to_thread(authority.revoke, revoked, accepted, former, datetime.now(UTC))
            data = {} if listed == former else {_REVOKED: base64.b64encode(listed).decode()}
            if not authority.has_key_of(files.get(_AUTHORITY, "").encode()):
                data[_AUTHORITY] = base64.b64encode(authority.pem).decode()
            if not data:
                return False
            await self._write(data)
            return True

    async def remove(self, namespace: str, name: str) -> None:
        """Remove the users of a fleet that does not exist any more."""
        key = _key(namespace, name)
        self._written.pop(key, None)
        if key in (await self._read() or {}):
            await self._write({key: None})
            await self.refresh()

    async def refresh(self) -> None:
        """Have kubelet refresh the volumes of Mosquitto's pod now, unless that was asked for a moment ago."""
        now = time.monotonic()
        if now < self._refreshed_at + _RETRY_AFTER_S:
            return
        self._refreshed_at = now
        value = str(int(time.time()))
        await self._cluster.annotate(self._objects.namespace, self._objects.pod, value, SENSORS_ANNOTATION)

    async def _read(self) -> Mapping[str, str] | None:
        """Read the Secret's files; None if it does not exist."""
        objects = self._objects
        manifest = {"kind": "Secret", "metadata": {"namespace": objects.namespace, "name": objects.secret}}
        found = await self._cluster.get_child(manifest)
        if found is None:
            return None
        return {key: base64.b64decode(content).decode() for key, content in (found.get("data") or {}).items()}

    async def _read_existing(self) -> Mapping[str, str]:
        files = await self._read()
        if files is None:
            where = f"Secret {self._objects.secret} in {self._objects.namespace}"
            raise MissingSecretError(f"{where} does not exist: upgrade the release")
        return files

    async def _write(self, data: Mapping[str, str | None]) -> None:
        self._refreshed_at = float("-inf")
        await self._cluster.write_secret(self._objects.namespace, self._objects.secret, data)


def _key(namespace: str, name: str) -> str:
    return f"{namespace}.{name}{_SUFFIX}"
