"""Prints the Collector's own log without the spans, and reports damaged files of its storage as a metric.

The debug exporter prints spans into the log of the Collector's container, of which Kubernetes keeps the last 10 MiB: at
100 readings/s, less than a minute. The Collector also writes its own log to a file, which this program prints.
"""

import argparse
import json
import os
import signal
import socket
import sys
import time
from http.client import HTTPException
from pathlib import Path
from typing import BinaryIO, NoReturn
from urllib.request import Request, urlopen

METRIC = "mqtt_trace.collector.storage.damaged_files"

_POLL_S = 0.5
_REPORT_S = 30
_CHUNK = 65536


def main() -> NoReturn:
    """Print and report until SIGTERM."""
    parser = argparse.ArgumentParser(description="Print the Collector's own log and report damaged files.")
    parser.add_argument("log", type=Path, help="the file that the Collector writes its log to")
    parser.add_argument("damaged", type=Path, help="the folder that damaged files are moved to")
    parser.add_argument("--endpoint", default="http://localhost:4318", help="the Collector's OTLP/HTTP endpoint")
    parser.add_argument("--log-bytes", type=int, default=4 << 20, help="size at which the file is emptied")
    arguments = parser.parse_args()
    signal.signal(
        signal.SIGTERM, lambda *_: sys.exit(0)
    )  # without a handler, the first process of a container ignores it
    relay = Relay(arguments.log, sys.stdout.buffer, arguments.log_bytes)
    next_report = 0.0
    while True:
        relay.copy()
        # The first report waits for the Collector.
        if time.monotonic() >= next_report and report(arguments.endpoint, count(arguments.damaged)):
            next_report = time.monotonic() + _REPORT_S
        time.sleep(_POLL_S)


class Relay:
    """Copies what is appended to a file, and empties the file when it has grown."""

    def __init__(self, path: Path, output: BinaryIO, most_bytes: int) -> None:
        self._path = path
        self._output = output
        self._most_bytes = most_bytes
        self._position = 0

    def copy(self) -> None:
        """Copy what is new. A file that does not exist yet has nothing new."""
        try:
            file = self._path.open("rb")
        except FileNotFoundError:
            return
        with file:
            file.seek(self._position)
            while chunk := file.read(_CHUNK):
                self._output.write(chunk)
            self._position = file.tell()
        self._output.flush()
        if self._position >= self._most_bytes:
            os.truncate(self._path, 0)  # the Collector appends, so it goes on at the new end
            self._position = 0


def count(damaged: Path) -> int:
    """Return the number of damaged files that are kept."""
    return sum(path.is_file() for path in damaged.iterdir()) if damaged.exists() else 0


def report(endpoint: str, damaged: int) -> bool:
    """Send the metric, and return whether the Collector accepted it."""
    point = {"timeUnixNano": str(time.time_ns()), "asInt": str(damaged)}
    metric = {
        "name": METRIC,
        "description": "Damaged files that the Collector's storage keeps aside; their telemetry was not delivered.",
        "unit": "{file}",
        "gauge": {"dataPoints": [point]},
    }
    attributes = {"service.name": "otel-collector", "service.instance.id": socket.gethostname()}
    given = os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "").split(",")
    attributes |= dict(pair.split("=", 1) for pair in given if "=" in pair)
    resource = [{"key": key, "value": {"stringValue": value}} for key, value in attributes.items()]
    scope = {"scope": {"name": "mqtt-trace"}, "metrics": [metric]}
    body = json.dumps({"resourceMetrics": [{"resource": {"attributes": resource}, "scopeMetrics": [scope]}]})
    headers = {"Content-Type": "application/json"}
    try:
        with urlopen(Request(f"{endpoint}/v1/metrics", body.encode(), headers), timeout=5):  # noqa: S310 - our own address
            return True
    except (OSError, HTTPException):
        return False


if __name__ == "__main__":
    main()
