"""Mocks and wrappers of clients and messages work with the attributes that they have."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock, Mock, NonCallableMagicMock, create_autospec, patch

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import StatusCode
from paho.mqtt.client import Client, MQTTMessage, MQTTMessageInfo
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from mqtt_trace import Options, TracedConsumer, TracedPublisher
from tests.library.harness import Instrument, Recorded

PLAIN = {
    "messaging.system": "mqtt",
    "messaging.operation.name": "publish",
    "messaging.operation.type": "publish",
    "messaging.destination.name": "a",
    "messaging.message.body.size": 1,
    "mqtt.qos": 1,
    "mqtt.retain": False,
}
"""The attributes of a publish through a mock without attributes."""


def real_client() -> Client:
    """A client of paho's that is not connected."""
    client = Client(CallbackAPIVersion.VERSION2, "real", protocol=MQTTProtocolVersion.MQTTv5)
    client.connect_async("broker.example", 1884)
    return client


class OnlyPublishing:
    """A fake with nothing but `publish`."""

    __slots__ = ("published",)

    def __init__(self) -> None:
        self.published: list[tuple[Any, ...]] = []

    def publish(self, *args: Any) -> None:
        """Note it."""
        self.published.append(args)


class Unmade(Client):
    """A subclass that does not call paho's `__init__`."""

    def __init__(self) -> None:
        self.published: list[tuple[Any, ...]] = []

    def publish(self, *args: Any, **_: Any) -> Any:
        """Note it."""
        self.published.append(args)

    def __del__(self) -> None:
        """There is nothing to close."""


class Wrapper:
    """A program's own client, which delegates to a paho client."""

    def __init__(self, client: Client) -> None:
        self._wrapped = client

    def __getattr__(self, name: str) -> Any:
        return getattr(self._wrapped, name)


class Slotted(Client):
    """A client with slots of its own."""

    __slots__ = ("own",)


def described(**attributes: object) -> MagicMock:
    """A mock with a few attributes."""
    mock = MagicMock(spec=Client)
    mock.configure_mock(**attributes)
    return mock


MOCKS: dict[str, Callable[[], Any]] = {
    "Mock": Mock,
    "MagicMock": MagicMock,
    "NonCallableMagicMock": NonCallableMagicMock,
    "MagicMock(spec)": lambda: MagicMock(spec=Client),
    "Mock(spec_set)": lambda: Mock(spec_set=Client),
    "MagicMock(wraps)": lambda: MagicMock(wraps=real_client()),
    "autospec": lambda: create_autospec(Client),
    "autospec instance": lambda: create_autospec(Client, instance=True),
    "only publish": OnlyPublishing,
    "no __init__": Unmade,
    "SimpleNamespace": lambda: SimpleNamespace(publish=lambda *_: None),
    "None has it": lambda: SimpleNamespace(publish=lambda *_: None, host=None, port=None, protocol=None),
}


def publisher_of(client: Any, recorded: Recorded) -> TracedPublisher:
    """A publisher that records in memory."""
    return TracedPublisher(client, tracer_provider=recorded.tracer_provider, meter_provider=recorded.meter_provider)


@pytest.mark.parametrize("make", MOCKS.values(), ids=MOCKS)
def test_a_stand_in_for_a_client_publishes(recorded: Recorded, make: Callable[[], Any], caplog: Any) -> None:
    """The publish is called, its span ends at once with the attributes of any message, and nothing is logged."""
    publisher = publisher_of(make(), recorded)
    publisher.publish("a", "x", 1)
    publisher.publish("a", "x", 1)
    assert publisher.pending == 0
    publisher.close()
    for span in recorded.spans:
        attributes = dict(span.attributes)
        assert {name: attributes.pop(name) for name in PLAIN} == PLAIN
        assert all(isinstance(value, str | int) for value in attributes.values())
        assert (span.name, span.status.status_code) == ("publish a", StatusCode.UNSET)
    assert len(recorded.spans) == 2
    assert caplog.text == ""


def test_the_first_example_goes_through() -> None:
    """A mock of paho's class, with the global providers: nobody but the test knows of it."""
    client = MagicMock(spec=Client)
    TracedPublisher(client).publish("a", "x")
    assert client.publish.call_args.args[:4] == ("a", b"x", 0, False)


def test_a_stand_in_is_described_by_what_it_has(recorded: Recorded) -> None:
    """Attributes of a mock are on the span if they have the right type."""
    described_client = described(host="broker.example", port=1884, transport="tcp", protocol=MQTTProtocolVersion.MQTTv5)
    described_client._client_id = b"sensor-1"  # noqa: SLF001 - as paho has it
    publisher_of(described_client, recorded).publish("a", "x")
    publisher_of(described(host=b"bytes", port="1884", protocol="5"), recorded).publish("a", "x")
    right, wrong = ({name: span.attributes.get(name) for name in DESCRIBING} for span in recorded.spans)
    assert right == {
        "server.address": "broker.example",
        "server.port": 1884,
        "messaging.client.id": "sensor-1",
        "network.protocol.version": "5.0",
    }
    assert set(wrong.values()) == {None}


DESCRIBING = ["server.address", "server.port", "messaging.client.id", "network.protocol.version"]


def test_a_stand_in_is_asked_each_time(recorded: Recorded) -> None:
    """Attributes of a mock are read for each message."""
    client = SimpleNamespace(publish=lambda *_: None, host="first")
    publisher = publisher_of(client, recorded)
    publisher.publish("a", "x")
    client.host = "second"
    publisher.publish("a", "x")
    assert [span.attributes["server.address"] for span in recorded.spans] == ["first", "second"]


def test_a_stand_in_sees_the_context() -> None:
    """A mock is called with the context, unless its protocol is MQTT 3.1.1."""
    for protocol, names in [(None, ["traceparent"]), (MQTTProtocolVersion.MQTTv311, [])]:
        client = MagicMock() if protocol is None else MagicMock(protocol=protocol)
        TracedPublisher(client, tracer_provider=TracerProvider(shutdown_on_exit=False)).publish("a", "x")
        assert [name for name, _ in client.publish.call_args.args[4].UserProperty] == names


@pytest.mark.parametrize("info", [MQTTMessageInfo(1), Mock(spec=MQTTMessageInfo), (0, 1), None])
def test_no_span_waits_for_a_stand_in(recorded: Recorded, info: object) -> None:
    """No span waits for a mock, which reports no acknowledgement."""
    client = MagicMock(spec=Client)
    client.publish.return_value = info
    publisher = publisher_of(client, recorded)
    assert publisher.publish("a", "x", 1) is info
    assert (publisher.pending, len(recorded.spans)) == (0, 1)


def test_an_error_of_a_stand_in_is_the_test_s_own(recorded: Recorded) -> None:
    """An error of a mock propagates, as one of a paho client."""
    client = MagicMock(spec=Client)
    client.publish.side_effect = OSError("no network")
    with pytest.raises(OSError, match="no network"):
        publisher_of(client, recorded).publish("a", "x")
    (span,) = recorded.spans
    assert span.attributes["error.type"] == "OSError"


def test_a_wrapper_is_described_by_its_client(recorded: Recorded) -> None:
    """A wrapper's span has the attributes of its client."""
    client = real_client()
    publisher_of(Wrapper(client), recorded).publish("a", "x", 1)
    (span,) = recorded.spans
    assert (span.attributes["server.address"], span.attributes["messaging.client.id"]) == ("broker.example", "real")
    assert [message.topic for message in client._out_messages.values()] == ["a"]  # noqa: SLF001 - nothing public tells


def test_a_client_with_slots_of_its_own_is_a_client(recorded: Recorded) -> None:
    """Spans of a client with `__slots__` wait for acknowledgements."""
    publisher = publisher_of(Slotted(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5), recorded)
    publisher.publish("a", "x", 1)
    assert publisher.pending == 1
    publisher.close()


def hand_made(topic: Any) -> MQTTMessage:
    """A message of a test, with few attributes."""
    return MQTTMessage(topic=topic)


MESSAGES: dict[str, Callable[[], Any]] = {
    "Mock": Mock,
    "MagicMock": MagicMock,
    "MagicMock(spec)": lambda: MagicMock(spec=MQTTMessage),
    "autospec": lambda: create_autospec(MQTTMessage, instance=True),
    "hand-made": lambda: hand_made(b"a"),
    "text for a topic": lambda: hand_made("a"),
    "no topic": lambda: hand_made(None),
    "topic and payload": lambda: SimpleNamespace(topic="a", payload=b"x"),
    "payload of text": lambda: SimpleNamespace(topic="a", payload="x", qos=1, retain=False, properties=None),
    "nothing": SimpleNamespace,
    "object": object,
    "properties that are a mock": lambda: SimpleNamespace(topic="a", payload=b"x", properties=MagicMock()),
    "properties that are anything": lambda: SimpleNamespace(topic="a", payload=5, properties={"UserProperty": 5}),
    "user properties that are none": lambda: SimpleNamespace(properties=SimpleNamespace(UserProperty=5)),
}

CLIENTS: dict[str, Callable[[], Any]] = {"None": lambda: None, "real": real_client, **MOCKS}


@pytest.mark.parametrize("make_client", CLIENTS.values(), ids=CLIENTS)
def test_a_stand_in_for_a_receiving_client_is_served(
    recorded: Recorded, make_client: Callable[[], Any], caplog: Any
) -> None:
    """A mock of a receiving client works like a paho client."""
    client, message, handled = make_client(), hand_made(b"a"), list[Any]()
    consumer = TracedConsumer(client, ["a"], tracer_provider=recorded.tracer_provider)
    consumer.handler(lambda *args: handled.append(args))(client, None, message)
    assert handled == [(client, None, message)]
    (span,) = recorded.spans
    assert span.name == "process a"
    assert span.attributes["mqtt.missing_context_reason"] == "absent"
    assert all(isinstance(value, str | int) for value in span.attributes.values())
    assert caplog.text == ""


@pytest.mark.parametrize("make", MESSAGES.values(), ids=MESSAGES)
def test_a_stand_in_for_a_message_is_handled(recorded: Recorded, make: Callable[[], Any]) -> None:
    """A mock of a message is handled once, in a span with its attributes, by handler, block and batch."""
    message, handled = make(), list[Any]()
    consumer = TracedConsumer(
        None, ["a"], tracer_provider=recorded.tracer_provider, options=Options(json_fallback=True)
    )
    consumer.handler(lambda _client, _userdata, one: handled.append(one))(MagicMock(spec=Client), None, message)
    with consumer.process(message):
        handled.append(message)
    with consumer.process_batch([message]):
        handled.append(message)
    assert [one is message for one in handled] == [True] * 3
    assert len(recorded.spans) == 3
    for span in recorded.spans:
        assert all(isinstance(value, str | int) for value in span.attributes.values())
        assert not span.links


def test_a_hand_made_message_continues_its_trace(recorded: Recorded) -> None:
    """A message of a test continues the trace of its context."""
    message = SimpleNamespace(topic="a", payload=b"x", qos=1, properties=Properties(PacketTypes.PUBLISH))
    vars(message.properties)["UserProperty"] = [("traceparent", "00-" + "1" * 32 + "-" + "2" * 16 + "-01")]
    message_of_any_kind: Any = message
    with TracedConsumer(tracer_provider=recorded.tracer_provider).process(message_of_any_kind):
        pass
    (span,) = recorded.spans
    assert span.context.trace_id == int("1" * 32, 16)
    assert (span.attributes["mqtt.qos"], "mqtt.duplicate" in span.attributes) == (1, False)


def test_a_program_with_a_patched_client_is_left_alone(instrument: Instrument, recorded: Recorded) -> None:
    """A program with a patched client class is not traced, whether instrumented before or within the patch."""
    with patch("paho.mqtt.client.Client") as mocked:
        instrument()
        import paho.mqtt.client as paho  # noqa: PLC0415 - as a program does

        client = paho.Client(CallbackAPIVersion.VERSION2)
        client.connect("broker.example")
        client.publish("a", "x")
        client.loop_start()
        TracedPublisher(client, tracer_provider=recorded.tracer_provider).publish("a", "x")
    assert [call[0] for call in mocked.mock_calls if "publish" in call[0]] == ["().publish"] * 2


_IMPORTED_WITHIN = """
from unittest.mock import MagicMock, patch

with patch("paho.mqtt.client.Client") as mocked:
    from mqtt_trace import TracedConsumer, TracedPublisher
    from mqtt_trace.instrumentation import PahoMqttInstrumentor

    PahoMqttInstrumentor().instrument()
    client = mocked("sensor")
    TracedPublisher(client).publish("a", "x")
    with TracedConsumer(client).process(MagicMock()):
        pass
    PahoMqttInstrumentor().uninstrument()
print(client.publish.call_count)
"""


def test_a_program_that_is_first_imported_within_a_patch_is_left_alone() -> None:
    """Then the library, too, knows the mock alone."""
    ran = subprocess.run([sys.executable, "-c", _IMPORTED_WITHIN], capture_output=True, text=True, check=False)
    assert (ran.stdout, ran.returncode) == ("1\n", 0), ran.stderr


class Copying(MagicMock):
    """Keeps copies of the arguments, as the documentation of unittest.mock shows."""

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        """Copy and pickle what a call has."""
        return super().__call__(*pickle.loads(pickle.dumps(copy.deepcopy(args))), **copy.deepcopy(kwargs))  # noqa: S301 - our own bytes


def test_a_mock_that_copies_its_arguments_is_called(recorded: Recorded) -> None:
    """The properties of a traced publish can be copied and pickled, and carry the same context then."""
    client = Copying()
    publisher_of(client, recorded).publish("a", "x")
    (properties,) = [call.args[-1] for call in client.publish.call_args_list]
    assert "traceparent" in dict(properties.UserProperty)
