"""The schedule of a device's readings."""

import math


class Schedule:
    """Points in time that are exactly `interval` seconds apart: the n-th is `start + n * interval`, n from 0.

    Each is computed from the start, so that delays do not add up. Missed points are skipped: there is no burst after
    the machine was suspended or the loop was blocked.
    """

    def __init__(self, start: float, interval: float) -> None:
        self._start = start
        self._interval = interval
        self._number = 0

    @property
    def due(self) -> float:
        """The next point in time."""
        return self._start + self._number * self._interval

    def advance(self, now: float) -> int:
        """Advance to the first point that is later than `now`.

        Returns:
            The number of skipped points.
        """
        # A timer may fire early by the clock's resolution: the current point must not be due again.
        done = self._number
        self._number = max(done + 1, math.floor((now - self._start) / self._interval) + 1)
        return self._number - done - 1
