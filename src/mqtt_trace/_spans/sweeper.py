"""One thread for the time-outs of all publishers, which works without traffic, too."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Protocol

_INTERVAL_S = 1.0


class Waiting(Protocol):
    """The publishes of one publisher that wait for an acknowledgement."""

    def expire(self) -> Sequence[Callable[[], None]]:
        """End publishes that have exceeded the time-out, and return the calls that report them."""

    def still_wait(self) -> bool:
        """Whether any publish waits; if none does, the next one needs a new watch."""

    def give_up(self) -> None:
        """End every waiting publish."""

    def forget(self) -> None:
        """Start empty in a forked child."""


class Sweeper:
    """Ends publishes that have timed out, then calls their callbacks; a callback that blocks delays the others.

    It holds references to what it watches, so that spans end even if the program has dropped their publisher.
    """

    def __init__(self) -> None:
        self._watched: set[Waiting] = set()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def watch(self, waiting: Waiting) -> None:
        """Apply the time-out to publishes until none of them waits."""
        with self._lock:
            self._watched.add(waiting)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._sweep, name="mqtt-trace-sweeper", daemon=True)
                with suppress(RuntimeError):  # the interpreter is ending, so nothing waits for long
                    self._thread.start()

    def close(self) -> None:
        """End every waiting publish, because the process is about to end."""
        with self._lock:
            watched = list(self._watched)
        for waiting in watched:
            waiting.give_up()

    def forget(self) -> None:
        """Start empty in a forked child: the thread, and perhaps the lock, belong to the parent."""
        watched, self._watched = self._watched, set()
        self._lock = threading.Lock()
        self._thread = None
        for waiting in watched:
            waiting.forget()

    def _sweep(self) -> None:
        pause = threading.Event()
        while not pause.wait(_INTERVAL_S):
            if not self._sweep_once():
                return

    def _sweep_once(self) -> bool:
        """Return whether anything is watched; a separate function, so that no local holds it until the next sweep."""
        with self._lock:
            watched = list(self._watched)
            if not watched:
                self._thread = None
                return False
        for report in [report for waiting in watched for report in waiting.expire()]:
            report()
        with self._lock:
            self._watched = {waiting for waiting in self._watched if waiting.still_wait()}
        return True


sweeper = Sweeper()
if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=sweeper.forget)
