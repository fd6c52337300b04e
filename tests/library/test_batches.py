"""One process span for many messages."""

from __future__ import annotations

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import SpanKind
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from local.mosquitto import Mosquitto
from local.waiting import until
from mqtt_trace import Options, TracedConsumer, TracedPublisher
from tests.library.harness import Connect, Inbox, Recorded


def consumer_of(recorded: Recorded, client: Client | None = None, *filters: str) -> TracedConsumer:
    """A consumer that records in memory."""
    return TracedConsumer(
        client,
        filters,
        tracer_provider=recorded.tracer_provider,
        meter_provider=recorded.meter_provider,
        options=Options(),
    )


def test_a_batch_is_one_span_with_a_link_per_message(
    broker: Mosquitto, connect: Connect, recorded: Recorded, inbox: type[Inbox]
) -> None:
    """The span continues the current trace, counts its messages, and records a message without context."""
    receiver = connect(broker)
    received = inbox(receiver, "batch/#")
    publisher = TracedPublisher(connect(broker), tracer_provider=recorded.tracer_provider)
    for number in range(3):
        publisher.publish(f"batch/{number}", "x", 1)
    connect(broker).publish("batch/3", "x", 1)
    messages = received.wait(4)
    until(lambda: len(recorded.spans) == 3, "the publish spans ended")
    with consumer_of(recorded, receiver, "batch/+").process_batch(messages):
        pass
    batch = recorded.spans[-1]
    publishes = {span.context.span_id for span in recorded.spans if span.kind is SpanKind.PRODUCER}
    assert batch.name == "process batch/+"
    assert {link.context.span_id for link in batch.links} == publishes
    assert batch.attributes["messaging.batch.message_count"] == 4
    assert batch.attributes["mqtt.missing_context"] is True
    assert "messaging.destination.name" not in batch.attributes
    assert sum(point.value for point in recorded.points("messaging.client.consumed.messages")) == 4


def test_an_empty_batch_says_what_it_is(broker: Mosquitto, connect: Connect, recorded: Recorded) -> None:
    """Span and metrics have the same attributes as those of any other batch of the client."""
    with consumer_of(recorded, connect(broker, "idle")).process_batch([]):
        pass
    (span,) = recorded.spans
    assert dict(span.attributes) == {
        "messaging.system": "mqtt",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.client.id": "idle",
        "messaging.batch.message_count": 0,
        "server.address": broker.host,
        "server.port": broker.port,
        "network.protocol.version": "5.0",
    }
    (point,) = recorded.points("messaging.process.duration")
    assert point.attributes["messaging.system"] == "mqtt"


@pytest.mark.parametrize(("environ", "links"), [({}, 128), ({"OTEL_SPAN_LINK_COUNT_LIMIT": "150"}, 150)])
def test_the_links_of_a_large_batch_are_as_many_as_the_sdk_allows(
    recorded: Recorded, monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], links: int
) -> None:
    """The SDK keeps the last links, up to `OTEL_SPAN_LINK_COUNT_LIMIT`, and counts the others."""
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(recorded.exporter))
    messages = []
    for number in range(150):
        message = MQTTMessage(topic=b"large/x")
        message.properties = Properties(PacketTypes.PUBLISH)
        vars(message.properties)["UserProperty"] = [("traceparent", f"00-{'1' * 32}-{number + 1:016x}-01")]
        messages.append(message)
    with TracedConsumer(tracer_provider=provider, options=Options()).process_batch(messages):
        pass
    (span,) = recorded.spans
    assert [link.context.span_id for link in span.links] == list(range(151 - links, 151))
    assert span.dropped_links == 150 - links
    assert span.attributes["messaging.batch.message_count"] == 150


def test_an_iterator_is_refused(recorded: Recorded) -> None:
    """An iterator is refused, because reading it for the span would leave no message for the program."""
    consumer = TracedConsumer(tracer_provider=recorded.tracer_provider)
    messages = iter([MQTTMessage(topic=b"batch/x")])
    with pytest.raises(TypeError, match="messages must be a sequence, such as a list, not list_iterator"):
        consumer.process_batch(messages)  # type: ignore[arg-type]  # what this is about
    assert [message.topic for message in messages] == ["batch/x"]
