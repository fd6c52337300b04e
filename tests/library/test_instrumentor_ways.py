"""Every way in which an instrumented paho program receives."""

from __future__ import annotations

import select
import threading
from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.trace import SpanKind
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from local.mosquitto import Mosquitto
from local.waiting import until
from tests.library.harness import EndedSpan, Instrument, Recorded, parent_id


def process_spans(recorded: Recorded) -> list[EndedSpan]:
    """The ended process spans."""
    return [span for span in recorded.spans if span.kind is SpanKind.CONSUMER]


class Subclass(Client):
    """A subclass whose callback is a method, as in old examples."""

    seen: Callable[[], None]

    def on_message(self, _client: Client, _userdata: Any, _message: MQTTMessage) -> None:
        """Called as any callback is."""
        self.seen()


def by_attribute(client: Client, seen: Callable[..., None]) -> None:
    """Set `on_message`."""
    client.on_message = lambda *_: seen()


def by_decorator(client: Client, seen: Callable[..., None]) -> None:
    """Use paho's decorator."""

    @client.message_callback()
    def on_message(_client: Client, _userdata: Any, _message: MQTTMessage) -> None:
        seen()


def by_filter(client: Client, seen: Callable[..., None]) -> None:
    """Add a callback for a topic filter."""
    client.on_message = lambda *_: pytest.fail("paho calls it for other topics only")
    client.message_callback_add("ways/#", lambda *_: seen())


def by_filter_decorator(client: Client, seen: Callable[..., None]) -> None:
    """Use paho's decorator for a topic filter."""

    @client.topic_callback("ways/+")
    def on_topic(_client: Client, _userdata: Any, _message: MQTTMessage) -> None:
        seen()


def by_subclass(client: Client, seen: Callable[..., None]) -> None:
    """Let the subclass's method be the callback."""
    assert isinstance(client, Subclass)
    client.seen = seen


def loop_start(client: Client, done: Callable[[], bool]) -> None:
    """Let paho run a thread."""
    client.loop_start()
    try:
        until(done, "the message is processed")
    finally:
        client.disconnect()
        client.loop_stop()


def loop_forever(client: Client, done: Callable[[], bool]) -> None:
    """Run paho's loop until another thread disconnects."""

    def disconnect() -> None:
        try:
            until(done, "the message is processed")
        finally:
            client.disconnect()

    other = threading.Thread(target=disconnect)
    other.start()
    client.loop_forever(retry_first_connection=False)
    other.join()


def loop(client: Client, done: Callable[[], bool]) -> None:
    """Call paho's loop again and again."""
    for _ in range(100):
        if done():
            break
        client.loop(0.1)
    client.disconnect()


def external_loop(client: Client, done: Callable[[], bool]) -> None:
    """Serve the socket as an event loop does."""
    for _ in range(100):
        sock: Any = client.socket()
        if done() or sock is None:
            break
        readable, writable, _ = select.select([sock], [sock] if client.want_write() else [], [], 0.1)
        if readable:
            client.loop_read()
        if writable:
            client.loop_write()
        client.loop_misc()
    client.disconnect()


@pytest.mark.filterwarnings("ignore:Callback API version 1 is deprecated")
@pytest.mark.parametrize("api", list(CallbackAPIVersion))
@pytest.mark.parametrize("protocol", [MQTTProtocolVersion.MQTTv311, MQTTProtocolVersion.MQTTv5])
@pytest.mark.parametrize("run", [loop_start, loop_forever, loop, external_loop])
@pytest.mark.parametrize("listen", [by_attribute, by_decorator, by_filter, by_filter_decorator, by_subclass])
def test_every_way_to_receive_is_traced_once(
    broker: Mosquitto,
    instrument: Instrument,
    recorded: Recorded,
    listen: Callable[..., None],
    run: Callable[..., None],
    protocol: MQTTProtocolVersion,
    api: CallbackAPIVersion,
) -> None:
    """For every way to set the callback and run the loop, the span is current in the callback, and ends."""
    instrument()
    current: list[int] = []
    client = Subclass(api, protocol=protocol) if listen is by_subclass else Client(api, protocol=protocol)
    listen(client, lambda: current.append(trace.get_current_span().get_span_context().span_id))
    client.on_connect = lambda client, *_: client.subscribe("ways/x", 1)
    client.on_subscribe = lambda client, *_: client.publish("ways/x", "x", 1)
    client.connect(broker.host, broker.port)
    run(client, lambda: bool(process_spans(recorded)))
    (span,) = process_spans(recorded)
    assert current == [span.context.span_id]
    publish = next(one for one in recorded.spans if one.kind is SpanKind.PRODUCER) if len(recorded.spans) > 1 else None
    if protocol == MQTTProtocolVersion.MQTTv5:
        assert "mqtt.missing_context" not in span.attributes
        assert publish is None or parent_id(span) == publish.context.span_id
    else:
        assert span.attributes["mqtt.missing_context_reason"] == "mqtt311"
