"""The connection state of all devices, logged as one line per change."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Mapping
from enum import Enum, auto

from mqtt_trace.aio import REFUSED

_logger = logging.getLogger(__name__)

_SETTLE_S = 0.3
"""Long enough to report devices that lose their connections together in one line."""

_STUCK_S = 45.0
"""Longer than the longest back-off: a device that is still disconnected will not reconnect with the others."""


class State(Enum):
    """The connection state of the fleet. A change is one log line."""

    CONNECTED = auto()
    PARTLY_CONNECTED = auto()
    DISCONNECTED = auto()
    REFUSED = auto()
    """Some or all devices are disconnected, and the broker refuses them."""


class Connectivity:
    """Tracks which devices are connected, and logs changes of the fleet's state.

    Args:
        broker: The broker's address for log lines.
    """

    def __init__(self, broker: str) -> None:
        self._broker = broker
        self._devices = 0
        self._connected: set[str] = set()
        self._causes: dict[str, str] = {}
        self._reported: tuple[State, int] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._outage_unreported = False
        self._added_at: dict[str, float] = {}
        self._slowest_s = 0.0

    @property
    def connected_within(self) -> float:
        """Seconds in which each device connected for the first time, so far for one that has not."""
        now = time.monotonic()
        return max([self._slowest_s, *(now - added_at for added_at in self._added_at.values())])

    @property
    def connected_count(self) -> int:
        """The number of connected devices."""
        return len(self._connected)

    @property
    def causes(self) -> Mapping[str, int]:
        """The number of disconnected devices by cause."""
        return Counter(self._causes.values())

    def add_device(self, device_id: str) -> None:
        """Count one more device, which is not connected yet."""
        self._devices += 1
        self._added_at[device_id] = time.monotonic()

    def remove_device(self, device_id: str) -> None:
        """Count one device less, connected or not."""
        self._devices -= 1
        self._connected.discard(device_id)
        self._causes.pop(device_id, None)
        self._added_at.pop(device_id, None)
        self._report_in(_SETTLE_S)

    def set_connected(self, device_id: str) -> None:
        """Record that a device has connected."""
        if self._outage_unreported:  # otherwise a short outage would go unreported
            self._report()
        self._causes.pop(device_id, None)
        self._connected.add(device_id)
        if device_id in self._added_at:
            self._slowest_s = max(self._slowest_s, time.monotonic() - self._added_at.pop(device_id))
        if len(self._connected) == self._devices:
            self._report()
        else:
            self._report_in(_STUCK_S)

    def set_disconnected(self, device_id: str, cause: str) -> None:
        """Record a lost connection or a failure to connect; further failures of the same kind change nothing."""
        known = self._causes.get(device_id)
        self._connected.discard(device_id)
        self._causes[device_id] = cause
        if known is None or _is_refusal(known) != _is_refusal(cause):
            self._outage_unreported = True
            self._report_in(_SETTLE_S)

    def start_over(self) -> None:
        """Forget how long devices took to connect."""
        self._slowest_s = 0.0

    def close(self) -> None:
        """Stop reporting."""
        if self._timer is not None:
            self._timer.cancel()

    def _report_in(self, delay: float) -> None:
        loop = asyncio.get_running_loop()
        when = loop.time() + delay
        if self._timer is not None and self._timer.when() <= when:
            return
        self.close()
        self._timer = loop.call_at(when, self._report)

    def _report(self) -> None:
        self.close()
        self._timer = None
        self._outage_unreported = False
        state = self._state()
        if state is None or self._reported == (state, self._devices):
            return
        self._reported = state, self._devices
        if state is State.CONNECTED:
            _logger.info("broker %s: %s connected", self._broker, self._count(len(self._connected)))
        else:
            cause, _ = Counter(self._causes.values()).most_common(1)[0]
            waiting = self._count(self._devices - len(self._connected))
            _logger.warning("broker %s: %s, %s waiting; retrying", self._broker, cause, waiting)

    def _state(self) -> State | None:
        if len(self._connected) == self._devices:
            return State.CONNECTED
        if not self._causes:
            return None  # still connecting
        if any(map(_is_refusal, self._causes.values())):
            return State.REFUSED
        return State.PARTLY_CONNECTED if self._connected else State.DISCONNECTED

    def _count(self, devices: int) -> str:
        return f"{devices} of {self._devices} device{'' if self._devices == 1 else 's'}"


def _is_refusal(cause: str) -> bool:
    return cause.startswith(REFUSED)
