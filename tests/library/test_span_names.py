"""The destination in a span's name."""

from __future__ import annotations

import pytest
from opentelemetry.trace import SpanKind
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from mqtt_trace import Conventions, Options, TracedConsumer, TracedPublisher
from tests.library.harness import Recorded

TEMPLATE = "sensors/+/reading"
NEWER = [Conventions.STABLE, Conventions.DUPLICATE]
"""`messaging/dup` uses the newer name, as the conventions require."""


def consumer_of(recorded: Recorded, conventions: Conventions, *filters: str) -> TracedConsumer:
    """A consumer that records in memory."""
    return TracedConsumer(
        None, filters, tracer_provider=recorded.tracer_provider, options=Options(conventions=conventions)
    )


def name_of_publish(
    recorded: Recorded, conventions: Conventions, topic: str, template: str | None, alias: int | None = None
) -> str:
    """The name of the span of a publish with QoS 0, which needs no broker."""
    client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    publisher = TracedPublisher(
        client, tracer_provider=recorded.tracer_provider, options=Options(conventions=conventions)
    )
    properties = Properties(PacketTypes.PUBLISH)
    if alias is not None:
        properties.TopicAlias = alias
    publisher.publish(topic, "x", template=template, properties=properties)
    [span] = recorded.spans
    assert span.kind is SpanKind.PRODUCER
    name: str = span.name
    return name


@pytest.mark.parametrize(
    ("conventions", "template", "name"),
    [
        (Conventions.GUIDE, TEMPLATE, "publish sensors/s1/reading"),
        *((newer, TEMPLATE, f"publish {TEMPLATE}") for newer in NEWER),
        *((conventions, None, "publish sensors/s1/reading") for conventions in Conventions),
    ],
)
def test_a_publish_is_named_by_its_template_when_opted_in(
    recorded: Recorded, conventions: Conventions, template: str | None, name: str
) -> None:
    """When opted in, the name has the template, or else the topic; otherwise it is the guide's."""
    assert name_of_publish(recorded, conventions, "sensors/s1/reading", template) == name


@pytest.mark.parametrize(
    ("conventions", "template", "name"),
    [
        (Conventions.GUIDE, TEMPLATE, "publish"),
        *((newer, TEMPLATE, f"publish {TEMPLATE}") for newer in NEWER),
        *((conventions, None, "publish") for conventions in Conventions),
    ],
)
def test_where_the_topic_is_not_known_only_a_template_can_be_named(
    recorded: Recorded, conventions: Conventions, template: str | None, name: str
) -> None:
    """Behind an unknown topic alias, only a template can be in the name."""
    assert name_of_publish(recorded, conventions, "", template, alias=7) == name


@pytest.mark.parametrize(
    ("conventions", "filters", "name"),
    [
        (Conventions.GUIDE, [TEMPLATE], "process sensors/s1/reading"),
        *((newer, [TEMPLATE], f"process {TEMPLATE}") for newer in NEWER),
        *((newer, [f"$share/workers/{TEMPLATE}"], f"process {TEMPLATE}") for newer in NEWER),
        *((newer, ["other/#"], "process sensors/s1/reading") for newer in NEWER),
    ],
)
def test_a_process_span_is_named_by_the_filter_when_opted_in(
    recorded: Recorded, conventions: Conventions, filters: list[str], name: str
) -> None:
    """When opted in, the name has the topic filter, `process sensors/+/reading`, also of a shared subscription."""
    with consumer_of(recorded, conventions, *filters).process(MQTTMessage(topic=b"sensors/s1/reading")):
        pass
    assert [span.name for span in recorded.spans] == [name]


@pytest.mark.parametrize(
    ("conventions", "topics", "name"),
    [
        (Conventions.GUIDE, ["sensors/s1/reading"] * 2, "process sensors/s1/reading"),
        (Conventions.GUIDE, ["sensors/s1/reading", "sensors/s2/reading"], f"process {TEMPLATE}"),
        *((newer, ["sensors/s1/reading"] * 2, f"process {TEMPLATE}") for newer in NEWER),
        *((newer, ["other/x"] * 2, "process other/x") for newer in NEWER),
        *((newer, ["sensors/s1/reading", "other/x"], "process") for newer in NEWER),
    ],
)
def test_a_batch_is_named_by_what_its_messages_share(
    recorded: Recorded, conventions: Conventions, topics: list[str], name: str
) -> None:
    """The name of a batch has the shared template when opted in, else the shared topic, or neither."""
    messages = [MQTTMessage(topic=topic.encode()) for topic in topics]
    with consumer_of(recorded, conventions, TEMPLATE).process_batch(messages):
        pass
    assert [span.name for span in recorded.spans] == [name]
