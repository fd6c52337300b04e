"""The age of messages that say when they were sent, and that really crossed a broker."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest
from paho.mqtt.client import MQTTMessage
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from local.mosquitto import Mosquitto
from mqtt_trace import Options, TracedConsumer
from tests.library.harness import Connect, Inbox, Recorded

AGE, NEGATIVE_AGES = "messaging.client.message.age", "messaging.client.negative_ages"


def consumer_of(recorded: Recorded) -> TracedConsumer:
    """A consumer of `aged/#` that records in memory."""
    return TracedConsumer(
        None,
        ["aged/#"],
        tracer_provider=recorded.tracer_provider,
        meter_provider=recorded.meter_provider,
        options=Options(),
    )


def event(*user_properties: tuple[str, str]) -> Properties:
    """Properties of a CloudEvents message in binary mode, as far as the metric reads them."""
    properties = Properties(PacketTypes.PUBLISH)
    properties.UserProperty = [("specversion", "1.0"), ("id", "a-1"), *user_properties]
    return properties


def time_of(age_s: float) -> tuple[str, str]:
    """CloudEvents' `time` of an event that happened some seconds ago."""
    return "time", (datetime.now(UTC) - timedelta(seconds=age_s)).isoformat().replace("+00:00", "Z")


def message(*user_properties: tuple[str, str]) -> MQTTMessage:
    """A received message with these user properties."""
    made = MQTTMessage(topic=b"aged/x")
    made.properties = Properties(PacketTypes.PUBLISH)
    made.properties.UserProperty = list(user_properties)
    return made


def test_the_age_of_a_cloud_event(broker: Mosquitto, connect: Connect, recorded: Recorded, inbox: type[Inbox]) -> None:
    """The age of a CloudEvents message is recorded once, with the attributes of the other metrics."""
    received = inbox(connect(broker), "aged/#")
    connect(broker).publish("aged/x", "x", 1, properties=event(time_of(90)))
    with consumer_of(recorded).process(received.wait()[0]):
        pass
    (point,) = recorded.points(AGE)
    assert (point.count, round(point.sum / 10)) == (1, 9)
    assert point.attributes == {
        "messaging.system": "mqtt",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.template": "aged/#",
    }
    assert not recorded.points(NEGATIVE_AGES)


def test_the_age_of_a_retained_message_says_so(
    broker: Mosquitto, connect: Connect, recorded: Recorded, inbox: type[Inbox]
) -> None:
    """The age of a retained message is split off by `mqtt.retain`."""
    connect(broker).publish("aged/kept", "x", 1, retain=True, properties=event(time_of(7200))).wait_for_publish()
    received = inbox(connect(broker), "aged/kept")
    with consumer_of(recorded).process(received.wait()[0]):
        pass
    (point,) = recorded.points(AGE)
    assert (point.attributes["mqtt.retain"], round(point.sum / 100)) == (True, 72)


def test_a_program_may_know_when_a_message_was_sent(recorded: Recorded) -> None:
    """`sent_at` wins over the message's own time."""
    with consumer_of(recorded).process(message(("specversion", "1.0"), time_of(90)), sent_at=time.time() - 3600):
        pass
    (point,) = recorded.points(AGE)
    assert round(point.sum / 100) == 36


def test_each_message_of_a_batch_has_its_age(recorded: Recorded) -> None:
    """A batch records the age of each of its messages that has one."""
    sent = [message(("specversion", "1.0"), time_of(age)) for age in (100, 200)]
    with consumer_of(recorded).process_batch([*sent, message()]):
        pass
    (point,) = recorded.points(AGE)
    assert (point.count, round(point.sum / 100)) == (2, 3)


def test_a_message_from_the_future_has_the_age_0_and_is_counted(recorded: Recorded) -> None:
    """With the sender's clock ahead, the age is 0 and a counter grows."""
    with consumer_of(recorded).process(message(("specversion", "1.0"), time_of(-60))):
        pass
    (age,), (negative,) = recorded.points(AGE), recorded.points(NEGATIVE_AGES)
    assert (age.count, age.sum, negative.value) == (1, 0, 1)


@pytest.mark.parametrize(
    "user_properties",
    [
        [],
        [("time", "2026-01-01T00:00:00Z")],
        [("specversion", "1.0")],
        [("specversion", "1.0"), ("time", "")],
        [("specversion", "1.0"), ("time", "yesterday")],
        [("specversion", "1.0"), ("time", "2026-01-01T00:00:00")],
        [("specversion", "1.0"), ("time", "2026-13-01T00:00:00Z")],
        [("specversion", "1.0"), ("time", "2026-01-01T00:00:00Z"), ("time", "2026-01-02T00:00:00Z")],
        [("specversion", "1.0"), ("time", "9" * 60_000)],
    ],
)
def test_a_message_that_does_not_say_when_it_was_sent_has_no_age(
    recorded: Recorded, user_properties: list[tuple[str, str]]
) -> None:
    """Without `specversion`, and without exactly one valid time with an offset, no age is recorded."""
    with consumer_of(recorded).process(message(*user_properties)):
        pass
    (span,) = recorded.spans
    assert span.name == "process aged/x"
    assert (recorded.points(AGE), recorded.points(NEGATIVE_AGES)) == ([], [])
