"""A context never makes a packet larger than the broker accepts.

Of what a broker announces in CONNACK (MQTT 5, section 3.2.2.3) tracing touches the Maximum Packet Size alone: it sends
no packet of its own (Receive Maximum, Server Keep Alive), changes neither QoS nor RETAIN (Maximum QoS, Retain
Available), sets no Topic Alias (Topic Alias Maximum), and subscribes to nothing (the four that limit subscriptions).
What a subscriber announces to the broker, no publisher can know.
"""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import baggage, trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import StatusCode
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from local.mosquitto import Mosquitto
from local.ports import free_port
from local.waiting import DEADLINE_S, until
from mqtt_trace import Options, TracedPublisher, inject
from mqtt_trace._paho.packet_size import LARGEST_PACKET, PacketSize, connect_size, publish_311_size, publish_size
from mqtt_trace._paho.properties import PublishProperties
from mqtt_trace.instrumentation import PahoMqttInstrumentor
from tests.library.harness import Connect, Inbox, Instrument, MakeBroker, Recorded
from tests.library.looping import loop_until

Publish = Callable[..., Any]
Way = Callable[[Client], Publish]

LIMIT = 300
CONTEXT = 1 + 2 + len("traceparent") + 2 + 55
"""Bytes of a traceparent as a user property."""


@pytest.fixture(params=["explicit", "instrumented"])
def way(request: pytest.FixtureRequest, recorded: Recorded, instrument: Instrument) -> Way:
    """A way to publish with tracing, set up before the client connects."""
    if request.param == "instrumented":
        instrument()
        return lambda client: client.publish

    def explicitly(client: Client) -> Publish:
        return TracedPublisher(
            client, tracer_provider=recorded.tracer_provider, meter_provider=recorded.meter_provider
        ).publish

    return explicitly


class Link:
    """A client with a network thread, and a count of its disconnects."""

    def __init__(self) -> None:
        self.client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        self.client.reconnect_delay_set(1, 1)
        self.disconnects = disconnects = list[str]()
        self.up = up = threading.Event()
        # A callback that held this object would create a cycle with the client, whose sockets are closed with a
        # warning.
        self.client.on_connect = lambda *_: up.set()
        self.client.on_disconnect = lambda _client, _userdata, _flags, reason, _properties: disconnects.append(
            str(reason)
        )

    def connect(self, broker: Mosquitto) -> None:
        """Return when CONNACK has been handled."""
        self.client.connect(broker.host, broker.port)
        self.client.loop_start()
        assert self.up.wait(DEADLINE_S), "no CONNACK"

    def close(self) -> None:
        """End the thread."""
        self.client.disconnect()
        self.client.loop_stop()


@pytest.fixture
def link() -> Iterator[Link]:
    """A client that is not connected yet."""
    one = Link()
    yield one
    one.close()


def payload_of(size: int, topic: str, qos: int, *, context: bool) -> str:
    """A payload for a PUBLISH of exactly this size."""
    properties = 1 + (CONTEXT if context else 0)
    rest = publish_size(len(topic), 0, qos, properties)
    payload = "x" * (size - rest - 1)  # the remaining length takes one byte more than with an empty payload
    assert publish_size(len(topic), len(payload), qos, properties) == size
    return payload


def user_properties(message: MQTTMessage) -> list[tuple[str, str]]:
    """Those of a message."""
    return getattr(message.properties, "UserProperty", [])


def has_context(message: MQTTMessage) -> bool:
    """Whether a message carries a traceparent."""
    return "traceparent" in dict(user_properties(message))


def publish_spans(recorded: Recorded) -> dict[str, Any]:
    """The ended spans by name."""
    return {span.name: span for span in recorded.spans if span.name.startswith("publish ")}


def omitted(recorded: Recorded) -> list[tuple[Any, Any]]:
    """The number of messages sent without their context, by reason."""
    points = recorded.points("mqtt.client.omitted_contexts")
    return [(point.value, point.attributes["mqtt.omitted_context_reason"]) for point in points]


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_a_context_that_does_not_fit_is_left_out(
    make_broker: MakeBroker,
    connect: Connect,
    inbox: type[Inbox],
    link: Link,
    way: Way,
    recorded: Recorded,
    caplog: pytest.LogCaptureFixture,
    qos: int,
) -> None:
    """The message arrives without the context, on one connection, and span, counter and one log line record that."""
    caplog.set_level(logging.WARNING)
    broker = make_broker(config=[f"max_packet_size {LIMIT}"])
    received = inbox(connect(broker), "fits/#")
    publish = way(link.client)
    link.connect(broker)
    publish("fits/large", "x" * 260, qos)
    publish("fits/large", "x" * 261, qos)
    publish("fits/small", "small", 1).wait_for_publish(10)
    arrived = {len(message.payload): has_context(message) for message in received.wait(3)}
    assert arrived == {260: False, 261: False, 5: True}
    until(lambda: len(publish_spans(recorded)) == 2, "the spans ended")
    large, small = (publish_spans(recorded)[f"publish fits/{size}"] for size in ("large", "small"))
    assert large.attributes["mqtt.omitted_context"] is True
    assert large.attributes["mqtt.omitted_context_reason"] == "packet_too_large"
    assert large.status.status_code is StatusCode.UNSET
    assert "mqtt.omitted_context" not in small.attributes
    assert omitted(recorded) == [(2, "packet_too_large")]
    assert link.disconnects == []
    assert caplog.text.count("contexts are left out") == 1


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_the_limit_is_met_to_the_byte(
    make_broker: MakeBroker, connect: Connect, inbox: type[Inbox], link: Link, way: Way, qos: int
) -> None:
    """A packet of the announced size has its context, one that is a byte larger does not; the broker accepts both."""
    broker = make_broker(config=[f"max_packet_size {LIMIT}"])
    received = inbox(connect(broker), "exact/#")
    publish = way(link.client)
    link.connect(broker)
    for size in (LIMIT, LIMIT + 1):
        publish("exact/x", payload_of(size, "exact/x", qos, context=True), qos)
    publish("exact/x", payload_of(LIMIT, "exact/x", qos, context=False), qos)
    assert [has_context(message) for message in received.wait(3)] == [True, False, False]
    assert link.disconnects == []


@pytest.mark.parametrize("qos", [1, 2])
def test_what_waits_for_a_connection_fits_the_broker_that_it_finds(
    make_broker: MakeBroker, connect: Connect, inbox: type[Inbox], link: Link, way: Way, qos: int
) -> None:
    """The limit of the broker applies when a message is sent, not when it is published."""
    broker = make_broker(config=[f"max_packet_size {LIMIT}"])
    received = inbox(connect(broker), "queued/#")
    publish = way(link.client)
    assert publish("queued/x", "x" * 260, qos).rc == MQTTErrorCode.MQTT_ERR_NO_CONN
    link.connect(broker)
    (message,) = received.wait(1)
    assert (has_context(message), link.disconnects) == (False, [])


def test_a_publisher_made_later_leaves_the_context_out_when_the_broker_has_said_so(
    make_broker: MakeBroker, connect: Connect, inbox: type[Inbox], link: Link, way: Way, instrument: Instrument
) -> None:
    """A publisher that missed the first CONNACK learns the limit from the next, after the broker disconnects."""
    was_instrumented = PahoMqttInstrumentor().is_instrumented_by_opentelemetry
    if was_instrumented:
        PahoMqttInstrumentor().uninstrument()
    broker = make_broker(config=[f"max_packet_size {LIMIT}"])
    received = inbox(connect(broker), "later/#")
    link.connect(broker)
    if was_instrumented:
        instrument()
    publish = way(link.client)
    acknowledged: list[object] = []
    link.client.on_publish = lambda *_: acknowledged.append(_)
    publish("later/x", "x" * 260, 1)
    publish("later/x", "small", 1)  # perhaps while the client is disconnected, and so on the next connection
    until(lambda: len(acknowledged) == 2, "two PUBACKs")
    assert {len(message.payload): has_context(message) for message in received.wait(2)}[260] is False
    assert len(link.disconnects) == 1


def brokers_in_turn(folder: Path, *limits: int | None) -> list[Mosquitto]:
    """Brokers on one port, run one after the other."""
    port = free_port()
    configs = [[f"max_packet_size {limit}"] if limit else [] for limit in limits]
    folders = [folder / str(number) for number in range(len(limits))]
    for one in folders:
        one.mkdir()
    return [Mosquitto(port=port, config=config, folder=one) for config, one in zip(configs, folders, strict=True)]


@pytest.mark.parametrize(
    ("before", "after"), [(LIMIT, None), (None, LIMIT), (LIMIT, 2 * LIMIT), (2 * LIMIT, LIMIT)], ids=str
)
def test_a_message_that_is_sent_again_fits_the_broker_of_then(
    tmp_path: Path, way: Way, recorded: Recorded, before: int | None, after: int | None
) -> None:
    """A resent message has its context if the new broker's limit allows it, and the span records that."""
    first, second = brokers_in_turn(tmp_path, before, after)
    client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    publish = way(client)
    with first:
        client.connect(first.host, first.port)
        loop_until(client, client.is_connected, "a CONNACK")
        info = publish("again/x", "x" * 260, 1)  # sent at once; nobody reads the PUBACK
        first.kill()
    with second:
        heir = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        messages: list[MQTTMessage] = []
        subscribed: list[object] = []
        heir.on_message = lambda _client, _userdata, message: messages.append(message)
        heir.on_subscribe = lambda *_: subscribed.append(_)
        heir.connect(second.host, second.port)
        loop_until(heir, heir.is_connected, "a CONNACK")
        heir.subscribe("again/#", 1)
        loop_until(heir, lambda: subscribed, "a SUBACK")
        client.reconnect()
        loop_until(client, info.is_published, "a PUBACK")
        loop_until(heir, lambda: messages, "the message")
        client.disconnect()
        heir.disconnect()
    fits = after is None or after > LIMIT
    assert has_context(messages[0]) is fits
    until(lambda: "publish again/x" in publish_spans(recorded), "the span ended")
    assert publish_spans(recorded)["publish again/x"].attributes.get("mqtt.omitted_context") is (not fits)


TRACEPARENT = "00-" + "1" * 32 + "-" + "2" * 16 + "-01"


@pytest.mark.parametrize(
    "own",
    [
        [("site", "hq"), ("site", "again")],
        [("site", "hq"), ("traceparent", TRACEPARENT), ("site", "again")],
        [("baggage", "own=1"), ("tracestate", "own=1")],
    ],
    ids=["other", "passed on", "of the same name"],
)
def test_a_program_s_own_properties_are_sent_in_any_case(
    make_broker: MakeBroker, connect: Connect, inbox: type[Inbox], link: Link, way: Way, own: list[tuple[str, str]]
) -> None:
    """If the additions of tracing do not fit, the message is sent as given to `publish`."""
    broker = make_broker(config=[f"max_packet_size {LIMIT}"])
    received = inbox(connect(broker), "own/#")
    publish = way(link.client)
    link.connect(broker)
    properties = Properties(PacketTypes.PUBLISH)
    properties.ContentType = "text/plain"
    properties.UserProperty = own
    whole = LIMIT - publish_size(len("own/x"), 0, 1, len(properties.pack())) - 1
    with trace.use_span(span_with_tracestate()):
        publish("own/x", "x" * whole, 1, properties=properties)
        publish("own/x", "small", 1, properties=properties)
    full, small = received.wait(2)
    assert (len(full.payload), user_properties(full)) == (whole, own)
    assert dict(user_properties(small))["tracestate"] == "vendor=1"
    assert {getattr(message.properties, "ContentType", None) for message in (full, small)} == {"text/plain"}
    assert link.disconnects == []


def span_with_tracestate() -> trace.Span:
    """A remote span with a trace state."""
    state = trace.TraceState([("vendor", "1")])
    return trace.NonRecordingSpan(
        trace.SpanContext(1, 1, is_remote=True, trace_flags=trace.TraceFlags(1), trace_state=state)
    )


def test_baggage_does_not_cost_a_message(
    make_broker: MakeBroker, connect: Connect, inbox: type[Inbox], link: Link, recorded: Recorded
) -> None:
    """Allowed baggage is left out together with its context."""
    broker = make_broker(config=[f"max_packet_size {LIMIT}"])
    received = inbox(connect(broker), "baggage/#")
    options = Options(baggage_keys=frozenset({"tenant"}))
    publisher = TracedPublisher(link.client, tracer_provider=recorded.tracer_provider, options=options)
    link.connect(broker)
    context = baggage.set_baggage("tenant", "a" * 250)
    publisher.publish("baggage/x", "x", 1, context=context).wait_for_publish(10)
    (message,) = received.wait(1)
    assert (user_properties(message), link.disconnects) == ([], [])


def test_a_message_that_is_too_large_by_itself_fails_as_without_tracing(
    make_broker: MakeBroker, link: Link, way: Way, recorded: Recorded
) -> None:
    """A message that is too large without a context is sent, and the broker refuses it."""
    broker = make_broker(config=[f"max_packet_size {LIMIT}"])
    publish = way(link.client)
    link.connect(broker)
    publish("whole/x", "x" * LIMIT, 0)
    until(lambda: bool(link.disconnects), "the broker ended the connection")
    assert link.disconnects[0] == "Packet too large"
    assert publish_spans(recorded)["publish whole/x"].attributes["mqtt.omitted_context"] is True


def test_a_topic_alias_is_sent_with_and_without_the_context(
    make_broker: MakeBroker, connect: Connect, inbox: type[Inbox], link: Link, way: Way
) -> None:
    """The program's alias is kept; if it replaces the topic, the packet has more room for the context."""
    broker = make_broker(config=[f"max_packet_size {LIMIT}"])
    topic = f"alias/{'t' * 60}"
    received = inbox(connect(broker), "alias/#")
    publish = way(link.client)
    link.connect(broker)
    alias = Properties(PacketTypes.PUBLISH)
    alias.TopicAlias = 1
    room = LIMIT - publish_size(len(topic), 0, 1, 1 + CONTEXT + len(b"\x23\0\1"))
    for name, size in [(topic, room), (topic, room + 1), ("", room + len(topic)), ("", room + len(topic) + 1)]:
        publish(name, "x" * size, 1, properties=alias)
    messages = received.wait(4)
    assert [has_context(message) for message in messages] == [True, False, True, False]
    assert ({message.topic for message in messages}, link.disconnects) == ({topic}, [])


def test_all_other_limits_can_be_used_up(
    make_broker: MakeBroker, connect: Connect, inbox: type[Inbox], link: Link, way: Way
) -> None:
    """A program at the broker's limits stays within them when it is traced."""
    limits = ["max_inflight_messages 1", "max_topic_alias 1", "max_qos 1", "retain_available false", "max_keepalive 10"]
    broker = make_broker(config=limits)
    received = inbox(connect(broker), "limits/#")
    publish = way(link.client)
    link.client.max_inflight_messages_set(1)
    link.connect(broker)
    alias = Properties(PacketTypes.PUBLISH)
    alias.TopicAlias = 1
    for topic in ("limits/x", "", ""):
        publish(topic, "x", 1, properties=alias).wait_for_publish(10)
    assert all(has_context(message) for message in received.wait(3))
    assert link.disconnects == []


class Long(bytes):
    """A payload that claims to be long."""

    claimed: int

    @classmethod
    def of(cls, size: int) -> Long:
        """One of that many bytes."""
        one = cls()
        one.claimed = size
        return one

    def __len__(self) -> int:
        """What is claimed."""
        return self.claimed


def test_no_context_makes_a_packet_that_mqtt_does_not_have() -> None:
    """Without a limit of the broker, the protocol's limit applies, beyond which paho refuses a packet."""
    client = connected()
    properties = PublishProperties([("traceparent", "x" * 55)], without_context=[])
    room = LARGEST_PACKET - publish_size(1, 0, 1, 1 + CONTEXT) - 3
    size = PacketSize()
    assert size.fit(client, b"t", Long.of(room), 1, properties) is properties
    without = size.fit(client, b"t", Long.of(room + 1), 1, properties)
    assert without is not None
    assert without.pack() == b"\0"


def connected() -> Client:
    """A client with a fake socket."""
    client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    vars(client)["_sock"] = socket.socket()  # paho closes it
    return client


def test_the_fallback_makes_no_packet_that_mqtt_does_not_have(
    recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With MQTT 3.1.1 the fallback keeps paho's own limit."""
    client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv311)
    publisher = TracedPublisher(
        client,
        tracer_provider=recorded.tracer_provider,
        meter_provider=recorded.meter_provider,
        options=Options(json_fallback=True),
    )
    carried = len('{"n":1,"_trace":{"traceparent":""}}') + 55
    monkeypatch.setattr("mqtt_trace._spans.publish.LARGEST_PACKET", publish_311_size(len("fallback/x"), carried))
    publisher.publish("fallback/x", '{"n":1}', 1)
    publisher.publish("fallback/x", '{"n":12}', 1)
    kept = [message.payload for message in client._out_messages.values()]  # noqa: SLF001 - nothing public tells
    assert [b"_trace" in payload for payload in kept] == [True, False]
    assert omitted(recorded) == [(1, "packet_too_large")]


@given(
    topic=st.integers(0, 65_535),
    payload=st.sampled_from([0, 50, 127, 128, 16_383, 16_384, 200_000, 2_097_151, 2_097_152]) | st.integers(0, 300_000),
    qos=st.sampled_from([0, 1, 2]),
    pairs=st.lists(st.tuples(st.text(max_size=30), st.text(max_size=300)), max_size=5),
)
def test_the_size_of_a_publish_is_that_of_paho_s_packet(
    topic: int, payload: int, qos: int, pairs: list[tuple[str, str]]
) -> None:
    """Whatever its parts are."""
    properties = PublishProperties(pairs)
    client, sent = packets_of_a_client()
    client._send_publish(1, b"t" * topic, b"p" * payload, qos, properties=properties)  # noqa: SLF001 - what paho sends
    assert publish_size(topic, payload, qos, len(properties.pack())) == len(sent[0])


def packets_of_a_client() -> tuple[Client, list[bytes]]:
    """A client, and the packets that it queues."""
    client, sent = connected(), []

    def queue(_command: int, packet: bytes, *_: object) -> MQTTErrorCode:
        sent.append(bytes(packet))
        return MQTTErrorCode.MQTT_ERR_SUCCESS

    vars(client)["_packet_queue"] = queue
    return client, sent


@pytest.mark.parametrize("login", [(), ("user",), ("user", "password")])
@pytest.mark.parametrize("payload", ["", "gone", "x" * 20_000])
def test_the_size_of_a_connect_is_that_of_paho_s_packet(login: tuple[str, ...], payload: str) -> None:
    """The computed size equals paho's packet, with a user, properties, and a will of any size."""
    for expiry in (None, 60):
        client, sent = packets_of_a_client()
        client.will_set("will/x", payload, 1)
        if login:
            client.username_pw_set(*login)
        own = Properties(PacketTypes.CONNECT)
        if expiry is not None:
            own.SessionExpiryInterval = expiry
            vars(client)["_connect_properties"] = own
        will = PublishProperties([("traceparent", "x" * 55)])
        vars(client)["_will_properties"] = will
        client._send_connect(60)  # noqa: SLF001 - what paho sends
        assert connect_size(client, will) == len(sent[0])


def willing(limit: int, *, context: bool) -> Client:
    """A client whose CONNECT has this size, with or without a context in its will."""
    client = Client(CallbackAPIVersion.VERSION2, "willing", protocol=MQTTProtocolVersion.MQTTv5)
    pairs = [("traceparent", "x" * 55)] if context else []
    client.will_set("wills/x", "")
    payload = limit - connect_size(client, PublishProperties(pairs))
    client.will_set("wills/x", "w" * payload, 1)
    if connect_size(client, PublishProperties(pairs)) > limit:
        client.will_set("wills/x", "w" * (payload - 1), 1)
    return client


@pytest.mark.parametrize("extra", [0, 1])
def test_a_will_that_makes_connect_too_large_does_without_a_context(
    make_broker: MakeBroker, instrument: Instrument, recorded: Recorded, extra: int
) -> None:
    """A will loses its context as soon as the limit is known and CONNECT would exceed it by a byte."""
    instrument()
    broker = make_broker(config=["max_packet_size 160"])
    client = willing(160 - 40, context=True)
    client.connect(broker.host, broker.port)
    loop_until(client, client.is_connected, "a CONNACK")
    client.disconnect()
    payload = client.will_payload or b""
    client.will_set("wills/x", payload + b"w" * (40 - 1 + extra), 1)  # the remaining length takes a byte more
    client.reconnect()
    loop_until(client, client.is_connected, "a CONNACK")
    client.disconnect()
    creates = [span.attributes.get("mqtt.omitted_context") for span in recorded.spans if "create" in span.name]
    assert creates == [None, True if extra else None]
    assert omitted(recorded) == ([(1, "packet_too_large")] if extra else [])


def test_a_client_whose_will_is_too_large_with_a_context_connects(
    make_broker: MakeBroker, instrument: Instrument, recorded: Recorded
) -> None:
    """After a CONNECT that is too large, which the broker does not answer, the next one has no context."""
    instrument()
    broker = make_broker(config=["max_packet_size 100"])
    client = willing(100, context=False)
    connect_once(client, broker)
    creates = [span.attributes.get("mqtt.omitted_context_reason") for span in recorded.spans if "create" in span.name]
    assert creates == [None, "connect_unanswered"]
    assert omitted(recorded) == [(1, "connect_unanswered")]


def test_a_program_that_injects_itself_is_served_by_an_instrumented_client(
    make_broker: MakeBroker, connect: Connect, inbox: type[Inbox], link: Link, instrument: Instrument
) -> None:
    """A message whose context came from `inject` is sent without it, and with its other properties."""
    instrument()
    broker = make_broker(config=[f"max_packet_size {LIMIT}"])
    received = inbox(connect(broker), "injected/#")
    link.connect(broker)
    with_context = partial(link.client.publish, "injected/x", qos=1, properties=injected())
    with_context("small")
    with_context("x" * 260)
    with_context("small")
    assert [has_context(message) for message in received.wait(3)] == [True, False, True]
    assert link.disconnects == []


def test_a_context_from_inject_is_left_out_of_a_traced_publish_as_well(
    make_broker: MakeBroker, connect: Connect, inbox: type[Inbox], link: Link, recorded: Recorded
) -> None:
    """Context added by `inject`, even repeatedly, is not part of the program's own properties."""
    broker = make_broker(config=[f"max_packet_size {LIMIT}"])
    received = inbox(connect(broker), "twice/#")
    publisher = TracedPublisher(link.client, tracer_provider=recorded.tracer_provider)
    link.connect(broker)
    with TracerProvider(shutdown_on_exit=False).get_tracer("test").start_as_current_span("own"):
        for properties in (inject(), inject(inject())):
            publisher.publish("twice/x", "x" * 260, 1, properties=properties)
            publisher.publish("twice/x", "small", 1, properties=properties)
    assert [has_context(message) for message in received.wait(4)] == [False, True, False, True]
    assert link.disconnects == []


def test_a_will_with_a_context_from_inject_connects(
    make_broker: MakeBroker, instrument: Instrument, recorded: Recorded
) -> None:
    """On an instrumented client, a will from `inject` that makes CONNECT too large loses its context, too."""
    instrument()
    broker = make_broker(config=["max_packet_size 100"])
    client = willing(100, context=False)
    client.will_set("wills/x", client.will_payload or b"", 1, properties=injected())
    connect_once(client, broker)
    assert [span.name for span in recorded.spans] == []


def connect_once(client: Client, broker: Mosquitto) -> None:
    """Connect, with retries, and disconnect."""
    client.reconnect_delay_set(1, 1)
    up = threading.Event()
    client.on_connect = lambda *_: up.set()
    client.connect(broker.host, broker.port)
    client.loop_start()
    assert up.wait(DEADLINE_S), "no CONNACK"
    client.disconnect()
    client.loop_stop()


def injected() -> Properties:
    """The properties that `inject` creates for a span."""
    with TracerProvider(shutdown_on_exit=False).get_tracer("test").start_as_current_span("own"):
        return inject()
