"""The instrumentation as it is distributed, with each paho that it serves."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from local.mosquitto import Mosquitto
from tests.packaging.conftest import Distributions

PUBLISH_AND_PROCESS = """
import sys, threading
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from mqtt_trace.instrumentation import PahoMqttInstrumentor

exporter, provider = InMemorySpanExporter(), TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
PahoMqttInstrumentor().instrument(tracer_provider=provider)
topic = sys.argv[3]
received = threading.Semaphore(0)
subscribed = threading.Event()
client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
client.will_set(topic, "gone")
client.on_message = lambda *_: received.release()
client.on_subscribe = lambda *_: subscribed.set()
client.on_connect = lambda client, *_: client.subscribe(topic, 2)
client.connect(sys.argv[1], int(sys.argv[2]))
client.loop_start()
assert subscribed.wait(30)
for qos in (0, 1, 2):
    client.publish(topic, "x", qos).wait_for_publish(30)
    assert received.acquire(timeout=30)
client.unsubscribe(topic)
client.disconnect()
client.loop_stop()
spans = sorted(exporter.get_finished_spans(), key=lambda span: span.start_time)
print(*(span.name.split()[0] for span in spans))
publishes = [span for span in spans if span.name.startswith("publish")]
processes = [span for span in spans if span.name.startswith("process")]
assert [span.parent.span_id for span in processes] == [span.context.span_id for span in publishes]
assert {span.attributes["messaging.destination.template"] for span in processes} == {topic}
assert not [span for span in spans if "error.type" in span.attributes]
"""


@pytest.mark.parametrize("paho", ["2.1.0", "2.2.0"])
def test_programs_on_each_paho_are_traced(
    distributions: Distributions, install: Callable[..., Path], broker: Mosquitto, paho: str
) -> None:
    """From the wheel with its extra: a span per publish and per message, connected, and one for the will."""
    wheel = f"{distributions.wheel}[instrumentation]"
    environment = install(sys.executable, wheel, "opentelemetry-sdk>=1.45,<2", f"paho-mqtt=={paho}")
    command = [str(environment), "-I", "-W", "error", "-c", PUBLISH_AND_PROCESS, broker.host, str(broker.port)]
    done = subprocess.run(
        [*command, f"instrumented/{paho}"],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        cwd=environment.parent,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["create", *["publish", "process"] * 3]
