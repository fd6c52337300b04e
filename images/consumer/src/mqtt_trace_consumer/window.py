"""Our own bound on what is held of a broker that ignores Receive Maximum."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

_RECEIVE_MAXIMUM_EXCEEDED = 0x93

_log = logging.getLogger(__name__)


class Pausable(Protocol):
    """A `mqtt_trace.aio.Connection`, as far as a window needs it."""

    def pause_reading(self) -> None:
        """Leave in the socket what the broker sends."""

    def resume_reading(self) -> None:
        """Read it again."""

    def renew(self, reason_code: int, cause: str) -> None:
        """Disconnect and connect again."""


class Window:
    """Pauses reading while more messages than Receive Maximum wait for their acknowledgement.

    A broker that keeps to Receive Maximum is always read. From one that does not, the PUBACK of a dead letter may lie
    behind messages for which there is no room, and no room comes before that PUBACK. Then reading goes on, and what is
    too much is not held. Neither is anything after it, as PUBACKs must keep the order of arrival (MQTT 5, section 4.6):
    the rest comes again on a new connection, when what is held has been acknowledged.

    Args:
        size: Receive Maximum, as CONNECT has it (MQTT 5, section 3.1.2.11.3).
        connection: Where the messages come from.
    """

    def __init__(self, size: int, connection: Pausable) -> None:
        self._size = size
        self._connection = connection
        self._awaited = 0
        self._paused = self._overflows = self._told = False

    def admits(self, in_flight: int) -> bool:
        """Whether to hold a message that has arrived, when so many wait for their acknowledgement already."""
        if in_flight < self._size or self._overflows:
            return not self._overflows
        self._tell()
        if self._awaited:
            self._overflows = True
            return False
        self._paused = True
        self._connection.pause_reading()
        return True

    def acknowledged(self, in_flight: int) -> None:
        """A message was acknowledged, and so many still wait for it."""
        if self._overflows:
            if not in_flight:
                self._connection.renew(_RECEIVE_MAXIMUM_EXCEEDED, "the broker has sent more than Receive Maximum")
        elif self._paused and in_flight <= self._size // 2:
            self._resume()

    def connection_lost(self) -> None:
        """The next connection begins with nothing in flight."""
        self._paused = self._overflows = self._told = False

    @contextmanager
    def awaiting_puback(self) -> Iterator[None]:
        """While the block waits for a PUBACK, reading does not pause."""
        self._awaited += 1
        if self._paused:
            self._overflows = True
            self._resume()
        try:
            yield
        finally:
            self._awaited -= 1

    def _resume(self) -> None:
        self._paused = False
        self._connection.resume_reading()

    def _tell(self) -> None:
        if not self._told:
            self._told = True
            _log.warning(
                "the broker sends more than Receive Maximum %d (MQTT 5, section 3.3.4): what is too much waits unread; "
                "Mosquitto before 2.0.13 has this fault",
                self._size,
            )
