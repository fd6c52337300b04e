"""A trouble of many devices as two log lines."""

import asyncio
import logging
from collections.abc import Hashable

_SETTLE_S = 0.3
"""Long enough for the devices that share a cause to show up in the one line about it."""


class Episode:
    """A trouble that devices get into, lose readings by, and get out of.

    One WARNING line when the first device has got into it, one INFO line when the last one is out of it.

    Args:
        logger: Where the lines go.
        trouble: What happens to the readings, such as `buffers are full, the oldest readings are dropped`.
        relief: What ends it, such as `backlog sent`.
    """

    def __init__(self, logger: logging.Logger, trouble: str, relief: str) -> None:
        self._logger = logger
        self._trouble = trouble
        self._relief = relief
        self._in_it: set[Hashable] = set()
        self._affected: set[Hashable] = set()
        self._readings = 0
        self._detail = ""
        self._announcement: asyncio.TimerHandle | None = None

    def met(self, device: Hashable, detail: str = "") -> None:
        """A device is in it."""
        if not self._in_it:
            self._readings, self._affected = 0, set()
            self._announcement = asyncio.get_running_loop().call_later(_SETTLE_S, self._announce)
        self._in_it.add(device)
        self._affected.add(device)
        self._detail = detail

    def lost(self, device: Hashable, detail: str = "") -> None:
        """A device lost one reading by it."""
        self.met(device, detail)
        self._readings += 1

    def over(self, device: Hashable) -> None:
        """A device is out of it; nothing happens when it was not in it."""
        if device not in self._in_it:
            return
        self._in_it.discard(device)
        if not self._in_it:
            self.close()
            readings = _counted(self._readings, "reading")
            self._logger.info("%s; dropped meanwhile: %s of %s", self._relief, readings, self._devices())

    def close(self) -> None:
        """Say what was to be said, now."""
        if self._announcement is not None:
            self._announcement.cancel()
            self._announce()

    def _announce(self) -> None:
        self._announcement = None
        self._logger.warning(
            "%s%s: %s so far", self._trouble, f" ({self._detail})" if self._detail else "", self._devices()
        )

    def _devices(self) -> str:
        return _counted(len(self._affected), "device")


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
