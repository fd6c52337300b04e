"""What is taken over from a message, and from whom."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry import baggage
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased
from opentelemetry.trace import SpanKind
from paho.mqtt.client import MQTTMessage
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from local.mosquitto import Mosquitto
from mqtt_trace import Options, TracedConsumer, TracedPublisher
from tests.library.harness import Connect, Inbox, Recorded, parent_id

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def deliver(broker: Mosquitto, connect: Connect, inbox: type[Inbox]) -> Callable[..., MQTTMessage]:
    """Let a message with a context and baggage cross the broker."""

    def publish(topic: str, entries: str = "tenant=acme") -> MQTTMessage:
        received = inbox(connect(broker), topic)
        properties = Properties(PacketTypes.PUBLISH)
        properties.UserProperty = [("traceparent", TRACEPARENT), ("baggage", entries)]
        connect(broker).publish(topic, "x", 1, properties=properties)
        message: MQTTMessage = received.wait()[0]
        return message

    return publish


def consumer_of(recorded: Recorded, **options: Any) -> TracedConsumer:
    """A consumer that records in memory."""
    return TracedConsumer(
        tracer_provider=recorded.tracer_provider, meter_provider=recorded.meter_provider, options=Options(**options)
    )


@pytest.mark.parametrize("trusted", [("plant/#",), ("plant/+/reading", "$share/g/other/#"), ()])
def test_a_foreign_context_is_linked_to_and_not_continued(
    deliver: Callable[..., MQTTMessage], recorded: Recorded, trusted: tuple[str, ...]
) -> None:
    """On a topic of no trusted filter: a trace of its own, a link, the attribute that says why, and no baggage."""
    message = deliver("foreign/s1/reading")
    with consumer_of(recorded, trusted_topics=trusted).process(message):
        assert baggage.get_all() == {}
    (span,) = recorded.spans
    assert span.parent is None
    assert f"{span.context.trace_id:032x}" != TRACEPARENT[3:35]
    assert [f"{link.context.span_id:016x}" for link in span.links] == [TRACEPARENT[36:52]]
    assert span.attributes["mqtt.untrusted_context"] is True
    assert "mqtt.missing_context" not in span.attributes


@pytest.mark.parametrize("trusted", [None, ("plant/#",), ("plant/+/reading", "other"), ("$share/g/plant/s1/reading",)])
def test_a_trusted_context_is_continued_with_its_baggage(
    deliver: Callable[..., MQTTMessage], recorded: Recorded, trusted: tuple[str, ...] | None
) -> None:
    """Without the setting every topic is trusted, with it those that a filter matches."""
    message = deliver("plant/s1/reading")
    with consumer_of(recorded, trusted_topics=trusted).process(message):
        assert baggage.get_all() == {"tenant": "acme"}
    (span,) = recorded.spans
    assert parent_id(span) == int(TRACEPARENT[36:52], 16)
    assert "mqtt.untrusted_context" not in span.attributes


def test_a_foreign_context_does_not_decide_on_sampling(deliver: Callable[..., MQTTMessage]) -> None:
    """The sampled flag of a stranger would otherwise make us record whatever they want."""
    provider = TracerProvider(sampler=ParentBased(ALWAYS_OFF), shutdown_on_exit=False)
    message = deliver("foreign/sampled")
    for trusted, sampled in ((None, True), (("plant/#",), False)):
        consumer = TracedConsumer(tracer_provider=provider, options=Options(trusted_topics=trusted))
        with consumer.process(message) as span:
            assert span.get_span_context().trace_flags.sampled is sampled


def test_foreign_messages_of_a_batch_are_told_apart_on_their_links(
    deliver: Callable[..., MQTTMessage], recorded: Recorded
) -> None:
    """A batch links to all of them, and continues none."""
    messages = [deliver("plant/s1"), deliver("foreign/s1")]
    with consumer_of(recorded, trusted_topics=("plant/#",)).process_batch(messages):
        assert baggage.get_all() == {}
    (span,) = recorded.spans
    assert [(link.attributes or {}).get("mqtt.untrusted_context") for link in span.links] == [None, True]
    assert "mqtt.untrusted_context" not in span.attributes


def test_baggage_that_came_in_goes_out_only_by_the_list(
    deliver: Callable[..., MQTTMessage], broker: Mosquitto, connect: Connect, recorded: Recorded, inbox: type[Inbox]
) -> None:
    """A program that passes messages on is no way around the publishers' allow-list."""
    received = inbox(connect(broker), "onwards/#")
    message = deliver("inwards/x", "tenant=acme,secret=1")
    options = Options(baggage_keys=frozenset({"tenant"}))
    publisher = TracedPublisher(connect(broker), tracer_provider=recorded.tracer_provider, options=options)
    with consumer_of(recorded).process(message):
        assert baggage.get_all() == {"tenant": "acme", "secret": "1"}
        publisher.publish("onwards/x", "x", 1)
    (onwards,) = received.wait()
    assert dict(vars(onwards.properties)["UserProperty"])["baggage"] == "tenant=acme"


def test_too_much_baggage_is_left_out(deliver: Callable[..., MQTTMessage], recorded: Recorded) -> None:
    """What nobody could pass on costs neither memory nor the trace."""
    message = deliver("heavy/x", ",".join(f"k{number}={'v' * 100}" for number in range(100)))
    with consumer_of(recorded).process(message):
        assert baggage.get_all() == {}
    (span,) = recorded.spans
    assert span.kind is SpanKind.CONSUMER
    assert parent_id(span) == int(TRACEPARENT[36:52], 16)
