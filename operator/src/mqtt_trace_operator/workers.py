"""One worker per fleet: it coalesces events, requeues a fleet that is not settled, and survives every error."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from mqtt_trace.aio import Backoff
from mqtt_trace_operator.reconcile import Outcome, Result

_logger = logging.getLogger(__name__)

_MIN_INTERVAL_S = 0.25
"""Between two reconciles of a fleet: pods that start together cause many events."""

_MAX_WAIT_AFTER_ERROR_S = 5.0
"""Events wait for the back-off, but no longer than this. Without the wait a failing fleet would burden the API server;
with a longer one, a change of the spec that repairs the fleet would wait for up to a minute."""

_RECHECK_S = 30.0
_REQUEUE_BACKOFF = Backoff(0.5, 10.0)
_ERROR_BACKOFF = Backoff(1.0, 60.0)


class Key(NamedTuple):
    """Identifies a fleet."""

    namespace: str
    name: str


Reconcile = Callable[[Key], Awaitable[Result]]


@dataclass
class _Worker:
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None
    began: float | None = None


class Workers:
    """Reconciles each fleet whenever it is enqueued, one reconcile at a time.

    Args:
        reconcile: Reconciles one fleet; after an exception it is retried within a minute.
    """

    def __init__(self, reconcile: Reconcile) -> None:
        self._reconcile = reconcile
        self._workers: dict[Key, _Worker] = {}
        self._ended: float | None = None

    def enqueue(self, key: Key) -> None:
        """Have this fleet reconciled: the fleet or one of its children has changed."""
        worker = self._workers.get(key)
        if worker is None:
            worker = self._workers[key] = _Worker()
            worker.task = asyncio.create_task(self._work(key, worker), name=f"fleet {key.namespace}/{key.name}")
        worker.wake.set()

    def close(self) -> None:
        """Cancel all workers. The next operator finishes an interrupted reconcile."""
        for worker in self._workers.values():
            if worker.task is not None:
                worker.task.cancel()

    @property
    def fleets(self) -> int:
        """The number of fleets."""
        return len(self._workers)

    @property
    def longest_s(self) -> float:
        """Seconds since the start of the longest-running reconcile; 0 when none runs."""
        now = time.monotonic()
        return max((now - worker.began for worker in self._workers.values() if worker.began is not None), default=0.0)

    @property
    def idle_s(self) -> float | None:
        """Seconds since the last reconcile ended; None before the first has ended."""
        return None if self._ended is None else time.monotonic() - self._ended

    async def _work(self, key: Key, worker: _Worker) -> None:
        requeues = failures = 0
        delay: float | None = None
        while True:
            if await _woken(worker.wake, delay):
                requeues = 0
            worker.wake.clear()
            worker.began = time.monotonic()
            try:
                result = await self._reconcile(key)
            except Exception as error:  # the fleet must keep its worker after any error
                failures += 1
                delay = _ERROR_BACKOFF.delay(failures)
                _logger.warning("%s/%s: %s; retrying in %.1f s", *key, _describe(error), delay)
                _logger.debug("the reconcile failed", exc_info=error)
                pause = min(delay, _MAX_WAIT_AFTER_ERROR_S)
                delay -= pause
            else:
                failures = 0
                if result.outcome is Outcome.GONE and not worker.wake.is_set():
                    del self._workers[key]
                    return
                requeues = requeues + 1 if result.outcome is Outcome.REQUEUE else 0
                delays = [] if result.reconcile_after_s is None else [result.reconcile_after_s]
                if requeues:
                    delays.append(_REQUEUE_BACKOFF.delay(requeues))
                elif result.outcome is Outcome.RECHECK:
                    delays.append(_RECHECK_S)
                delay = min(delays, default=None)
                pause = _MIN_INTERVAL_S
            finally:
                worker.began, self._ended = None, time.monotonic()
            await asyncio.sleep(pause)


async def _woken(wake: asyncio.Event, delay: float | None) -> bool:
    try:
        async with asyncio.timeout(delay):
            await wake.wait()
    except TimeoutError:
        return False
    return True


def _describe(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
