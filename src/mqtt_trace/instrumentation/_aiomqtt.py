"""The messages of aiomqtt 2, whose clients have one of paho's.

paho's callback only puts a message on a queue, from which tasks take it, so what takes it starts the process span.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import AsyncIterator
from functools import wraps
from typing import Any

import wrapt
from opentelemetry import trace
from opentelemetry.context import Context, attach, create_key, get_current, get_value, set_value
from opentelemetry.trace import Span
from paho.mqtt.client import Client

from mqtt_trace._guard import Guard
from mqtt_trace._paho.client import is_traced_explicitly
from mqtt_trace._paho.tolerant import topic_of
from mqtt_trace._spans.process_span import ProcessSpan
from mqtt_trace.instrumentation._tracing import Tracing

_ATTACHED = create_key("mqtt-trace-aiomqtt")
_NOT_TRACED = Guard("a message is not traced")


def messages(tracing: Tracing, original: property) -> property:
    """For `aiomqtt.Client.messages`."""
    get: Any = original.fget

    @wraps(get)
    def traced_messages(self: Any) -> Any:
        taken = get(self)
        client = _paho_client(self)
        return taken if client is None or not tracing.active else _Messages(taken, tracing, client)

    return property(traced_messages)


def is_queued(tracing: Tracing, client: Client) -> bool:
    """Whether the `on_message` of a client only puts messages on a queue."""
    owner = getattr(client.on_message, "__self__", None)
    return isinstance(owner, tracing.queueing) and _paho_client(owner) is client


def _paho_client(client: object) -> Client | None:
    found = getattr(client, "_client", None)
    return found if isinstance(found, Client) else None


class _Messages(wrapt.ObjectProxy):  # type: ignore[type-arg]  # wrapt 1 has no arguments for it
    """A view of a client's queue: a message that a program takes by itself has a span that ends with that."""

    def __init__(self, taken: AsyncIterator[Any], tracing: Tracing, client: Client) -> None:
        super().__init__(taken)
        self._self_tracing = tracing
        self._self_client = client

    def __aiter__(self) -> _Loop:
        return _Loop(self.__wrapped__, self._self_tracing, self._self_client)

    async def __anext__(self) -> Any:
        message = await anext(self.__wrapped__)
        current = _Current()
        current.begin(self._self_tracing, self._self_client, message)
        current.end()
        return message


class _Loop(_Messages):
    """What one loop takes its messages from. Nothing else holds it, so it ends with the loop, however that ends."""

    def __init__(self, taken: AsyncIterator[Any], tracing: Tracing, client: Client) -> None:
        super().__init__(taken, tracing, client)
        self._self_current = _Current()

    async def __anext__(self) -> Any:
        self._self_current.end()
        message = await anext(self.__wrapped__)
        self._self_current.begin(self._self_tracing, self._self_client, message)
        return message


class _Attached:
    """A span that a loop has made current, and the context before it."""

    def __init__(self, span: Span, before: Context) -> None:
        self.span = span
        self.before = before
        self.has_ended = False


class _Current:
    """The span of the message that a loop has taken last, current in the loop's task until the next is asked for."""

    def __init__(self) -> None:
        self._processing: ProcessSpan | None = None

    def begin(self, tracing: Tracing, client: Client, message: Any) -> None:
        """Start the span of a message, if it is to be traced."""
        processing = _start(tracing, client, message)
        if processing is None:
            return
        before = get_current()
        self._attached = _Attached(processing.__enter__(), before)
        attach(set_value(_ATTACHED, self._attached))
        tracing.call_process_hook(self._attached.span, client, message)
        self._context = get_current()
        self._task = _current_task()
        self._processing = processing

    def end(self) -> None:
        """End it, if there is one, and make current what was before."""
        processing, self._processing = self._processing, None
        if processing is None:
            return
        self._attached.has_ended = True
        # In another task, such as one that closes an abandoned generator, another context is the current one.
        if self._task is _current_task():
            processing.__exit__(None, None, None)
            _leave_ended_spans()
        else:
            processing.end()

    def __del__(self) -> None:
        """The loop has ended; whether by `break` or by what its body has raised cannot be known here."""
        if self._processing is not None and get_current() is not self._context:  # later, in a block of something else
            self._task = None
        self.end()


def _leave_ended_spans() -> None:
    """Where loops are driven in turns, the context before one of them may be that of another, which has ended since."""
    attached = get_value(_ATTACHED)
    while isinstance(attached, _Attached) and attached.has_ended and trace.get_current_span() is attached.span:
        attach(attached.before)
        attached = get_value(_ATTACHED)


def _current_task() -> weakref.ref[asyncio.Task[Any]] | None:
    try:
        task = asyncio.current_task()
    except RuntimeError:  # no loop runs
        return None
    return None if task is None else weakref.ref(task)


def _start(tracing: Tracing, client: Client, message: Any) -> ProcessSpan | None:
    with _NOT_TRACED:
        if not tracing.active or is_traced_explicitly(client) or not tracing.wants(topic_of(message)):
            return None
        return tracing.of(client).processes.start(client, message)
    return None
