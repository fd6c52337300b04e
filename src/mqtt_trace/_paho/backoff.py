"""Delays between attempts."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """Delays between attempts to connect, in seconds: doubled from `first` to `longest`, each cut by up to a half."""

    first: float = 1.0
    longest: float = 30.0

    def delay(self, failures: int) -> float:
        """Seconds to wait after that many failures in a row, 1 or more."""
        full = min(self.longest, self.first * 2.0 ** min(failures - 1, 16))
        return full * random.uniform(0.5, 1.0)  # noqa: S311 - spreads clients, guards nothing
