"""The program of the page on concepts does what the page says."""

from __future__ import annotations

import threading
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from local.documents import blocks
from local.waiting import DEADLINE_S, until
from mqtt_trace import TracedConsumer, TracedPublisher
from mqtt_trace.reasons import NO_MATCHING_SUBSCRIBERS

_REQUEST, _RESPONSE = "calibration/request", "calibration/response"
_SPANS = ["ask"] + [f"{verb} {topic}" for topic in (_REQUEST, _RESPONSE) for verb in ("publish", "process")]

RunProgram = Callable[..., dict[str, Any]]


class Requester:
    """The requester of the page's responder."""

    def __init__(self, client: Client, spans: InMemorySpanExporter) -> None:
        self._spans = spans
        self._publisher = TracedPublisher(client)
        self.responses: list[bytes | bytearray] = []
        subscribed = threading.Event()
        client.on_message = TracedConsumer(client, [_RESPONSE]).handler(self._take)
        client.on_subscribe = lambda *_: subscribed.set()
        client.subscribe(_RESPONSE, 1)
        assert subscribed.wait(DEADLINE_S)

    def ask(self, *wanted: str, **properties: object) -> dict[str, ReadableSpan]:
        """Send a request until the program answers; return its trace once it has the wanted spans."""
        request = Properties(PacketTypes.PUBLISH)
        for name, value in properties.items():
            setattr(request, name, value)
        answered = False
        while not answered:  # the page's program may not have subscribed yet
            ended = threading.Event()
            reached: list[bool] = []

            def note(code: int, reached: list[bool] = reached, ended: threading.Event = ended) -> None:
                reached.append(code != NO_MATCHING_SUBSCRIBERS)
                ended.set()

            with trace.get_tracer("test").start_as_current_span("ask") as ask:
                self._publisher.publish(
                    _REQUEST, "", 1, properties=request, on_outcome=lambda outcome: note(outcome.reason_code)
                )
            assert ended.wait(DEADLINE_S)
            [answered] = reached
        return self._trace(ask.get_span_context().trace_id, set(wanted))

    def _take(self, _client: Client, _userdata: Any, message: MQTTMessage) -> None:
        self.responses.append(message.payload)

    def _trace(self, trace_id: int, wanted: set[str]) -> dict[str, ReadableSpan]:
        def found() -> dict[str, ReadableSpan] | None:
            ended = (span for span in self._spans.get_finished_spans() if span.context.trace_id == trace_id)
            by_name = {span.name: span for span in ended}
            return by_name if by_name.keys() == wanted else None

        return until(found, f"the spans {sorted(wanted)} and no others")


@pytest.fixture
def requester(spans: InMemorySpanExporter, run_program: RunProgram, connected: Callable[[Client], Client]) -> Requester:
    """A requester whose requests the page's program answers."""
    [block] = blocks("concepts.md", "python")
    run_program(block.code)
    client = Client(CallbackAPIVersion.VERSION2, "requester", protocol=MQTTProtocolVersion.MQTTv5)
    return Requester(connected(client), spans)


@pytest.mark.parametrize(
    ("correlation", "conversations"),
    [({"CorrelationData": b"request-1"}, ["request-1"] * 4), ({}, [_RESPONSE, _RESPONSE, None, None])],
    ids=["with correlation data", "without"],
)
def test_request_and_response_are_one_trace(
    requester: Requester, correlation: dict[str, object], conversations: list[str | None]
) -> None:
    """From request to response, each span is a child of the previous one, with the same conversation id."""
    own = requester.ask(*_SPANS, ResponseTopic=_RESPONSE, **correlation)
    assert requester.responses == [b"0.25"]
    for parent, child in pairwise(_SPANS):
        above = own[child].parent
        assert above is not None
        assert above.span_id == own[parent].context.span_id
    assert [
        (own[name].attributes or {}).get("messaging.message.conversation_id") for name in _SPANS[1:]
    ] == conversations
    assert (own[f"process {_REQUEST}"].attributes or {})["mqtt.response_topic"] == _RESPONSE


def test_a_request_that_names_no_response_topic_is_no_error(requester: Requester) -> None:
    """A request without response topic is processed, and nothing is sent."""
    own = requester.ask(*_SPANS[:3])
    assert own[f"process {_REQUEST}"].status.status_code is StatusCode.UNSET


@pytest.mark.parametrize("as_published", [False, True])
def test_a_live_message_with_the_retain_flag_is_linked(
    spans: InMemorySpanExporter, connected: Callable[[Client], Client], as_published: bool
) -> None:
    """The broker clears the flag, and the trace is continued, unless the subscription asks for it as published."""
    topic = f"live/as-published-{as_published}"
    subscribed, processed = threading.Event(), threading.Event()
    receiver = Client(CallbackAPIVersion.VERSION2, "retained-reader", protocol=MQTTProtocolVersion.MQTTv5)
    connected(receiver)
    handle = TracedConsumer(receiver).handler(lambda *_: None)

    def on_message(client: Client, userdata: Any, message: MQTTMessage) -> None:
        handle(client, userdata, message)
        processed.set()

    receiver.on_message = on_message
    receiver.on_subscribe = lambda *_: subscribed.set()
    receiver.subscribe(topic, options=SubscribeOptions(1, retainAsPublished=as_published))
    assert subscribed.wait(DEADLINE_S)
    sender = connected(Client(CallbackAPIVersion.VERSION2, "retained-sender", protocol=MQTTProtocolVersion.MQTTv5))
    TracedPublisher(sender).publish(topic, "x", 1, retain=True).wait_for_publish(DEADLINE_S)
    assert processed.wait(DEADLINE_S)
    [process] = [span for span in spans.get_finished_spans() if span.name == f"process {topic}"]
    assert (process.attributes or {})["mqtt.retain"] is as_published
    assert len(process.links) == as_published
    assert (process.parent is None) is as_published
