"""The operator's health probes."""

from __future__ import annotations

import asyncio

import pytest
from lightkube.config.kubeconfig import KubeConfig
from mqtt_trace_operator import probe
from mqtt_trace_operator.cluster import Cluster
from mqtt_trace_operator.reconcile import Result
from mqtt_trace_operator.workers import Key, Workers

NOWHERE = {
    "current-context": "it",
    "clusters": [{"name": "it", "cluster": {"server": "http://127.0.0.1:9"}}],
    "users": [{"name": "it", "user": {"token": "none"}}],
    "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
}


def test_probes_follow_the_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """The operator is ready once it watches fleets, and no longer alive when a reconcile is stuck."""

    async def test() -> None:
        released, began = asyncio.Event(), asyncio.Event()

        async def reconcile(_key: Key) -> Result:
            began.set()
            await released.wait()
            return Result()

        workers = Workers(reconcile)
        health = probe.Probe(workers, Cluster(KubeConfig.from_dict(NOWHERE)))
        assert health.status()[0] is False
        health.watching.set()
        figures = {"fleets": 0, "last_reconcile_s": None, "longest_running_s": 0.0, "reads": 0, "writes": 0}
        assert health.status() == (True, figures)
        workers.enqueue(Key("iot", "demo"))
        await asyncio.wait_for(began.wait(), 30)
        assert health.alive()
        monkeypatch.setattr(probe, "_STUCK_S", 0.0)
        assert not health.alive()
        assert health.status()[0] is False
        (task,) = (task for task in asyncio.all_tasks() if task.get_name() == "fleet iot/demo")
        released.set()
        await asyncio.wait_for(task, 30)
        assert health.status()[1]["last_reconcile_s"] is not None

    asyncio.run(test())
