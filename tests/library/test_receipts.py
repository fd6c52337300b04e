"""Receipts of numbered readings."""

from __future__ import annotations

import json
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from paho.mqtt.client import MQTTMessage
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from mqtt_trace import TracedConsumer, receipt_for

TOPIC = "mqtt-trace/receipts/iot.demo-receipts-0"
SEQUENCE = ("mqtt-trace-sequence", "e/0/7/1")
TRACE = "0af7651916cd43dd8448eb211c80319c"
CONTEXT = ("traceparent", f"00-{TRACE}-b7ad6b7169203331-01")


def numbered(*pairs: tuple[str, str], topic: str | None = TOPIC) -> MQTTMessage:
    """A message with these user properties and this Response Topic."""
    message = MQTTMessage(topic=b"sensors/a/reading")
    message.properties = Properties(PacketTypes.PUBLISH)
    for pair in pairs:
        message.properties.UserProperty = pair
    if topic is not None:
        message.properties.ResponseTopic = topic
    return message


def reading_of(message: MQTTMessage, **more: Any) -> dict[str, Any]:
    """The one reading in a message's receipt."""
    receipt = receipt_for(message, "mine", **more)
    assert receipt is not None
    assert receipt.topic == TOPIC
    document = json.loads(receipt.payload)
    assert document["consumer"] == "mine"
    (reading,) = document["readings"]
    assert isinstance(reading, dict)
    return reading


def test_a_receipt_has_the_number_and_the_publishers_trace() -> None:
    """A receipt names the reading, its outcome, its age and its trace."""
    reading = reading_of(numbered(SEQUENCE, CONTEXT), taken_at=1.0)
    age, at = reading.pop("age"), reading.pop("at")
    assert age == pytest.approx(at - 1.0)
    assert reading == {
        "sequence": SEQUENCE[1],
        "outcome": "processed",
        "missing_context": None,
        "trace_id": TRACE,
    }


def test_a_reading_without_context_has_the_trace_of_its_process_span() -> None:
    """Without a usable context, a receipt says why, and names the trace that the process span begins."""
    message = numbered(SEQUENCE)
    with TracedConsumer(tracer_provider=TracerProvider()).process(message) as span:
        reading = reading_of(message, outcome="dead_lettered")
        trace_id = f"{span.get_span_context().trace_id:032x}"
    assert (reading["missing_context"], reading["trace_id"], reading["outcome"]) == (
        "absent",
        trace_id,
        "dead_lettered",
    )


def test_each_receipt_has_an_id_of_its_own() -> None:
    """Two receipts for the same message differ in their id: the message was processed twice."""
    receipts = [receipt_for(numbered(SEQUENCE), "mine") for _ in range(2)]
    assert len({json.loads(receipt.payload)["id"] for receipt in receipts if receipt is not None}) == 2


@pytest.mark.parametrize(
    "message",
    [
        MQTTMessage(topic=b"a"),
        numbered(),
        numbered(topic=None),
        numbered(SEQUENCE, topic=None),
        numbered(CONTEXT),
        numbered(SEQUENCE, topic="somewhere/else"),
        numbered((SEQUENCE[0], "9" * 2000)),
        numbered(SEQUENCE, topic=f"{TOPIC}/{'9' * 2000}"),
    ],
)
def test_a_message_that_asks_for_no_receipt_gets_none(message: MQTTMessage) -> None:
    """Without a sequence, or with a Response Topic that is not one of receipts, there is no receipt."""
    assert receipt_for(message, "mine") is None


@pytest.mark.parametrize("topic", [f"{TOPIC}/+", f"{TOPIC}/#"])
def test_a_topic_with_wildcards_gets_no_receipt(topic: str) -> None:
    """A Response Topic with wildcards, which paho refuses to publish to, gets no receipt."""
    message = numbered(SEQUENCE)
    assert message.properties is not None
    vars(message.properties)["ResponseTopic"] = topic
    assert receipt_for(message, "mine") is None
