"""Process spans of instrumented programs, against a real broker."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import paho.mqtt.subscribe
import pytest
from opentelemetry import trace
from opentelemetry.trace import SpanKind, StatusCode
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from local.mosquitto import Mosquitto
from local.waiting import DEADLINE_S, until
from mqtt_trace import TracedConsumer
from mqtt_trace._paho.properties import PublishProperties
from tests.library.harness import Connect, EndedSpan, Instrument, Recorded, parent_id

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def carrying() -> PublishProperties:
    """Properties with a context, of a class that is not traced when sent."""
    return PublishProperties([("traceparent", TRACEPARENT)])


def subscribe(client: Client, *filters: str, properties: Properties | None = None) -> None:
    """Subscribe a client that has a network thread, and return after SUBACK."""
    for topic_filter in filters:
        subscribed = threading.Event()
        client.on_subscribe = lambda *_, subscribed=subscribed: subscribed.set()
        client.subscribe(topic_filter, 1, properties=properties)
        assert subscribed.wait(DEADLINE_S), "no SUBACK"


def loop(client: Client, done: Callable[[], bool]) -> None:
    """Call paho's loop again and again."""
    for _ in range(100):
        if done():
            break
        client.loop(0.1)
    client.disconnect()


def process_spans(recorded: Recorded) -> list[EndedSpan]:
    """The ended process spans."""
    return [span for span in recorded.spans if span.kind is SpanKind.CONSUMER]


def test_a_process_span_is_exactly_this(
    broker: Mosquitto, connect: Connect, instrument: Instrument, recorded: Recorded
) -> None:
    """Name, kind, parent and every attribute of an ordinary message, through a shared subscription; and no link."""
    instrument()
    client = connect(broker, "instrumented-consumer")
    client.on_message = lambda *_: None
    subscribe(client, "$share/workers/instrumented/+/process")
    connect(broker).publish("instrumented/s1/process", "hello", 1, properties=carrying())
    until(lambda: len(process_spans(recorded)) == 1, "the span ended")
    (span,) = process_spans(recorded)
    assert span.name == "process instrumented/s1/process"
    assert f"{span.context.trace_id:032x}" == TRACEPARENT[3:35]
    assert parent_id(span) == int(TRACEPARENT[36:52], 16)
    assert not span.links
    assert dict(span.attributes) == {
        "messaging.system": "mqtt",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": "instrumented/s1/process",
        "messaging.destination.template": "instrumented/+/process",
        "messaging.consumer.group.name": "workers",
        "messaging.client.id": "instrumented-consumer",
        "messaging.message.body.size": 5,
        "server.address": broker.host,
        "server.port": broker.port,
        "network.protocol.version": "5.0",
        "mqtt.qos": 1,
        "mqtt.retain": False,
        "mqtt.duplicate": False,
    }


@pytest.mark.parametrize(
    ("opted_in", "name", "links"),
    [
        ("", "process named/s1/process", 0),
        ("messaging", "process named/+/process", 1),
        ("messaging/dup", "process named/+/process", 1),
    ],
)
def test_the_opt_in_names_the_span_by_its_filter_and_links_it(
    broker: Mosquitto,
    connect: Connect,
    instrument: Instrument,
    recorded: Recorded,
    monkeypatch: pytest.MonkeyPatch,
    opted_in: str,
    name: str,
    links: int,
) -> None:
    """When opted in, the span's name has the program's topic filter; the span is always a child."""
    monkeypatch.setenv("OTEL_SEMCONV_STABILITY_OPT_IN", opted_in)
    instrument()
    client = connect(broker)
    client.on_message = lambda *_: None
    subscribe(client, "named/+/process")
    connect(broker).publish("named/s1/process", "hello", 1, properties=carrying())
    until(lambda: len(process_spans(recorded)) == 1, "the span ended")
    (span,) = process_spans(recorded)
    assert (span.name, len(span.links)) == (name, links)
    assert parent_id(span) == int(TRACEPARENT[36:52], 16)


def test_callbacks_are_the_programs_own_and_can_be_replaced_while_they_run(
    broker: Mosquitto, connect: Connect, instrument: Instrument, recorded: Recorded
) -> None:
    """A program reads the callback that it has set, and each message has one span for the current callback."""
    instrument()
    client = connect(broker)
    called: list[str] = []

    def first(client: Client, _userdata: Any, _message: MQTTMessage) -> None:
        called.append("first")
        assert client.on_message is first
        client.on_message = second

    def second(client: Client, _userdata: Any, _message: MQTTMessage) -> None:
        called.append("second")
        client.on_message = None

    client.on_message = first
    subscribe(client, "replaced/#")
    sender = connect(broker)
    for _ in range(3):
        sender.publish("replaced/x", "x", 1).wait_for_publish(10)
    sender.publish("replaced/end", "x", 1)
    ended = threading.Event()
    client.message_callback_add("replaced/end", lambda *_: ended.set())
    sender.publish("replaced/end", "x", 1)
    assert ended.wait(DEADLINE_S)
    until(lambda: "process replaced/end" in {span.name for span in process_spans(recorded)}, "the last span ended")
    assert called == ["first", "second"]
    assert [span.name for span in process_spans(recorded)].count("process replaced/x") == 2


def test_a_message_for_two_callbacks_has_one_span(
    broker: Mosquitto, connect: Connect, instrument: Instrument, recorded: Recorded
) -> None:
    """A message with two matching callbacks has one span."""
    instrument()
    client = connect(broker)
    called: list[int] = []

    def callback(*_: Any) -> None:
        called.append(trace.get_current_span().get_span_context().span_id)

    client.message_callback_add("both/#", callback)
    client.message_callback_add("both/+", callback)
    subscribe(client, "both/x")
    connect(broker).publish("both/x", "x", 1)
    until(lambda: len(process_spans(recorded)) == 1, "the span ended")
    assert called == [process_spans(recorded)[0].context.span_id] * 2


@pytest.mark.parametrize("suppress", [True, False])
@pytest.mark.parametrize("filtered", [True, False])
def test_what_a_callback_raises_is_recorded_and_goes_its_way(
    broker: Mosquitto, instrument: Instrument, recorded: Recorded, suppress: bool, filtered: bool
) -> None:
    """The exception propagates out of the loop, or is suppressed by paho, as without tracing."""
    instrument()
    client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    client.suppress_exceptions = suppress
    error = KeyError("nope")

    def fail(*_: Any) -> None:
        raise error

    if filtered:
        client.message_callback_add("raising/#", fail)
    else:
        client.on_message = fail
    client.on_connect = lambda client, *_: client.subscribe("raising/x")
    client.on_subscribe = lambda client, *_: client.publish("raising/x", "x")
    client.connect(broker.host, broker.port)
    if suppress:
        loop(client, lambda: bool(process_spans(recorded)))
    else:
        with pytest.raises(KeyError) as raised:
            loop(client, lambda: False)
        assert raised.value is error
        client.disconnect()
    (span,) = process_spans(recorded)
    assert (span.status.status_code, span.attributes["error.type"]) == (StatusCode.ERROR, "KeyError")
    assert [event.name for event in span.events] == ["exception"]


def test_a_message_without_a_callback_has_no_span(
    broker: Mosquitto, connect: Connect, instrument: Instrument, recorded: Recorded
) -> None:
    """A message without a callback has no span; the next message has one."""
    instrument()
    client = connect(broker)
    client.message_callback_add("handled/#", lambda *_: None)
    subscribe(client, "ignored/#", "handled/#")
    sender = connect(broker)
    sender.publish("ignored/x", "x", 1)
    sender.publish("handled/x", "x", 1)
    until(lambda: len(process_spans(recorded)) == 1, "the span ended")
    assert [span.name for span in process_spans(recorded)] == ["process handled/x"]


def handled(consumer: TracedConsumer, client: Client) -> None:
    """Wrap the callback."""
    client.on_message = consumer.handler(lambda *_: None)


def processed(consumer: TracedConsumer, client: Client) -> None:
    """Open the span in the callback."""

    def on_message(_client: Client, _userdata: Any, message: MQTTMessage) -> None:
        with consumer.process(message, message_id="m-1"):
            pass

    client.on_message = on_message


@pytest.mark.parametrize("listen", [handled, processed])
def test_the_explicit_consumer_keeps_its_one_span(
    broker: Mosquitto,
    connect: Connect,
    instrument: Instrument,
    recorded: Recorded,
    listen: Callable[[TracedConsumer, Client], None],
) -> None:
    """Only messages of the consumer's own client, and only while it exists, are left to it."""
    instrument()
    client, other = connect(broker), connect(broker)
    consumer: TracedConsumer | None = TracedConsumer(client, tracer_provider=recorded.tracer_provider)
    assert consumer is not None
    listen(consumer, client)
    other.on_message = lambda *_: None
    subscribe(client, "left/x")
    subscribe(other, "left/y")
    sender = connect(broker)
    sender.publish("left/x", "x", 1)
    sender.publish("left/y", "x", 1)
    until(lambda: len(process_spans(recorded)) == 2, "both spans ended")
    assert sorted(span.name for span in process_spans(recorded)) == ["process left/x", "process left/y"]
    consumer = None
    client.on_message = lambda *_: None
    sender.publish("left/x", "x", 1)
    until(lambda: len(process_spans(recorded)) == 3, "the span of the message after it ended")


def test_the_template_follows_what_is_subscribed_to(
    broker: Mosquitto, connect: Connect, instrument: Instrument, recorded: Recorded
) -> None:
    """The template follows the topic or the Subscription Identifier, without unsubscribed filters."""
    instrument()
    client, sender = connect(broker), connect(broker)
    client.on_message = lambda *_: None
    identified = Properties(PacketTypes.SUBSCRIBE)
    identified.SubscriptionIdentifier = 7

    def template() -> object:
        before = len(process_spans(recorded))
        sender.publish("template/a/b", "x", 1)
        until(lambda: len(process_spans(recorded)) > before, "the span ended")
        return process_spans(recorded)[-1].attributes["messaging.destination.template"]

    subscribe(client, "template/a/b")
    assert template() == "template/a/b"
    given_up = threading.Event()
    client.on_unsubscribe = lambda *_: given_up.set()
    client.unsubscribe("template/a/b")
    assert given_up.wait(DEADLINE_S)
    subscribe(client, "template/+/b")
    assert template() == "template/+/b"
    client.unsubscribe("template/+/b")
    subscribe(client, "template/#", properties=identified)
    assert template() == "template/#"


def test_pahos_helpers_are_traced(
    broker: Mosquitto, connect: Connect, instrument: Instrument, recorded: Recorded
) -> None:
    """`paho.mqtt.subscribe.simple`, which creates its own client, is traced."""
    connect(broker).publish("helper/kept", "x", 1, retain=True).wait_for_publish(10)
    instrument()
    message = paho.mqtt.subscribe.simple(
        "helper/kept", hostname=broker.host, port=broker.port, protocol=MQTTProtocolVersion.MQTTv5
    )
    assert message.payload == b"x"
    assert [span.name for span in process_spans(recorded)] == ["process helper/kept"]


def test_a_topic_that_is_no_text_is_the_programs_to_see(
    instrument: Instrument, recorded: Recorded, caplog: pytest.LogCaptureFixture
) -> None:
    """The callback gets paho's message, and the same error when it reads the topic."""
    instrument()
    client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    message = MQTTMessage(topic=b"bad/\xff")
    errors: list[type[Exception]] = []

    def on_message(_client: Client, _userdata: Any, received: MQTTMessage) -> None:
        try:
            assert received.topic
        except UnicodeDecodeError as error:
            errors.append(type(error))

    client.on_message = on_message
    client._handle_on_message(message)  # noqa: SLF001 - no broker of ours delivers it
    assert errors == [UnicodeDecodeError]
    assert not recorded.spans
    assert not caplog.records
