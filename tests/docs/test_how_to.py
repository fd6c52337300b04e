"""The programs of the how-to pages do what their pages say."""

import json
import re
import threading
from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from local.documents import DOCS, blocks
from local.waiting import DEADLINE_S, until
from mqtt_trace import Options, TracedPublisher

RunProgram = Callable[..., dict[str, Any]]
Connect = Callable[[Client], Client]


def test_a_batch_links_to_each_of_its_messages(
    spans: InMemorySpanExporter, run_program: RunProgram, connected: Connect
) -> None:
    """The page's consumer opens one span with a link for each of ten messages."""
    [block] = blocks("how-to/batches.md", "python")
    program = run_program(block.code)
    publisher = TracedPublisher(connected(client("batch-publisher")))
    published = 0
    while not program["written"].is_set():  # messages published before the consumer has subscribed are lost
        assert published < 10_000
        publisher.publish("sensors/batch/reading", "21.5", 1).wait_for_publish(DEADLINE_S)
        published += 1
    batch, *_ = until(
        lambda: [span for span in spans.get_finished_spans() if span.name.startswith("process")], "the batch's span"
    )
    publishes = {span.context.span_id for span in spans.get_finished_spans() if span.name.startswith("publish")}
    assert {link.context.span_id for link in batch.links} <= publishes
    assert len(batch.links) == program["BATCH"]
    assert (batch.attributes or {})["messaging.batch.message_count"] == program["BATCH"]


def test_a_consumer_of_ones_own_confirms_readings(
    spans: InMemorySpanExporter, run_program: RunProgram, connected: Connect
) -> None:
    """The page's consumer confirms a numbered reading in the page's form, and acknowledges readings of both kinds."""
    receipts: list[dict[str, Any]] = []
    subscribed = threading.Event()
    reader = connected(client("receipts-reader"))
    reader.on_message = lambda _client, _userdata, message: receipts.append(json.loads(message.payload))
    reader.on_subscribe = lambda *_: subscribed.set()
    reader.subscribe("mqtt-trace/receipts/docs.demo-receipts-0", 1)
    assert subscribed.wait(DEADLINE_S)
    [program_block] = blocks("how-to/count-in-your-consumer.md", "python")
    [form] = blocks("how-to/count-in-your-consumer.md", "json")
    program = run_program(program_block.code)
    until(program["client"].is_connected, "the program's connection")
    properties = Properties(PacketTypes.PUBLISH)
    properties.ResponseTopic = "mqtt-trace/receipts/docs.demo-receipts-0"
    properties.UserProperty = ("mqtt-trace-sequence", "9f1c22ab/0/17/42")
    publisher = TracedPublisher(connected(client("numbering-publisher")))
    while not receipts:  # messages published before the program has subscribed are lost
        publisher.publish("sensors/plain/reading", "21.5", 1)
        publisher.publish("sensors/numbered/reading", "21.5", 1, properties=properties).wait_for_publish(DEADLINE_S)
    until(lambda: not program["unacknowledged"], "the PUBACKs")
    shown = json.loads(form.code)
    assert receipts[0].keys() == shown.keys()
    (reading,) = receipts[0]["readings"]
    assert reading.keys() == shown["readings"][0].keys()
    assert reading["sequence"] == shown["readings"][0]["sequence"]
    published = {f"{span.context.trace_id:032x}" for span in spans.get_finished_spans()}
    assert reading["trace_id"] in published


@pytest.mark.usefixtures("spans")
def test_the_fallback_is_in_the_payload(run_program: RunProgram, connected: Connect) -> None:
    """The page's 3.1.1 publisher sends the context in the `_trace` key of its payload, as the page shows it."""
    received: list[bytes | bytearray] = []
    subscribed = threading.Event()
    reader = connected(client("fallback-reader"))
    reader.on_message = lambda _client, _userdata, message: received.append(message.payload)
    reader.on_subscribe = lambda *_: subscribed.set()
    reader.subscribe("sensors/old/reading", 1)
    assert subscribed.wait(DEADLINE_S)
    [block] = blocks("how-to/mqtt-3.1.1.md", "python")
    run_program(block.code)
    until(lambda: received, "the publisher's message")
    shown = re.sub("00-[0-9a-f-]+", "00-…", bytes(received[0]).decode())
    assert json.loads(shown) == {"reading": 19.5, "_trace": {"traceparent": "00-…"}}
    assert f"`{shown}`" in (DOCS / "how-to/mqtt-3.1.1.md").read_text(encoding="utf-8")


def test_only_alarms_are_sampled(run_program: RunProgram) -> None:
    """The page's sampler sees the destination, and keeps only the alarm's trace."""
    [block] = blocks("how-to/sampling.md", "python")
    exporter = InMemorySpanExporter()
    code = block.code.replace("client = Client(", "provider.add_span_processor(exporting)\nclient = Client(")
    run_program(code, exporting=SimpleSpanProcessor(exporter))
    [alarm] = until(exporter.get_finished_spans, "a sampled span")
    assert alarm.name == "publish sensors/thermometer/alarm"


def test_trust_is_an_option(run_program: RunProgram) -> None:
    """The page's options name the trusted topics, and the library takes paho's properties tolerantly."""
    first, second = blocks("how-to/untrusted-publishers.md", "python")
    assert isinstance(run_program(first.code)["options"], Options)
    original = Properties.unpack
    try:
        run_program(second.code)
        assert Properties.unpack is not original
    finally:
        Properties.unpack = original  # type: ignore[method-assign]  # it holds for the rest of the process


def client(client_id: str) -> Client:
    """A client that speaks MQTT 5."""
    return Client(CallbackAPIVersion.VERSION2, client_id, protocol=MQTTProtocolVersion.MQTTv5)
