"""A problem of many devices, logged as two lines."""

import asyncio
import logging
from collections.abc import Hashable

_SETTLE_S = 0.3
"""Long enough to report the devices that share a cause in one line."""


class Incident:
    """A problem that affects devices for some time and makes them drop readings.

    Logs one WARNING line after the first device is affected, and one INFO line when no device is affected any more.

    Args:
        logger: Logger of both lines.
        problem: Text of the first line, such as `buffers are full, the oldest readings are dropped`.
        recovery: Text of the second line, such as `backlog sent`.
    """

    def __init__(self, logger: logging.Logger, problem: str, recovery: str) -> None:
        self._logger = logger
        self._problem = problem
        self._recovery = recovery
        self._open: set[Hashable] = set()
        self._affected: set[Hashable] = set()
        self._dropped = 0
        self._detail = ""
        self._timer: asyncio.TimerHandle | None = None

    def record(self, device: Hashable, detail: str = "") -> None:
        """Record that a device is affected."""
        if not self._open:
            self._dropped, self._affected = 0, set()
            self._timer = asyncio.get_running_loop().call_later(_SETTLE_S, self._announce)
        self._open.add(device)
        self._affected.add(device)
        self._detail = detail

    def record_dropped(self, device: Hashable, detail: str = "") -> None:
        """Record that a device is affected and has dropped one reading."""
        self.record(device, detail)
        self._dropped += 1

    def resolve(self, device: Hashable) -> None:
        """Record that a device is no longer affected; without effect for an unaffected device."""
        if device not in self._open:
            return
        self._open.discard(device)
        if not self._open:
            self.flush()
            readings = _pluralize(self._dropped, "reading")
            self._logger.info("%s; dropped meanwhile: %s of %s", self._recovery, readings, self._count_devices())

    def flush(self) -> None:
        """Log a pending first line at once."""
        if self._timer is not None:
            self._timer.cancel()
            self._announce()

    def _announce(self) -> None:
        self._timer = None
        self._logger.warning(
            "%s%s: %s so far", self._problem, f" ({self._detail})" if self._detail else "", self._count_devices()
        )

    def _count_devices(self) -> str:
        return _pluralize(len(self._affected), "device")


def _pluralize(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
