"""Properties that paho refuses, or takes minutes for."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.client import MQTTMessage
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import MalformedPacket, Properties  # type: ignore[attr-defined]  # where 2.1 has it, too

from mqtt_trace._paho.tolerant import topic_of, unpack

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\ufeff"), max_size=20)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "PayloadFormatIndicator": st.integers(0, 1),
            "MessageExpiryInterval": st.integers(0, 2**32 - 1),
            "ContentType": TEXT,
            "ResponseTopic": TEXT,
            "CorrelationData": st.binary(max_size=20),
            "SubscriptionIdentifier": st.lists(st.integers(1, 268_435_455), min_size=1, max_size=3),
            "TopicAlias": st.integers(1, 65_535),
            "UserProperty": st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=5),
        },
    ),
    st.binary(max_size=5),
)
def test_it_reads_what_paho_reads(values: dict[str, Any], payload: bytes) -> None:
    """For properties that paho takes, the result is paho's own."""
    packed = Properties(PacketTypes.PUBLISH)
    for name, value in values.items():
        setattr(packed, name, value)
    data = packed.pack()
    ours, theirs = Properties(PacketTypes.PUBLISH), Properties(PacketTypes.PUBLISH)
    assert unpack(ours, data + payload) == len(data)
    theirs.unpack(data + payload)
    assert ours.json() == theirs.json() == packed.json()


def test_text_that_paho_refuses_is_read() -> None:
    """U+FEFF is allowed (MQTT 5, section 1.5.4); what is not UTF-8 becomes U+FFFD."""
    properties = Properties(PacketTypes.PUBLISH)
    data = b"\x0c\x26\x00\x04\xef\xbb\xbfk\x00\x03v\xff\x00"
    assert unpack(properties, data) == len(data)
    assert properties.json()["UserProperty"] == [("\ufeffk", "v\ufffd\0")]


@given(st.binary(max_size=40))
def test_what_cannot_be_read_is_malformed(data: bytes) -> None:
    """Any bytes give properties or `MalformedPacket`."""
    try:
        unpack(Properties(PacketTypes.PUBLISH), data)
    except MalformedPacket:
        return


@pytest.mark.parametrize(
    "data", [b"\x05\x26\x00\x01k\x00", b"\x01\x7f", b"\x02\x01\x01\x01"[:2], b"\x03\x03\x00\x09abc"]
)
def test_a_property_that_ends_too_late_is_malformed(data: bytes) -> None:
    """A property beyond its packet, or one that no PUBLISH has, is not guessed at."""
    with pytest.raises(MalformedPacket):
        unpack(Properties(PacketTypes.PUBLISH), data)


def test_a_topic_that_is_not_utf_8_can_be_named() -> None:
    """It is replaced once, so that nothing raises for it later."""
    message = MQTTMessage(1, b"sensors/\xff/reading")
    assert topic_of(message) == "sensors/\ufffd/reading"
    assert message.topic == "sensors/\ufffd/reading"
