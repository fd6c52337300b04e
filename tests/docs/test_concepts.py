"""The program of the page on concepts does what the page says."""

from __future__ import annotations

import threading
from collections.abc import Callable
from itertools import pairwise
from typing import Any

from opentelemetry import trace
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from local.documents import blocks
from mqtt_trace import TracedConsumer, TracedPublisher
from mqtt_trace.reasons import NO_MATCHING_SUBSCRIBERS

DEADLINE_S = 30.0


def test_request_and_response_are_one_trace(
    spans: InMemorySpanExporter, run_program: Callable[..., dict[str, Any]], connected: Callable[[Client], Client]
) -> None:
    """From asking to processing the response each span is the child of the one before, in one conversation."""
    [block] = blocks("concepts.md", "python")
    run_program(block.code)
    requester = connected(Client(CallbackAPIVersion.VERSION2, "requester", protocol=MQTTProtocolVersion.MQTTv5))
    responses: list[bytes | bytearray] = []
    subscribed, responded = threading.Event(), threading.Event()

    def take(_client: Client, _userdata: Any, message: MQTTMessage) -> None:
        responses.append(message.payload)

    consumer = TracedConsumer(requester, ["calibration/response"])
    handle = consumer.handler(take)

    def receive(client: Client, userdata: Any, message: MQTTMessage) -> None:
        handle(client, userdata, message)
        responded.set()

    requester.on_message = receive
    requester.on_subscribe = lambda *_: subscribed.set()
    requester.subscribe("calibration/response", 1)
    assert subscribed.wait(DEADLINE_S)
    request = Properties(PacketTypes.PUBLISH)
    request.ResponseTopic = "calibration/response"
    request.CorrelationData = b"request-1"
    publisher = TracedPublisher(requester)
    reached: list[bool] = []
    while not any(reached):  # the page's program may not have subscribed yet
        ended = threading.Event()

        def note(code: int, ended: threading.Event = ended) -> None:
            reached.append(code != NO_MATCHING_SUBSCRIBERS)
            ended.set()

        with trace.get_tracer("test").start_as_current_span("ask") as ask:
            publisher.publish(
                "calibration/request", "", 1, properties=request, on_outcome=lambda outcome: note(outcome.reason_code)
            )
        assert ended.wait(DEADLINE_S)
    assert responded.wait(DEADLINE_S)
    assert responses == [b"0.25"]
    pause = threading.Event()
    names = ["ask"] + [
        f"{verb} calibration/{way}" for way in ("request", "response") for verb in ("publish", "process")
    ]
    for _ in range(int(DEADLINE_S / 0.01)):
        own = {s.name: s for s in spans.get_finished_spans() if s.context.trace_id == ask.get_span_context().trace_id}
        if own.keys() == set(names):
            break
        pause.wait(0.01)
    for parent, child in pairwise(names):
        above = own[child].parent
        assert above is not None
        assert above.span_id == own[parent].context.span_id
    conversations = [(own[name].attributes or {}).get("messaging.message.conversation_id") for name in names[1:]]
    assert conversations == ["request-1"] * 4
    assert (own["process calibration/request"].attributes or {})["mqtt.response_topic"] == "calibration/response"
