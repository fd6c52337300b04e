"""The state of a signal's exports: a count of dropped items, and one log line per change."""

import logging
import threading
from enum import Enum

LOGGER_NAME = "mqtt_trace_service.telemetry.export"

_logger = logging.getLogger(LOGGER_NAME)


class _State(Enum):
    WORKING = "working"
    RETRYING = "retrying"
    LOSING = "losing"


class ExportStatus:
    """The state of one signal's exports. Thread-safe, because any thread that ends a span may find the queue full.

    Attributes:
        dropped: Items given up so far.
    """

    def __init__(self, signal: str, endpoint: str) -> None:
        self.dropped = 0
        self._signal = signal
        self._endpoint = endpoint
        self._state = _State.WORKING
        self._lock = threading.Lock()

    def exported(self) -> None:
        """Note a successful export."""
        with self._lock:
            recovered, self._state = self._state is not _State.WORKING, _State.WORKING
        if recovered:
            _logger.info("export of %s to %s works again; given up so far: %d", *self._named(), self.dropped)

    def retrying(self, cause: str) -> None:
        """Note a failed export that will be retried."""
        with self._lock:
            changed = self._state is _State.WORKING
            if changed:
                self._state = _State.RETRYING
        if changed:
            _logger.warning("cannot export %s to %s: %s; retrying", *self._named(), cause)

    def given_up(self, count: int, cause: str) -> None:
        """Note that `count` items are lost."""
        with self._lock:
            self.dropped += count
            changed, self._state = self._state is not _State.LOSING, _State.LOSING
        if changed:
            _logger.error("giving up %s for %s: %s", *self._named(), cause)

    def closed(self) -> None:
        """Note the end of the process."""
        if self.dropped:
            _logger.error("%s for %s given up in all: %d", *self._named(), self.dropped)

    def _named(self) -> tuple[str, str]:
        return self._signal, self._endpoint
