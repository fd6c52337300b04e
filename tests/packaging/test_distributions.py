"""The library as it is distributed, in clean environments."""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from email.parser import Parser
from pathlib import Path

import pytest

from local.mosquitto import Mosquitto
from tests.packaging.conftest import ROOT, Distributions, interpreters

Install = Callable[..., Path]

LOCK = str(ROOT / "requirements" / "dev.txt")
PYTHONS = interpreters("3.11", "3.12", "3.13")
NEWEST = ("--constraint", LOCK)
OLDEST = ("paho-mqtt==2.1.0", "opentelemetry-sdk==1.30.0")
TRACE_ID = "0af7651916cd43dd8448eb211c80319c"

LIST = "import importlib.metadata as m, json; print(json.dumps({d.name: d.version for d in m.distributions()}))"

PUBLISH_AND_PROCESS = f"""
import importlib.util, sys, threading
from opentelemetry import trace
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from mqtt_trace import TracedConsumer, TracedPublisher

if importlib.util.find_spec("opentelemetry.sdk"):  # without it, 1.30 carries no context on
    from opentelemetry.sdk.trace import TracerProvider
    trace.set_tracer_provider(TracerProvider())
client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
consumer = TracedConsumer(client, ["packaged/+"])
processed, acknowledged, subscribed = threading.Semaphore(0), threading.Semaphore(0), threading.Event()
traces = []

def handle(client, userdata, message):
    traces.append(f"{{trace.get_current_span().get_span_context().trace_id:032x}}")
    processed.release()

client.on_message = consumer.handler(handle)
client.on_subscribe = lambda *_: subscribed.set()
client.on_connect = lambda client, *_: client.subscribe(sys.argv[3], 2)
client.connect(sys.argv[1], int(sys.argv[2]))
client.loop_start()
assert subscribed.wait(30)
caller = trace.SpanContext(0x{TRACE_ID}, 1, is_remote=False, trace_flags=trace.TraceFlags.get_default())
with trace.use_span(trace.NonRecordingSpan(caller)):
    publisher = TracedPublisher(client)
    for qos in range(3):
        publisher.publish(sys.argv[3], "x", qos, on_outcome=lambda outcome: acknowledged.release())
for _ in range(3):
    assert processed.acquire(timeout=30) and acknowledged.acquire(timeout=30)
client.disconnect()
client.loop_stop()
print(*traces)
"""


def test_the_wheel_holds_the_library_its_types_and_its_license(distributions: Distributions) -> None:
    """Every module of the sources, `py.typed` and LICENSE; nothing else."""
    package = {str(path.relative_to(ROOT / "src")) for path in (ROOT / "src").rglob("*") if path.suffix == ".py"}
    with zipfile.ZipFile(distributions.wheel) as wheel:
        files = {name for name in wheel.namelist() if not name.endswith("/")}
    assert {name for name in files if ".dist-info/" not in name} == package | {"mqtt_trace/py.typed"}
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in files)


def test_the_sdist_holds_what_the_wheel_is_built_from(distributions: Distributions) -> None:
    """The sources, README and LICENSE; no test and no service."""
    with tarfile.open(distributions.sdist) as sdist:
        files = [Path(name).parts[1:] for name in sdist.getnames()]
    assert {("README.md",), ("LICENSE",), ("pyproject.toml",)} <= set(files)
    assert {parts[:2] for parts in files if len(parts) > 1} == {("src", "mqtt_trace")}


def test_only_paho_and_the_api_are_required(distributions: Distributions) -> None:
    """What telemetry, services and the instrumentation need besides is an extra."""
    with zipfile.ZipFile(distributions.wheel) as wheel:
        (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = Parser().parsestr(wheel.read(name).decode())
    requirements = [text for text in metadata.get_all("Requires-Dist", []) if "extra ==" not in text]
    assert sorted(requirements) == ["opentelemetry-api>=1.30,<2", "paho-mqtt>=2.1,<3"]


@pytest.mark.parametrize("python", PYTHONS, ids=lambda path: Path(path).name)
@pytest.mark.parametrize("kind", ["wheel", "sdist"])
@pytest.mark.parametrize("versions", [NEWEST, OLDEST], ids=["newest", "oldest"])
def test_it_works_in_a_clean_environment(
    distributions: Distributions,
    install: Install,
    broker: Mosquitto,
    python: str,
    kind: str,
    versions: tuple[str, str],
) -> None:
    """Installed with nothing but its two dependencies, it carries a context across a broker with every QoS."""
    environment = install(python, str(getattr(distributions, kind)), *versions)
    if versions is NEWEST:
        installed = json.loads(run(environment, LIST))
        assert installed.keys() == {"mqtt-trace", "paho-mqtt", "opentelemetry-api", "typing_extensions"}
    topic = f"packaged/{Path(environment).parents[2].name}"
    assert run(environment, PUBLISH_AND_PROCESS, broker.host, str(broker.port), topic).split() == [TRACE_ID] * 3


@pytest.mark.parametrize(
    ("extra", "program"),
    [
        ("telemetry", "import mqtt_trace.telemetry"),
        ("service", "import mqtt_trace.service, mqtt_trace.telemetry"),
        (
            "instrumentation",
            "from importlib.metadata import entry_points as e; [i] = e(group='opentelemetry_instrumentor'); i.load()",
        ),
    ],
)
def test_an_extra_brings_what_its_part_needs(
    distributions: Distributions, install: Install, extra: str, program: str
) -> None:
    """Each part of the library imports where its extra is installed, and nothing that the extra does not bring."""
    environment = install(sys.executable, f"{distributions.wheel}[{extra}]", "--constraint", LOCK)
    assert run(environment, f"{program}; print('imported')") == "imported\n"


def run(python: Path, program: str, *arguments: str) -> str:
    """What a program prints, with warnings as errors and without a look at this repository."""
    command = [str(python), "-I", "-W", "error", "-c", program, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, cwd=python.parent)
    assert done.returncode == 0, done.stderr
    return done.stdout
