"""The end of a program or task is not an error of the current message, as in OpenTelemetry itself.

`use_span` records what is an `Exception` and nothing else, so `sys.exit(1)` is no error either.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry.trace import StatusCode
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from mqtt_trace import PublishOutcome, TracedConsumer, TracedPublisher
from tests.library.harness import Instrument, Recorded


class Leave(BaseException):
    """An exception that ends a task, as in other libraries."""


LEAVING = [SystemExit(0), SystemExit(1), KeyboardInterrupt(), GeneratorExit(), asyncio.CancelledError(), Leave()]


def message_on(topic: str) -> MQTTMessage:
    """A message as paho creates it."""
    message = MQTTMessage(topic=topic.encode())
    message.properties = Properties(PacketTypes.PUBLISH)
    return message


def new_client() -> Client:
    """A client that is not connected."""
    return Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)


def consumer_of(recorded: Recorded) -> TracedConsumer:
    """A consumer that records in memory."""
    return TracedConsumer(tracer_provider=recorded.tracer_provider, meter_provider=recorded.meter_provider)


def handled(recorded: Recorded, _: Any) -> Callable[[Callable[[], None]], None]:
    """In the handler of a consumer."""
    return lambda act: consumer_of(recorded).handler(lambda *_: act())(new_client(), None, message_on("leaving/x"))


def processed(recorded: Recorded, _: Any) -> Callable[[Callable[[], None]], None]:
    """In a program's own block."""

    def process(act: Callable[[], None]) -> None:
        with consumer_of(recorded).process(message_on("leaving/x")):
            act()

    return process


def batched(recorded: Recorded, _: Any) -> Callable[[Callable[[], None]], None]:
    """In a block for a batch."""

    def process(act: Callable[[], None]) -> None:
        with consumer_of(recorded).process_batch([message_on("leaving/x")]):
            act()

    return process


def called_back(_: Any, instrument: Instrument) -> Callable[[Callable[[], None]], None]:
    """In `on_message` of an instrumented client."""

    def process(act: Callable[[], None]) -> None:
        instrument()
        client = new_client()
        client.on_message = lambda *_: act()
        client._handle_on_message(message_on("leaving/x"))  # noqa: SLF001 - a message as it comes from the network

    return process


WAYS = [handled, processed, batched, called_back]


@pytest.mark.parametrize("leaving", LEAVING, ids=lambda one: type(one).__name__)
@pytest.mark.parametrize("way", WAYS)
def test_leaving_is_no_error_of_a_message(
    recorded: Recorded, instrument: Instrument, way: Any, leaving: BaseException
) -> None:
    """The exception propagates, and the process span ends without status, exception and `error.type`."""

    def leave() -> None:
        raise leaving

    with pytest.raises(type(leaving)) as caught:
        way(recorded, instrument)(leave)
    assert caught.value is leaving
    (span,) = recorded.spans
    assert (span.status.status_code, span.events) == (StatusCode.UNSET, ())
    assert "error.type" not in span.attributes
    (point,) = recorded.points("messaging.process.duration")
    assert "error.type" not in point.attributes


@pytest.mark.parametrize("way", [processed, batched, called_back])
def test_an_error_of_a_message_is_one(recorded: Recorded, instrument: Instrument, way: Any) -> None:
    """An `Exception` is still recorded as an error."""
    with pytest.raises(ZeroDivisionError):
        way(recorded, instrument)(lambda: 1 / 0)
    (span,) = recorded.spans
    assert (span.status.status_code, span.attributes["error.type"]) == (StatusCode.ERROR, "ZeroDivisionError")


class Leaving(Client):
    """A client whose `publish` ends the program."""

    leaving: BaseException

    def publish(self, *_: Any, **__: Any) -> Any:
        """End it."""
        raise self.leaving


@pytest.mark.parametrize("leaving", LEAVING, ids=lambda one: type(one).__name__)
def test_leaving_is_no_error_of_a_publish(recorded: Recorded, leaving: BaseException) -> None:
    """The exception is not an error of the publish, and `on_outcome` does not report a delivery."""
    client = Leaving(CallbackAPIVersion.VERSION2)
    client.leaving = leaving
    outcomes: list[PublishOutcome] = []
    publisher = TracedPublisher(
        client, tracer_provider=recorded.tracer_provider, meter_provider=recorded.meter_provider
    )
    with pytest.raises(type(leaving)) as caught:
        publisher.publish("leaving/x", "x", 1, on_outcome=outcomes.append)
    assert caught.value is leaving
    (span,) = recorded.spans
    assert (span.status.status_code, span.events) == (StatusCode.UNSET, ())
    assert "error.type" not in span.attributes
    assert recorded.points("messaging.client.sent.messages") == []
    assert [outcome.error_type for outcome in outcomes] == [type(leaving).__qualname__]
    assert publisher.pending == 0


def test_leaving_in_an_outcome_callback_ends_the_span(recorded: Recorded) -> None:
    """The exception propagates from an outcome callback, and the span ends."""
    client = new_client()
    publisher = TracedPublisher(client, tracer_provider=recorded.tracer_provider)
    with pytest.raises(SystemExit):
        publisher.publish("leaving/x", "x", 0, on_outcome=lambda _: sys.exit(0))
    assert [span.name for span in recorded.spans] == ["publish leaving/x"]
