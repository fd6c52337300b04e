"""Fixtures of the library's tests: recorded telemetry and connected paho clients."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry import propagate
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from local.mosquitto import Mosquitto
from local.waiting import DEADLINE_S
from mqtt_trace.instrumentation import PahoMqttInstrumentor
from tests.library.harness import Connect, Inbox, Instrument, Recorded


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
def instrument(recorded: Recorded) -> Iterator[Instrument]:
    """Instrument paho with the recording providers, and further arguments; undone at the end."""
    instrumentor = PahoMqttInstrumentor()

    def instrument_paho(**options: Any) -> None:
        providers = {"tracer_provider": recorded.tracer_provider, "meter_provider": recorded.meter_provider}
        instrumentor.instrument(**{**providers, **options})

    yield instrument_paho
    if instrumentor.is_instrumented_by_opentelemetry:
        instrumentor.uninstrument()


@pytest.fixture
def connect() -> Iterator[Connect]:
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


@pytest.fixture
def inbox() -> type[Inbox]:
    """The class of inboxes, which a test opens on a connected client."""
    return Inbox


@pytest.fixture
def default_propagator() -> Iterator[None]:
    """W3C Trace Context and Baggage as the global propagator; the previous one is restored."""
    before = propagate.get_global_textmap()
    propagate.set_global_textmap(CompositePropagator([TraceContextTextMapPropagator(), W3CBaggagePropagator()]))
    yield
    propagate.set_global_textmap(before)


@pytest.fixture(autouse=True)
def nothing_logged_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test sees the first error of a kind."""
    monkeypatch.setattr("mqtt_trace._guard._logged", set())
