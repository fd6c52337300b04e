"""When a device takes its readings."""

import math


class Schedule:
    """Points in time that are exactly `interval` seconds apart: the n-th is `start + n * interval`, n from 0.

    Each is computed from the start, so that lateness does not add up. Points that have passed are skipped, not made up
    for: after a suspended laptop or a blocked loop there is no burst.
    """

    def __init__(self, start: float, interval: float) -> None:
        self._start = start
        self._interval = interval
        self._number = 0

    @property
    def due(self) -> float:
        """The point in time that is next."""
        return self._start + self._number * self._interval

    def advance(self, now: float) -> int:
        """Move on to the next point that is later than `now`.

        Returns:
            How many points were skipped.
        """
        # A timer may fire a little early by the clock's resolution: the point that is done must not be due again.
        done = self._number
        self._number = max(done + 1, math.floor((now - self._start) / self._interval) + 1)
        return self._number - done - 1
