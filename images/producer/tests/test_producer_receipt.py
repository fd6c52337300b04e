"""Receipts, as programs of others may send them."""

from __future__ import annotations

import json

import pytest
from mqtt_trace_producer.results.receipt import InvalidReceiptError, read_receipt
from mqtt_trace_producer.results.sequence import Sequence
from paho.mqtt.client import MQTTMessage
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from mqtt_trace._receipts import describe, make_receipt

TOPIC = "mqtt-trace/receipts/iot.demo-receipts-0"


def message_with(payload: bytes, sequence: str | None = None) -> MQTTMessage:
    """A message on the topic of receipts."""
    message = MQTTMessage(topic=TOPIC.encode())
    message.payload = payload
    message.properties = Properties(PacketTypes.PUBLISH)
    if sequence is not None:
        message.properties.UserProperty = ("mqtt-trace-sequence", sequence)
    return message


def test_the_receipt_of_the_library_is_read() -> None:
    """A receipt that the library makes has its readings, its consumer and an id."""
    reading = describe(message_with(b"", "e/1/2/3"), "dead_lettered", taken_at=1.0)
    receipt = read_receipt(message_with(make_receipt(TOPIC, "mine", [reading]).payload))
    (read,) = receipt.readings
    assert (receipt.consumer, read.sequence, read.outcome) == ("mine", Sequence("e", 1, 2, 3), "dead_lettered")
    assert (read.age, read.at, read.missing_context) == (reading.age, reading.at, reading.missing_context)
    assert receipt.id


def test_a_sequence_alone_is_a_receipt() -> None:
    """An empty message with the user property confirms one reading."""
    (reading,) = read_receipt(message_with(b"", "e/1/2/3")).readings
    assert (reading.sequence, reading.outcome) == (Sequence("e", 1, 2, 3), "processed")


@pytest.mark.parametrize(
    ("payload", "cause"),
    [
        (b"", "Invalid JSON"),
        (b"{", "Invalid JSON"),
        (b"[]", "should be an object"),
        (b"{}", "readings: Field required"),
        (json.dumps({"readings": [{"sequence": "5"}]}).encode(), "readings.0.sequence: .*mqtt-trace-sequence"),
        (json.dumps({"readings": [{"sequence": 5}]}).encode(), "readings.0.sequence"),
        (json.dumps({"readings": [{"sequence": "e/0/0/1", "age": "old"}]}).encode(), "readings.0.age"),
        (b'{"readings": [{"sequence": "e/0/0/1", "age": NaN}]}', "readings.0.age"),
        (b'{"readings": [{"sequence": "e/0/0/1", "missing_context": "lost"}]}', "readings.0.missing_context"),
        (b'{"readings": [{"sequence": "e/0/0/1", "trace_id": "x"}]}', "readings.0.trace_id"),
        (b'{"readings": [{"sequence": "e/0/0/1", "outcome": "eaten"}]}', "readings.0.outcome"),
    ],
)
def test_anything_else_is_refused_in_words(payload: bytes, cause: str) -> None:
    """A message that is no receipt is refused with the place and the cause."""
    with pytest.raises(InvalidReceiptError, match=cause):
        read_receipt(message_with(payload))


def test_a_sequence_of_another_form_is_refused() -> None:
    """An empty message with a sequence that nobody wrote is refused."""
    with pytest.raises(InvalidReceiptError, match="mqtt-trace-sequence"):
        read_receipt(message_with(b"", "e/1/2/-3"))
