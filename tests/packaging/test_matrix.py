"""The library with the oldest and the newest OpenTelemetry and paho-mqtt, on each Python that it supports."""

from __future__ import annotations

import itertools
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from local.mosquitto import Mosquitto
from tests.packaging.conftest import (
    PROGRAMS,
    Distributions,
    clean_environment,
    interpreter,
    make_environment,
    uv_install,
)
from tests.packaging.printed import Printed

Install = Callable[..., Path]

PYTHONS = ["3.11", "3.12", "3.13", "3.14"]
OPENTELEMETRY = {
    "oldest": ("opentelemetry-sdk==1.30.0", "opentelemetry-instrumentation==0.51b0", "opentelemetry-distro==0.51b0"),
    "newest": ("opentelemetry-sdk", "opentelemetry-instrumentation>=0.66b0", "opentelemetry-distro>=0.66b0"),
}
PAHO = {
    "oldest": ("paho-mqtt~=2.1.0",),
    "newest": ("--upgrade-package", "paho-mqtt", "paho-mqtt<3"),  # a pre-release, too, with UV_PRERELEASE=allow
}
COUNTERS = ("messaging.client.sent.messages", "messaging.client.consumed.messages")
HISTOGRAMS = ("messaging.client.operation.duration", "messaging.process.duration")
BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10]
ENTRY_POINTS = """
from importlib.metadata import entry_points
print(*(point.module for point in entry_points(group="opentelemetry_instrumentor")))
"""


@pytest.fixture(scope="module", params=itertools.product(OPENTELEMETRY, PYTHONS), ids="-".join)
def environment(
    request: pytest.FixtureRequest, distributions: Distributions, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The Python of an environment with the instrumentation, which lacks only paho."""
    opentelemetry, version = request.param
    python = interpreter(version)
    if python is None:
        pytest.skip(f"no Python {version} on PATH or in pyenv")
    folder = tmp_path_factory.mktemp("matrix") / "env"
    wheel = f"{distributions.wheel}[instrumentation]"
    return uv_install(make_environment(python, folder), wheel, *OPENTELEMETRY[opentelemetry])


@pytest.mark.parametrize("paho", PAHO)
def test_it_traces_in_each_environment(environment: Path, broker: Mosquitto, paho: str) -> None:
    """By hand and under `opentelemetry-instrument`, a message is one trace and its publish ends on PUBACK."""
    uv_install(environment, *PAHO[paho])
    topic = f"{environment.parents[2].name}/{paho}"
    by_hand = run(environment, "by_hand.py", broker, topic)
    instrumented = run(environment, "unaware.py", broker, topic, instrumented=True)
    for printed in (by_hand, instrumented):
        assert_traced(printed, topic)
    assert [span["parent_id"] for span in by_hand.named("handle")] == ids(by_hand.named("process"))


@pytest.mark.parametrize("thin_first", [True, False])
def test_two_entry_points_instrument_once(
    distributions: Distributions, thin: Distributions, install: Install, broker: Mosquitto, *, thin_first: bool
) -> None:
    """With both entry points, in either order, each span exists once, nothing warns, and one name disables both."""
    environment = install(sys.executable, f"{distributions.wheel}[instrumentation]", thin.wheel, "opentelemetry-distro")
    places = {"mqtt_trace.instrumentation": distributions, "opentelemetry.instrumentation.paho_mqtt": thin}
    modules = sorted(places, reverse=thin_first)
    folders = [unpacked(places[module].wheel, environment.parents[1] / module) for module in modules]
    # Of two copies of a distribution, the first on the path is used.
    path = {"PYTHONPATH": ":".join(map(str, folders))}
    found = subprocess.run(
        [environment, "-c", ENTRY_POINTS], env=clean_environment() | path, capture_output=True, text=True, check=True
    )
    assert found.stdout.split() == modules
    topic = f"twice/{thin_first}"
    assert_traced(run(environment, "unaware.py", broker, topic, instrumented=True, variables=path), topic)
    off = path | {"OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "paho-mqtt"}
    assert not run(environment, "unaware.py", broker, topic, instrumented=True, variables=off).spans


def unpacked(wheel: Path, folder: Path) -> Path:
    """An unpacked pure-Python wheel, for PYTHONPATH."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def run(
    environment: Path,
    program: str,
    broker: Mosquitto,
    topic: str,
    *,
    instrumented: bool = False,
    variables: dict[str, str] | None = None,
) -> Printed:
    """The output of one of `programs/`, which must print no warning."""
    command: list[str | Path] = [environment, PROGRAMS / program, broker.host, str(broker.port), topic]
    if instrumented:
        exporters = {"traces": "console", "metrics": "console", "logs": "none"}
        options = [word for signal, name in exporters.items() for word in (f"--{signal}_exporter", name)]
        command = [environment.parent / "opentelemetry-instrument", *options, *command]
    done = subprocess.run(
        command,
        env=clean_environment() | (variables or {}),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        cwd=environment.parent,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return Printed.parse(done.stdout)


def assert_traced(printed: Printed, topic: str) -> None:
    """Three messages with QoS 0, 1 and 2 have a publish and a process span each, connected, and are counted."""
    publishes, processes = printed.named("publish"), printed.named("process")
    assert len({span["context"]["trace_id"] for span in publishes}) == len(publishes) == 3
    assert [span["attributes"]["mqtt.qos"] for span in publishes] == [0, 1, 2]
    assert [printed.ended_after_hand_off(span) for span in publishes] == [False, True, True]
    assert {span["parent_id"]: span["context"]["trace_id"] for span in processes} == {
        span["context"]["span_id"]: span["context"]["trace_id"] for span in publishes
    }
    assert {span["attributes"]["messaging.destination.template"] for span in processes} == {topic}
    assert not [span for span in printed.spans if span["status"]["status_code"] == "ERROR"]
    counted = {
        name: [point.get("value", point.get("count")) for point in metric] for name, metric in printed.metrics.items()
    }
    assert counted == {
        "messaging.client.sent.messages": [3],
        "messaging.client.operation.duration": [3],
        "messaging.client.consumed.messages": [3],
        "messaging.process.duration": [3],
    }
    for name in ("messaging.client.operation.duration", "messaging.process.duration"):
        assert [point["explicit_bounds"] for point in printed.metrics[name]] == [BUCKETS]


def ids(spans: list[dict[str, Any]]) -> list[str]:
    """Their span ids."""
    return [span["context"]["span_id"] for span in spans]
