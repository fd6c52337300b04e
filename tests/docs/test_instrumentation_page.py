"""The programs of docs/instrumentation.md do what the page says.

The test of the aiomqtt program is with the other tests of aiomqtt.
"""

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

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def uninstrument() -> Iterator[None]:
    """Uninstrument, as the page's program does not."""
    yield
    PahoMqttInstrumentor().uninstrument()


def program_with(text: str) -> str:
    """The page's program that contains this text."""
    [code] = [block.code for block in blocks("instrumentation.md", "python") if text in block.code]
    return code


@pytest.mark.parametrize("pairs", [[("traceparent", TRACEPARENT)], None])
def test_single_values_become_a_message(
    spans: InMemorySpanExporter, run_program: Callable[..., dict[str, Any]], pairs: list[tuple[str, str]] | None
) -> None:
    """The callback for gmqtt continues the trace of its properties, and starts one without."""
    names = run_program(program_with("def on_message(client, topic, payload, qos, properties)"))
    properties = {"retain": 0} if pairs is None else {"retain": 0, "user_property": pairs}
    names["on_message"](None, "sensors/s1/reading", b"21.5", 1, properties)
    [span] = spans.get_finished_spans()
    assert span.name == "process sensors/s1/reading"
    assert (span.parent is None) is (pairs is None)
    assert (span.attributes or {})["messaging.destination.template"] == "sensors/+/reading"
    assert (span.attributes or {})["mqtt.qos"] == 1


@pytest.mark.usefixtures("uninstrument")
def test_the_hook_names_the_sensor(spans: InMemorySpanExporter, run_program: Callable[..., dict[str, Any]]) -> None:
    """With the page's hook a process span has the part of the topic that is the sensor."""
    run_program(program_with("name_the_sensor"))
    client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    client.on_message = lambda *_: None
    message = MQTTMessage(topic=b"sensors/s1/reading")
    message.properties = Properties(PacketTypes.PUBLISH)
    client._handle_on_message(message)  # noqa: SLF001 - a message as it comes from the network
    [span] = spans.get_finished_spans()
    assert (span.attributes or {})["sensor.id"] == "s1"
