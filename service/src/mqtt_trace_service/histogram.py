"""Percentiles of durations that several processes measure."""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

RELATIVE_ERROR = 0.01
"""Largest error of a percentile, relative to the true one."""

_SHORTEST_S = 1e-6
"""Shorter durations count as this long, so that a histogram has at most some hundreds of buckets."""
_GROWTH = (1 + RELATIVE_ERROR) / (1 - RELATIVE_ERROR)
_LOG_GROWTH = math.log(_GROWTH)


@dataclass
class Histogram:
    """A histogram with exponential buckets, as in DDSketch (Masson, Rim and Lee, VLDB 2019).

    Merging is exact: the percentiles are those of one histogram with all durations. The package `ddsketch` has no JSON
    form without protobuf, and the SDK's exponential histogram is private.

    Attributes:
        buckets: Number of durations by bucket; bucket `i` has those in (growth^(i-1), growth^i].
        largest: The longest duration, in seconds.
    """

    buckets: Counter[int] = field(default_factory=Counter)
    largest: float = 0.0

    @property
    def count(self) -> int:
        """Number of durations."""
        return self.buckets.total()

    def add(self, seconds: float) -> None:
        """Add a duration; a negative one, from clocks that differ, counts as the shortest."""
        self.buckets[math.ceil(math.log(max(seconds, _SHORTEST_S)) / _LOG_GROWTH)] += 1
        self.largest = max(self.largest, seconds)

    def merge(self, other: "Histogram") -> None:
        """Add all durations of another histogram."""
        self.buckets += other.buckets
        self.largest = max(self.largest, other.largest)

    def percentile(self, percent: float) -> float | None:
        """Return the duration, in seconds, that `percent` of the durations do not exceed; None if there are none."""
        rank = math.ceil(percent / 100 * self.count) or 1
        for index in sorted(self.buckets):
            rank -= self.buckets[index]
            if rank <= 0:
                return min(2 * math.exp(index * _LOG_GROWTH) / (_GROWTH + 1), max(self.largest, _SHORTEST_S))
        return None

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object: the longest duration, and pairs of a bucket's index and its number of durations."""
        return {"largest": self.largest, "buckets": [list(pair) for pair in sorted(self.buckets.items())]}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """Read what `to_json` returned.

        Raises:
            KeyError, TypeError, ValueError: It is something else.
        """
        buckets = {int(index): int(count) for index, count in document["buckets"]}
        return cls(Counter(buckets), float(document["largest"]))
