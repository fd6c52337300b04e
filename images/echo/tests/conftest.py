"""Fixtures: a backend, and echo as a process that sends to it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from local.ports import free_port
from local.processes import Process, answers_http
from service.tests.telemetry.otlp_backend import OtlpBackend

MAX_BODY_BYTES = 1000

COMMAND = str(Path(sys.executable).with_name("mqtt-trace-echo"))


@dataclass(frozen=True)
class Echo:
    """A running echo and the backend it exports to."""

    process: Process
    url: str
    http: httpx.Client
    backend: OtlpBackend


@pytest.fixture
def echo(tmp_path: Path) -> Iterator[Echo]:
    """An echo that the test stops."""
    with _running(tmp_path) as running:
        yield running


@pytest.fixture(scope="module")
def shared_echo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Echo]:
    """An echo for tests of its answers."""
    with _running(tmp_path_factory.mktemp("echo")) as running:
        yield running


@pytest.fixture
def echo_without_propagators(tmp_path: Path) -> Iterator[Echo]:
    """An echo with `OTEL_PROPAGATORS=none`."""
    with _running(tmp_path, OTEL_PROPAGATORS="none") as running:
        yield running


@contextmanager
def _running(folder: Path, **settings: str) -> Iterator[Echo]:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with OtlpBackend() as backend, httpx.Client(base_url=url, timeout=20, trust_env=False) as http:
        variables = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")} | {
            "ECHO_HOST": "::",  # as it is installed: its spans must have IPv4 addresses as such
            "ECHO_PORT": str(port),
            "ECHO_MAX_BODY_BYTES": str(MAX_BODY_BYTES),
            "OTEL_EXPORTER_OTLP_ENDPOINT": backend.url,
            # What arrives before an hour is over was flushed at exit.
            "OTEL_BSP_SCHEDULE_DELAY": "3600000",
            "OTEL_BLRP_SCHEDULE_DELAY": "3600000",
            "PYTHONWARNINGS": "error",
            **settings,
        }
        process = Process("echo", [COMMAND], log=folder / "echo.log", env=variables)
        process.start()
        try:
            process.wait_until(answers_http(f"{url}/health"))
            yield Echo(process, url, http, backend)
        finally:
            process.stop()
