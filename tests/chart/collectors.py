"""Collectors with the chart's configuration, on ports of this machine, with a backend that never answers."""

from __future__ import annotations

import json
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import Request, urlopen

from local.ports import HOST, free_port
from local.processes import Process, answers_http

TRACES = "exporter_otlp_http_b14_traces"

_SCOUT = {
    "SCOUT_CLIENT_ID": "id",
    "SCOUT_CLIENT_SECRET": "secret",
    "SCOUT_TOKEN_URL": "http://127.0.0.1:1/token",
    "SCOUT_OTLP_ENDPOINT": "http://127.0.0.1:1/otlp",
}


class Collector(Process):
    """A Collector that keeps its queues in `folder / "storage"`."""

    def __init__(self, folder: Path, config: Path) -> None:
        self._ports = {f"COLLECTOR_{name}_PORT": free_port() for name in ("HEALTH", "GRPC", "HTTP", "METRICS")}
        self.storage = folder / "storage"
        self.url = f"http://{HOST}:{self._ports['COLLECTOR_HTTP_PORT']}"
        env = {"PATH": os.environ["PATH"], "COLLECTOR_STORAGE": str(self.storage), "COLLECTOR_HOST": HOST, **_SCOUT}
        env |= {name: str(port) for name, port in self._ports.items()}
        super().__init__("collector", ["otelcol-contrib", "--config", str(config)], log=folder / "log", env=env)

    def wait_ready(self) -> None:
        """Wait until it is healthy."""
        self.wait_until(answers_http(f"http://{HOST}:{self._ports['COLLECTOR_HEALTH_PORT']}"), timeout_s=60)

    def send(self, trace_id: str = "", size: int = 0) -> int:
        """Send a span with an attribute of this size, and return the status of the answer."""
        now = str(time.time_ns())
        span = {
            "traceId": trace_id or secrets.token_hex(16),
            "spanId": secrets.token_hex(8),
            "name": "process sensors/s/reading",
            "kind": 5,
            "startTimeUnixNano": now,
            "endTimeUnixNano": now,
            "attributes": [{"key": "filler", "value": {"stringValue": secrets.token_hex(size // 2)}}],
        }
        body = {"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}
        headers = {"Content-Type": "application/json"}
        with urlopen(Request(f"{self.url}/v1/traces", json.dumps(body).encode(), headers), timeout=30) as answer:  # noqa: S310 - our own address
            status: int = answer.status
            return status


@contextmanager
def running(folder: Path, config: Path) -> Iterator[Collector]:
    """A healthy Collector, killed at the end."""
    folder.mkdir(exist_ok=True)
    collector = Collector(folder, config)
    collector.start()
    try:
        collector.wait_ready()
        yield collector
    finally:
        collector.kill()
