"""What docs/instrumentation.md says about aiomqtt, which is built on paho."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Any

import aiomqtt
import pytest
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import SpanKind, StatusCode

from local.documents import DOCS
from local.mosquitto import Mosquitto
from mqtt_trace import extract


def context_of(message: aiomqtt.Message) -> Context:
    """The context of a message, by the page's own expression."""
    [expression] = re.findall(r"`(extract\(.+\)\.context)`", (DOCS / "instrumentation.md").read_text(encoding="utf-8"))
    context = eval(expression, {"extract": extract, "message": message})  # noqa: S307 - our own page
    assert isinstance(context, Context)
    return context


def test_publishes_are_traced_and_a_process_span_ends_with_the_hand_over(
    broker: Mosquitto, instrument: Callable[..., None], recorded: Any
) -> None:
    """The publish span is below the task's own span; where messages are iterated, `extract` gives its context."""
    instrument()
    tracer = recorded.tracer_provider.get_tracer("test")
    current: list[trace.SpanContext] = []
    carried: list[trace.SpanContext] = []

    async def program() -> None:
        options: dict[str, Any] = {"port": broker.port, "protocol": aiomqtt.ProtocolVersion.V5}
        async with aiomqtt.Client(broker.host, **options) as client:
            await client.subscribe("aiomqtt/+/reading", qos=1)
            with tracer.start_as_current_span("around"):
                await client.publish("aiomqtt/a/reading", "x", qos=1)
            async for message in client.messages:
                current.append(trace.get_current_span().get_span_context())
                carried.append(trace.get_current_span(context_of(message)).get_span_context())
                break

    asyncio.run(asyncio.wait_for(program(), 30))
    around = next(span for span in recorded.spans if span.name == "around")
    (publish,) = (span for span in recorded.spans if span.kind is SpanKind.PRODUCER)
    (process,) = (span for span in recorded.spans if span.kind is SpanKind.CONSUMER)
    assert publish.parent.span_id == around.context.span_id
    assert (publish.status.status_code, publish.attributes["mqtt.qos"]) == (StatusCode.UNSET, 1)
    assert process.parent.span_id == publish.context.span_id
    assert process.attributes["messaging.destination.template"] == "aiomqtt/+/reading"
    assert [one.is_valid for one in current] == [False]
    assert [one.span_id for one in carried] == [publish.context.span_id]


@pytest.mark.parametrize("protocol", [aiomqtt.ProtocolVersion.V5, aiomqtt.ProtocolVersion.V311])
def test_a_message_without_user_properties_has_an_empty_context(
    broker: Mosquitto, protocol: aiomqtt.ProtocolVersion
) -> None:
    """Of what publishers send that are not traced, the page's expression makes a context with nothing in it."""
    contexts: list[Context] = []

    async def program() -> None:
        async with aiomqtt.Client(broker.host, broker.port, protocol=protocol) as client:
            await client.subscribe("aiomqtt/plain", qos=1)
            await client.publish("aiomqtt/plain", "x", qos=1)
            async for message in client.messages:
                contexts.append(context_of(message))
                break

    asyncio.run(asyncio.wait_for(program(), 30))
    assert contexts == [Context()]
