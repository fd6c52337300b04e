"""`collector.yaml` is the production pipeline: it keeps all accepted data."""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from local.needed import needs
from local.ports import free_port
from local.processes import Process, answers_http
from service.tests import without_ipv6
from service.tests.ipv6 import connects, needs_ipv6

FILE = Path(__file__).parents[1] / "collector.yaml"

SCOUT = {
    "SCOUT_CLIENT_ID": "id",
    "SCOUT_CLIENT_SECRET": "secret",
    "SCOUT_TOKEN_URL": "http://127.0.0.1:1/token",
    "SCOUT_OTLP_ENDPOINT": "http://127.0.0.1:1/otlp",
}

needs_collector = needs("otelcol-contrib")


@pytest.fixture
def config() -> dict[str, Any]:
    """The file as YAML."""
    loaded: dict[str, Any] = yaml.safe_load(FILE.read_text())
    return loaded


def validate(folder: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Let the Collector read the file with these variables only."""
    return subprocess.run(
        ["otelcol-contrib", "validate", "--config", str(FILE)],
        env={"PATH": os.environ["PATH"], "COLLECTOR_STORAGE": str(folder), **env},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


@needs_collector
def test_the_four_scout_values_are_enough(tmp_path: Path) -> None:
    """The four Scout values are the only required variables."""
    done = validate(tmp_path, **SCOUT)
    assert (done.returncode, done.stderr) == (0, "")


@needs_collector
@pytest.mark.parametrize("name", SCOUT)
def test_each_scout_value_is_needed(name: str, tmp_path: Path) -> None:
    """A forgotten value stops the Collector at start."""
    assert validate(tmp_path, **{**SCOUT, name: ""}).returncode != 0


@contextmanager
def listening(folder: Path, *through: str) -> Iterator[Sequence[int]]:
    """The ports of a Collector with only its ports set, once it is healthy over IPv4."""
    ports = {f"COLLECTOR_{name}_PORT": free_port() for name in ("HEALTH", "GRPC", "HTTP", "METRICS")}
    env = {"PATH": os.environ["PATH"], "COLLECTOR_STORAGE": str(folder / "storage"), **SCOUT}
    env |= {name: str(port) for name, port in ports.items()}
    command = [*through, "otelcol-contrib", "--config", str(FILE)]
    process = Process("collector", command, log=folder / "log", env=env)
    process.start()
    try:
        process.wait_until(answers_http(f"http://127.0.0.1:{ports['COLLECTOR_HEALTH_PORT']}"), timeout_s=60)
        yield list(ports.values())
    finally:
        process.stop()


@needs_collector
@needs_ipv6
def test_it_listens_by_both_families(tmp_path: Path) -> None:
    """With its default, 0.0.0.0, the Collector listens on all addresses, as IPv6-only clusters require."""
    with listening(tmp_path) as ports:
        assert all(connects(host, port) for host in ("127.0.0.1", "::1") for port in ports)


@needs_collector
@pytest.mark.skipif(not without_ipv6.SUPPORTED, reason="filters of system calls are Linux's")
def test_it_listens_where_there_is_no_ipv6(tmp_path: Path) -> None:
    """Without IPv6 it listens on IPv4."""
    with listening(tmp_path, sys.executable, without_ipv6.__file__, "socket") as ports:
        assert all(connects("127.0.0.1", port) for port in ports)


def test_no_processor_or_queue_holds_accepted_spans_in_memory_only(config: dict[str, Any]) -> None:
    """Batching happens in the persistent queue, from which only delivery removes items."""
    assert "batch" not in config["processors"]
    exporter = config["exporters"]["otlp_http/b14"]
    assert exporter["retry_on_failure"]["max_elapsed_time"] == "0s"
    assert exporter["sending_queue"]["storage"] == "file_storage"
    assert exporter["sending_queue"]["batch"]


def test_every_pipeline_goes_to_scout_and_to_the_debug_exporter(config: dict[str, Any]) -> None:
    """Traces, metrics and logs each have both exporters, and the memory limiter first."""
    pipelines = config["service"]["pipelines"]
    assert set(pipelines) == {"traces", "metrics", "logs"}
    for pipeline in pipelines.values():
        assert pipeline["exporters"] == ["otlp_http/b14", "debug"]
        assert pipeline["processors"][0] == "memory_limiter"
        assert pipeline["processors"][-1] == "resource"
