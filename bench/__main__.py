"""Measure the services, show the tables, and write them to docs/performance.md.

Usage: python -m bench [--help]
"""

import sys

if __name__ == "__main__":  # before the imports, which Ctrl-C would end with a traceback
    from local.interrupts import run

    sys.exit(run("bench.__main__"))

import argparse
import subprocess
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.markdown import Markdown

from bench import comparisons, footprint, page
from bench.testbed import Testbed, start_testbed

PAGE = Path(__file__).parents[1] / "docs" / "performance.md"
LATENCY_MESSAGES = 1_000


def main() -> None:
    """Measure the services and write docs/performance.md; takes minutes."""
    argparse.ArgumentParser(prog="make bench", description=main.__doc__).parse_args()
    console = Console()
    sections: list[str] = []
    with start_testbed() as testbed:
        measurements: dict[str, Callable[[], str]] = {
            "publishing": lambda: page.publishing(comparisons.publishing(testbed)),
            "consuming": lambda: consuming(testbed),
            "echo": lambda: page.echoing(comparisons.echoing(testbed)),
            "latency": lambda: page.latency(latencies(testbed)),
            "memory": lambda: page.memory(footprint.memory_by_devices(testbed), footprint.memory_by_readings(testbed)),
            "services": lambda: page.services(footprint.cpu_by_service()),
        }
        for name, measure in measurements.items():
            with console.status(f"measuring: {name}"):
                sections.append(measure())
            console.print(Markdown(sections[-1]))
    PAGE.write_text(page.page(sections), encoding="utf-8")
    console.print(f"written: {PAGE.relative_to(Path.cwd()) if PAGE.is_relative_to(Path.cwd()) else PAGE}")


def consuming(testbed: Testbed) -> str:
    """The sections about consuming, and about its HTTP hop in terms of a consumed reading."""
    results = comparisons.consuming(testbed)
    hop = comparisons.http_hop(testbed)
    return f"{page.consuming(results)}\n{page.http_hop(hop, results['mqtt-trace'])}"


def latencies(testbed: Testbed) -> dict[str, list[float]]:
    """Seconds from publish to receive of each message, untraced and traced."""
    return {name: _latency(testbed, name) for name in ("untraced", "traced")}


def _latency(testbed: Testbed, name: str) -> list[float]:
    arguments = [testbed.broker.host, str(testbed.broker.port), str(LATENCY_MESSAGES), name]
    command = [sys.executable, "-m", "bench.latency", *arguments]
    done = subprocess.run(command, env=testbed.env, check=True, capture_output=True, text=True)
    return [float(value) for value in done.stdout.strip().splitlines()[-1].strip("[]").split(",")]
