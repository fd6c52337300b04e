"""The behaviour with aiomqtt that docs/instrumentation.md describes."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, suppress
from itertools import pairwise
from typing import Any

import aiomqtt
import pytest
from opentelemetry import baggage, trace
from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.trace import SpanKind, StatusCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from local.documents import blocks
from local.mosquitto import Mosquitto
from local.waiting import DEADLINE_S, until_async
from mqtt_trace import extract
from mqtt_trace.instrumentation import PahoMqttInstrumentor
from tests.library.harness import EndedSpan, Instrument, Recorded, parent_id

V5, V311 = aiomqtt.ProtocolVersion.V5, aiomqtt.ProtocolVersion.V311
TRACES = [f"{digit:032x}" for digit in range(1, 10)]
"""The trace of each of the messages that a test sends, in order."""

Receive = Callable[[aiomqtt.Client], Awaitable[None]]
Run = Callable[..., None]


class Failed(Exception):  # noqa: N818 - it stands for whatever a program raises
    """The exception of a loop's body."""


def current() -> str | None:
    """The trace of the current span; None if there is none."""
    span_context = trace.get_current_span().get_span_context()
    return f"{span_context.trace_id:032x}" if span_context.is_valid else None


def process_spans(recorded: Recorded) -> list[EndedSpan]:
    """The ended process spans."""
    return [span for span in recorded.spans if span.kind is SpanKind.CONSUMER]


def traces_of(recorded: Recorded) -> list[str]:
    """The traces of the ended process spans."""
    return [f"{span.context.trace_id:032x}" for span in process_spans(recorded)]


def sent_properties(trace_id: str) -> Properties:
    """PUBLISH properties with a context and baggage, as another program would set them."""
    properties = Properties(PacketTypes.PUBLISH)
    properties.UserProperty = [("traceparent", f"00-{trace_id}-b7ad6b7169203331-01"), ("baggage", "tenant=acme")]
    return properties


@pytest.fixture
def run(broker: Mosquitto, caplog: pytest.LogCaptureFixture) -> Run:
    """Let a task receive some messages, each of a trace of its own, through an instrumented client of aiomqtt."""

    async def program(receive: Receive, count: int, topic: str, options: dict[str, Any]) -> None:
        options = {"protocol": V5, **options}
        async with aiomqtt.Client(broker.host, broker.port, **options) as client:
            await client.subscribe("aiomqtt/+/reading", qos=1)
            with suppress_instrumentation():
                for trace_id in TRACES[:count]:
                    properties = sent_properties(trace_id) if options["protocol"] == V5 else None
                    await client.publish(topic, "x", qos=1, properties=properties)
            await receive(client)
            assert current() is None
        assert current() is None

    def run_program(receive: Receive, count: int = 1, topic: str = "aiomqtt/a/reading", **options: Any) -> None:
        asyncio.run(asyncio.wait_for(program(receive, count, topic, options), DEADLINE_S))
        gc.collect()
        assert not caplog.records, caplog.text  # such as a context that could not be detached

    return run_program


@pytest.fixture(autouse=True)
def instrumented(instrument: Instrument) -> None:
    """Every test has instrumented clients."""
    instrument()


def test_publish_and_process_are_one_trace(broker: Mosquitto, recorded: Recorded) -> None:
    """The publish span is a child of the task's span, the process span its child, and the body's spans are below."""
    tracer = recorded.tracer_provider.get_tracer("test")

    async def program() -> None:
        async with aiomqtt.Client(broker.host, broker.port, protocol=V5, identifier="aiomqtt-exact") as client:
            await client.subscribe("aiomqtt/+/reading", qos=1)
            with tracer.start_as_current_span("around"):
                await client.publish("aiomqtt/a/reading", "x", qos=1)
            async for _ in client.messages:
                with tracer.start_as_current_span("work"):
                    await asyncio.sleep(0)
                break

    asyncio.run(asyncio.wait_for(program(), DEADLINE_S))
    own = {span.name: span for span in recorded.spans}
    chain = ["around", "publish aiomqtt/a/reading", "process aiomqtt/a/reading", "work"]
    assert sorted(own) == sorted(chain)
    assert len(recorded.spans) == len(chain)
    for above, below in pairwise(chain):
        assert parent_id(own[below]) == own[above].context.span_id
    publish, process = own[chain[1]], own[chain[2]]
    assert (publish.kind, publish.status.status_code, publish.attributes["mqtt.qos"]) == (
        SpanKind.PRODUCER,
        StatusCode.UNSET,
        1,
    )
    assert not process.links
    assert dict(process.attributes) == {
        "messaging.system": "mqtt",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": "aiomqtt/a/reading",
        "messaging.destination.template": "aiomqtt/+/reading",
        "messaging.client.id": "aiomqtt-exact",
        "messaging.message.body.size": 1,
        "server.address": broker.host,
        "server.port": broker.port,
        "network.protocol.version": "5.0",
        "mqtt.qos": 1,
        "mqtt.retain": False,
    }


def test_each_iteration_has_the_span_of_its_message_and_no_other(run: Run, recorded: Recorded) -> None:
    """Each span has ended before the loop asks for the next message, and no span is current while the loop waits."""
    waiting: list[str | None] = []
    seen: list[tuple[str | None, object, list[str]]] = []

    class Queue(asyncio.Queue[aiomqtt.Message]):
        async def get(self) -> aiomqtt.Message:
            waiting.append(current())
            return await super().get()

    async def receive(client: aiomqtt.Client) -> None:
        async for _ in client.messages:
            await asyncio.sleep(0)
            seen.append((current(), baggage.get_baggage("tenant"), traces_of(recorded)))
            if len(seen) == 3:
                break

    run(receive, 3, queue_type=Queue)
    assert seen == [(trace_id, "acme", TRACES[:number]) for number, trace_id in enumerate(TRACES[:3])]
    assert waiting == [None] * 3
    assert traces_of(recorded) == TRACES[:3]


async def breaks(messages: AsyncIterator[aiomqtt.Message]) -> None:
    """Leave the loop."""
    async for _ in messages:
        assert current() == TRACES[0]
        break


async def returns(messages: AsyncIterator[aiomqtt.Message]) -> None:
    """Leave the function."""
    async for _ in messages:
        assert current() == TRACES[0]
        return


async def raises(messages: AsyncIterator[aiomqtt.Message]) -> None:
    """Raise."""
    async for _ in messages:
        assert current() == TRACES[0]
        raise Failed


async def raises_and_goes_on(messages: AsyncIterator[aiomqtt.Message]) -> None:
    """Raise, and catch it outside of the loop."""
    try:
        async for _ in messages:
            assert current() == TRACES[0]
            raise Failed  # noqa: TRY301 - that is the point
    except Failed:
        assert current() is None


async def is_cancelled(messages: AsyncIterator[aiomqtt.Message]) -> None:
    """Be cancelled in the body."""
    async for _ in messages:
        assert current() == TRACES[0]
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        try:
            await asyncio.sleep(60)
        finally:
            task.uncancel()


async def leaves_spans_behind(messages: AsyncIterator[aiomqtt.Message]) -> None:
    """Break out of a block of its own."""
    async for _ in messages:
        with trace.get_tracer("test").start_as_current_span("inner"), baggage_of("a"):
            break


def baggage_of(_name: str) -> Any:
    """A block with another current context."""
    return trace.use_span(trace.NonRecordingSpan(trace.INVALID_SPAN_CONTEXT))


LEAVE = [breaks, returns, raises, raises_and_goes_on, is_cancelled, leaves_spans_behind]


@pytest.mark.parametrize("held", [True, False])
@pytest.mark.parametrize("leave", LEAVE)
def test_what_comes_after_a_loop_is_not_part_of_it(run: Run, recorded: Recorded, leave: Any, held: bool) -> None:
    """The span has ended after the loop, however it was left and whether or not its iterator is still referenced."""
    after: list[str | None] = []

    async def receive(client: aiomqtt.Client) -> None:
        messages = client.messages
        with suppress(Failed, asyncio.CancelledError):
            await leave(messages if held else client.messages)
        after.append(current())
        assert traces_of(recorded) == TRACES[:1]

    run(receive, 2)
    assert after == [None]
    assert [span.status.status_code for span in process_spans(recorded)] == [StatusCode.UNSET]


def test_a_loop_inside_of_a_span_gives_it_back(run: Run, recorded: Recorded) -> None:
    """The span around the loop is current again after it, and is not the parent of process spans."""
    tracer = recorded.tracer_provider.get_tracer("test")

    async def receive(client: aiomqtt.Client) -> None:
        with tracer.start_as_current_span("around") as around:
            await breaks(client.messages)
            assert trace.get_current_span() is around

    run(receive)
    assert traces_of(recorded) == TRACES[:1]


def test_loops_that_are_driven_in_turns_leave_no_span_behind(run: Run, recorded: Recorded) -> None:
    """Each loop ends the span of its last message, and the previous context is restored after both."""

    async def receive(client: aiomqtt.Client) -> None:
        one, other = aiter(client.messages), aiter(client.messages)
        for _ in range(2):
            await anext(one)
            await anext(other)
        del one, other
        assert current() is None

    run(receive, 4)
    assert len(process_spans(recorded)) == 4


def test_other_tasks_are_not_part_of_it_and_those_of_the_body_are(run: Run) -> None:
    """Tasks that the body starts continue the trace, even after the next message; other tasks do not."""
    elsewhere: list[str | None] = []
    inside: list[str | None] = []
    go_on = asyncio.Event()

    async def handle() -> None:
        await go_on.wait()
        inside.append(current())

    async def receive(client: aiomqtt.Client) -> None:
        async def look() -> None:
            while not go_on.is_set():
                elsewhere.append(current())
                await asyncio.sleep(0)

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(look())
            number = 0
            async for _ in client.messages:
                tasks.create_task(handle())
                await asyncio.sleep(0)
                await asyncio.sleep(0)
                number += 1
                if number == 3:
                    break
            go_on.set()

    run(receive, 3)
    assert inside == TRACES[:3]
    assert set(elsewhere) == {None}


@pytest.mark.parametrize("shared", [True, False])
def test_loops_side_by_side_have_each_their_own(run: Run, recorded: Recorded, shared: bool) -> None:
    """Workers that share a client, or even an iterator, do not end each other's spans."""
    seen: dict[str | None, list[str | None]] = {}

    async def receive(client: aiomqtt.Client) -> None:
        messages = client.messages
        both = asyncio.Barrier(2)

        async def work() -> None:
            number = 0
            async for _ in messages if shared else client.messages:
                mine = current()
                await both.wait()
                seen.setdefault(mine, []).append(current())
                assert mine not in traces_of(recorded)
                number += 1
                if number == 2:
                    break
            assert current() is None

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(work())
            tasks.create_task(work())

    run(receive, 4)
    assert seen == {trace_id: [trace_id] for trace_id in TRACES[:4]}
    assert sorted(traces_of(recorded)) == TRACES[:4]


def test_a_message_that_is_taken_by_itself_has_a_span_that_ends_with_that(run: Run, recorded: Recorded) -> None:
    """The span of a singly taken message ends at once, in any task."""

    async def receive(client: aiomqtt.Client) -> None:
        await anext(client.messages)
        assert (current(), traces_of(recorded)) == (None, TRACES[:1])
        await asyncio.wait_for(anext(client.messages), DEADLINE_S)
        assert (current(), traces_of(recorded)) == (None, TRACES[:2])
        assert len(client.messages) == 1
        assert isinstance(client.messages, aiomqtt.MessagesIterator)

    run(receive, 3)


def test_an_iterator_that_is_asked_from_several_tasks_ends_its_spans(run: Run, recorded: Recorded) -> None:
    """Each span is current in the task that asked for the message, and ends."""

    async def ask(messages: AsyncIterator[aiomqtt.Message]) -> str | None:
        await anext(messages)
        return current()

    async def receive(client: aiomqtt.Client) -> None:
        messages = aiter(client.messages)
        for trace_id in TRACES[:3]:
            assert await asyncio.create_task(ask(messages)) == trace_id
            assert current() is None
        del messages
        assert traces_of(recorded) == TRACES[:3]

    run(receive, 3)


def test_a_generator_around_the_loop_hands_the_span_on(run: Run, recorded: Recorded) -> None:
    """A loop over a generator around the loop runs in the span, and nothing is current after it is closed."""

    async def payloads(client: aiomqtt.Client) -> AsyncIterator[Any]:
        async for message in client.messages:
            yield message.payload

    async def receive(client: aiomqtt.Client) -> None:
        seen = []
        async with aclosing(payloads(client)) as generator:  # type: ignore[type-var]  # it is an async generator
            async for payload in generator:
                seen.append((payload, current()))
                if len(seen) == 2:
                    break
        assert seen == [(b"x", TRACES[0]), (b"x", TRACES[1])]

    run(receive, 2)
    assert traces_of(recorded) == TRACES[:2]


def test_an_abandoned_generator_ends_its_span(run: Run, recorded: Recorded) -> None:
    """The span ends although asyncio closes the generator in another task."""

    async def payloads(client: aiomqtt.Client) -> AsyncIterator[Any]:
        async for message in client.messages:
            yield message.payload

    async def take_one(client: aiomqtt.Client) -> None:
        async for _ in payloads(client):
            break

    async def receive(client: aiomqtt.Client) -> None:
        await asyncio.create_task(take_one(client))

    run(receive)
    assert traces_of(recorded) == TRACES[:1]


def test_a_connection_that_ends_while_the_loop_waits(run: Run, recorded: Recorded) -> None:
    """The last span has ended before, and the program gets aiomqtt's exception."""

    async def receive(client: aiomqtt.Client) -> None:
        async for _ in client.messages:
            client._client.disconnect()  # noqa: SLF001 - aiomqtt has nothing public for it

    with pytest.raises(aiomqtt.MqttError, match="Disconnected"):
        run(receive)
    assert traces_of(recorded) == TRACES[:1]


@pytest.mark.parametrize("protocol", [V5, V311])
def test_a_message_without_context_says_why(run: Run, recorded: Recorded, protocol: aiomqtt.ProtocolVersion) -> None:
    """A message without context starts a new trace with the reason."""

    async def receive(client: aiomqtt.Client) -> None:
        with suppress_instrumentation():
            await client.publish("aiomqtt/b/reading", "x", qos=1)
        async for message in client.messages:
            assert current() is not None
            assert extract(getattr(message.properties, "UserProperty", None)).missing is not None
            break

    run(receive, 0, protocol=protocol)
    (process,) = process_spans(recorded)
    assert process.attributes["mqtt.missing_context_reason"] == ("absent" if protocol == V5 else "mqtt311")


def test_nobody_asks_for_a_message(run: Run, recorded: Recorded) -> None:
    """A message that stays in the queue has no process span."""

    async def receive(client: aiomqtt.Client) -> None:
        await until_async(lambda: len(client.messages), "a queued message")

    run(receive)
    assert process_spans(recorded) == []


def test_what_is_not_to_be_traced_is_left_alone(run: Run, recorded: Recorded) -> None:
    """Messages inside `suppress_instrumentation`, or of excluded topics, have no span."""

    async def receive(client: aiomqtt.Client) -> None:
        with suppress_instrumentation():
            await asyncio.wait_for(anext(aiter(client.messages)), DEADLINE_S)
            assert current() is None

    run(receive)
    assert process_spans(recorded) == []


def test_the_hook_has_the_message_that_the_program_has(run: Run, recorded: Recorded, instrument: Instrument) -> None:
    """The hook gets aiomqtt's own message, with the span as the current one."""

    def name(span: trace.Span, _client: Any, message: Any) -> None:
        assert trace.get_current_span() is span
        span.set_attribute("sensor", message.topic.value.split("/")[1])

    PahoMqttInstrumentor().uninstrument()
    instrument(process_hook=name)
    run(lambda client: breaks(client.messages))
    assert process_spans(recorded)[0].attributes["sensor"] == "a"


def test_uninstrumenting_puts_aiomqtt_back(run: Run, recorded: Recorded) -> None:
    """A running loop continues without spans."""
    seen: list[str | None] = []

    async def receive(client: aiomqtt.Client) -> None:
        async for _ in client.messages:
            seen.append(current())
            if len(seen) == 1:
                PahoMqttInstrumentor().uninstrument()
            else:
                break
        assert type(client.messages) is aiomqtt.MessagesIterator

    run(receive, 2)
    assert seen == [TRACES[0], None]
    assert traces_of(recorded) == TRACES[:1]


_LATER = """
import sys
from mqtt_trace.instrumentation import PahoMqttInstrumentor
PahoMqttInstrumentor().instrument()
print("aiomqtt" in sys.modules, "asyncio.tasks" in sys.modules)
import aiomqtt
print(aiomqtt.Client.messages.fget.__module__, hasattr(aiomqtt.Client.messages.fget, "__wrapped__"))
PahoMqttInstrumentor().uninstrument()
print(hasattr(aiomqtt.Client.messages.fget, "__wrapped__"))
"""


def test_aiomqtt_is_instrumented_when_it_is_imported_and_not_imported_for_it() -> None:
    """The program's import of aiomqtt instruments it, and the instrumentation does not import it."""
    done = subprocess.run([sys.executable, "-W", "error", "-c", _LATER], capture_output=True, text=True, check=False)
    assert (done.stdout.splitlines(), done.stderr) == (
        ["False True", "aiomqtt.client True", "False"],
        "",
    )


_OTHERS = {
    "version 3": "class Client:\n    async def messages(self):\n        yield 1",
    "2.1, whose iterator is the client's": "class Client:\n    def __init__(self):\n        self.messages = iter(())",
    "a property without paho": "class Client:\n    @property\n    def messages(self):\n        return [1]",
    "a module of the program's own": "answer = 42",
}


@pytest.mark.parametrize("source", _OTHERS.values(), ids=_OTHERS)
def test_another_aiomqtt_is_left_alone(source: str, tmp_path: Any) -> None:
    """A module of this name that is not built on paho, unlike version 2, is unchanged."""
    (tmp_path / "aiomqtt.py").write_text(source)
    program = """
from mqtt_trace.instrumentation import PahoMqttInstrumentor
PahoMqttInstrumentor().instrument()
import aiomqtt
if hasattr(aiomqtt, "Client"):
    print(type(aiomqtt.Client().messages).__name__)
"""
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])}
    done = [
        subprocess.run([sys.executable, "-c", text], env=environ, capture_output=True, text=True, check=True)
        for text in (program, program.replace("PahoMqttInstrumentor().instrument()", ""))
    ]
    assert done[0].stdout == done[1].stdout
    assert [one.stderr for one in done] == ["", ""]


@pytest.mark.parametrize("fails", [False, True])
def test_a_program_can_open_the_span_itself(broker: Mosquitto, recorded: Recorded, fails: bool) -> None:
    """The page's example without instrumentation records the exception of the body."""
    PahoMqttInstrumentor().uninstrument()
    [source] = [one.code for one in blocks("instrumentation.md", "python") if "async for" in one.code]
    handled: list[tuple[str, str | None]] = []

    def handle(message: aiomqtt.Message) -> None:
        handled.append((message.topic.value, current()))
        if fails:
            raise Failed

    names: dict[str, Any] = {"handle": handle, "tracer_provider": recorded.tracer_provider}
    source = source.replace('"localhost"', f'"{broker.host}", {broker.port}').replace(
        '["sensors/+/reading"]', '["sensors/+/reading"], tracer_provider=tracer_provider'
    )
    exec(compile(source, "instrumentation.md", "exec"), names)  # noqa: S102 - our own page

    async def program() -> None:
        receiving = asyncio.create_task(names["receive"]())
        async with aiomqtt.Client(broker.host, broker.port, protocol=V5) as sender:
            while not handled and not receiving.done():
                await sender.publish("sensors/s1/reading", "x", qos=1, properties=sent_properties(TRACES[0]))
                await asyncio.sleep(0.05)
        receiving.cancel()
        with suppress(asyncio.CancelledError, Failed):
            await receiving

    asyncio.run(asyncio.wait_for(program(), DEADLINE_S))
    assert handled[0] == ("sensors/s1/reading", TRACES[0])
    process = process_spans(recorded)[0]
    assert (process.status.status_code is StatusCode.ERROR) is fails
    assert process.attributes["messaging.destination.template"] == "sensors/+/reading"
