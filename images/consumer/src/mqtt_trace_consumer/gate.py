"""Where workers wait while echo is away."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from mqtt_trace.aio import Backoff
from mqtt_trace_consumer.echo import EchoRefusedError, EchoUnavailableError

_LONGEST_RETRY_AFTER_S = 60.0

_log = logging.getLogger(__name__)


class Gate:
    """Open while echo answers. Behind a closed gate one call at a time is tried, with back-off, until echo is back.

    Who failed last goes to the end of the line, so that one reading that echo cannot bear does not keep the rest
    waiting.
    """

    def __init__(self, backoff: Backoff | None = None) -> None:
        self._backoff = backoff or Backoff(1.0, 10.0)
        self._loop = asyncio.get_running_loop()
        self._turn = asyncio.Lock()
        self._closed = asyncio.Event()
        self._passable = asyncio.Event()
        self._passable.set()
        self._trying = 0
        self._openings = 0
        self._failures = 0
        self._closed_at = 0.0
        self._next_try_at = 0.0

    @property
    def is_open(self) -> bool:
        """Whether echo is believed to answer."""
        return not self._closed.is_set()

    async def wait_passable(self) -> None:
        """Return when it is open, or when nobody behind it is left to find out whether echo is back.

        Whoever then goes on without a call lets the next one through.
        """
        while not self._passable.is_set():
            await self._passable.wait()

    async def wait_closed(self) -> None:
        """Return when it is closed."""
        await self._closed.wait()

    async def call(self, attempt: Callable[[], Awaitable[None]]) -> None:
        """Await `attempt()` until it says something else than that echo is unavailable.

        Raises:
            Exception: What `attempt` raises, `EchoUnavailableError` excepted.
        """
        while True:
            if self.is_open:
                openings = self._openings
                try:
                    return await attempt()
                except EchoUnavailableError as error:
                    # A call from before the last pause says nothing about echo as it is now.
                    if openings == self._openings:
                        self._close(error)
            elif await self._call_in_turn(attempt):
                return None

    async def _call_in_turn(self, attempt: Callable[[], Awaitable[None]]) -> bool:
        """Try once when it is our turn, and return whether echo has taken it."""
        self._trying += 1
        self._passable.clear()
        try:
            return await self._try_in_turn(attempt)
        finally:
            self._trying -= 1
            if self.is_open or not self._trying:
                self._passable.set()

    async def _try_in_turn(self, attempt: Callable[[], Awaitable[None]]) -> bool:
        async with self._turn:
            if self.is_open:
                return False
            await asyncio.sleep(self._next_try_at - self._loop.time())
            try:
                await attempt()
            except EchoUnavailableError as error:
                self._postpone(error)
                return False
            except EchoRefusedError:
                self._reopen()
                raise
            self._reopen()
            return True

    def _close(self, error: EchoUnavailableError) -> None:
        if not self.is_open:
            return
        self._passable.clear()
        self._closed.set()
        self._closed_at = self._loop.time()
        self._failures = 0
        self._postpone(error)
        _log.warning("paused: echo is unavailable (%s); nothing is acknowledged until it is back", error)

    def _reopen(self) -> None:
        self._openings += 1
        self._closed.clear()
        self._passable.set()
        _log.info("resumed: echo is back after %.1f s", self._loop.time() - self._closed_at)

    def _postpone(self, error: EchoUnavailableError) -> None:
        self._failures += 1
        delay = max(self._backoff.delay(self._failures), min(error.retry_after, _LONGEST_RETRY_AFTER_S))
        self._next_try_at = self._loop.time() + delay
