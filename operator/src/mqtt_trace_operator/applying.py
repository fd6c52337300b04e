"""Applies the child objects of fleets, and the credentials of their sensors."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime

from lightkube import ApiError

from mqtt_trace_operator.children import Manifest, paused_config_map
from mqtt_trace_operator.cluster import Cluster
from mqtt_trace_operator.diagnosis import Reason
from mqtt_trace_operator.drift import Child, LastApplied, classify, without_status
from mqtt_trace_operator.fleet import Fleet, Object
from mqtt_trace_operator.identity.identities import Identities
from mqtt_trace_operator.observed import Applied
from mqtt_trace_operator.scenario.progress import Progress

_MAY_PASS = {401, 404, 408, 409, 429}
"""Refusals for other reasons than the object's content."""


class Children:
    """The child objects of all fleets. When nothing has changed it writes nothing.

    Args:
        cluster: The API server.
        identities: Gives sensors credentials of their own.
        now: Returns the current time.
    """

    def __init__(self, cluster: Cluster, identities: Identities, now: Callable[[], datetime]) -> None:
        self._cluster = cluster
        self._identities = identities
        self._now = now
        self._last_applied = LastApplied()

    def forget(self, namespace: str, name: str) -> None:
        """Forget a fleet that is gone."""
        self._last_applied.forget(namespace, name)

    async def apply(
        self, fleet: Fleet, manifests: Sequence[Manifest], progress: Progress, changes: list[str]
    ) -> tuple[list[Object | None], Reason | None]:
        """Apply a fleet's children, unless it is paused.

        Args:
            fleet: The fleet.
            manifests: Its ConfigMap and its StatefulSet.
            progress: Where its scenario is.
            changes: Gets the changes, such as `StatefulSet demo created`.

        Returns:
            The live children, and why one of them cannot be applied.

        Raises:
            lightkube.ApiError: The API server refused a request for a reason that may pass.
        """
        live = list(await asyncio.gather(*map(self._cluster.get_child, manifests)))
        if fleet.spec.paused:
            paused = paused_config_map(fleet, live[0], progress.clock)
            manifests = () if paused is None else (paused,)
        elif (stalled := await self._apply_identity(fleet, live[0], changes)) is not None:
            return live, stalled
        for number, manifest in enumerate(manifests):
            before = live[number]
            owner = classify(before, fleet)
            if owner is Child.FOREIGN:
                message = f"{_describe(manifest)} exists and is not this fleet's: delete it, or rename the fleet"
                return live, Reason("ForeignChild", message)
            if owner is Child.TERMINATING:
                return live, None
            if before is not None and self._last_applied.is_current(fleet, manifest, before):
                continue
            try:
                live[number] = await self._apply_one(fleet, manifest, before, changes)
            except ApiError as error:
                if not _is_refusal(error):
                    raise
                message = f"the API server refused {_describe(manifest)}: {error.status.message}"
                return live, Reason("Refused", message)
        return live, None

    async def _apply_one(self, fleet: Fleet, manifest: Manifest, before: Object | None, changes: list[str]) -> Object:
        after = await self._cluster.apply(manifest)
        self._last_applied.remember(fleet, manifest, after)
        if before is None:
            changes.append(f"{_describe(manifest)} created")
        elif without_status(before) != without_status(after):
            changes.append(f"{_describe(manifest)} changed")
        return after

    async def _apply_identity(self, fleet: Fleet, config: Object | None, changes: list[str]) -> Reason | None:
        try:
            applied = await self._identities.apply(fleet, Applied.from_config_map(config, self._now()).most_sensors)
        except ApiError as error:
            if not _is_refusal(error):
                raise
            return Reason("Refused", f"the API server refused the sensors' credentials: {error.status.message}")
        changes += applied.changes
        return applied.stalled


def is_namespace_terminating(error: ApiError) -> bool:
    """Whether the API server refuses a new object because its namespace is being deleted."""
    causes = (error.status.details.causes if error.status.details else None) or []
    return any(cause.reason == "NamespaceTerminating" for cause in causes)


def _describe(manifest: Manifest) -> str:
    return f"{manifest['kind']} {manifest['metadata']['name']}"


def _is_refusal(error: ApiError) -> bool:
    """Whether the API server would refuse the same object again."""
    code = error.status.code or 0
    return 400 <= code < 500 and code not in _MAY_PASS and not is_namespace_terminating(error)  # noqa: PLR2004 - client errors
