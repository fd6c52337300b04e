"""The operator's health probes."""

import asyncio
from collections.abc import Mapping

from mqtt_trace_operator.cluster import Cluster
from mqtt_trace_operator.workers import Workers

_STUCK_S = 600.0
"""Each request of a reconcile ends within ten seconds. While the API server does not answer, the requests of a hundred
fleets, a few at a time, take less than this, and a restart would not help."""


class Probe:
    """Answers the health probes.

    Attributes:
        watching: Set while the operator watches fleets.
    """

    def __init__(self, workers: Workers, cluster: Cluster) -> None:
        self.watching = asyncio.Event()
        self._workers = workers
        self._cluster = cluster

    def alive(self) -> bool:
        """Whether no reconcile is stuck."""
        return self._workers.longest_s < _STUCK_S

    def status(self) -> tuple[bool, Mapping[str, object]]:
        """Whether the operator watches fleets and works, and the figures of the readiness probe; times in seconds."""
        idle = self._workers.idle_s
        return self.watching.is_set() and self.alive(), {
            "fleets": self._workers.fleets,
            "last_reconcile_s": None if idle is None else round(idle, 1),
            "longest_running_s": round(self._workers.longest_s, 1),
            "reads": self._cluster.reads,
            "writes": self._cluster.writes,
        }
