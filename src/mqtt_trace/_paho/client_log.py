"""What paho reports only in its log: why a socket failed, and what a callback raised."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

_log = logging.getLogger(__name__)

_SOCKET_FAILED = "failed to receive on socket"  # also when it sends
_CALLBACK_FAILED = "Caught exception"


class ClientLog:
    """Takes the log lines of one client, of which it keeps the socket's last error, and logs what a callback raised.

    Args:
        on_socket_error: Called after the first error of a connection, before paho closes the socket.

    Attributes:
        socket_error: The socket's last error, empty if there was none.
    """

    __slots__ = ("_on_socket_error", "socket_error")

    def __init__(self, on_socket_error: Callable[[], None]) -> None:
        self._on_socket_error = on_socket_error
        self.socket_error = ""

    def log(self, level: int, line: str, *values: Any) -> None:
        """Take a line as `logging.Logger.log` does."""
        if level < logging.ERROR:
            return
        if line.startswith(_CALLBACK_FAILED):
            _log.log(level, line, *values)
        elif line.startswith(_SOCKET_FAILED) and values:
            is_first = not self.socket_error
            self.socket_error = str(values[0])
            if is_first:
                self._on_socket_error()
