"""Round-robin scheduling of devices that publish."""

import asyncio
from collections import deque
from collections.abc import Callable

_PER_ROUND = 32
"""Publishes per iteration of the event loop; they take about 30 ms, in which everything else waits."""


class RoundRobin:
    """Lets devices publish one reading each in turn.

    Without it, thousands of devices with a backlog would block the event loop for seconds, and with it health probes,
    keepalives and readings that are due.
    """

    def __init__(self) -> None:
        self._queue: deque[Callable[[], bool]] = deque()
        self._loop = asyncio.get_running_loop()

    def add(self, send_one: Callable[[], bool]) -> None:
        """Add a device: `send_one` is called once per turn, as long as it returns true."""
        if not self._queue:
            self._loop.call_soon(self._round)
        self._queue.append(send_one)

    def _round(self) -> None:
        try:
            for _ in range(min(_PER_ROUND, len(self._queue))):
                send_one = self._queue.popleft()
                if send_one():
                    self._queue.append(send_one)
        finally:  # an error of one device must not stop the others
            if self._queue:
                self._loop.call_soon(self._round)
