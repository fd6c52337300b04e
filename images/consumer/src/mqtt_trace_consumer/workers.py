"""Long-lived tasks that take deliveries from one queue, which is cheaper than a task per delivery."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Self

from mqtt_trace_consumer.acknowledger import Delivery

_MAX_QOS_0 = 1_000
"""Limit of queued deliveries of QoS 0; `Window` limits those of QoS 1."""


class Workers:
    """`count` workers and their queue; use as an async context manager, which ends them.

    Args:
        count: Number of deliveries to process at once.
        process: Processes one delivery; does not raise.
    """

    def __init__(self, count: int, process: Callable[[Delivery], Awaitable[None]]) -> None:
        self._count = count
        self._process = process
        self._queue: asyncio.Queue[Delivery] = asyncio.Queue()
        self._qos_0 = 0
        self._busy = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._tasks: list[asyncio.Task[None]] = []

    def put(self, delivery: Delivery) -> bool:
        """Queue a delivery, or return False if the limit of QoS 0 is reached."""
        if delivery.message.qos == 0:
            if self._qos_0 >= _MAX_QOS_0:
                return False
            self._qos_0 += 1
        self._queue.put_nowait(delivery)
        self._idle.clear()
        return True

    def discard_unacknowledged(self) -> None:
        """Discard queued deliveries that the broker will deliver again: all but those of QoS 0."""
        queued = [self._queue.get_nowait() for _ in range(self._queue.qsize())]
        for delivery in queued:
            if delivery.message.qos == 0:
                self._queue.put_nowait(delivery)
        self._note_idle()

    @property
    def is_relieved(self) -> bool:
        """Whether there is ample room for deliveries of QoS 0 again."""
        return self._qos_0 <= _MAX_QOS_0 // 2

    async def wait_idle(self) -> None:
        """Return when nothing is queued and nothing in progress."""
        await self._idle.wait()

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(self._work(), name=f"worker-{number}") for number in range(self._count)]
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _work(self) -> None:
        while True:
            delivery = await self._queue.get()
            self._busy += 1
            if delivery.message.qos == 0:
                self._qos_0 -= 1
            try:
                await self._process(delivery)
            finally:
                self._busy -= 1
                self._note_idle()

    def _note_idle(self) -> None:
        if not self._busy and self._queue.empty():
            self._idle.set()
