"""The figures that a measured process reports, as one line of JSON."""

import json
import time
from dataclasses import dataclass

WINDOW = 100
"""Publishes that each compared producer may have unacknowledged."""


@dataclass(frozen=True)
class Figures:
    """The figures of one measured process.

    Attributes:
        count: Messages or requests.
        seconds: Wall time of the measured part.
        cpu_seconds: Processor time from the start of the measured part to the last export.
        dropped: Spans that ended and did not arrive at the receiver.
        echo_cpu_seconds: Processor time of the echo service that the process called; None if it called none.
    """

    count: int
    seconds: float
    cpu_seconds: float
    dropped: int = 0
    echo_cpu_seconds: float | None = None

    @property
    def per_second(self) -> float:
        """Messages or requests per second."""
        return self.count / self.seconds

    @property
    def cpu_us(self) -> float:
        """Microseconds of processor time per message or request."""
        return self.cpu_seconds / self.count * 1e6

    @property
    def cores(self) -> float:
        """Cores that the process and the echo service kept busy: processor time per wall time."""
        return (self.cpu_seconds + (self.echo_cpu_seconds or 0.0)) / self.seconds

    @property
    def echo_cpu_us(self) -> float | None:
        """Microseconds of processor time of the echo service per message."""
        return None if self.echo_cpu_seconds is None else self.echo_cpu_seconds / self.count * 1e6


class Stopwatch:
    """Measures wall time until `stop` and processor time until `report`, both from its creation."""

    def __init__(self) -> None:
        self._started, self._cpu_started = time.perf_counter(), time.process_time()
        self._seconds = 0.0

    def stop(self) -> None:
        """End the measured part; the rest of the process exports."""
        self._seconds = time.perf_counter() - self._started

    def report(self, count: int) -> None:
        """Print the figures of this process, which handled `count` messages or requests."""
        cpu_seconds = time.process_time() - self._cpu_started
        print(json.dumps({"count": count, "seconds": self._seconds, "cpu_seconds": cpu_seconds}))


def read_report(output: str) -> Figures:
    """The figures in the last line of a process's output."""
    return Figures(**json.loads(output.strip().splitlines()[-1]))
