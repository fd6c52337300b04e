"""Fixtures of the library's tests: recorded telemetry and connected paho clients."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from opentelemetry import propagate
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from local.mosquitto import Mosquitto
from local.waiting import DEADLINE_S
from mqtt_trace.instrumentation import PahoMqttInstrumentor


@dataclass
class Recorded:
    """Providers, and what they recorded."""

    tracer_provider: TracerProvider
    meter_provider: MeterProvider
    exporter: InMemorySpanExporter
    reader: InMemoryMetricReader

    @property
    def spans(self) -> tuple[ReadableSpan, ...]:
        """Ended spans, oldest first."""
        return self.exporter.get_finished_spans()

    def points(self, name: str) -> list[Any]:
        """The data points of a metric."""
        data = self.reader.get_metrics_data()
        metrics = [m for r in data.resource_metrics for s in r.scope_metrics for m in s.metrics] if data else []
        return [point for metric in metrics if metric.name == name for point in metric.data.data_points]


@pytest.fixture
def recorded() -> Iterator[Recorded]:
    """Providers that record in memory."""
    exporter, reader = InMemorySpanExporter(), InMemoryMetricReader()
    tracer_provider, meter_provider = TracerProvider(), MeterProvider([reader])
    tracer_provider.add_span_processor(SimpleSpanProcessor(exporter))
    yield Recorded(tracer_provider, meter_provider, exporter, reader)
    tracer_provider.shutdown()
    meter_provider.shutdown()


@pytest.fixture
def instrument(recorded: Recorded) -> Iterator[Callable[..., None]]:
    """Instrument paho with the recording providers, and further arguments; undone at the end."""
    instrumentor = PahoMqttInstrumentor()

    def instrument_paho(**options: Any) -> None:
        providers = {"tracer_provider": recorded.tracer_provider, "meter_provider": recorded.meter_provider}
        instrumentor.instrument(**{**providers, **options})

    yield instrument_paho
    if instrumentor.is_instrumented_by_opentelemetry:
        instrumentor.uninstrument()


@pytest.fixture
def connect() -> Iterator[Callable[..., Client]]:
    """Connect paho clients with a network thread; they are disconnected at the end."""
    clients: list[Client] = []

    def connect_one(
        broker: Mosquitto,
        client_id: str = "",
        *,
        protocol: MQTTProtocolVersion = MQTTProtocolVersion.MQTTv5,
        api: CallbackAPIVersion = CallbackAPIVersion.VERSION2,
        clean_session: bool | None = None,
    ) -> Client:
        client = Client(api, client_id, protocol=protocol, clean_session=clean_session)
        up = threading.Event()
        client.on_connect = lambda *_: up.set()
        client.connect(broker.host, broker.port)
        client.loop_start()
        clients.append(client)
        assert up.wait(DEADLINE_S), "no CONNACK"
        return client

    yield connect_one
    for client in clients:
        client.disconnect()
        client.loop_stop()


class Inbox:
    """What a client has received, with a way to wait for it."""

    def __init__(self, client: Client, topic_filter: str, qos: int = 1) -> None:
        self._messages: list[MQTTMessage] = []
        self._changed = threading.Condition()
        subscribed = threading.Event()
        client.on_subscribe = lambda *_: subscribed.set()
        client.on_message = self._on_message
        client.subscribe(topic_filter, qos)
        assert subscribed.wait(DEADLINE_S), "no SUBACK"

    def wait(self, count: int = 1) -> list[MQTTMessage]:
        """The messages, as soon as there are that many."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self._messages) >= count, DEADLINE_S), (
                f"{len(self._messages)} of {count} messages arrived"
            )
            return list(self._messages)

    def _on_message(self, _client: Client, _userdata: Any, message: MQTTMessage) -> None:
        with self._changed:
            self._messages.append(message)
            self._changed.notify_all()


@pytest.fixture
def inbox() -> type[Inbox]:
    """The class of inboxes, to be opened on a connected client."""
    return Inbox


@pytest.fixture
def default_propagator() -> Iterator[None]:
    """W3C Trace Context and Baggage as the propagator; it is global, so the one before is put back."""
    before = propagate.get_global_textmap()
    propagate.set_global_textmap(CompositePropagator([TraceContextTextMapPropagator(), W3CBaggagePropagator()]))
    yield
    propagate.set_global_textmap(before)


@pytest.fixture(autouse=True)
def nothing_told_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test sees the first error of a kind."""
    monkeypatch.setattr("mqtt_trace._guard._logged", set())
