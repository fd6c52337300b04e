"""A circuit breaker around the calls to echo."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from mqtt_trace.aio import Backoff
from mqtt_trace_consumer.echo import EchoRefusedError, EchoUnavailableError

_LONGEST_RETRY_AFTER_S = 60.0

_log = logging.getLogger(__name__)


class CircuitBreaker:
    """Lets every call through while closed, and opens when echo is unavailable.

    While it is open, calls wait. After each back-off it is half-open: one trial call goes through, and closes it or
    starts the next back-off.

    A call whose trial fails goes to the end of the queue, so that a reading that echo cannot process does not block the
    others.
    """

    def __init__(self, backoff: Backoff | None = None) -> None:
        self._backoff = backoff or Backoff(1.0, 10.0)
        self._loop = asyncio.get_running_loop()
        self._trial = asyncio.Lock()
        self._opened = asyncio.Event()
        self._permitted = asyncio.Event()
        self._permitted.set()
        self._waiting = 0
        self._recoveries = 0
        self._failures = 0
        self._opened_at = 0.0
        self._next_trial_at = 0.0

    @property
    def is_closed(self) -> bool:
        """Whether calls go through."""
        return not self._opened.is_set()

    async def wait_for_permission(self) -> None:
        """Return when the breaker is closed, or when it is open and no call is waiting to be its trial.

        A caller that then makes no call leaves the permission to the next one.
        """
        while not self._permitted.is_set():
            await self._permitted.wait()

    async def wait_open(self) -> None:
        """Return when the breaker is open."""
        await self._opened.wait()

    async def call(self, attempt: Callable[[], Awaitable[None]]) -> None:
        """Await `attempt()` until it no longer raises `EchoUnavailableError`.

        Raises:
            Exception: Any other exception of `attempt`.
        """
        while True:
            if self.is_closed:
                recoveries = self._recoveries
                try:
                    return await attempt()
                except EchoUnavailableError as error:
                    # The failure of a call from before the last recovery is out of date.
                    if recoveries == self._recoveries:
                        self._open(error)
            elif await self._call_in_turn(attempt):
                return None

    async def _call_in_turn(self, attempt: Callable[[], Awaitable[None]]) -> bool:
        """Wait for the turn to be the trial, and return whether echo accepted the call."""
        self._waiting += 1
        self._permitted.clear()
        try:
            return await self._try(attempt)
        finally:
            self._waiting -= 1
            if self.is_closed or not self._waiting:
                self._permitted.set()

    async def _try(self, attempt: Callable[[], Awaitable[None]]) -> bool:
        async with self._trial:
            if self.is_closed:
                return False
            await asyncio.sleep(self._next_trial_at - self._loop.time())
            try:
                await attempt()
            except EchoUnavailableError as error:
                self._back_off(error)
                return False
            except EchoRefusedError:
                self._close()
                raise
            self._close()
            return True

    def _open(self, error: EchoUnavailableError) -> None:
        if not self.is_closed:
            return
        self._permitted.clear()
        self._opened.set()
        self._opened_at = self._loop.time()
        self._failures = 0
        self._back_off(error)
        _log.warning("paused: echo is unavailable (%s); nothing is acknowledged until it is back", error)

    def _close(self) -> None:
        self._recoveries += 1
        self._opened.clear()
        self._permitted.set()
        _log.info("resumed: echo is back after %.1f s", self._loop.time() - self._opened_at)

    def _back_off(self, error: EchoUnavailableError) -> None:
        self._failures += 1
        delay = max(self._backoff.delay(self._failures), min(error.retry_after, _LONGEST_RETRY_AFTER_S))
        self._next_trial_at = self._loop.time() + delay
