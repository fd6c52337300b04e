"""Traces messages of aiomqtt 2, whose clients wrap a paho client.

Its paho callback only queues a message, so the process span starts when a task takes the message from the queue.
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
    """A view of a client's queue: the span of a message that a program takes singly ends at once."""

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
    """The iterator of one loop. Nothing else holds a reference to it, so it ends with the loop in any case."""

    def __init__(self, taken: AsyncIterator[Any], tracing: Tracing, client: Client) -> None:
        super().__init__(taken, tracing, client)
        self._self_current = _Current()

    async def __anext__(self) -> Any:
        self._self_current.end()
        message = await anext(self.__wrapped__)
        self._self_current.begin(self._self_tracing, self._self_client, message)
        return message


class _Attached:
    """A span that a loop has made current, and the previous context."""

    def __init__(self, span: Span, before: Context) -> None:
        self.span = span
        self.before = before
        self.has_ended = False


class _Current:
    """The span of the last message of a loop, current in the loop's task until the loop asks for the next message."""

    def __init__(self) -> None:
        self._processing: ProcessSpan | None = None

    def begin(self, tracing: Tracing, client: Client, message: Any) -> None:
        """Start the span of a message if the message is traced."""
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
        """End the span, if there is one, and restore the previous context."""
        processing, self._processing = self._processing, None
        if processing is None:
            return
        self._attached.has_ended = True
        # In another task, such as one that closes an abandoned generator, the current context is another one.
        if self._task is _current_task():
            processing.__exit__(None, None, None)
            _leave_ended_spans()
        else:
            processing.end()

    def __del__(self) -> None:
        """The loop has ended, by `break` or by an exception, which cannot be told apart here."""
        if self._processing is not None and get_current() is not self._context:  # later, in another block
            self._task = None
        self.end()


def _leave_ended_spans() -> None:
    """If loops alternate, the context before one of them may be that of another, which has ended in the meantime."""
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
        return tracing.get(client).processes.start(client, message)
    return None
