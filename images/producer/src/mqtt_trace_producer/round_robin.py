"""Fair shares of the loop for devices that have something to send."""

import asyncio
from collections import deque
from collections.abc import Callable

_PER_ROUND = 32
"""Publishes per round of the loop: some 30 ms for everything else to wait, acknowledgements included."""


class RoundRobin:
    """Lets devices send one reading each in turn.

    Thousands of devices with a backlog would otherwise keep the loop for seconds, and health probes, keepalives and
    readings that are due would wait for all of them.
    """

    def __init__(self) -> None:
        self._queue: deque[Callable[[], bool]] = deque()
        self._loop = asyncio.get_running_loop()

    def add(self, send_one: Callable[[], bool]) -> None:
        """Queue up: `send_one` is called soon, and again in the next turn for as long as it returns true."""
        if not self._queue:
            self._loop.call_soon(self._round)
        self._queue.append(send_one)

    def _round(self) -> None:
        try:
            for _ in range(min(_PER_ROUND, len(self._queue))):
                send_one = self._queue.popleft()
                if send_one():
                    self._queue.append(send_one)
        finally:  # one device's error must not silence the others
            if self._queue:
                self._loop.call_soon(self._round)
