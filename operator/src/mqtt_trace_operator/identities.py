"""Credentials of sensors: the Secrets that the fleet's pods mount, and the broker's side of them."""

import base64
import binascii
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from mqtt_trace_operator.broker_users import BrokerUsers, MissingSecretError
from mqtt_trace_operator.children import SENSORS_PER_SECRET, identity_secret
from mqtt_trace_operator.cluster import Cluster
from mqtt_trace_operator.diagnosis import Reason
from mqtt_trace_operator.drift import Child, classify
from mqtt_trace_operator.fleet import Fleet, Object, count_pods
from mqtt_trace_operator.passwords import choose_passwords

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
        users: The users of the chart's Mosquitto; None if the operator has no access to them.
    """

    def __init__(self, cluster: Cluster, users: BrokerUsers | None) -> None:
        self._cluster = cluster
        self._users = users
        self._changes: dict[tuple[str, str], _Change] = {}

    async def find_fleets(self) -> list[tuple[str, str]]:
        """Namespaces and names of the fleets that the broker knows, whether or not they still exist."""
        return await self._users.find_fleets() if self._users else []

    async def apply(self, fleet: Fleet, former: int) -> IdentityResult:
        """Make missing credentials, remove those of removed sensors, and have the broker accept them.

        Args:
            fleet: The fleet.
            former: Its former number of sensors.

        Raises:
            lightkube.ApiError: The API server refuses a request.
        """
        result = IdentityResult()
        if not fleet.spec.identity.is_generated:
            return result
        if self._users is None:
            result.stalled = _unavailable(fleet)
            return result
        passwords: dict[str, bytes] = {}
        changed: set[int] = set()
        for number in range(count_pods(max(fleet.spec.replicas, former), SENSORS_PER_SECRET)):
            chosen = await self._apply_secret(fleet, number, result, changed)
            if chosen is None:
                return result
            passwords |= chosen
        revoked = set(fleet.client_ids(fleet.revoked))
        accepted = {user: password for user, password in passwords.items() if user not in revoked}
        try:
            is_new = await self._users.replace(fleet, accepted)
        except MissingSecretError as error:
            result.stalled = Reason("MissingSecret", str(error))
            return result
        if is_new:
            result.changes.append("users of the broker changed")
        if changed or is_new:
            self._changes[fleet.namespace, fleet.name] = _Change(time.monotonic(), changed)
        if self.is_spreading(fleet):
            await self._users.refresh()
        return result

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
        numbers = range(first, min(first + SENSORS_PER_SECRET, fleet.spec.replicas))
        manifest = identity_secret(fleet, number, {})
        name = manifest["metadata"]["name"]
        live = await self._cluster.get_child(manifest)
        owner = classify(live, fleet)
        if owner is Child.FOREIGN:
            message = f"Secret {name} exists and is not this fleet's: delete it, or rename the fleet"
            result.stalled = Reason("ForeignChild", message)
        if owner in (Child.FOREIGN, Child.TERMINATING):
            return None
        former = _decode(live)
        ids = fleet.client_ids(numbers)
        chosen = choose_passwords(ids, former)
        if live is None or chosen != former:
            await self._cluster.apply(identity_secret(fleet, number, chosen))
            result.changes.append(f"Secret {name} {'created' if live is None else 'changed'}")
            per_pod = fleet.spec.sensors_per_pod
            changed |= {
                sensor // per_pod for sensor, of in zip(numbers, ids, strict=True) if chosen[of] != former.get(of)
            }
        return chosen


def _unavailable(fleet: Fleet) -> Reason:
    kind = fleet.spec.identity.type
    return Reason(
        "IdentityUnavailable",
        f"identity.type {kind} needs the chart's Mosquitto and operator.identities.enabled; for another broker, create"
        " the sensors' users there and name the Secret with their credentials in identity.secretName",
    )


def _decode(live: Object | None) -> Mapping[str, bytes]:
    """The data of a Secret; a value that is no base64 counts as missing."""
    decoded: dict[str, bytes] = {}
    for name, content in ((live or {}).get("data") or {}).items():
        try:
            decoded[name] = base64.b64decode(content)
        except binascii.Error:
            continue
    return decoded
