"""The test bed: one Mosquitto and one OTLP receiver for everything that is compared."""

import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil

from bench.figures import Figures, read_report
from local.mosquitto import Mosquitto
from local.ports import HOST, free_port
from local.processes import Process, answers_http

READY_S = 60


@dataclass(frozen=True)
class Testbed:
    """Where the measured processes connect to.

    Attributes:
        broker: The broker they share.
        otlp_port: Port of the OTLP receiver.
        folder: For logs.
    """

    broker: Mosquitto
    otlp_port: int
    folder: Path

    @property
    def env(self) -> dict[str, str]:
        """The environment of a measured process: ours, with telemetry to the receiver."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "MQTT_"))}
        return {**kept, "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{HOST}:{self.otlp_port}"}

    def run(self, module: str, *arguments: object) -> Figures:
        """Run a measured program to its end."""
        command = [sys.executable, "-m", f"bench.{module}", *map(str, arguments)]
        done = subprocess.run(command, env=self.env, check=True, capture_output=True, text=True)
        return read_report(done.stdout)

    @contextmanager
    def service(
        self, name: str, command: list[str], ready: Callable[[], bool], env: Mapping[str, str] | None = None
    ) -> Iterator[psutil.Process]:
        """A process that runs during the block."""
        process = Process(name, command, log=self.folder / f"{name}.log", env={**self.env, **(env or {})})
        process.start()
        try:
            process.wait_until(ready, timeout_s=READY_S)
            yield psutil.Process(process.pid)
        finally:
            process.stop()

    def spans_received(self) -> dict[str, int]:
        """Spans that arrived since the last time, by service."""
        counts: dict[str, int] = get_json(f"http://{HOST}:{self.otlp_port}/spans")
        return counts


@contextmanager
def start_testbed() -> Iterator[Testbed]:
    """Start broker and receiver; both end with the block."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, Mosquitto() as broker:
        made = Testbed(broker, free_port(), Path(folder))
        ready = answers_http(f"http://{HOST}:{made.otlp_port}/spans")
        with made.service("otlp-receiver", [sys.executable, "-m", "bench.otlp_receiver", str(made.otlp_port)], ready):
            yield made


def cpu_seconds(process: psutil.Process) -> float:
    """Processor time that a process has used so far."""
    times = process.cpu_times()
    return float(times.user + times.system)


def children_cpu_seconds() -> float:
    """Processor time that processes used from their start to their end, of those that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def get_json(url: str) -> Any:
    """The JSON document behind an address, whatever the status: an unready service still says what it knows.

    Not with httpx, which builds a client each time: whoever asks often would take a core from what is measured.
    """
    parts = urlsplit(url)
    with closing(HTTPConnection(parts.netloc, timeout=10)) as connection:
        connection.request("GET", parts.path)
        return json.load(connection.getresponse())
