"""docs/performance.md: the text and the tables of one run."""

import os
import platform
from collections.abc import Iterable, Mapping, Sequence

from bench.comparisons import Results, ratio
from bench.figures import Figures
from bench.footprint import Memory
from bench.http_hop import CONCURRENCY

PERCENTILES = (50, 99)


def page(sections: Iterable[str]) -> str:
    """The whole page."""
    head = (
        "# Performance\n\n"
        "`make bench` measures mqtt-trace and a baseline, the unchanged code of the guide (`bench/baseline/`), "
        "alternately in one run, with the same Mosquitto. Each figure is the median of three rounds. Figures differ "
        "from machine to machine; on a machine that other programs use, ratios differ from run to run, too.\n\n"
        f"This run: {os.cpu_count()} cores, Python {platform.python_version()}, broker, clients and OTLP receiver on "
        "the same cores, every span exported over OTLP/HTTP.\n"
    )
    return "\n".join([head, *sections])


def publishing(results: Results) -> str:
    """The section about publishing."""
    text = (
        f"mqtt-trace publishes {ratio(results, 'mqtt-trace', 'baseline'):.2f} times as fast as the baseline, and "
        f"{ratio(results, 'mqtt-trace', 'untraced'):.2f} times as fast as paho without tracing. It sets thirteen "
        "attributes on each span and records two metrics; the baseline sets four attributes and records none. The "
        "process of mqtt-trace runs as the services do, with their settings of the garbage collector."
    )
    return _section("Publishing, QoS 1, until PUBACK", "publishes", results, text)


def consuming(results: Results) -> str:
    """The section about consuming."""
    text = (
        f"mqtt-trace consumes {ratio(results, 'mqtt-trace', 'baseline'):.2f} times as fast as the baseline, which "
        "waits for the answer of echo before it takes the next reading. With echo, the baseline kept "
        f"{results['baseline'].cores:.1f} of {os.cpu_count()} cores busy and mqtt-trace "
        f"{results['mqtt-trace'].cores:.1f}, in addition to broker and receiver."
    )
    return _section("Consuming through echo", "readings", results, text)


def http_hop(results: Results, consumer: Figures) -> str:
    """The section about the consumer's HTTP transport; `consumer` has the figures of whole readings."""
    own = results["mqtt-trace"].cpu_us
    saved = min(one.cpu_us for name, one in results.items() if name != "mqtt-trace") - own
    text = (
        f"{CONCURRENCY} traced calls to echo at once, as the consumer makes them. Its HTTP transport "
        f"(`mqtt_trace_consumer/transport.py`) takes {saved:,.0f} µs less processor time per call than the faster "
        f"way to use httpx's own, {saved / consumer.cpu_us:.0%} of the consumer's processor time per reading."
    )
    return _section("HTTP hop", "calls", results, text)


def echoing(results: Results) -> str:
    """The section about the echo service."""
    text = (
        f"The echo service of mqtt-trace answers {ratio(results, 'mqtt-trace', 'baseline'):.2f} times as fast as the "
        "baseline, which is FastAPI with its default instrumentation."
    )
    return _section("Echo", "requests", results, text)


def latency(seconds: Mapping[str, Sequence[float]]) -> str:
    """The section about latency."""
    rows = [
        [name, *(f"{_percentile(latencies, p) * 1e3:.2f} ms" for p in PERCENTILES)]
        for name, latencies in seconds.items()
    ]
    return f"## Publish to receive\n\n{table(['', *(f'p{p}' for p in PERCENTILES)], rows)}"


def memory(by_devices: Iterable[Memory], by_readings: Iterable[Memory]) -> str:
    """The section about the producer's memory."""
    header = ["devices", "readings published", "resident memory"]
    devices, readings = (
        [[f"{m.devices:,}", f"{m.readings:,}", f"{m.mib:.0f} MiB"] for m in rows] for rows in (by_devices, by_readings)
    )
    return (
        f"## Memory of a producer\n\nBy devices:\n\n{table(header, devices)}\n"
        f"By readings, in one process:\n\n{table(header, readings)}"
    )


def services(cpu_us: Mapping[str, float]) -> str:
    """The section about the running stack."""
    rows = [[name, f"{value:,.0f} µs"] for name, value in cpu_us.items()]
    text = "200 devices, each with one reading per second. Metrics, logs and traces of every reading are included."
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
    """A Markdown table with right-aligned figures."""
    lines = [header, ["---"] + ["---:"] * (len(header) - 1), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def _percentile(values: Sequence[float], percent: int) -> float:
    return sorted(values)[min(len(values) - 1, len(values) * percent // 100)]
