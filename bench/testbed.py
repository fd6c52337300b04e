"""The testbed: one Mosquitto and one OTLP receiver for all programs that are compared."""

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
    """The servers that the measured processes connect to.

    Attributes:
        broker: The broker they share.
        otlp_port: Port of the OTLP receiver.
        folder: Where logs are written.
    """

    broker: Mosquitto
    otlp_port: int
    folder: Path

    @property
    def env(self) -> dict[str, str]:
        """The environment of a measured process: this process's own, with telemetry sent to the receiver."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "MQTT_"))}
        return {**kept, "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{HOST}:{self.otlp_port}"}

    def run(self, module: str, *arguments: object) -> Figures:
        """Run a program of this package to its end, and return its figures."""
        command = [sys.executable, "-m", f"bench.{module}", *map(str, arguments)]
        done = subprocess.run(command, env=self.env, check=True, capture_output=True, text=True)
        return read_report(done.stdout)

    @contextmanager
    def service(
        self, name: str, command: list[str], ready: Callable[[], bool], env: Mapping[str, str] | None = None
    ) -> Iterator[psutil.Process]:
        """Run a process during the block."""
        process = Process(name, command, log=self.folder / f"{name}.log", env={**self.env, **(env or {})})
        process.start()
        try:
            process.wait_until(ready, timeout_s=READY_S)
            yield psutil.Process(process.pid)
        finally:
            process.stop()

    def spans_received(self) -> dict[str, int]:
        """Spans that arrived since the last call, by service."""
        counts: dict[str, int] = get_json(f"http://{HOST}:{self.otlp_port}/spans")
        return counts


@contextmanager
def start_testbed() -> Iterator[Testbed]:
    """Start the broker and the receiver; both stop at the end of the block."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, Mosquitto() as broker:
        made = Testbed(broker, free_port(), Path(folder))
        ready = answers_http(f"http://{HOST}:{made.otlp_port}/spans")
        with made.service("otlp-receiver", [sys.executable, "-m", "bench.otlp_receiver", str(made.otlp_port)], ready):
            yield made


def cpu_seconds(process: psutil.Process) -> float:
    """Processor time of a process so far."""
    times = process.cpu_times()
    return float(times.user + times.system)


def children_cpu_seconds() -> float:
    """Processor time of all child processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def get_json(url: str) -> Any:
    """The JSON document at an address, with any status code: a service that is not ready has figures, too.

    httpx would build a client for each call, and frequent polling would take a core from the measured process.
    """
    parts = urlsplit(url)
    with closing(HTTPConnection(parts.netloc, timeout=10)) as connection:
        connection.request("GET", parts.path)
        return json.load(connection.getresponse())
