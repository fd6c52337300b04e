"""`collector.yaml` is the production pipeline: it keeps what it accepted."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

FILE = Path(__file__).parents[1] / "collector.yaml"

SCOUT = {
    "SCOUT_CLIENT_ID": "id",
    "SCOUT_CLIENT_SECRET": "secret",
    "SCOUT_TOKEN_URL": "http://127.0.0.1:1/token",
    "SCOUT_OTLP_ENDPOINT": "http://127.0.0.1:1/otlp",
}

needs_collector = pytest.mark.skipif(not shutil.which("otelcol-contrib"), reason="otelcol-contrib is not on PATH")


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
    """Everything else has a default."""
    done = validate(tmp_path, **SCOUT)
    assert (done.returncode, done.stderr) == (0, "")


@needs_collector
@pytest.mark.parametrize("name", SCOUT)
def test_each_scout_value_is_needed(name: str, tmp_path: Path) -> None:
    """A forgotten value stops the Collector at start."""
    assert validate(tmp_path, **{**SCOUT, name: ""}).returncode != 0


def test_no_processor_or_queue_holds_accepted_spans_in_memory_only(config: dict[str, Any]) -> None:
    """Batching happens in the persistent queue, which is emptied by delivery alone."""
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
