"""Spans that wait for an acknowledgement, limited in number and age.

paho calls `on_publish` while it holds its own mutex, and before `publish()` returns if the broker is quick. So this
module holds no lock while paho runs, and keeps an acknowledgement that arrives before its publish is known.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from opentelemetry import trace
from opentelemetry.context import attach, detach
from opentelemetry.trace import Span
from paho.mqtt.reasoncodes import ReasonCode

from mqtt_trace._guard import Guard, log
from mqtt_trace._spans.outcome import PublishOutcome, outcome_of
from mqtt_trace._spans.semconv import Attributes
from mqtt_trace._spans.sweeper import sweeper

_NOT_CURRENT = Guard("a publish span is not the current one")
_log = logging.getLogger(__name__)


class PendingSpan(NamedTuple):
    """A publish in progress."""

    span: Span
    started: float
    metric_attributes: Attributes
    on_outcome: Callable[[PublishOutcome], None] | None


Ended = list[tuple[PendingSpan, PublishOutcome]]


class PendingSpans:
    """The pending spans of one client, by packet id, oldest first."""

    def __init__(self, limit: int, timeout: float, end: Callable[[PendingSpan, PublishOutcome], None]) -> None:
        self._limit = limit
        self._timeout = timeout
        self._end = end
        self._lock = threading.Lock()
        self._pending: dict[int, PendingSpan] = {}
        self._early: dict[int, PublishOutcome] = {}
        self._calls = 0
        self._watched = False
        self._closed = False

    def __len__(self) -> int:
        return len(self._pending)

    def call_begins(self) -> None:
        """Call it before paho's `publish()`: from now on an unknown acknowledgement may be ours."""
        with self._lock:
            self._calls += 1

    def call_ends(self, packet_id: int | None = None, pending: PendingSpan | None = None) -> None:
        """Call it after paho's `publish()`, with the span if it now waits for an acknowledgement."""
        ended: Ended = []
        watch = False
        with self._lock:
            self._calls -= 1
            if packet_id is not None and pending is not None:
                outcome = self._early.pop(packet_id, None)
                if outcome is None and self._closed:
                    outcome = _given_up(packet_id)
                if outcome is None:
                    ended.extend(self._forgotten(packet_id))
                    self._pending[packet_id] = pending
                    if len(self._pending) > self._limit:
                        ended.append(self._oldest("overflow", f"more than {self._limit} publishes are pending"))
                else:
                    ended.append((pending, outcome))
            if not self._calls:
                self._early.clear()
            if self._pending and not self._watched:
                self._watched = watch = True
        self._finish(ended)
        if watch:
            sweeper.watch(self)

    def acknowledge(self, packet_id: int, reason: ReasonCode | None) -> None:
        """End the span of an acknowledged or refused publish; the packet id may belong to another publisher."""
        outcome = outcome_of(packet_id, reason)
        with self._lock:
            pending = self._pending.pop(outcome.packet_id, None)
            if pending is None and self._calls:
                self._early[outcome.packet_id] = outcome
        if pending is not None:
            self._end(pending, outcome)

    def expire(self) -> list[Callable[[], None]]:
        """End the spans that have exceeded the time-out, and return the calls that report them."""
        ended: Ended = []
        with self._lock:
            limit = time.monotonic() - self._timeout
            while self._pending and next(iter(self._pending.values())).started <= limit:
                ended.append(self._oldest("timeout", f"no acknowledgement within {self._timeout:g} s"))
        self._finish([(pending._replace(on_outcome=None), outcome) for pending, outcome in ended])
        return [partial(report, *one) for one in ended]

    def still_wait(self) -> bool:
        """Whether any span waits; if none does, the next one needs a new watch."""
        with self._lock:
            self._watched = bool(self._pending)
            return self._watched

    def close(self) -> None:
        """End every span, including those of current and later publishes: their acknowledgements will not be seen."""
        with self._lock:
            self._closed = True
        self.give_up()

    def give_up(self) -> None:
        """End every waiting span."""
        with self._lock:
            ended = [(pending, _given_up(packet_id)) for packet_id, pending in self._pending.items()]
            self._pending.clear()
        self._finish(ended)

    def forget(self) -> None:
        """Start empty in a forked child: the pending spans are the parent's, whose threads may have held the lock."""
        self._lock = threading.Lock()
        self._pending, self._early = {}, {}
        self._calls = 0
        self._watched = False

    def _forgotten(self, packet_id: int) -> Ended:
        """The span of a message that paho dropped, as in `reinitialise`: its packet id is in use again."""
        pending = self._pending.pop(packet_id, None)
        outcome = PublishOutcome(packet_id, 0, "closed", "paho dropped the message")
        return [] if pending is None else [(pending, outcome)]

    def _oldest(self, error_type: str, description: str) -> tuple[PendingSpan, PublishOutcome]:
        packet_id = next(iter(self._pending))
        return self._pending.pop(packet_id), PublishOutcome(packet_id, 0, error_type, description)

    def _finish(self, ended: Ended) -> None:
        for pending, outcome in ended:
            self._end(pending, outcome)


def report(pending: PendingSpan, outcome: PublishOutcome) -> None:
    """Call `on_outcome`; its exceptions must reach neither paho's thread nor other publishes."""
    if pending.on_outcome is None:
        return
    token = None
    with _NOT_CURRENT:
        token = attach(trace.set_span_in_context(pending.span))  # `use_span` does the same at three times the cost
    try:
        pending.on_outcome(outcome)
    except Exception as error:  # noqa: BLE001 - the spans of other publishes must end
        log(_log, logging.ERROR, "on_outcome failed for packet id %d", outcome.packet_id, exc_info=error)
    finally:
        with _NOT_CURRENT:
            if token is not None:
                detach(token)


def _given_up(packet_id: int) -> PublishOutcome:
    return PublishOutcome(packet_id, 0, "closed", "the client was closed before the acknowledgement")
