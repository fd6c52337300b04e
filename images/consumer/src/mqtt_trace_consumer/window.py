"""Limits the messages held from a broker that ignores Receive Maximum."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

_RECEIVE_MAXIMUM_EXCEEDED = 0x93

_log = logging.getLogger(__name__)


class Pausable(Protocol):
    """The part of `mqtt_trace.aio.Connection` that a window needs."""

    def pause_reading(self) -> None:
        """Stop reading from the socket."""

    def resume_reading(self) -> None:
        """Read from the socket again."""

    def renew(self, reason_code: int, cause: str) -> None:
        """Disconnect and connect again."""


class Window:
    """Pauses reading while more messages than Receive Maximum wait for their acknowledgement.

    Reading never pauses with a broker that respects Receive Maximum. With another broker, the PUBACK of a dead letter
    may arrive behind messages for which the window has no room, and the window gets room only after that PUBACK. Then
    reading continues and the excess messages are discarded, together with all later ones, because PUBACKs must keep
    the order of arrival (MQTT 5, section 4.6). The connection is renewed once all held messages are acknowledged, and
    the broker resends the discarded ones.

    Args:
        size: Receive Maximum of CONNECT (MQTT 5, section 3.1.2.11.3).
        connection: The connection that delivers the messages.
    """

    def __init__(self, size: int, connection: Pausable) -> None:
        self._size = size
        self._connection = connection
        self._awaited = 0
        self._paused = self._overflows = self._warned = False

    def admits(self, in_flight: int) -> bool:
        """Whether to hold a new message, given the number of unacknowledged ones."""
        if in_flight < self._size or self._overflows:
            return not self._overflows
        self._warn()
        if self._awaited:
            self._overflows = True
            return False
        self._paused = True
        self._connection.pause_reading()
        return True

    def acknowledged(self, in_flight: int) -> None:
        """Note that a message was acknowledged; `in_flight` messages are not yet."""
        if self._overflows:
            if not in_flight:
                self._connection.renew(_RECEIVE_MAXIMUM_EXCEEDED, "the broker has sent more than Receive Maximum")
        elif self._paused and in_flight <= self._size // 2:
            self._resume()

    def connection_lost(self) -> None:
        """Start over: the next connection begins with no message in flight."""
        self._paused = self._overflows = self._warned = False

    @contextmanager
    def awaiting_puback(self) -> Iterator[None]:
        """Keep reading while the block waits for a PUBACK."""
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

    def _warn(self) -> None:
        if not self._warned:
            self._warned = True
            _log.warning(
                "the broker sends more than Receive Maximum %d (MQTT 5, section 3.3.4): the excess waits unread; "
                "Mosquitto before 2.0.13 has this fault",
                self._size,
            )
