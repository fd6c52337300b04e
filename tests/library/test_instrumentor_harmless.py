"""Instrumentation does not change the behaviour of a program."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.propagate import get_global_textmap
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import Sampler, SamplingResult
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from mqtt_trace.instrumentation import PahoMqttInstrumentor
from tests.library.harness import Instrument, Recorded

TRACE_CONTEXT = {"traceparent", "tracestate", "baggage"}
"""The properties that are replaced in a forwarded message."""

text = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20)
names = text | st.sampled_from(["traceparent", "tracestate", "baggage", "Traceparent", ""])
topics = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="+#"), min_size=1, max_size=30)
payloads = st.none() | st.binary(max_size=50) | text | st.integers() | st.floats() | st.binary().map(bytearray)


def new_client(protocol: MQTTProtocolVersion = MQTTProtocolVersion.MQTTv5) -> Client:
    """A client that is not connected: with QoS 1 paho keeps what it would send."""
    return Client(CallbackAPIVersion.VERSION2, protocol=protocol)


def kept(client: Client, ignored: Collection[str] = ()) -> list[tuple[Any, ...]]:
    """The messages that a client would send, without the ignored user properties."""
    return [
        (m.mid, m.topic, bytes(m.payload), m.qos, m.retain, *properties_of(m, ignored))
        for m in client._out_messages.values()  # noqa: SLF001 - nothing public tells
    ]


def properties_of(message: MQTTMessage, ignored: Collection[str]) -> tuple[object, object]:
    """User properties but for the ignored ones, and every other property."""
    if message.properties is None:
        return [], {}
    unpacked, _ = Properties(PacketTypes.PUBLISH).unpack(message.properties.pack())
    found = unpacked.json()
    pairs = [tuple(pair) for pair in found.pop("UserProperty", []) if pair[0].lower() not in ignored]
    return pairs, found


def outcome(call: Callable[[], Any]) -> object:
    """The result or error of a call, in a form that is equal for two clients."""
    try:
        info = call()
    except Exception as error:  # noqa: BLE001 - whatever it is, it must be the same
        return type(error), str(error)
    return type(info), info.rc, info.mid


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    topic=topics,
    payload=payloads,
    qos=st.sampled_from([1, 2]),
    retain=st.booleans(),
    pairs=st.lists(st.tuples(names, text), max_size=5),
    others=st.fixed_dictionaries(
        {},
        optional={
            "MessageExpiryInterval": st.integers(0, 2**32 - 1),
            "ContentType": text,
            "ResponseTopic": text,
            "CorrelationData": st.binary(max_size=10),
            "PayloadFormatIndicator": st.sampled_from([0, 1]),
        },
    ),
    protocol=st.sampled_from([MQTTProtocolVersion.MQTTv5, MQTTProtocolVersion.MQTTv311]),
    bare=st.booleans(),
)
def test_the_same_message_is_sent_but_for_the_context(
    instrument: Instrument,
    topic: str,
    payload: Any,
    qos: int,
    retain: bool,
    pairs: list[tuple[str, str]],
    others: dict[str, Any],
    protocol: MQTTProtocolVersion,
    bare: bool,
) -> None:
    """Topic, payload, flags, packet id and all properties are equal, and the program's object is unchanged."""
    own = None if bare else Properties(PacketTypes.PUBLISH)
    if own is not None:
        if pairs:
            own.UserProperty = pairs
        for name, value in others.items():
            setattr(own, name, value)
    before = own and own.json()
    untraced, traced = new_client(protocol), new_client(protocol)
    expected = outcome(lambda: untraced.publish(topic, payload, qos, retain, own))
    instrument()
    try:
        assert outcome(lambda: traced.publish(topic, payload, qos, retain, own)) == expected
    finally:
        PahoMqttInstrumentor().uninstrument()
    assert (own and own.json()) == before
    ignored = TRACE_CONTEXT if "traceparent" in {name.lower() for name, _ in pairs} else {"traceparent"}
    assert kept(traced, ignored) == kept(untraced, ignored)


class Unprintable:
    """Hostile as an argument."""

    def __str__(self) -> str:
        raise RuntimeError("unprintable")

    __repr__ = __str__


@pytest.mark.parametrize("protocol", [MQTTProtocolVersion.MQTTv5, MQTTProtocolVersion.MQTTv311])
@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        ((), {}),
        ((None,), {}),
        (("",), {}),
        (("wild/+",), {}),
        ((b"bytes",), {}),
        (([],), {}),
        (("x" * 70_000,), {}),
        (("\ud800",), {}),
        (("x", "\ud800"), {}),
        (("x", object()), {}),
        (("x", Unprintable()), {}),
        (("x", {}), {"qos": 1}),
        (("x", "y", 3), {}),
        (("x", "y", -1), {}),
        (("x", "y", "1"), {}),
        (("x", "y", None), {}),
        (("x", "y", 1, "yes"), {}),
        (("x", "y", 1, 1), {}),
        (("x", "y", True), {}),
        (("x", "y", 1, False, "properties"), {}),
        (("x", "y", 1, False, 5), {}),
        (("x", "y", 1, False, Properties(PacketTypes.CONNECT)), {}),
        (("x",), {"topic": "y"}),
        (("x",), {"unknown": 1}),
        (("x", 1, 1, 1, None, 1), {}),
    ],
)
def test_a_wrong_publish_is_as_wrong_as_before(
    instrument: Instrument, protocol: MQTTProtocolVersion, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    """An invalid publish gives the same error or result, and no span waits forever."""
    untraced, traced = new_client(protocol), new_client(protocol)
    expected = outcome(lambda: untraced.publish(*args, **kwargs))
    instrument()
    assert outcome(lambda: traced.publish(*args, **kwargs)) == expected
    assert len(kept_mids(traced)) == len(kept_mids(untraced))


def kept_mids(client: Client) -> list[int]:
    """Packet ids of the messages that a client would send."""
    return list(client._out_messages)  # noqa: SLF001 - nothing public tells


class OwnPacking(Properties):
    """Properties with a program's own `pack`."""

    def pack(self) -> bytes:
        """One user property."""
        return b"\x07\x26\x00\x01k\x00\x01v"


def test_properties_that_pack_themselves_are_sent_as_they_are(instrument: Instrument, recorded: Recorded) -> None:
    """Properties with their own `pack` are sent unchanged, and the publish has a span."""
    instrument()
    client, own = new_client(), OwnPacking(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]  # paho's is untyped
    client.publish("packed/x", "x", 1, properties=own)
    (message,) = client._out_messages.values()  # noqa: SLF001 - nothing public tells
    assert message.properties is own
    PahoMqttInstrumentor().uninstrument()
    assert [span.name for span in recorded.spans] == ["publish packed/x"]


class Failing(Sampler):
    """A sampler with an error in it."""

    def should_sample(self, *_: Any, **__: Any) -> SamplingResult:
        """Fail, as no sampler should."""
        raise RuntimeError("sampler")

    def get_description(self) -> str:
        """Its name."""
        return "failing"


def test_a_sampler_that_raises_costs_no_message(instrument: Instrument, caplog: pytest.LogCaptureFixture) -> None:
    """Messages are sent and received without a span, and the error is logged."""
    provider = TracerProvider(sampler=Failing(), shutdown_on_exit=False)
    instrument(tracer_provider=provider)
    received: list[MQTTMessage] = []
    client = new_client()
    client.on_message = lambda _client, _userdata, message: received.append(message)
    message = MQTTMessage(topic=b"failing/x")
    message.properties = Properties(PacketTypes.PUBLISH)
    client._handle_on_message(message)  # noqa: SLF001 - a message as it comes from the network
    client.publish("failing/x", "x", 1)
    assert (received, len(kept(client))) == ([message], 1)
    assert caplog.text.count("a span did not start") == 1


def test_a_propagator_that_raises_costs_no_message(
    instrument: Instrument, recorded: Recorded, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message is sent without context but with its span, and the error is logged."""
    instrument()
    client = new_client()
    monkeypatch.setattr(get_global_textmap(), "_propagators", [None])
    client.publish("failing/x", "x", 1)
    assert len(kept(client)) == 1
    PahoMqttInstrumentor().uninstrument()
    assert [span.name for span in recorded.spans] == ["publish failing/x"]
    assert caplog.text.count("carries no context") == 1


class Unending(SpanProcessor):
    """A span processor with an error in it."""

    def on_end(self, span: ReadableSpan) -> None:
        """Fail, as no processor should."""
        raise RuntimeError(f"cannot end {span.name}")


def test_a_span_that_cannot_end_costs_no_message(instrument: Instrument, caplog: pytest.LogCaptureFixture) -> None:
    """Publishing and receiving continue, a callback's exception reaches the program, and the error is logged."""
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(Unending())
    instrument(tracer_provider=provider)
    client = new_client()

    def on_message(*_: object) -> None:
        raise KeyError("own")

    client.on_message = on_message
    message = MQTTMessage(topic=b"failing/x")
    message.properties = Properties(PacketTypes.PUBLISH)
    with pytest.raises(KeyError, match="own"):
        client._handle_on_message(message)  # noqa: SLF001 - a message as it comes from the network
    assert client.publish("failing/x", "x", 0).rc == MQTTErrorCode.MQTT_ERR_NO_CONN
    assert caplog.text.count("did not end") == 2
