"""Estimates how far the clocks of consumers differ from ours: ages compare the two."""

from typing import NamedTuple

_MOST_CONSUMERS = 100
"""Limits the memory: the name is the consumer's choice."""


class _Sample(NamedTuple):
    round_trip: float
    skew: float


class Clocks:
    """The skew of each consumer's clock, from the readings that came back soonest.

    As in NTP (RFC 5905, section 8), the time at the consumer is compared with the middle between sending and arrival.
    The error is at most half the round trip, so the shortest one counts.

    Args:
        skews: Samples of an earlier process: round trip and skew in seconds, by consumer.
    """

    def __init__(self, skews: dict[str, tuple[float, float]] | None = None) -> None:
        self._best = {consumer: _Sample(*sample) for consumer, sample in (skews or {}).items()}

    def compare(self, consumer: str, sent_at: float, at: float, arrived_at: float) -> None:
        """Note a reading that we sent, that the consumer had processed `at` a time of its clock, and its receipt."""
        sample = _Sample(arrived_at - sent_at, at - (sent_at + arrived_at) / 2)
        best = self._best.get(consumer)
        if best is None and len(self._best) >= _MOST_CONSUMERS:
            return
        if sample.round_trip >= 0 and (best is None or sample.round_trip < best.round_trip):
            self._best[consumer] = sample

    def skews(self) -> dict[str, float]:
        """Seconds by which each consumer's clock is ahead of ours."""
        return {consumer: round(sample.skew, 6) for consumer, sample in self._best.items()}

    def samples(self) -> dict[str, tuple[float, float]]:
        """The samples, for the constructor."""
        return {consumer: tuple(sample) for consumer, sample in self._best.items()}  # type: ignore[misc]  # mypy takes it for a tuple of any length
