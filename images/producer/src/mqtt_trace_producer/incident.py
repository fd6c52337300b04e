"""A problem of many devices as two log lines."""

import asyncio
import logging
from collections.abc import Hashable

_SETTLE_S = 0.3
"""Long enough for the devices that share a cause to show up in the one line about it."""


class Incident:
    """A problem that devices get into, lose readings by, and get out of.

    One WARNING line when the first device has got into it, one INFO line when the last one is out of it.

    Args:
        logger: Where the lines go.
        problem: What happens to the readings, such as `buffers are full, the oldest readings are dropped`.
        recovery: What ends it, such as `backlog sent`.
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
        """A device is in it."""
        if not self._open:
            self._dropped, self._affected = 0, set()
            self._timer = asyncio.get_running_loop().call_later(_SETTLE_S, self._announce)
        self._open.add(device)
        self._affected.add(device)
        self._detail = detail

    def record_dropped(self, device: Hashable, detail: str = "") -> None:
        """A device lost one reading by it."""
        self.record(device, detail)
        self._dropped += 1

    def resolve(self, device: Hashable) -> None:
        """A device is out of it; nothing happens when it was not in it."""
        if device not in self._open:
            return
        self._open.discard(device)
        if not self._open:
            self.flush()
            readings = _counted(self._dropped, "reading")
            self._logger.info("%s; dropped meanwhile: %s of %s", self._recovery, readings, self._devices())

    def flush(self) -> None:
        """Say what was to be said, now."""
        if self._timer is not None:
            self._timer.cancel()
            self._announce()

    def _announce(self) -> None:
        self._timer = None
        self._logger.warning(
            "%s%s: %s so far", self._problem, f" ({self._detail})" if self._detail else "", self._devices()
        )

    def _devices(self) -> str:
        return _counted(len(self._affected), "device")


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
