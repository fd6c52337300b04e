"""The Events of a fleet."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import kopf
import pytest
from mqtt_trace_operator.metrics import FleetMetrics
from mqtt_trace_operator.reconcile import Outcome, Result
from mqtt_trace_operator.recorder import recorded
from mqtt_trace_operator.workers import Key, Reconcile
from opentelemetry.trace import NoOpTracer


@pytest.mark.parametrize(
    ("reason", "kind"),
    [("Connected", "Normal"), ("Connecting", "Normal"), ("NotApplied", "Normal"), ("ImagePullBackOff", "Warning")],
)
def test_only_a_failure_is_a_warning(monkeypatch: pytest.MonkeyPatch, reason: str, kind: str) -> None:
    """An Event is a warning only if its reason calls for action."""
    events: list[tuple[str, str, str]] = []

    def post(kind: str) -> Callable[..., None]:
        return lambda _fleet, *, reason, message: events.append((kind, reason, message))

    monkeypatch.setattr(kopf, "info", post("Normal"))
    monkeypatch.setattr(kopf, "warn", post("Warning"))

    async def reconcile(_namespace: str, _name: str) -> Result:
        return Result(ready={"reason": reason, "message": "words"}, fleet={}, outcome=Outcome.DONE)

    assert asyncio.run(_await(recorded(reconcile, NoOpTracer(), FleetMetrics()))).outcome is Outcome.DONE
    assert events == [(kind, reason, "words")]


async def _await(reconcile: Reconcile) -> Result:
    return await reconcile(Key("iot", "demo"))
