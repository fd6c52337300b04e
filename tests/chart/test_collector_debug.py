"""The Collector's own log and the spans that it prints do not drown each other."""

from __future__ import annotations

import re
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import collector_log
import pytest
import yaml

from charts.generate import CHART
from local.needed import skip_without
from local.processes import Process
from local.waiting import until
from tests.chart.collectors import Collector, running
from tests.chart.conftest import Refuse, Render

PROGRAM = CHART / "files" / "collector_log.py"
LOG = "/var/log/otelcol/collector.log"


def configuration(render: Render, *values: str) -> dict[str, Any]:
    """The Collector's configuration with these values."""
    [text] = [
        manifest["data"]["config.yaml"]
        for manifest in render(*values)
        if (manifest["kind"], manifest["metadata"]["name"]) == ("ConfigMap", "demo-mqtt-trace-otel-collector")
    ]
    config: dict[str, Any] = yaml.safe_load(text)
    return config


@contextmanager
def started(folder: Path, config: dict[str, Any]) -> Iterator[Collector]:
    """A Collector with this configuration, its own log in a file of the folder."""
    skip_without("otelcol-contrib")
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(config).replace(LOG, str(folder / "own.log")))
    with running(folder, path) as collector:
        yield collector


@contextmanager
def printing(folder: Path, collector: Collector) -> Iterator[Process]:
    """The sidecar of that Collector."""
    command = [sys.executable, str(PROGRAM), str(folder / "own.log"), str(collector.storage / "damaged")]
    process = Process("log", [*command, f"--endpoint={collector.url}"], log=folder / "sidecar.log")
    process.start()
    try:
        yield process
    finally:
        assert process.stop() == 0


def exporters(config: dict[str, Any]) -> dict[str, list[str]]:
    """The exporters of each pipeline."""
    return {name: pipeline["exporters"] for name, pipeline in config["service"]["pipelines"].items()}


def test_the_sidecar_prints_the_own_log_and_no_span(render: Render, tmp_path: Path) -> None:
    """It has the export's error; the span is in the Collector's output, without the Collector's fields."""
    trace_id = secrets.token_hex(16)
    with started(tmp_path, configuration(render)) as collector, printing(tmp_path, collector) as sidecar:
        assert collector.send(trace_id) == 200
        until(
            lambda: re.search(rf"^process sensors/s/reading {trace_id} ", collector.output(), re.MULTILINE), "the span"
        )
        until(lambda: "\tinfo\tinternal/retry_sender.go" in sidecar.output(), "the error of the export")
        assert trace_id not in sidecar.output()
        assert trace_id not in (tmp_path / "own.log").read_text()


def test_damaged_files_are_a_metric(render: Render, tmp_path: Path) -> None:
    """The Collector receives their number from the sidecar; without their folder, it is 0."""
    (tmp_path / "storage" / "damaged").mkdir(parents=True)
    (tmp_path / "storage" / "damaged" / "exporter_otlp_http_b14_traces.20260101T000000Z").touch()
    with started(tmp_path, configuration(render)) as collector, printing(tmp_path, collector):
        until(lambda: f"{collector_log.METRIC}{{}} 1\n" in collector.output(), "the metric")
    assert collector_log.count(tmp_path / "absent") == 0


def test_the_sidecar_empties_the_file(tmp_path: Path) -> None:
    """The file that is appended to stays small, and each line is printed once."""
    log, output = tmp_path / "own.log", tmp_path / "output"
    with log.open("ab", buffering=0) as writer, output.open("wb") as printed:
        relay = collector_log.Relay(log, printed, 100)
        for number in range(100):
            writer.write(b"line %d\n" % number)
            relay.copy()
            assert log.stat().st_size < 100
    assert output.read_bytes() == b"".join(b"line %d\n" % number for number in range(100))


def test_whole_traces_are_sampled(render: Render, tmp_path: Path) -> None:
    """Of the traces with the least and the greatest random numbers, those of a share are printed, all are queued."""
    config = configuration(render, "collector.debug.samplingPercentage=25")
    numbers = [0, 2**55, 3 * 2**54 - 2**20, 3 * 2**54 + 2**20, 2**56 - 1]
    traces = [f"{secrets.token_hex(9)}{number:014x}" for number in numbers]
    with started(tmp_path, config) as collector:
        for trace_id in traces:
            assert collector.send(trace_id) == 200
        until(lambda: traces[-1] in collector.output(), "the last span")
        assert [trace_id in collector.output() for trace_id in traces] == [False, False, False, True, True]
    assert exporters(config) == {
        "traces": ["otlp_http/b14"],
        "traces/debug": ["debug"],
        "metrics": ["otlp_http/b14", "debug"],
        "logs": ["otlp_http/b14"],
        "logs/debug": ["debug"],
    }


@pytest.mark.parametrize("verbosity", ["basic", "detailed"])
def test_verbosity_is_the_exporters(render: Render, verbosity: str) -> None:
    """The value is the exporter's setting."""
    config = configuration(render, f"collector.debug.verbosity={verbosity}")
    assert config["exporters"]["debug"]["verbosity"] == verbosity


@pytest.mark.parametrize("values", [(), ("collector.debug.samplingPercentage=1",)])
def test_it_can_be_turned_off(render: Render, values: tuple[str, ...], tmp_path: Path) -> None:
    """No pipeline has the exporter, and the Collector accepts the configuration."""
    config = configuration(render, "collector.debug.enabled=false", *values)
    assert exporters(config) == {name: ["otlp_http/b14"] for name in ("traces", "metrics", "logs")}
    assert "debug" not in config["exporters"]
    with started(tmp_path, config) as collector:
        assert collector.send() == 200


@pytest.mark.parametrize(
    ("size", "queue"), [("4Gi", 429496729), ("512Mi", 53687091), ("10G", 10**9), ("1Ti", 109951162777)]
)
def test_a_queue_may_hold_a_tenth_of_the_volume(render: Render, size: str, queue: int) -> None:
    """All units are understood."""
    config = configuration(render, f"collector.persistence.size={size}")
    assert config["exporters"]["otlp_http/b14"]["sending_queue"]["queue_size"] == queue


@pytest.mark.parametrize("size", ["511Mi", "536M", "1M"])
def test_a_volume_too_small_for_the_queues_is_refused(refuse: Refuse, size: str) -> None:
    """In a sentence with the value and the least size."""
    message = refuse(f"collector.persistence.size={size}")
    assert (
        f"collector.persistence.size is {size}, too small for the Collector's three queues: set at least 512Mi."
        in message
    )


def test_fsync_is_on_unless_turned_off(render: Render) -> None:
    """Power loss must not damage a queue."""
    for values, fsync in (((), True), (("collector.persistence.fsync=false",), False)):
        assert configuration(render, *values)["extensions"]["file_storage"]["fsync"] is fsync
