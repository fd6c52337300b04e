"""docs/operator-performance.md: the text and the tables of one run."""

import os
import platform
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from bench.page import table

_PAGE = """\
# Performance of fleets

`make bench-operator` installs the chart in the cluster of `make up`, with its defaults except for the single sensor,
and measures fleets in that release. Figures differ from machine to machine, and on a machine that other programs use.

This run: a kind cluster of one node with {cores} cores, Kubernetes {kubernetes}; the measuring process runs on the same
cores with Python {python}.

## More sensors on a running pod

A fleet of one sensor is scaled. The times are those from `kubectl scale` until the fleet's status has all sensors
connected, and until the first reading of the last new sensor is processed. A sensor takes its first reading within one
interval.

{rescales}
## Requests to the API server

The requests of all reconciles that a change of a fleet with one pod causes, without watches.

{requests}
## Memory of the operator

{memory}"""


@dataclass(frozen=True)
class Rescale:
    """The times that scaling a fleet of one sensor on a running pod takes.

    Attributes:
        sensors: The number of sensors after it.
        interval_s: Seconds between two readings of a sensor.
        connected_s: From `kubectl scale` until the fleet's status has all sensors connected.
        processed_s: From `kubectl scale` until the first reading of the last new sensor is processed.
    """

    sensors: int
    interval_s: int
    connected_s: float
    processed_s: float


@dataclass(frozen=True)
class Requests:
    """Requests of the operator to the API server, in all reconciles that one change causes."""

    change: str
    reads: int
    writes: int


def make_page(
    memory: Mapping[int, float], requests: Iterable[Requests], rescales: Iterable[Rescale], kubernetes: str
) -> str:
    """The whole page.

    Args:
        memory: Resident memory of the operator in MiB, by the number of fleets.
        requests: Requests to the API server, by change.
        rescales: Times of scaling, by number of sensors.
        kubernetes: The cluster's version.
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
        requests=table(
            ["change", "reads", "writes"], [[one.change, str(one.reads), str(one.writes)] for one in requests]
        ),
        memory=table(
            ["fleets of ten sensors", "resident memory"],
            [[str(fleets), f"{mib:.0f} MiB"] for fleets, mib in memory.items()],
        ),
    )
