"""State that all instrumented clients share, and state of each client."""

from __future__ import annotations

import atexit
import threading
import weakref
from collections.abc import Callable
from typing import Any

from opentelemetry.context import get_current
from opentelemetry.instrumentation.utils import is_instrumentation_enabled
from opentelemetry.metrics import MeterProvider
from opentelemetry.trace import Span, TracerProvider
from paho.mqtt.client import Client, MQTTMessage

from mqtt_trace._guard import Guard
from mqtt_trace._options import Options
from mqtt_trace._paho.packet_size import OmittedReason, PacketSize
from mqtt_trace._spans import semconv
from mqtt_trace._spans.metrics import ProcessMetrics, PublishMetrics
from mqtt_trace._spans.process import ProcessSpans
from mqtt_trace._spans.process_span import ProcessSpan
from mqtt_trace._spans.publish import PublishSpans, note_omission
from mqtt_trace._spans.sweeper import sweeper
from mqtt_trace._spans.tracer import tracer_of
from mqtt_trace.topics import Subscriptions

PublishHook = Callable[[Span, Client, str, Any], None]
"""Called with span, client, topic and payload."""
ProcessHook = Callable[[Span, Client, MQTTMessage], None]
"""Called with span, client and message."""

_ATTRIBUTE = "_mqtt_trace"
_MAX_PENDING = 10_000
_TIMEOUT_S = 300.0

_PUBLISH_HOOK_FAILED = Guard("publish_hook failed")
_PROCESS_HOOK_FAILED = Guard("process_hook failed")


class ClientTracing:
    """The tracing state of one client, which holds a reference to it, not the other way round.

    Attributes:
        publishes: Its publish spans.
        processes: Its process spans.
        subscriptions: Its subscriptions since it was instrumented.
        processing: The current process span: paho calls one callback at a time.
        packet_size: The largest packet that its broker accepts.
    """

    def __init__(self, client: Client, owner: Tracing) -> None:
        self.client = weakref.ref(client)
        self.owner = owner
        self.subscriptions = Subscriptions()
        self.publishes = owner.publish_spans()
        self.processes = owner.process_spans(self.subscriptions)
        self.processing: ProcessSpan | None = None
        self.packet_size = PacketSize()


class Tracing:
    """The tracing state that all instrumented clients share.

    Attributes:
        active: False once tracing has ended.
        tracer: Starts every span.
        options: The options of the environment.
        queueing: Classes whose `on_message` only queues messages: spans start when a task takes a message from the
            queue.
    """

    def __init__(
        self,
        *,
        tracer_provider: TracerProvider | None,
        meter_provider: MeterProvider | None,
        options: Options,
        excluded: Callable[[str], bool] | None,
        publish_hook: PublishHook | None,
        process_hook: ProcessHook | None,
    ) -> None:
        self.active = True
        self.tracer = tracer_of(tracer_provider)
        self.options = options
        self.queueing: tuple[type, ...] = ()
        self._publish_metrics = PublishMetrics(meter_provider)
        self._process_metrics = ProcessMetrics(meter_provider)
        self._excluded = excluded
        self._publish_hook = publish_hook
        self._process_hook = process_hook
        self._clients: weakref.WeakSet[ClientTracing] = weakref.WeakSet()
        self._lock = threading.Lock()
        self._ends_in_time = False
        atexit.register(sweeper.close)  # also used by a `TracedPublisher`, which does not get here again

    def get(self, client: Client) -> ClientTracing:
        """The state of a client, created at first use."""
        known: ClientTracing | None = vars(client).get(_ATTRIBUTE)
        return known if known is not None and known.owner is self else self._add(client)

    def wants(self, topic: str) -> bool:
        """Whether messages of a topic are traced in the current context."""
        if get_current() and not is_instrumentation_enabled():
            return False
        return self._excluded is None or not self._excluded(topic)

    def call_publish_hook(self, span: Span, client: Client, topic: str, payload: Any) -> None:
        """Call the user's hook for a publish span."""
        if self._publish_hook is not None:
            with _PUBLISH_HOOK_FAILED:
                if span.is_recording():
                    self._publish_hook(span, client, topic, payload)

    def call_process_hook(self, span: Span, client: Client, message: MQTTMessage) -> None:
        """Call the user's hook for a process span."""
        if self._process_hook is not None:
            with _PROCESS_HOOK_FAILED:
                if span.is_recording():
                    self._process_hook(span, client, message)

    def publish_spans(self) -> PublishSpans:
        """Create the publish spans of a client."""
        return PublishSpans(
            self.tracer, self._publish_metrics, self.options, max_pending=_MAX_PENDING, timeout=_TIMEOUT_S
        )

    def note_omission(self, span: Span, attributes: semconv.Attributes, reason: OmittedReason) -> None:
        """Record in a span and a counter that the message has no context."""
        note_omission(span, self._publish_metrics, semconv.metric_attributes(attributes), reason)

    def process_spans(self, subscriptions: Subscriptions) -> ProcessSpans:
        """Create the process spans of a client."""
        return ProcessSpans(self.tracer, self._process_metrics, self.options, subscriptions)

    def end_at_exit(self, span: Span) -> None:
        """End waiting spans at the end of the program, before their provider shuts down."""
        if self._ends_in_time or not span.is_recording():
            return
        with self._lock:
            if self.active and not self._ends_in_time:
                self._ends_in_time = True
                # Handlers run in reverse order, and the provider has registered its own already.
                atexit.unregister(sweeper.close)
                atexit.register(sweeper.close)

    def close(self) -> None:
        """Stop tracing, end waiting spans, and remove the state from all clients."""
        with self._lock:
            self.active = False
            atexit.unregister(sweeper.close)
            clients = list(self._clients)
        for one in clients:
            one.publishes.close()
            client = one.client()
            if client is not None:
                vars(client).pop(_ATTRIBUTE, None)

    def _add(self, client: Client) -> ClientTracing:
        with self._lock:
            known: ClientTracing | None = vars(client).get(_ATTRIBUTE)
            if known is not None and known.owner is self:
                return known
            added = ClientTracing(client, self)
            if not self.active:  # closed since the caller checked: nothing would remove it again
                added.publishes.close()
                return added
            self._clients.add(added)
            vars(client)[_ATTRIBUTE] = added
            return added
