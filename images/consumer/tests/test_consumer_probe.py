"""Probe topics, and the distinction of probes and readings."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mqtt_trace_consumer.probe import PROPERTY, probe_nonce, probe_properties, probe_topic
from paho.mqtt.client import MQTTMessage, topic_matches_sub
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties


@pytest.mark.parametrize(
    ("topic_filter", "topic"),
    [
        ("sensors/+/reading", "sensors/_probe-c-0/reading"),
        ("sensors/#", "sensors/_probe-c-0"),
        ("+/+/reading", "_probe-c-0/_probe-c-0/reading"),
        ("#", "_probe-c-0"),
        ("sensors/one/reading", "sensors/one/reading"),
        ("/+", "/_probe-c-0"),
    ],
)
def test_each_wildcard_becomes_a_level_of_ours(topic_filter: str, topic: str) -> None:
    """Each wildcard of the filter becomes a level that names the client."""
    assert probe_topic(topic_filter, "c-0") == topic


@given(st.lists(st.sampled_from(["+", "a", "", "sensors"]), min_size=1), st.booleans())
def test_the_filter_matches_its_probes(levels: list[str], multi_level: bool) -> None:
    """Every filter matches its probe topic."""
    topic_filter = "/".join([*levels, "#"] if multi_level else levels)
    topic = probe_topic(topic_filter, "c-0")
    assert topic_matches_sub(topic_filter, topic)
    assert not set(topic) & {"+", "#"}


def test_a_probe_is_recognised() -> None:
    """A message with our user property is a probe only if it has no payload."""
    message = MQTTMessage(1, b"t")
    message.properties = probe_properties("n1", 5)
    assert probe_nonce(message) == "n1"
    message.payload = b"{}"
    assert probe_nonce(message) is None


def test_other_messages_are_not_probes() -> None:
    """A message without our user property is not a probe."""
    message = MQTTMessage(1, b"t")
    assert probe_nonce(message) is None
    message.properties = Properties(PacketTypes.PUBLISH)
    assert probe_nonce(message) is None
    message.properties.UserProperty = [(PROPERTY + "x", "n1"), ("", "")]
    assert probe_nonce(message) is None
