"""Retries of readings without subscribers.

Mosquitto restores sessions after a restart, but not their shared subscriptions: until the consumer subscribes again, it
acknowledges a reading with reason code 0x10 (MQTT 5, section 3.4.2.1) and drops it.
"""

import asyncio
from bisect import insort
from collections.abc import Callable
from dataclasses import dataclass

from opentelemetry.context import Context

from mqtt_trace.aio import Backoff
from mqtt_trace_producer.faults import Fault
from mqtt_trace_producer.results.sequence import Sequence
from mqtt_trace_producer.sensor import Reading

_BACKOFF = Backoff(first=0.5, longest=5.0)


@dataclass(slots=True)
class OutgoingReading:
    """A reading that is to be published.

    Attributes:
        reading: The reading.
        fault: Fault of its context.
        sequence: Its number; None outside a scenario.
        first_context: Context of its first publish span, the parent of later ones; None until that span ends.
        retry_until: Time of the loop after which the next try is the last.
        sent_at: Time of its last try, in seconds since the epoch.
        trace_id: Trace of its last try, once that has ended.
    """

    reading: Reading
    fault: Fault
    sequence: Sequence | None = None
    first_context: Context | None = None
    retry_until: float = float("inf")
    sent_at: float = 0.0
    trace_id: str = ""


class Retries:
    """The readings of one device without subscribers, oldest first, until they are published again.

    Without subscribers, only the oldest reading is tried, with back-off, and every reading once more at the end of its
    time. New readings are tries, too: as soon as one has a subscriber, all readings are published.

    Args:
        seconds: Seconds for which a reading is kept after its first try.
        limit: Maximum number of readings.
        publish: Called with readings to publish again.
        drop: Called for each reading that is dropped.
    """

    def __init__(
        self,
        seconds: float,
        limit: int,
        publish: Callable[[list[OutgoingReading]], None],
        drop: Callable[[OutgoingReading], None],
    ) -> None:
        self._seconds = seconds
        self._limit = limit
        self._publish = publish
        self._drop = drop
        self._kept: list[OutgoingReading] = []
        self._tries = 1
        self._timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()

    def __len__(self) -> int:
        return len(self._kept)

    def add(self, outgoing: OutgoingReading) -> None:
        """Keep a reading that had no subscribers, or drop it after its last try."""
        now = self._loop.time()
        if now >= outgoing.retry_until:
            self._drop(outgoing)
            return
        outgoing.retry_until = min(outgoing.retry_until, now + self._seconds)
        insort(self._kept, outgoing, key=lambda kept: kept.retry_until)
        if len(self._kept) > self._limit:
            self._drop(self._kept.pop(0))
        if self._timer is None:
            self._timer = self._loop.call_later(_BACKOFF.delay(self._tries), self._try)

    def publish_all(self) -> None:
        """Publish all readings, because one had a subscriber."""
        self._tries = 1
        if self._kept:
            self._publish(self.clear())

    def clear(self) -> list[OutgoingReading]:
        """Remove all readings.

        Returns:
            The removed readings.
        """
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        kept, self._kept = self._kept, []
        return kept

    def _try(self) -> None:
        now = self._loop.time()
        due = max(1, sum(outgoing.retry_until <= now for outgoing in self._kept))
        tried, self._kept = self._kept[:due], self._kept[due:]
        self._tries += 1
        self._timer = self._loop.call_later(_BACKOFF.delay(self._tries), self._try) if self._kept else None
        self._publish(tried)
