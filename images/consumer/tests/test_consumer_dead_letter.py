"""The content of a dead letter, and of the log line that replaces it."""

from __future__ import annotations

import json

from mqtt_trace_consumer.dead_letter import dead_letter_properties, in_words
from paho.mqtt.client import MQTTMessage
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties


def message(payload: bytes) -> MQTTMessage:
    """A message with every property of PUBLISH."""
    made = MQTTMessage(7, b"sensors/one/reading")
    made.payload = payload
    made.qos = 1
    properties = Properties(PacketTypes.PUBLISH)
    properties.PayloadFormatIndicator = 1
    properties.MessageExpiryInterval = 3
    properties.ContentType = "application/json"
    properties.ResponseTopic = "answers/1"
    properties.CorrelationData = b"\x01\x02"
    properties.SubscriptionIdentifier = 9
    properties.UserProperty = [("tenant", "acme"), ("tenant", "again"), ("error.type", "OlderError")]
    made.properties = properties
    return made


def test_it_keeps_the_properties_and_adds_the_error() -> None:
    """A dead letter keeps the sender's properties in order, replaces an older error, and does not expire."""
    assert dead_letter_properties(message(b"5"), ValueError("no good")).json() == {
        "PayloadFormatIndicator": 1,
        "ContentType": "application/json",
        "ResponseTopic": "answers/1",
        "CorrelationData": "0102",
        "UserProperty": [
            ("tenant", "acme"),
            ("tenant", "again"),
            ("error.type", "ValueError"),
            ("error.message", "no good"),
            ("original.topic", "sensors/one/reading"),
        ],
    }


def test_a_message_without_properties_becomes_a_dead_letter() -> None:
    """A message without properties, as from an MQTT 3.1.1 publisher, becomes a dead letter."""
    made = dead_letter_properties(MQTTMessage(1, b"t"), ValueError("x" * 5_000))
    assert dict(made.json()["UserProperty"])["error.message"] == "x" * 1_000


def test_properties_that_paho_refuses_are_kept() -> None:
    """A dead letter keeps properties that the broker accepts and that paho would refuse to set."""
    odd = message(b"5")
    vars(odd.properties).update(PayloadFormatIndicator=7)
    assert dead_letter_properties(odd, ValueError()).json()["PayloadFormatIndicator"] == 7


def test_the_log_has_the_whole_message() -> None:
    """The log line has a text payload as text, and any other payload in base64."""
    document = json.loads(in_words(message(b'{"a": 1}'), ValueError("no good")))
    assert document["payload"] == '{"a": 1}'
    assert document["error"] == {"type": "ValueError", "message": "no good"}
    assert document["properties"]["UserProperty"][0] == ["tenant", "acme"]
    assert document["properties"]["CorrelationData"] == "0102"
    assert json.loads(in_words(message(b"\xff\x00"), ValueError()))["payload_base64"] == "/wA="
