"""Real parts around a real consumer process: an echo that can misbehave, an OTLP backend, publishers and listeners."""

from __future__ import annotations

import gzip
import json
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Protocol, Self

import httpx
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.properties import Properties

from local.mosquitto import Mosquitto
from local.ports import HOST, free_port
from local.processes import Process
from local.waiting import DEADLINE_S, until

Answer = tuple[int, Mapping[str, str]]
OK: Answer = (200, {})


class Broker(Protocol):
    """The address for clients."""

    host: str
    port: int


class HttpServer:
    """A threading HTTP server whose `stop` also closes its connections."""

    def __init__(self, answer: Callable[[str, bytes], tuple[int, Mapping[str, str], bytes]]) -> None:
        self.port = free_port()
        self._answer = answer
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Listen on the same port as before."""
        answer = self._answer

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                status, headers, content = answer(self.path, body)
                self.send_response(status)
                for name, value in {**headers, "content-length": str(len(content))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as in the base class
                del format, args

        self._server = _Server((HOST, self.port), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()

    def stop(self) -> None:
        """Refuse new connections and close the existing ones."""
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._server.break_connections()
            self._server.server_close()
            self._thread.join()
            self._server = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()


class _Server(ThreadingHTTPServer):
    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(address, handler)
        self._connections: set[socket.socket] = set()

    def process_request(self, request: Any, client_address: Any) -> None:
        self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._connections.discard(request)
        super().shutdown_request(request)

    def break_connections(self) -> None:
        for connection in list(self._connections):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore disconnected clients, which are part of these tests."""


class Echo(HttpServer):
    """An echo whose answers a test chooses.

    Attributes:
        answer: Called with each payload; 200 by default.
        accepted: The payloads that were answered with 200, in order.
        calls: How many requests came.
    """

    def __init__(self) -> None:
        super().__init__(self._respond)
        self.answer: Callable[[bytes], Answer] = lambda _: OK
        self.accepted: list[bytes] = []
        self.calls = 0

    @property
    def url(self) -> str:
        """The URL to post to."""
        return f"http://{HOST}:{self.port}/echo"

    @property
    def ids(self) -> list[str]:
        """The message ids of the accepted payloads."""
        return [json.loads(payload)["message_id"] for payload in self.accepted]

    def _respond(self, _: str, payload: bytes) -> tuple[int, Mapping[str, str], bytes]:
        self.calls += 1
        status, headers = self.answer(payload)
        if status == 200:
            self.accepted.append(payload)
        return status, headers, b"{}"


class Backend(HttpServer):
    """Takes OTLP traces."""

    def __init__(self) -> None:
        super().__init__(self._ingest)
        self.spans: list[Span] = []

    @property
    def endpoint(self) -> str:
        """For `OTEL_EXPORTER_OTLP_ENDPOINT`."""
        return f"http://{HOST}:{self.port}"

    def named(self, name: str) -> list[Span]:
        """The received spans with this name."""
        return [span for span in self.spans if span.name == name]

    def _ingest(self, path: str, body: bytes) -> tuple[int, Mapping[str, str], bytes]:
        if path == "/v1/traces":
            request = ExportTraceServiceRequest.FromString(body)
            self.spans += [
                span for resource in request.resource_spans for scope in resource.scope_spans for span in scope.spans
            ]
        return 200, {}, b""


def attributes_of(span: Span) -> dict[str, object]:
    """A span's attributes as Python values."""
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value") or "string_value") for pair in span.attributes}


class Consumer(Process):
    """A consumer process; its settings are those of the constructor plus `env`."""

    def __init__(self, broker: Broker, echo_url: str, folder: Path, client_id: str, **env: str) -> None:
        self.health_port = free_port()
        self.client_id = client_id
        super().__init__(
            client_id,
            [str(Path(sys.executable).with_name("mqtt-trace-consumer"))],
            log=folder / f"{client_id}.log",
            env={
                "MQTT_BROKER_HOST": broker.host,
                "MQTT_BROKER_PORT": str(broker.port),
                "MQTT_CLIENT_ID": client_id,
                "ECHO_URL": echo_url,
                "HEALTH_HOST": HOST,
                "HEALTH_PORT": str(self.health_port),
                "OTEL_SDK_DISABLED": "true",
                **env,
            },
        )

    @property
    def status(self) -> dict[str, Any]:
        """The answer of `GET /ready`, empty without one."""
        try:
            answer: dict[str, Any] = httpx.get(f"http://{HOST}:{self.health_port}/ready", trust_env=False).json()
        except httpx.TransportError:
            return {}
        return answer

    @property
    def lines(self) -> list[str]:
        """The log of all its starts."""
        return self.log.read_text().splitlines() if self.log.exists() else []

    def said(self, text: str) -> list[str]:
        """The log lines that contain a text."""
        return [line for line in self.lines if text in line]

    def wait_status(self, timeout_s: float = DEADLINE_S, **expected: object) -> None:
        """Return when `GET /ready` answers with these values."""
        self.wait_until(lambda: expected.items() <= self.status.items(), timeout_s=timeout_s)

    def wait_said(self, text: str, timeout_s: float = DEADLINE_S) -> None:
        """Return when a log line contains a text."""
        self.wait_until(lambda: bool(self.said(text)), timeout_s=timeout_s)

    def start_ready(self) -> Self:
        """Start it and return when it is ready."""
        self.start()
        self.wait_status(ready=True)
        return self


@contextmanager
def client_of(broker: Mosquitto, **hooks: Any) -> Iterator[Client]:
    """A connected paho client with its own loop and these callbacks."""
    client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    for name, hook in hooks.items():
        setattr(client, name, hook)
    client.max_inflight_messages_set(0)
    client.connect(broker.host, broker.port)
    client.loop_start()
    try:
        until(client.is_connected, "it is connected")
        yield client
    finally:
        client.disconnect()
        client.loop_stop()


def publish(
    broker: Mosquitto,
    topic: str,
    *payloads: bytes,
    qos: int = 1,
    retain: bool = False,
    properties: Properties | None = None,
) -> None:
    """Publish and wait until the broker has acknowledged all messages."""
    with client_of(broker) as client:
        sent = [client.publish(topic, payload, qos, retain, properties=properties) for payload in payloads]
        for info in sent:
            info.wait_for_publish(DEADLINE_S)
            assert info.is_published()


def reading(message_id: str, **more: object) -> bytes:
    """A payload as a sensor sends it."""
    return json.dumps(
        {"device_id": "sensor-001", "reading": 21.5, "message_id": message_id, "ts": 0.0, **more}
    ).encode()


@contextmanager
def listening(broker: Mosquitto, topic_filter: str) -> Iterator[list[MQTTMessage]]:
    """The messages that arrive on a filter while the block runs."""
    messages: list[MQTTMessage] = []
    subscribed = threading.Event()
    with client_of(
        broker, on_message=lambda *call: messages.append(call[2]), on_subscribe=lambda *_: subscribed.set()
    ) as client:
        client.subscribe(topic_filter, 1)
        assert subscribed.wait(DEADLINE_S)
        yield messages


def numbered(count: int, prefix: str = "") -> list[bytes]:
    """Readings `0`, `1` and so on."""
    return [reading(f"{prefix}{number}") for number in range(count)]


def ids(count: int, prefix: str = "") -> set[str]:
    """Their ids."""
    return {f"{prefix}{number}" for number in range(count)}
