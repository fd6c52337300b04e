"""Readings that the broker took and nobody received.

Mosquitto keeps a session over a restart and forgets the shared subscriptions in it: until the consumer has subscribed
again, a reading is acknowledged with reason code 0x10 (MQTT 5, section 3.4.2.1) and dropped.
"""

import asyncio
from bisect import insort
from collections.abc import Callable
from dataclasses import dataclass

from opentelemetry.context import Context

from mqtt_trace.aio import Backoff
from mqtt_trace_producer.faults import Fault
from mqtt_trace_producer.sensor import Reading

_BACKOFF = Backoff(first=0.5, longest=5.0)


@dataclass(slots=True)
class OutgoingReading:
    """A reading on its way.

    Attributes:
        reading: The reading.
        fault: What is wrong with its context on the wire.
        first_context: The context of its first publish, whose trace further ones continue; None before that has ended.
        retry_until: When a further try is its last, in the loop's time.
    """

    reading: Reading
    fault: Fault
    first_context: Context | None = None
    retry_until: float = float("inf")


class Retries:
    """The readings of one device that nobody received, oldest first, until they are published again.

    Only the oldest is tried while nobody is there, after pauses that double, and each once more when its time is over.
    New readings are tries, too: as soon as one is received all that are kept are published.

    Args:
        seconds: How long a reading is kept after its first try.
        limit: How many are kept.
        publish: Called with readings to publish again.
        give_up: Called once for each reading that is given up.
    """

    def __init__(
        self, seconds: float, limit: int, publish: Callable[[list[OutgoingReading]], None], give_up: Callable[[], None]
    ) -> None:
        self._seconds = seconds
        self._limit = limit
        self._publish = publish
        self._give_up = give_up
        self._kept: list[OutgoingReading] = []
        self._tries = 1
        self._timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()

    def __len__(self) -> int:
        return len(self._kept)

    def add(self, outgoing: OutgoingReading) -> None:
        """Nobody received a reading: keep it, or give it up if this was its last try."""
        now = self._loop.time()
        if now >= outgoing.retry_until:
            self._give_up()
            return
        outgoing.retry_until = min(outgoing.retry_until, now + self._seconds)
        insort(self._kept, outgoing, key=lambda kept: kept.retry_until)
        if len(self._kept) > self._limit:
            self._kept.pop(0)
            self._give_up()
        if self._timer is None:
            self._timer = self._loop.call_later(_BACKOFF.delay(self._tries), self._try)

    def publish_all(self) -> None:
        """Somebody received a reading: publish all that are kept."""
        self._tries = 1
        if self._kept:
            self._publish(self.clear())

    def clear(self) -> list[OutgoingReading]:
        """Keep none of them any more.

        Returns:
            Those that were kept.
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
