"""The number of a reading, as consumers return it in receipts."""

import re
from typing import NamedTuple, Self

_SEQUENCE = re.compile(r"([0-9a-f]{1,32})/(\d{1,9})/(\d{1,9})/(\d{1,18})", re.ASCII)


class Sequence(NamedTuple):
    """The number of a reading.

    Attributes:
        epoch: Names the process that numbered it; its numbers begin with 1.
        phase: Index of the phase in which it was taken.
        sensor: Number of the sensor in the fleet.
        number: How many readings the sensor had taken in the epoch; 0 if its MQTT 3.1.1 cannot carry a number.
    """

    epoch: str
    phase: int
    sensor: int
    number: int

    def __str__(self) -> str:
        return f"{self.epoch}/{self.phase}/{self.sensor}/{self.number}"

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Read what `str` returned, None for anything else."""
        match = _SEQUENCE.fullmatch(text)
        if match is None:
            return None
        return cls(match[1], int(match[2]), int(match[3]), int(match[4]))
