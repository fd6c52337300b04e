"""A set of natural numbers that mostly follow each other, in little memory."""

from bisect import bisect_right

MOST_GAPS = 1_000
"""A set with more gaps forgets its first one."""


class Intervals:
    """Numbers as the bounds of intervals: `[1, 4, 6, 7]` has 1, 2, 3 and 6.

    Args:
        bounds: Bounds of an earlier set.

    Attributes:
        bounds: Start and end of each interval, ascending; the end is not part of it.
    """

    __slots__ = ("bounds",)

    def __init__(self, bounds: list[int] | None = None) -> None:
        self.bounds = [] if bounds is None else bounds

    def __contains__(self, number: int) -> bool:
        return bisect_right(self.bounds, number) % 2 == 1

    def add(self, number: int) -> bool:
        """Add a number, and return whether it is new.

        The memory is bounded: beyond `MOST_GAPS`, the numbers of the first gap count as there, too.
        """
        bounds = self.bounds
        if bounds and bounds[-1] == number:  # nearly always
            bounds[-1] = number + 1
            return True
        place = bisect_right(bounds, number)
        if place % 2:
            return False
        follows = place > 0 and bounds[place - 1] == number
        precedes = place < len(bounds) and bounds[place] == number + 1
        if follows and precedes:
            del bounds[place - 1 : place + 1]
        elif follows:
            bounds[place - 1] = number + 1
        elif precedes:
            bounds[place] = number
        else:
            bounds[place:place] = [number, number + 1]
            if len(bounds) > 2 * (MOST_GAPS + 1):
                del bounds[1:3]
        return True
