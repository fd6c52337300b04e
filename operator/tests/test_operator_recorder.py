"""The Events of a fleet."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import kopf
import pytest
from mqtt_trace_operator.diagnosis import Reason
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


def test_news_are_events(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each piece of news, such as a phase of the scenario, is an Event of its own."""
    events: list[tuple[str, str]] = []
    monkeypatch.setattr(kopf, "info", lambda _fleet, *, reason, message: events.append((reason, message)))

    async def reconcile(_namespace: str, _name: str) -> Result:
        news = [Reason("ScenarioResumed", "phase ramp, 1 of 2"), Reason("PhaseStarted", "phase storm, 2 of 2, for 5m")]
        return Result(news=news, fleet={"spec": {"replicas": 1}}, outcome=Outcome.DONE)

    asyncio.run(_await(recorded(reconcile, NoOpTracer(), FleetMetrics())))
    assert events == [("ScenarioResumed", "phase ramp, 1 of 2"), ("PhaseStarted", "phase storm, 2 of 2, for 5m")]


@pytest.mark.parametrize(("verdict", "kind"), [("Passed", "Normal"), ("Failed", "Warning")])
def test_a_verdict_is_an_event(monkeypatch: pytest.MonkeyPatch, verdict: str, kind: str) -> None:
    """Only a scenario that has failed calls for action."""
    events: list[tuple[str, str, str]] = []
    monkeypatch.setattr(kopf, "info", lambda _fleet, *, reason, message: events.append(("Normal", reason, message)))
    monkeypatch.setattr(kopf, "warn", lambda _fleet, *, reason, message: events.append(("Warning", reason, message)))

    async def reconcile(_namespace: str, _name: str) -> Result:
        return Result(verdict=Reason(verdict, "3 lost"), fleet={"spec": {"replicas": 1}}, outcome=Outcome.DONE)

    asyncio.run(_await(recorded(reconcile, NoOpTracer(), FleetMetrics())))
    assert events == [(kind, verdict, "3 lost")]


async def _await(reconcile: Reconcile) -> Result:
    return await reconcile(Key("iot", "demo"))
