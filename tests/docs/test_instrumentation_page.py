"""The program of docs/instrumentation.md does what its page says."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from local.documents import blocks
from mqtt_trace.instrumentation import PahoMqttInstrumentor


@pytest.fixture
def uninstrument() -> Iterator[None]:
    """Undo what the page's program does."""
    yield
    PahoMqttInstrumentor().uninstrument()


@pytest.mark.usefixtures("uninstrument")
def test_the_hook_names_the_sensor(spans: InMemorySpanExporter, run_program: Callable[..., dict[str, Any]]) -> None:
    """With the page's hook a process span has the part of the topic that is the sensor."""
    [block] = blocks("instrumentation.md", "python")
    run_program(block.code)
    client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    client.on_message = lambda *_: None
    message = MQTTMessage(topic=b"sensors/s1/reading")
    message.properties = Properties(PacketTypes.PUBLISH)
    client._handle_on_message(message)  # noqa: SLF001 - a message as it comes from the network
    [span] = spans.get_finished_spans()
    assert (span.attributes or {})["sensor.id"] == "s1"
