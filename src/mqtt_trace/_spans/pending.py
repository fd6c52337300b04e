"""Spans that wait for an acknowledgement, bounded in number and in age.

paho calls `on_publish` while it holds its own mutex, and does so before `publish()` returns when the broker is quick.
So nothing here is locked while paho runs, and an acknowledgement that comes before its publish is known is kept for it.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

from opentelemetry import trace
from opentelemetry.context import attach, detach
from opentelemetry.trace import Span

from mqtt_trace._guard import Guard
from mqtt_trace._spans.semconv import Attributes

_SWEEP_INTERVAL_S = 1.0
_MAX_REPORTING = 4
"""Threads that report time-outs: so many callbacks may block before those of others come late."""

_NOT_CURRENT = Guard("a publish span is not the current one")
_log = logging.getLogger(__name__)


class PublishOutcome(NamedTuple):
    """How a publish ended.

    Attributes:
        packet_id: Its packet id (MQTT 5, section 2.2.1); 0 when paho refused the message before it had one.
        reason_code: Of PUBACK, PUBREC or PUBCOMP (MQTT 5, section 2.4); 0 when there was none.
        error_type: None when the message was delivered, else a reason code such as `0x87`, `timeout`, `closed`,
            `overflow`, or the name of paho's error.
        description: The error in words.
    """

    packet_id: int
    reason_code: int = 0
    error_type: str | None = None
    description: str = ""


class PendingSpan(NamedTuple):
    """A publish that is under way."""

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
        """To be called before paho's `publish()`: from here on an unknown acknowledgement may be ours."""
        with self._lock:
            self._calls += 1

    def call_ends(self, packet_id: int | None = None, pending: PendingSpan | None = None) -> None:
        """To be called after paho's `publish()`, with the span if it now waits for an acknowledgement."""
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
            _sweeper.watch(self)

    def acknowledge(self, outcome: PublishOutcome) -> None:
        """End the span of an acknowledged publish; other people's publishes are none of our business."""
        with self._lock:
            pending = self._pending.pop(outcome.packet_id, None)
            if pending is None and self._calls:
                self._early[outcome.packet_id] = outcome
        if pending is not None:
            self._end(pending, outcome)

    def expire(self) -> Ended:
        """End the spans that have waited for longer than the time-out, and return those that are to be reported."""
        ended: Ended = []
        with self._lock:
            limit = time.monotonic() - self._timeout
            while self._pending and next(iter(self._pending.values())).started <= limit:
                ended.append(self._oldest("timeout", f"no acknowledgement within {self._timeout:g} s"))
        self._finish([(pending._replace(on_outcome=None), outcome) for pending, outcome in ended])
        return [one for one in ended if one[0].on_outcome is not None]

    def still_wait(self) -> bool:
        """Whether any span waits; if none does, the next that will is to be watched anew."""
        with self._lock:
            self._watched = bool(self._pending)
            return self._watched

    def close(self) -> None:
        """End every span, also of publishes that are under way or to come: nobody will hear the acknowledgements."""
        with self._lock:
            self._closed = True
        self.give_up()

    def give_up(self) -> None:
        """End every span that waits."""
        with self._lock:
            ended = [(pending, _given_up(packet_id)) for packet_id, pending in self._pending.items()]
            self._pending.clear()
        self._finish(ended)

    def forget(self) -> None:
        """Begin anew in a forked child: what waits there waits in the parent, whose threads may have held the lock."""
        self._lock = threading.Lock()
        self._pending, self._early = {}, {}
        self._calls = 0
        self._watched = False

    def _forgotten(self, packet_id: int) -> Ended:
        """What paho dropped, as `drop_out_messages` or `reinitialise` do: its packet id is in use again."""
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
    """Call whoever waits for the outcome; what is raised must reach neither paho's thread nor other publishes."""
    if pending.on_outcome is None:
        return
    token = None
    with _NOT_CURRENT:
        token = attach(trace.set_span_in_context(pending.span))  # `use_span` does the same at three times the cost
    try:
        pending.on_outcome(outcome)
    except Exception:  # noqa: BLE001 - whatever it is, the spans of others must end
        _log.exception("on_outcome failed for packet id %d", outcome.packet_id)
    finally:
        with _NOT_CURRENT:
            if token is not None:
                detach(token)


def _given_up(packet_id: int) -> PublishOutcome:
    return PublishOutcome(packet_id, 0, "closed", "the client was closed before the acknowledgement")


class _Sweeper:
    """One daemon thread that bounds the age of all pending spans, however quiet their clients are.

    It holds what it watches, so that the spans of a publisher that nobody holds any more end, too.
    """

    def __init__(self) -> None:
        self._watched: set[PendingSpans] = set()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._unreported: deque[tuple[PendingSpan, PublishOutcome]] = deque()
        self._reporting: list[threading.Thread] = []

    def watch(self, spans: PendingSpans) -> None:
        with self._lock:
            self._watched.add(spans)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._sweep, name="mqtt-trace-sweeper", daemon=True)
                with suppress(RuntimeError):  # the interpreter is ending: nothing will wait for long
                    self._thread.start()

    def close(self) -> None:
        with self._lock:
            watched = list(self._watched)
        for spans in watched:
            spans.give_up()

    def forget(self) -> None:
        watched, self._watched = self._watched, set()
        self._lock = threading.Lock()
        self._thread = None
        self._unreported.clear()
        self._reporting.clear()
        for spans in watched:
            spans.forget()

    def _sweep(self) -> None:
        pause = threading.Event()
        while not pause.wait(_SWEEP_INTERVAL_S):
            if not self._sweep_once():
                return

    def _sweep_once(self) -> bool:
        """Return whether anybody is left. A function of its own: what no longer waits is not held until the next."""
        with self._lock:
            watched = list(self._watched)
            if not (watched or self._unreported):
                self._thread = None
                return False
        self._unreported.extend(one for spans in watched for one in spans.expire())
        self._start_reporting()
        with self._lock:
            self._watched = {spans for spans in self._watched if spans.still_wait()}
        return True

    def _start_reporting(self) -> None:
        """What a callback does takes as long as it likes, and other spans expire meanwhile."""
        self._reporting = [thread for thread in self._reporting if thread.is_alive()]
        if self._unreported and len(self._reporting) < _MAX_REPORTING:
            thread = threading.Thread(target=self._report, name="mqtt-trace-outcomes", daemon=True)
            with suppress(RuntimeError):  # there cannot be one now: the next sweep tries again
                thread.start()
                self._reporting.append(thread)

    def _report(self) -> None:
        with suppress(IndexError):  # nothing is left
            while True:
                report(*self._unreported.popleft())


_sweeper = _Sweeper()
if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_sweeper.forget)


def close_all_pending() -> None:
    """End the spans that still wait, of every publisher: the process is about to end."""
    _sweeper.close()
