"""Records the results of reconciles: as spans, metrics, log lines, and Events of the fleet."""

import logging
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import cast

import kopf
from opentelemetry.trace import Span, Status, StatusCode, Tracer

from mqtt_trace_operator.metrics import FleetMetrics
from mqtt_trace_operator.reconcile import Result
from mqtt_trace_operator.scenario.trace import record_scenario
from mqtt_trace_operator.workers import Key, Reconcile

_logger = logging.getLogger(__name__)

_EXPECTED = {"Connected", "Connecting", "NotApplied", "Revoked"}
"""Reasons of `Ready` that call for no action."""


def recorded(reconcile: Callable[[str, str], Awaitable[Result]], tracer: Tracer, metrics: FleetMetrics) -> Reconcile:
    """Wrap a reconcile so that each result is measured, each with a change is recorded, and each error is a span."""

    async def reconcile_and_record(key: Key) -> Result:
        began = time.time_ns()
        try:
            result = await reconcile(*key)
        except Exception as error:
            with _span(tracer, key, began) as span:
                span.record_exception(error)
                span.set_attribute("error.type", type(error).__qualname__)
                span.set_status(Status(StatusCode.ERROR, str(error)))
            raise
        metrics.reconciled(key, result)
        if result.finished is not None:
            _logger.info("%s/%s: the scenario is trace %s", *key, record_scenario(tracer, key, result.finished))
        if result.changes or result.news or result.verdict or result.ready is not None:
            with _span(tracer, key, began) as span:
                span.set_attribute("mqtt_trace.reconcile.changes", result.changes)
                _record(key, result)
        return result

    return reconcile_and_record


@contextmanager
def _span(tracer: Tracer, key: Key, began_ns: int) -> Iterator[Span]:
    attributes = {"k8s.namespace.name": key.namespace, "fleet.id": key.name}
    with tracer.start_as_current_span("reconcile", attributes=attributes, start_time=began_ns) as span:
        yield span


def _record(key: Key, result: Result) -> None:
    fleet = kopf.Body(cast("kopf.RawBody", result.fleet))
    if result.changes:
        changes = ", ".join(result.changes)
        _logger.info("%s/%s: %s", *key, changes)
        kopf.info(fleet, reason="Applied", message=changes)
    for news in result.news:
        _logger.info("%s/%s: %s", *key, news.message)
        kopf.info(fleet, reason=news.name, message=news.message)
    if result.verdict is not None:
        _logger.info("%s/%s: %s: %s", *key, result.verdict.name, result.verdict.message)
        post = kopf.info if result.verdict.name == "Passed" else kopf.warn
        post(fleet, reason=result.verdict.name, message=result.verdict.message)
    if result.ready is not None:
        reason, message = result.ready["reason"], result.ready["message"]
        _logger.info("%s/%s: %s", *key, message)
        post = kopf.info if reason in _EXPECTED else kopf.warn
        post(fleet, reason=reason, message=message)
