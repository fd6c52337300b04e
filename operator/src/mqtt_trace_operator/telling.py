"""How a reconcile that did something is told: a span, a log line, and Events of the fleet."""

import logging
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import cast

import kopf
from opentelemetry.trace import Span, Status, StatusCode, Tracer

from mqtt_trace_operator.reconcile import Outcome, Record
from mqtt_trace_operator.workers import Key, Reconcile

_logger = logging.getLogger(__name__)

_EXPECTED = {"Connected", "Connecting", "NotApplied"}
"""Reasons of `Ready` that ask nobody to do something."""


def told(reconcile: Callable[[str, str], Awaitable[Record]], tracer: Tracer) -> Reconcile:
    """Make the reconcile of a worker tell what it did. One that changes nothing is not told."""

    async def reconcile_and_tell(key: Key) -> Outcome:
        began = time.time_ns()
        try:
            record = await reconcile(*key)
        except Exception as error:
            with _span(tracer, key, began) as span:
                span.record_exception(error)
                span.set_attribute("error.type", type(error).__qualname__)
                span.set_status(Status(StatusCode.ERROR, str(error)))
            raise
        if record.changes or record.ready is not None:
            with _span(tracer, key, began) as span:
                span.set_attribute("mqtt_trace.reconcile.changes", record.changes)
                _tell(key, record)
        return record.outcome

    return reconcile_and_tell


@contextmanager
def _span(tracer: Tracer, key: Key, began_ns: int) -> Iterator[Span]:
    attributes = {"k8s.namespace.name": key.namespace, "fleet.id": key.name}
    with tracer.start_as_current_span("reconcile", attributes=attributes, start_time=began_ns) as span:
        yield span


def _tell(key: Key, record: Record) -> None:
    fleet = kopf.Body(cast("kopf.RawBody", record.fleet))
    if record.changes:
        changes = ", ".join(record.changes)
        _logger.info("%s/%s: %s", *key, changes)
        kopf.info(fleet, reason="Applied", message=changes)
    if record.ready is not None:
        reason, message = record.ready["reason"], record.ready["message"]
        _logger.info("%s/%s: %s", *key, message)
        tell = kopf.info if reason in _EXPECTED else kopf.warn
        tell(fleet, reason=reason, message=message)
