"""Credentials of sensors: the Secrets that the fleet's pods mount, and the broker's side of them."""

import asyncio
import base64
import binascii
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from mqtt_trace_operator.children import SENSORS_PER_SECRET, identity_secret
from mqtt_trace_operator.cluster import Cluster
from mqtt_trace_operator.diagnosis import Reason
from mqtt_trace_operator.drift import Child, classify
from mqtt_trace_operator.fleet import Fleet, Object, count_pods
from mqtt_trace_operator.identity.broker_users import BrokerUsers, MissingSecretError
from mqtt_trace_operator.identity.certificates import LONGEST_NAME, Authority
from mqtt_trace_operator.identity.passwords import choose_passwords
from mqtt_trace_operator.identity.takeover import Takeover

_SUFFIXES = {"Password": "", "Certificate": ".pem"}
"""The ends of keys after client ids."""
_SPREADING_S = 15.0
"""Kubelets see a changed Secret within seconds. Until then, an annotation may have come too early."""


@dataclass
class IdentityResult:
    """The result of an apply.

    Attributes:
        changes: Changes of objects, such as `Secret demo-identity-0 created`.
        stalled: Why the sensors cannot have credentials.
    """

    changes: list[str] = field(default_factory=list)
    stalled: Reason | None = None


@dataclass
class _Change:
    """The last change of a fleet's credentials: its time, and the indexes of the pods with new ones."""

    at: float
    pods: set[int]


class Identities:
    """Gives each sensor credentials of its own.

    Args:
        cluster: The API server.
        users: The sensors that the chart's Mosquitto accepts; None if the operator has no access to them.
        authority: Issues certificates of sensors; None if the broker accepts none.
        takeover: Ends connections of sensors with revoked certificates.
    """

    def __init__(
        self,
        cluster: Cluster,
        users: BrokerUsers | None = None,
        authority: Authority | None = None,
        takeover: Takeover | None = None,
    ) -> None:
        self._cluster = cluster
        self._users = users
        self._authority = authority
        self._takeover = takeover
        self._changes: dict[tuple[str, str], _Change] = {}

    async def find_fleets(self) -> list[tuple[str, str]]:
        """Namespaces and names of the fleets that the broker knows, whether or not they still exist."""
        return await self._users.find_fleets() if self._users else []

    async def apply(self, fleet: Fleet, former: int) -> IdentityResult:
        """Make missing credentials, remove those of removed sensors, and have the broker accept them.

        Args:
            fleet: The fleet.
            former: The most sensors that it had before at any time.

        Raises:
            lightkube.ApiError: The API server refuses a request.
        """
        result = IdentityResult()
        if not fleet.spec.identity.is_generated:
            return result
        result.stalled = self._find_obstacle(fleet)
        if result.stalled is not None or self._users is None:
            return result
        credentials: dict[str, bytes] = {}
        changed: set[int] = set()
        for number in range(count_pods(max(fleet.most_sensors, former), SENSORS_PER_SECRET)):
            chosen = await self._apply_secret(fleet, number, result, changed)
            if chosen is None:
                return result
            credentials |= chosen
        revoked = {name: credentials.pop(name) for name in fleet.client_ids(fleet.revoked)}
        try:
            if fleet.spec.identity.type == "Certificate" and self._authority is not None:
                is_new = await self._users.revoke(self._authority, list(revoked.values()), list(credentials.values()))
            else:
                is_new = await self._users.replace(fleet, credentials)
        except MissingSecretError as error:
            result.stalled = Reason("MissingSecret", str(error))
            return result
        if is_new:
            result.changes.append("sensors that the broker accepts changed")
        if changed or is_new:
            self._changes[fleet.namespace, fleet.name] = _Change(time.monotonic(), changed)
        if self.is_spreading(fleet):
            await self._users.refresh()
        return result

    async def enforce(self, fleet: Fleet, accepts_revoked: bool) -> None:
        """End the connections of sensors with revoked certificates, as long as some may be connected.

        Args:
            fleet: The fleet.
            accepts_revoked: Whether some are connected for certain.
        """
        if self._takeover is None or not fleet.revoked or fleet.spec.identity.type != "Certificate":
            return
        if self.is_spreading(fleet) or accepts_revoked:
            await self._takeover.end_connections(fleet.client_ids(fleet.revoked))

    def is_spreading(self, fleet: Fleet) -> bool:
        """Whether changed credentials may not have reached pods or broker yet."""
        change = self._changes.get((fleet.namespace, fleet.name))
        return change is not None and time.monotonic() < change.at + _SPREADING_S

    def pods_with_changes(self, fleet: Fleet) -> set[int]:
        """The indexes of the pods that new credentials may not have reached yet."""
        return self._changes[fleet.namespace, fleet.name].pods if self.is_spreading(fleet) else set()

    async def forget(self, namespace: str, name: str) -> None:
        """Remove the broker's users of a fleet that is gone; its Secrets go with it."""
        self._changes.pop((namespace, name), None)
        if self._users is not None:
            await self._users.remove(namespace, name)

    async def _apply_secret(
        self, fleet: Fleet, number: int, result: IdentityResult, changed: set[int]
    ) -> dict[str, bytes] | None:
        """Apply one Secret; returns its credentials, None if it is not the fleet's."""
        first = number * SENSORS_PER_SECRET
        numbers = range(first, min(first + SENSORS_PER_SECRET, fleet.most_sensors))
        manifest = identity_secret(fleet, number, {})
        name = manifest["metadata"]["name"]
        live = await self._cluster.get_child(manifest)
        owner = classify(live, fleet)
        if owner is Child.FOREIGN:
            message = f"Secret {name} exists and is not this fleet's: delete it, or rename the fleet"
            result.stalled = Reason("ForeignChild", message)
        if owner in (Child.FOREIGN, Child.TERMINATING):
            return None
        suffix = _SUFFIXES[fleet.spec.identity.type]
        former = {key.removesuffix(suffix): content for key, content in _decode(live).items()}
        ids = fleet.client_ids(numbers)
        chosen = await self._choose(fleet, ids, former)
        if live is None or chosen != former:
            content = {f"{of}{suffix}": chosen[of] for of in ids}
            after = await self._cluster.apply(identity_secret(fleet, number, content))
            if others := (after.get("data") or {}).keys() - content.keys():  # somebody else has written these keys
                await self._cluster.write_secret(fleet.namespace, name, dict.fromkeys(others))
            result.changes.append(f"Secret {name} {'created' if live is None else 'changed'}")
            per_pod = fleet.spec.sensors_per_pod
            changed |= {
                sensor // per_pod for sensor, of in zip(numbers, ids, strict=True) if chosen[of] != former.get(of)
            }
        return chosen

    async def _choose(self, fleet: Fleet, ids: Sequence[str], former: Mapping[str, bytes]) -> dict[str, bytes]:
        if fleet.spec.identity.type == "Certificate" and self._authority is not None:
            # Keys for a thousand sensors take seconds.
            return await asyncio.to_thread(self._authority.keep_or_issue, ids, former, datetime.now(UTC))
        return choose_passwords(ids, former)

    def _find_obstacle(self, fleet: Fleet) -> Reason | None:
        """Find out why sensors cannot have credentials of their own."""
        kind = fleet.spec.identity.type
        if self._users is None:
            message = (
                f"identity.type {kind} needs the chart's Mosquitto and operator.identities.enabled; for another broker,"
                " create the sensors' users there and name the Secret with their credentials in identity.secretName"
            )
            return Reason("IdentityUnavailable", message)
        if kind == "Certificate" and self._authority is None:
            return Reason("IdentityUnavailable", f"identity.type {kind} needs broker.tls.enabled in the chart")
        if kind == "Certificate" and len(*fleet.client_ids([0])) > LONGEST_NAME:
            message = f"namespace and name are too long for the common name of a certificate, {LONGEST_NAME} characters"
            return Reason("InvalidSpec", message)
        return None


def _decode(live: Object | None) -> Mapping[str, bytes]:
    """The data of a Secret; a value that is no base64 counts as missing."""
    decoded: dict[str, bytes] = {}
    for name, content in ((live or {}).get("data") or {}).items():
        try:
            decoded[name] = base64.b64decode(content)
        except binascii.Error:
            continue
    return decoded
