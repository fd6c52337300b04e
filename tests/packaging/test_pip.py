"""The distributions as a user installs them: with plain pip, into a clean environment."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from local.mosquitto import Mosquitto
from tests.packaging.conftest import THIN, Distributions, clean_environment

Pip = Callable[..., Path]

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
LIST = "import importlib.metadata as m, json; print(json.dumps({d.name: d.version for d in m.distributions()}))"
WHERE = "import mqtt_trace; print(mqtt_trace.__file__)"
EXTRAS = """
import mqtt_trace, mqtt_trace.instrumentation as ours
import opentelemetry.trace
from importlib.metadata import entry_points
from opentelemetry.instrumentation.paho_mqtt import PahoMqttInstrumentor, __version__
from opentelemetry.instrumentation.paho_mqtt.package import _instruments

points = entry_points(group="opentelemetry_instrumentor", name="paho-mqtt")
assert [point.load() for point in points] == [PahoMqttInstrumentor, ours.PahoMqttInstrumentor]
assert __version__ == mqtt_trace.__version__
assert tuple(PahoMqttInstrumentor().instrumentation_dependencies()) == _instruments
print("one")
"""
PUBLISH_AND_PROCESS = f"""
import sys, threading
from opentelemetry import trace
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from mqtt_trace import TracedConsumer, TracedPublisher

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

WAYS: dict[str, Callable[[Distributions, Path], tuple[str, ...]]] = {
    "wheel": lambda distributions, _clone: (str(distributions.wheel),),
    "sdist": lambda distributions, _clone: (str(distributions.sdist),),
    "clone": lambda _distributions, clone: (str(clone),),
    "editable": lambda _distributions, clone: ("--editable", str(clone)),
}
by_way = pytest.mark.parametrize("way", WAYS)


@by_way
def test_the_library_needs_two_packages(
    distributions: Distributions, clone: Path, pip: Pip, broker: Mosquitto, way: str
) -> None:
    """Installed in each way with only paho and the API, it carries a context across a broker with every QoS."""
    python = pip(*WAYS[way](distributions, clone))
    installed = json.loads(run(python, LIST))
    assert installed.keys() == {"mqtt-trace", "paho-mqtt", "opentelemetry-api", "typing_extensions"}
    home = clone / "src" if way == "editable" else python.parents[1]
    assert Path(run(python, WHERE).strip()).is_relative_to(home)
    assert run(python, PUBLISH_AND_PROCESS, broker.host, str(broker.port), f"packaged/{way}").split() == [TRACE_ID] * 3


@pytest.mark.parametrize("way", ["clone", "editable"])
def test_extras_and_the_conventional_name_bring_what_they_need(
    distributions: Distributions, thin: Distributions, clone: Path, pip: Pip, way: str
) -> None:
    """Installed in each way, `[instrumentation]` loads and the other name is the same class."""
    *options, library = WAYS[way](distributions, clone)
    conventional = WAYS[way](thin, clone / "instrumentation" / THIN.name)
    python = pip(*options, f"{library}[instrumentation]", *conventional)
    assert run(python, EXTRAS) == "one\n"


@pytest.mark.parametrize("release", ["0.51b0", "0.65b0"])
def test_the_instrumentation_goes_beside_another_release(distributions: Distributions, pip: Pip, release: str) -> None:
    """With another instrumentation, which is pinned to its own release of OpenTelemetry, pip finds a solution."""
    python = pip(f"opentelemetry-instrumentation-requests=={release}", f"{distributions.wheel}[instrumentation]")
    assert json.loads(run(python, LIST))["opentelemetry-instrumentation"] == release


def run(python: Path, program: str, *arguments: str) -> str:
    """The output of a program, with warnings as errors and without access to this repository."""
    command = [str(python), "-IW", "error", "-c", program, *arguments]
    done = subprocess.run(
        command, env=clean_environment(), capture_output=True, text=True, check=False, timeout=120, cwd=python.parent
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
