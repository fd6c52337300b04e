"""docs/operator-performance.md: what was measured of fleets and their operator."""

import os
import platform
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from bench.page import table

_PAGE = """\
# Performance of fleets

`make bench-operator` installs the chart with its defaults, but for the single sensor, beside whatever else is in the
cluster of `make up`, and measures fleets in it. On another machine, or one that is
busy, the figures differ.

This run: one kind node with {cores} cores for everything, Kubernetes {kubernetes}, Python {python} here.

## More sensors on a running pod

A fleet of one sensor is scaled: from `kubectl scale` until the fleet says that all sensors are connected, and until the
first reading of the last new sensor has been processed. For that reading the sensor waits up to an interval.

{rescales}
## Requests to the API server

Those of all reconciles that follow a change of a fleet with one pod, until nothing is left to do, without watches.

{calls}
## Memory of the operator

{memory}"""


@dataclass(frozen=True)
class Rescale:
    """What scaling a fleet of one sensor on a running pod took.

    Attributes:
        sensors: How many there were then.
        interval_s: Seconds between two readings of each.
        connected_s: From `kubectl scale` until the fleet says that all are connected.
        processed_s: From `kubectl scale` until the first reading of the last of them had been processed.
    """

    sensors: int
    interval_s: int
    connected_s: float
    processed_s: float


@dataclass(frozen=True)
class Calls:
    """Requests of the operator to the API server for one change, all its reconciles together."""

    change: str
    reads: int
    writes: int


def make_page(memory: Mapping[int, float], calls: Iterable[Calls], rescales: Iterable[Rescale], kubernetes: str) -> str:
    """The whole page.

    Args:
        memory: Resident memory of the operator in MiB, by the number of fleets.
        calls: Requests, by change.
        rescales: Times.
        kubernetes: Version of the cluster.
    """
    return _PAGE.format(
        cores=os.cpu_count(),
        kubernetes=kubernetes,
        python=platform.python_version(),
        rescales=table(
            ["sensors", "interval", "all connected", "a reading of each processed"],
            [
                [f"{one.sensors:,}", f"{one.interval_s} s", f"{one.connected_s:.1f} s", f"{one.processed_s:.1f} s"]
                for one in rescales
            ],
        ),
        calls=table(["change", "reads", "writes"], [[one.change, str(one.reads), str(one.writes)] for one in calls]),
        memory=table(
            ["fleets of ten sensors", "resident memory"],
            [[str(fleets), f"{mib:.0f} MiB"] for fleets, mib in memory.items()],
        ),
    )
