"""docs/performance.md: the tables of the last run."""

import os
import platform
from collections.abc import Iterable, Mapping, Sequence

from bench.comparisons import Results, ratio
from bench.footprint import Memory

PERCENTILES = (50, 99)


def page(sections: Iterable[str]) -> str:
    """The whole page."""
    head = (
        "# Performance\n\n"
        "`make bench` measures the straightforward way, which is the guide's code put together as it stands "
        "(`bench/baseline/`), and this project against the same Mosquitto in one run, in turn, and keeps the "
        "median of three. On another machine the figures differ; on one that is shared with others the ratios move, "
        "too.\n\n"
        f"This run: {os.cpu_count()} cores, Python {platform.python_version()}, broker, clients and OTLP receiver on "
        "the same cores, every span exported by OTLP/HTTP.\n"
    )
    return "\n".join([head, *sections])


def publishing(results: Results) -> str:
    """The section on publishing."""
    text = (
        f"Ours is {ratio(results, 'mqtt-trace', 'baseline'):.2f} times the straightforward way and "
        f"{ratio(results, 'mqtt-trace', 'untraced'):.2f} times paho without any tracing. It has thirteen attributes on "
        "a span and two metrics, where the straightforward way has four attributes and no metric. Its process is run "
        "as our services are, which set the garbage collector."
    )
    return _section("Publishing, QoS 1, until PUBACK", "publishes", results, text)


def consuming(results: Results) -> str:
    """The section on consuming."""
    text = (
        f"Ours is {ratio(results, 'mqtt-trace', 'baseline'):.2f} times the straightforward way, which waits for echo "
        f"before it takes the next reading: it and echo kept {results['baseline'].cores:.1f} cores busy, ours "
        f"and echo {results['mqtt-trace'].cores:.1f} of {os.cpu_count()}, beside broker and receiver."
    )
    return _section("Consuming through echo", "readings", results, text)


def echoing(results: Results) -> str:
    """The section on the echo service."""
    text = f"Ours is {ratio(results, 'mqtt-trace', 'baseline'):.2f} times FastAPI's default instrumentation."
    return _section("Echo", "requests", results, text)


def latency(seconds: Mapping[str, Sequence[float]]) -> str:
    """The section on latency."""
    rows = [[name, *(f"{_percentile(took, p) * 1e3:.2f} ms" for p in PERCENTILES)] for name, took in seconds.items()]
    return f"## Publish to receive\n\n{table(['', *(f'p{p}' for p in PERCENTILES)], rows)}"


def memory(by_devices: Iterable[Memory], by_readings: Iterable[Memory]) -> str:
    """The section on the producer's memory."""
    header = ["devices", "readings published", "resident memory"]
    devices, readings = (
        [[f"{m.devices:,}", f"{m.readings:,}", f"{m.mib:.0f} MiB"] for m in rows] for rows in (by_devices, by_readings)
    )
    return (
        f"## Memory of a producer\n\nBy devices:\n\n{table(header, devices)}\n"
        f"By readings, in one process:\n\n{table(header, readings)}"
    )


def services(cpu_us: Mapping[str, float]) -> str:
    """The section on the running stack."""
    rows = [[name, f"{value:,.0f} µs"] for name, value in cpu_us.items()]
    text = "200 devices with a reading a second each: metrics, logs and traces of every reading, all included."
    return f"## Processor time per reading\n\n{text}\n\n{table(['service', 'per reading'], rows)}"


def _section(title: str, unit: str, results: Results, text: str) -> str:
    header = ["", f"{unit}/s", "processor time each", "spans lost"]
    rows = [
        [name, f"{one.per_second:,.0f}", f"{one.cpu_us:,.0f} µs", f"{one.dropped:,}"] for name, one in results.items()
    ]
    echo = [one.echo_cpu_us for one in results.values()]
    if None not in echo:
        header.append("processor time of echo")
        rows = [[*row, f"{used:,.0f} µs"] for row, used in zip(rows, echo, strict=True)]
    return f"## {title}\n\n{table(header, rows)}\n{text}\n"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown, numbers to the right."""
    lines = [header, ["---"] + ["---:"] * (len(header) - 1), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def _percentile(values: Sequence[float], percent: int) -> float:
    return sorted(values)[min(len(values) - 1, len(values) * percent // 100)]
