"""Fixtures of the documentation's tests: its programs, run as printed."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from paho.mqtt.client import Client
from paho.mqtt.enums import MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from local.mosquitto import Mosquitto
from local.waiting import DEADLINE_S

# A program's session may outlive it, and its subscription would answer the publishes of other tests.
_END_OF_SESSION = Properties(PacketTypes.DISCONNECT)
_END_OF_SESSION.SessionExpiryInterval = 0


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    """The spans of programs that use the global provider."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
    return exporter


@pytest.fixture
def run_program(broker: Mosquitto) -> Iterator[Callable[..., dict[str, Any]]]:
    """Run a program as printed, except for the broker's port and the test's own names; its client is stopped."""
    clients: list[Client] = []

    def run(code: str, **given: object) -> dict[str, Any]:
        names: dict[str, Any] = dict(given)
        exec(code.replace('"localhost", 1883', f'"{broker.host}", {broker.port}'), names)  # noqa: S102 - our own pages
        if isinstance(client := names.get("client"), Client):
            clients.append(client)
        return names

    yield run
    for client in clients:
        client.disconnect(properties=_END_OF_SESSION if client.protocol == MQTTProtocolVersion.MQTTv5 else None)
        client.loop_stop()


@pytest.fixture
def connected(broker: Mosquitto) -> Iterator[Callable[[Client], Client]]:
    """Connect the test's own client; it is stopped at the end."""
    clients: list[Client] = []

    def connect(client: Client) -> Client:
        up = threading.Event()
        client.on_connect = lambda *_: up.set()
        client.connect(broker.host, broker.port)
        client.loop_start()
        clients.append(client)
        assert up.wait(DEADLINE_S)
        return client

    yield connect
    for client in clients:
        client.disconnect()
        client.loop_stop()
